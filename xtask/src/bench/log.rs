//! `cargo xtask bench log`: log bytes acknowledged by a real server, in MB/s, against `cat > file` and one fsync.
//!
//! This program takes the place of an agent: it leases an Attempt and sends pieces as large as an agent's. The server
//! syncs each before it answers; the second peer syncs as often, so that the cost of durability is seen apart from that of HTTP.
//! Then a line far behind in a log of a gigabyte is opened.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use serde_json::json;
use towpath_artifact::{ContentStore, LogStore};
use towpath_model::AttemptId;

use super::options::Options;
use super::process::Scratch;
use super::report::{self, median};
use super::world::{Kept, World, poll};

/// How much of the log each round is.
const BYTES: usize = 64 << 20;

/// As an agent sends it.
const PIECE: usize = 256 << 10;

/// A Job that only an agent with this label may take, and there is none but this program.
const PIPELINE: &str = "name: log\njobs:\n  only:\n    runs_on: { bench: log }\n    steps: [\"true\"]\n";

/// What is written to the JSON file; MB are 10^6 bytes.
#[derive(Serialize)]
struct Report {
    load: String,
    megabytes_per_second: BTreeMap<&'static str, Vec<f64>>,
    /// Of the server, by the processor time that it took.
    megabytes_per_core_second: Vec<f64>,
    /// The server over each peer.
    ratio: BTreeMap<&'static str, f64>,
    opening: Opening,
}

/// Looking at lines far behind in a log that no longer grows.
#[derive(Serialize)]
struct Opening {
    bytes: u64,
    lines: u64,
    /// The line that was looked for.
    line: u64,
    milliseconds: Vec<f64>,
}

/// The goals: MB for each second of one core, and milliseconds for a page of lines.
const PER_CORE: f64 = 100.0;
const OPENED: f64 = 100.0;

/// The log of which a line is opened, and that line. Both are of the usual size unless `--bytes` says less.
const LARGE: u64 = 1 << 30;
const LINE: u64 = 9_000_000;

/// As many lines as the page asks for at once.
const PAGE: usize = 500;

/// The peers' names.
const CAT: &str = "cat and one fsync";
const SYNCED: &str = "a file, fsync per piece";

/// Measures, prints and writes `target/bench/log.json`.
pub(crate) fn run(words: &[&str]) -> Result<()> {
    let (bytes, words) = match words {
        ["--bytes", bytes, rest @ ..] => (bytes.parse().context("--bytes")?, rest),
        rest => (LARGE, rest),
    };
    let options = Options::read(words, 3)?;
    let world = World::start(&options.binary)?;
    let repository = world.project("log")?;
    repository.commit(&[("towpath.yaml", PIPELINE)], "A log")?;
    repository.push()?;
    let lease = poll("the Attempt", || lease(&world).ok().flatten())?;
    let mut sender = Sender::new(&world, &lease)?;
    let text = b"0123456789 abcdefghijklmnopqrstuvwxyz a line as a compiler prints it, more or less\n";
    let log: Vec<u8> = text.iter().copied().cycle().take(BYTES).collect();
    let mut rates: BTreeMap<&'static str, Vec<f64>> = BTreeMap::new();
    let mut per_core = Vec::new();
    for round in 1..=options.rounds {
        let (before, _) = world.server_usage()?;
        let sent = sender.send(&log)?;
        let (after, _) = world.server_usage()?;
        per_core.push(BYTES as f64 / 1e6 / (after - before).max(0.01));
        let took =
            [("towpath", sent), (CAT, cat(world.scratch(), &log)?), (SYNCED, synced(world.scratch(), &log)?)];
        for (name, seconds) in took {
            let rate = BYTES as f64 / 1e6 / seconds;
            println!("round {round:>2}   {name:<24} {rate:>7.0} MB/s");
            rates.entry(name).or_default().push(rate);
        }
    }
    let of = |name: &str| rates.get(name).map(|values| median(values)).unwrap_or_default();
    let ratio = BTreeMap::from([CAT, SYNCED].map(|peer| (peer, of("towpath") / of(peer))));
    println!(
        "\nlog ingest, median: {:.0} MB/s, every piece of 256 KiB synced before its answer",
        of("towpath")
    );
    for (peer, ratio) in &ratio {
        println!("{peer:<24} {:>7.0} MB/s   ratio {ratio:.2}", of(peer));
    }
    println!(
        "by the server's processor time: {:.0} MB/s of one core (goal: at least {PER_CORE:.0})",
        median(&per_core)
    );
    drop(world);
    let opening = open_far_behind(bytes, options.rounds)?;
    println!(
        "{PAGE} lines from line {} of a log of {} MiB on: {:.1} ms (goal: at most {OPENED:.0})",
        opening.line,
        opening.bytes >> 20,
        median(&opening.milliseconds)
    );
    let report = Report {
        load: report::load(),
        megabytes_per_second: rates.clone(),
        megabytes_per_core_second: per_core,
        ratio,
        opening,
    };
    report::write("log", &report)
}

