//! `cargo xtask bench first-line`: from the start of `git push` to the first log line of the Run that can be read from the server.
//! The peer is the same push to a bare repository over the file system, whose hook writes a line.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde::Serialize;

use super::options::Options;
use super::report::{self, median, quantile};
use super::world::{Repository, World, poll};

const PIPELINE: &str = "name: line\njobs:\n  only:\n    steps: [echo it runs]\n";

/// The goal, in milliseconds.
const GOAL: f64 = 250.0;

/// What is written to the JSON file; times in milliseconds.
#[derive(Serialize)]
struct Report {
    load: String,
    /// From the start of `git push`.
    first_line: Vec<f64>,
    /// `git push` itself.
    push: Vec<f64>,
    /// A push to a bare repository with a hook that writes one line.
    hook: Vec<f64>,
    p50: f64,
    p95: f64,
}

/// Measures, prints and writes `target/bench/first-line.json`.
pub(crate) fn run(words: &[&str]) -> Result<()> {
    let options = Options::read(words, 20)?;
    let world = World::start(&options.binary)?;
    let repository = world.project("line")?;
    let bare = bare_with_hook(&world)?;
    let (mut first_line, mut push, mut hook) = (Vec::new(), Vec::new(), Vec::new());
    // The first push meets a cold server; it is not counted.
    for round in 0..=options.rounds {
        repository.commit(&[("towpath.yaml", PIPELINE), ("round", &round.to_string())], "round")?;
        let peer = timed(|| repository.push_to(&bare))?;
        let begun = Instant::now();
        let pushed = timed(|| repository.push())?;
        poll("the first log line", || has_line(&world, round + 1).then_some(()))?;
        let took = begun.elapsed().as_secs_f64() * 1000.0;
        if round > 0 {
            println!(
                "round {round:>3}   first line after {took:>6.1} ms   push {pushed:>6.1} ms   hook {peer:>6.1} ms"
            );
            first_line.push(took);
            push.push(pushed);
            hook.push(peer);
        }
    }
    let (p50, p95) = (median(&first_line), quantile(&first_line, 0.95));
    println!(
        "\nfirst log line: p50 {p50:.0} ms, p95 {p95:.0} ms (goal: p50 at most {GOAL:.0} ms); \
         a bare repository with a hook: p50 {:.0} ms; ratio {:.2}",
        median(&hook),
        p50 / median(&hook)
    );
    report::write("first-line", &Report { load: report::load(), first_line, push, hook, p50, p95 })
}

fn timed(work: impl FnOnce() -> Result<()>) -> Result<f64> {
    let begun = Instant::now();
    work()?;
    Ok(begun.elapsed().as_secs_f64() * 1000.0)
}

/// Whether the log of Run `number` has a line.
fn has_line(world: &World, number: u32) -> bool {
    let log = world.call("GET", &format!("/api/v1/projects/line/runs/{number}/jobs/only/log"), "", b"");
    log.is_ok_and(|bytes| bytes.windows(7).any(|window| window == b"it runs"))
}

/// A bare repository whose hook does the least that tells somebody of a push.
fn bare_with_hook(world: &World) -> Result<String> {
    let path = world.scratch().join("bare.git");
    let made = Command::new("git").args(["init", "--quiet", "--bare"]).arg(&path).status();
    ensure!(made.context("cannot run git")?.success(), "git init failed");
    let hook = path.join("hooks/post-receive");
    fs::write(&hook, "#!/bin/sh\ncat >/dev/null\necho it runs >> line.log\n")?;
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755))?;
    Ok(path.to_string_lossy().into_owned())
}

impl Repository {
    fn push_to(&self, remote: &str) -> Result<()> {
        self.git(&["push", "--quiet", remote, "main"])
    }
}
