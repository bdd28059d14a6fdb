//! `cargo xtask bench log`: log bytes acknowledged by a real server, in MB/s, against `cat > file` and one fsync.
//!
//! This program takes the place of an agent: it leases an Attempt and sends pieces as large as an agent's. The server
//! syncs each before it answers; the second peer syncs as often, so that the cost of durability is seen apart from that of HTTP.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use serde_json::{Value, json};

use super::options::Options;
use super::report::{self, median};
use super::world::{World, poll};

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
    /// The server over each peer.
    ratio: BTreeMap<&'static str, f64>,
}

/// The peers' names.
const CAT: &str = "cat and one fsync";
const SYNCED: &str = "a file, fsync per piece";

/// Measures, prints and writes `target/bench/log.json`.
pub(crate) fn run(words: &[&str]) -> Result<()> {
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
    for round in 1..=options.rounds {
        let took = [
            ("towpath", sender.send(&log)?),
            (CAT, cat(world.scratch(), &log)?),
            (SYNCED, synced(world.scratch(), &log)?),
        ];
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
    report::write("log", &Report { load: report::load(), megabytes_per_second: rates.clone(), ratio })
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

/// One connection that is kept, as an agent's is.
struct Sender {
    stream: BufReader<TcpStream>,
    head: String,
    path: String,
    offset: u64,
}

impl Sender {
    fn new(world: &World, (attempt, fence): &(String, u64)) -> Result<Self> {
        let stream = TcpStream::connect(world.address())?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        let head = format!(
            "Host: {}\r\nAuthorization: Bearer {}\r\nContent-Type: application/octet-stream\r\n",
            world.address(),
            world.token()
        );
        let path = format!("/agent/v1/attempts/{attempt}/log?fence={fence}");
        Ok(Self { stream: BufReader::new(stream), head, path, offset: 0 })
    }

    /// Sends everything, piece by piece, and returns the seconds until the last was acknowledged.
    fn send(&mut self, log: &[u8]) -> Result<f64> {
        let begun = Instant::now();
        for piece in log.chunks(PIECE) {
            let Self { stream, head, path, offset } = self;
            let request = format!(
                "PUT {path}&offset={offset} HTTP/1.1\r\n{head}Content-Length: {}\r\n\r\n",
                piece.len()
            );
            stream.get_mut().write_all(request.as_bytes())?;
            stream.get_mut().write_all(piece)?;
            let length = self.acknowledged()?;
            self.offset += piece.len() as u64;
            ensure!(length == self.offset, "acknowledged {length} bytes of {}", self.offset);
        }
        Ok(begun.elapsed().as_secs_f64())
    }

    fn acknowledged(&mut self) -> Result<u64> {
        let (mut status, mut length) = (String::new(), 0);
        self.stream.read_line(&mut status)?;
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line)?;
            let Some((name, value)) = line.split_once(':') else { break };
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse()?;
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        ensure!(status.contains(" 200 "), "{} {}", status.trim(), String::from_utf8_lossy(&body));
        let answer: Value = serde_json::from_slice(&body)?;
        answer["length"].as_u64().context("no length")
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