/// Writes a log of so many bytes into a log store, seals it, and opens it far behind as the page does, each time anew.
///
/// It is larger than the server takes from an agent, so the store is asked directly.
fn open_far_behind(bytes: u64, rounds: u32) -> Result<Opening> {
    let scratch = Scratch::new()?;
    let content = ContentStore::open(&scratch.0.join("blobs"))?;
    let logs = LogStore::open(&scratch.0.join("logs"), content, u64::MAX)?;
    let attempt = AttemptId(uuid::Uuid::from_u128(0xbe4c));
    let (mut piece, mut number, mut offset) = (Vec::with_capacity(PIECE + 256), 0_u64, 0_u64);
    while offset < bytes {
        piece.clear();
        while piece.len() < PIECE {
            number += 1;
            writeln!(
                piece,
                "2026-11-21T14:03:07.000001Z 01o line {number:>9}, as a compiler prints it, more or less, of the usual length of such lines"
            )?;
        }
        offset = logs.append(attempt, 1, offset, &piece)?;
    }
    logs.seal(attempt)?;
    let line = LINE.min(number * 9 / 10);
    let mut milliseconds = Vec::new();
    for round in 1..=rounds {
        let begun = Instant::now();
        let found = logs.lines(attempt, line, PAGE)?;
        let took = begun.elapsed().as_secs_f64() * 1000.0;
        let first = found.first().context("no line was found")?;
        ensure!(
            String::from_utf8_lossy(first).contains(&format!("line {line:>9},")),
            "another line was found"
        );
        println!("round {round:>2}   line {line} {took:>7.2} ms");
        milliseconds.push(took);
    }
    Ok(Opening { bytes: offset, lines: number, line, milliseconds })
}

/// What an agent would say, and the lease that it got: `(attempt, fence)`.
fn lease(world: &World) -> Result<Option<(String, u64)>> {
    let word = json!({
        "agent": "00000000-0000-7000-8000-00000000be4c", "session": "00000000-0000-4000-8000-00000000be4c",
        "version": env!("CARGO_PKG_VERSION"), "hostname": "bench", "labels": { "bench": "log" },
        "runner": true, "deployer": false, "address": "127.0.0.1", "capacity": 1, "held": [],
        "instances_generation": 0, "wait_ms": 1000,
    });
    let orders = world.post("/agent/v1/poll", &word)?;
    let lease = &orders["assignments"][0]["lease"];
    Ok(lease["attempt"].as_str().map(str::to_owned).zip(lease["fence"].as_u64()))
}

/// Sends the log of one Attempt.
struct Sender {
    connection: Kept,
    path: String,
    offset: u64,
}

impl Sender {
    fn new(world: &World, (attempt, fence): &(String, u64)) -> Result<Self> {
        let path = format!("/agent/v1/attempts/{attempt}/log?fence={fence}");
        Ok(Self { connection: world.connect()?, path, offset: 0 })
    }

    /// Sends everything, piece by piece, and returns the seconds until the last was acknowledged.
    fn send(&mut self, log: &[u8]) -> Result<f64> {
        let begun = Instant::now();
        for piece in log.chunks(PIECE) {
            let path = format!("{}&offset={}", self.path, self.offset);
            let answer = self.connection.call("PUT", &path, "application/octet-stream", piece)?;
            let length = answer["length"].as_u64().context("no length")?;
            self.offset += piece.len() as u64;
            ensure!(length == self.offset, "acknowledged {length} bytes of {}", self.offset);
        }
        Ok(begun.elapsed().as_secs_f64())
    }
}

/// `cat > file`, then one fsync.
fn cat(directory: &Path, log: &[u8]) -> Result<f64> {
    let path = directory.join("cat.log");
    let begun = Instant::now();
    let file = File::create(&path)?;
    let mut cat = Command::new("cat").stdin(Stdio::piped()).stdout(file.try_clone()?).spawn()?;
    cat.stdin.take().context("cat takes no input")?.write_all(log)?;
    ensure!(cat.wait()?.success(), "cat failed");
    file.sync_all()?;
    Ok(begun.elapsed().as_secs_f64())
}

/// Pieces written to a file, each synced.
fn synced(directory: &Path, log: &[u8]) -> Result<f64> {
    let begun = Instant::now();
    let mut file = File::create(directory.join("synced.log"))?;
    for piece in log.chunks(PIECE) {
        file.write_all(piece)?;
        file.sync_data()?;
    }
    Ok(begun.elapsed().as_secs_f64())
}
