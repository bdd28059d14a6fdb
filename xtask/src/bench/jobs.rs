//! `cargo xtask bench jobs`: 200 no-op Jobs by `towpath run --executor host` against GNU make -j2 running the same commands, and what the
//! sandbox adds to each Job. Rounds are interleaved, so that what else happens on the machine meets all.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde::Serialize;

use super::options::Options;
use super::process::{Scratch, is_there};
use super::report::{self, median};

/// How many Jobs, all independent.
const JOBS: usize = 200;

/// The goal: so many times the time of make.
const GOAL: f64 = 1.5;

/// What is written to the JSON file; times in seconds.
#[derive(Serialize)]
struct Report {
    load: String,
    jobs: usize,
    seconds: BTreeMap<&'static str, Vec<f64>>,
    /// The median of `host` over the median of `make`.
    ratio: f64,
    /// What each confinement adds to a Job, in milliseconds. `sandbox` is the strongest that works here.
    added_ms_per_job: BTreeMap<&'static str, f64>,
}

/// Measures, prints and writes `target/bench/jobs.json`.
pub(crate) fn run(words: &[&str]) -> Result<()> {
    let options = Options::read(words, 5)?;
    ensure!(is_there("make"), "GNU make is the peer and is missing; install it with: apt-get install make");
    let scratch = Scratch::new()?;
    write_files(&scratch.0)?;
    let mut seconds: BTreeMap<&'static str, Vec<f64>> = BTreeMap::new();
    // Round 0 fills the caches and is not counted.
    for round in 0..=options.rounds {
        for (name, mut command) in peers(&options.binary) {
            let took = time(&mut command, &scratch.0).with_context(|| name.to_owned())?;
            if round > 0 {
                println!("round {round:>2}   {name:<8} {:>7.1} ms", took * 1000.0);
                seconds.entry(name).or_default().push(took);
            }
        }
    }
    let of = |name: &str| seconds.get(name).map(|values| median(values)).unwrap_or_default();
    let ratio = of("host") / of("make");
    let added = |name: &str| (of(name) - of("host")) * 1000.0 / JOBS as f64;
    let added_ms_per_job = BTreeMap::from(["sandbox", "landlock"].map(|name| (name, added(name))));
    println!(
        "\n{JOBS} no-op jobs, medians: make -j2 {:.3} s, towpath run --executor host {:.3} s, ratio {ratio:.2} (goal: at most {GOAL}); \
         the sandbox adds {:.2} ms to each job, Landlock {:.2} ms",
        of("make"),
        of("host"),
        added("sandbox"),
        added("landlock")
    );
    report::write("jobs", &Report { load: report::load(), jobs: JOBS, seconds, ratio, added_ms_per_job })
}

fn peers(binary: &Path) -> [(&'static str, Command); 4] {
    let towpath = |executor: &str| {
        let mut command = Command::new(binary);
        command.args(["run", "--executor", executor]);
        command
    };
    let mut make = Command::new("make");
    make.args(["--silent", "-j2", "all"]);
    [
        ("make", make),
        ("host", towpath("host")),
        ("sandbox", towpath("sandbox")),
        ("landlock", towpath("landlock")),
    ]
}

fn time(command: &mut Command, directory: &Path) -> Result<f64> {
    let begun = Instant::now();
    let output = command.current_dir(directory).stdin(Stdio::null()).output().context("cannot be started")?;
    let took = begun.elapsed().as_secs_f64();
    ensure!(output.status.success(), "failed: {}", String::from_utf8_lossy(&output.stderr));
    Ok(took)
}

/// The same commands twice: as Jobs, and as targets. A lone `:` would not do: make knows it and starts nothing.
fn write_files(directory: &Path) -> Result<()> {
    let mut pipeline = String::from("name: jobs\njobs:\n");
    let mut makefile = String::from("SHELL = /bin/sh\n.SHELLFLAGS = -ec\n.PHONY: all");
    for number in 0..JOBS {
        writeln!(pipeline, "  j{number}: {{ steps: [\"true\"] }}")?;
        write!(makefile, " j{number}")?;
    }
    makefile.push_str("\nall:");
    for number in 0..JOBS {
        write!(makefile, " j{number}")?;
    }
    for number in 0..JOBS {
        write!(makefile, "\nj{number}:\n\ttrue\n")?;
    }
    fs::write(directory.join("towpath.yaml"), pipeline)?;
    fs::write(directory.join("Makefile"), makefile)?;
    let made = Command::new("git").args(["init", "--quiet"]).current_dir(directory).status();
    ensure!(made.context("cannot run git")?.success(), "git init failed");
    Ok(())
}
