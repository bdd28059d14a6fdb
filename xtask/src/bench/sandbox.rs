//! `cargo xtask bench sandbox`: what it costs to start a Step behind all walls, over starting a shell with nothing around it.
//!
//! One Job with many Steps is run by `towpath run`, and the same Job with one Step; the difference is the starts alone. The
//! peer starts `/bin/sh` as often, from this program. Rounds are interleaved, so that what else happens meets all.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde::Serialize;

use super::options::Options;
use super::process::Scratch;
use super::report::{self, median};

/// How many Steps are started in each round.
const STEPS: usize = 50;

/// The goal: so many milliseconds more than a plain start.
const GOAL: f64 = 50.0;

/// What is written to the JSON file; times in milliseconds for one start.
#[derive(Serialize)]
struct Report {
    load: String,
    steps: usize,
    milliseconds: BTreeMap<&'static str, Vec<f64>>,
    /// Over the median of a plain start.
    added: BTreeMap<&'static str, f64>,
    ratio: BTreeMap<&'static str, f64>,
}

/// Measures, prints and writes `target/bench/sandbox.json`.
pub(crate) fn run(words: &[&str]) -> Result<()> {
    let options = Options::read(words, 5)?;
    let scratch = Scratch::new()?;
    for (name, steps) in [("many", STEPS + 1), ("one", 1)] {
        let directory = scratch.0.join(name);
        fs::create_dir(&directory)?;
        let list = vec!["\"true\""; steps].join(", ");
        fs::write(
            directory.join("towpath.yaml"),
            format!("name: starts\njobs:\n  only: {{ steps: [{list}] }}\n"),
        )?;
    }
    let mut milliseconds: BTreeMap<&'static str, Vec<f64>> = BTreeMap::new();
    // Round 0 fills the caches and is not counted.
    for round in 0..=options.rounds {
        let mut took = vec![("plain", plain()?)];
        for executor in ["sandbox", "landlock", "host"] {
            let many = job(&options.binary, executor, &scratch.0.join("many"))?;
            let one = job(&options.binary, executor, &scratch.0.join("one"))?;
            took.push((executor, (many - one).max(0.0) / STEPS as f64));
        }
        for (name, seconds) in took.into_iter().filter(|_| round > 0) {
            println!("round {round:>2}   {name:<8} {:>7.2} ms", seconds * 1000.0);
            milliseconds.entry(name).or_default().push(seconds * 1000.0);
        }
    }
    let of = |name: &str| milliseconds.get(name).map(|values| median(values)).unwrap_or_default();
    let peers = ["sandbox", "landlock", "host"];
    let added = BTreeMap::from(peers.map(|name| (name, of(name) - of("plain"))));
    let ratio = BTreeMap::from(peers.map(|name| (name, of(name) / of("plain"))));
    println!(
        "\none start, medians: plain {:.2} ms, host {:.2} ms ({:.1} times), Landlock {:.2} ms ({:.1} times), sandbox {:.2} ms ({:.1} times); \
         the sandbox adds {:.2} ms (goal: under {GOAL})",
        of("plain"),
        of("host"),
        ratio["host"],
        of("landlock"),
        ratio["landlock"],
        of("sandbox"),
        ratio["sandbox"],
        added["sandbox"]
    );
    report::write("sandbox", &Report { load: report::load(), steps: STEPS, milliseconds, added, ratio })
}

/// Seconds for one start of a shell.
fn plain() -> Result<f64> {
    let begun = Instant::now();
    for _ in 0..STEPS {
        let status = Command::new("/bin/sh").args(["-eu", "-c", "true"]).stdin(Stdio::null()).status();
        ensure!(status.context("/bin/sh cannot be started")?.success(), "/bin/sh failed");
    }
    Ok(begun.elapsed().as_secs_f64() / STEPS as f64)
}

/// Seconds for the whole command.
fn job(binary: &Path, executor: &str, directory: &Path) -> Result<f64> {
    let begun = Instant::now();
    let output = Command::new(binary)
        .args(["run", "--executor", executor])
        .current_dir(directory)
        .stdin(Stdio::null())
        .output()
        .context("towpath cannot be started")?;
    let took = begun.elapsed().as_secs_f64();
    ensure!(output.status.success(), "{executor} failed: {}", String::from_utf8_lossy(&output.stderr));
    Ok(took)
}
