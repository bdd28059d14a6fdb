//! `cargo xtask bench jobs`: 200 no-op Jobs by `towpath run --executor host` against GNU make -j2 running the same commands and, where it is
//! installed, against Buildbot with a local worker; and what the sandbox adds to each Job. The same for one Job of 200 Steps. Rounds are
//! interleaved, so that what else happens on the machine meets all.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde::Serialize;

use super::buildbot::{self, Buildbot};
use super::options::Options;
use super::process::{Scratch, is_there};
use super::report::{self, median};

/// How many Jobs, all independent.
const JOBS: usize = 200;

/// The names of one Job of so many Steps, and of Buildbot's peers.
const STEPS: &str = "steps";
const BUILDS: &str = "buildbot";
const STEPS_THERE: &str = "buildbot steps";

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
    /// The median of `host` over that of Buildbot, and of one Job's Steps over that of one build's; absent where it is missing.
    ratio_to_buildbot: Option<f64>,
    ratio_of_steps_to_buildbot: Option<f64>,
    /// What each confinement adds to a Job, in milliseconds. `sandbox` is the strongest that works here.
    added_ms_per_job: BTreeMap<&'static str, f64>,
}

/// Measures, prints and writes `target/bench/jobs.json`.
pub(crate) fn run(words: &[&str]) -> Result<()> {
    let options = Options::read(words, 5)?;
    ensure!(is_there("make"), "GNU make is the peer and is missing; install it with: apt-get install make");
    let scratch = Scratch::new()?;
    write_files(&scratch.0)?;
    let mut bots = match buildbot::installed() {
        Some(bin) => vec![
            (BUILDS, Buildbot::start(&bin, &scratch.0.join("builds"), JOBS, 1)?),
            (STEPS_THERE, Buildbot::start(&bin, &scratch.0.join("steps"), 1, JOBS)?),
        ],
        None => {
            println!("SKIPPED: Buildbot is no peer, as it is missing; {}", buildbot::INSTALL);
            Vec::new()
        }
    };
    let mut seconds: BTreeMap<&'static str, Vec<f64>> = BTreeMap::new();
    // Round 0 fills the caches and is not counted.
    for round in 0..=options.rounds {
        for (name, mut command) in peers(&options.binary) {
            // One Job of many Steps is another project.
            let place = if name == STEPS { scratch.0.join(STEPS) } else { scratch.0.clone() };
            let took = time(&mut command, &place).with_context(|| name.to_owned())?;
            if round > 0 {
                println!("round {round:>2}   {name:<8} {:>7.1} ms", took * 1000.0);
                seconds.entry(name).or_default().push(took);
            }
        }
        for (name, bot) in &mut bots {
            let took = bot.run()?;
            if round > 0 {
                println!("round {round:>2}   {name:<8} {:>7.1} ms", took * 1000.0);
                seconds.entry(*name).or_default().push(took);
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
    let over = |own: &str, peer: &str| seconds.contains_key(peer).then(|| of(own) / of(peer));
    let (ratio_to_buildbot, ratio_of_steps_to_buildbot) = (over("host", BUILDS), over(STEPS, STEPS_THERE));
    for (what, ratio, peer) in
        [("builds", ratio_to_buildbot, BUILDS), ("steps of one", ratio_of_steps_to_buildbot, STEPS_THERE)]
    {
        if let Some(ratio) = ratio {
            println!("Buildbot with a local worker, {JOBS} {what}: {:.3} s, ratio {ratio:.3}", of(peer));
        }
    }
    let report = Report {
        load: report::load(),
        jobs: JOBS,
        seconds: seconds.clone(),
        ratio,
        ratio_to_buildbot,
        ratio_of_steps_to_buildbot,
        added_ms_per_job,
    };
    report::write("jobs", &report)
}

fn peers(binary: &Path) -> [(&'static str, Command); 5] {
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
        (STEPS, towpath("host")),
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
    let steps = vec!["\"true\""; JOBS].join(", ");
    fs::create_dir_all(directory.join(STEPS))?;
    let one = format!("name: steps\njobs:\n  one: {{ steps: [{steps}] }}\n");
    fs::write(directory.join(STEPS).join("towpath.yaml"), one)?;
    fs::write(directory.join("Makefile"), makefile)?;
    for project in [directory.to_owned(), directory.join(STEPS)] {
        let made = Command::new("git").args(["init", "--quiet"]).current_dir(project).status();
        ensure!(made.context("cannot run git")?.success(), "git init failed");
    }
    Ok(())
}
