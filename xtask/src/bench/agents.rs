//! `cargo xtask bench agents`: what a thousand agents cost the server that have nothing to do.
//!
//! Each is a connection of its own that says what an agent says, and waits for orders as long as an agent waits. The server is
//! the real one; only the agents' side is this program.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde::Serialize;
use serde_json::{Value, json};

use super::options::Options;
use super::report;
use super::world::{Kept, World, poll};

/// How many agents, and for how many seconds nothing happens, unless `--agents` and `--seconds` say something else.
const AGENTS: usize = 1000;
const SECONDS: u64 = 60;

/// How long an agent lets the server wait for news, as the real one does.
const WAIT: u64 = 20_000;

/// What a thread of an agent needs: no more than a connection.
const STACK: usize = 256 << 10;

/// What is written to the JSON file.
#[derive(Serialize)]
struct Report {
    load: String,
    agents: usize,
    seconds: f64,
    /// Processor time of the server in that time, in seconds, and as a share of one core.
    cpu_seconds: f64,
    cpu_share: f64,
    /// Memory of the server before the agents came and with them.
    rss_kib_before: u64,
    rss_kib: u64,
    /// How often agents asked.
    polls: usize,
}

/// Measures, prints and writes `target/bench/agents.json`.
pub(crate) fn run(words: &[&str]) -> Result<()> {
    let (mut agents, mut seconds, mut rest) = (AGENTS, SECONDS, Vec::new());
    for pair in words.chunks(2) {
        match pair {
            ["--agents", count] => agents = count.parse().context("--agents")?,
            ["--seconds", count] => seconds = count.parse().context("--seconds")?,
            other => rest.extend_from_slice(other),
        }
    }
    ensure!((1..=10_000).contains(&agents), "1 to 10,000 agents");
    let options = Options::read(&rest, 1)?;
    enough_files(agents)?;
    let world = World::start(&options.binary)?;
    // Its own agent and gateway first, so that they are in the figure before.
    poll("the server's own agent", || listed(&world).ok().filter(|count| *count > 0))?;
    let before = listed(&world)?;
    let (_, rss_kib_before) = world.server_usage()?;

    let (stop, polls) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut threads = Vec::with_capacity(agents);
    for number in 1..=agents {
        let (connection, stop, polls) = (world.connect()?, Arc::clone(&stop), Arc::clone(&polls));
        let agent = move || idle(connection, number, &stop, &polls);
        threads.push(thread::Builder::new().stack_size(STACK).spawn(agent)?);
    }
    poll("all agents to be known", || {
        failed(&threads)?;
        listed(&world).ok().filter(|count| *count >= before + agents)
    })?;
    // Whoever has just come is written down; from then on nothing happens.
    thread::sleep(Duration::from_secs(2));
    let (cpu, _) = world.server_usage()?;
    let (asked, begun) = (polls.load(Ordering::SeqCst), Instant::now());
    thread::sleep(Duration::from_secs(seconds));
    let (cpu_after, rss_kib) = world.server_usage()?;
    let (took, polls) = (begun.elapsed().as_secs_f64(), polls.load(Ordering::SeqCst) - asked);
    ensure!(!threads.iter().any(thread::JoinHandle::is_finished), "an agent was sent away");
    stop.store(true, Ordering::SeqCst);
    let cpu_seconds = cpu_after - cpu;
    println!(
        "{agents} idle agents for {took:.0} s: {:.2} % of a core, {:.1} MiB (before they came {:.1} MiB), {polls} polls",
        100.0 * cpu_seconds / took,
        rss_kib as f64 / 1024.0,
        rss_kib_before as f64 / 1024.0
    );
    let report = Report {
        load: report::load(),
        agents,
        seconds: took,
        cpu_seconds,
        cpu_share: cpu_seconds / took,
        rss_kib_before,
        rss_kib,
        polls,
    };
    report::write("agents", &report)
}

/// Says again and again that it is there and has nothing.
fn idle(mut connection: Kept, number: usize, stop: &AtomicBool, polls: &AtomicUsize) -> Result<()> {
    let identity = format!("00000000-0000-7000-8000-{number:012x}");
    let mut word = json!({
        "agent": identity, "session": identity, "version": env!("CARGO_PKG_VERSION"), "hostname": format!("bench-{number}"),
        "labels": { "bench": "agents" }, "runner": true, "deployer": false, "address": "127.0.0.1", "capacity": 1,
        "held": [], "instances_generation": 0, "wait_ms": WAIT,
    });
    while !stop.load(Ordering::SeqCst) {
        let body = word.to_string();
        let orders = connection.call("POST", "/agent/v1/poll", "application/json", body.as_bytes())?;
        polls.fetch_add(1, Ordering::SeqCst);
        // What an agent has heard of is not told to it again.
        if let Some(generation) = orders["instances"]["generation"].as_u64() {
            word["instances_generation"] = json!(generation);
        }
    }
    Ok(())
}

/// How many agents the server knows.
fn listed(world: &World) -> Result<usize> {
    let (mut count, mut cursor) = (0, String::new());
    loop {
        let page = world.get(&format!("/api/v1/agents?limit=200{cursor}"))?;
        count += page["items"].as_array().or_else(|| page.as_array()).map_or(0, Vec::len);
        match page.get("next").and_then(Value::as_str) {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return Ok(count),
        }
    }
}

/// Some while nobody has failed.
fn failed(threads: &[thread::JoinHandle<Result<()>>]) -> Option<()> {
    (!threads.iter().any(thread::JoinHandle::is_finished)).then_some(())
}

/// A connection is an open file, here and in the server, which gets this program's limit.
fn enough_files(agents: usize) -> Result<()> {
    let limits = std::fs::read_to_string("/proc/self/limits")?;
    let line = limits.lines().find(|line| line.starts_with("Max open files")).context("no limit of files")?;
    let soft: usize = line.split_whitespace().nth(3).and_then(|word| word.parse().ok()).unwrap_or(usize::MAX);
    if soft < agents + 200 {
        bail!(
            "{agents} agents need {} open files, and {soft} are allowed; run: ulimit -n {}",
            agents + 200,
            agents + 200
        );
    }
    Ok(())
}
