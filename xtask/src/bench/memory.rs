//! `cargo xtask bench memory`: what server, agent and gateway hold while nothing happens.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde::Serialize;

use super::options::Options;
use super::report;
use super::world::{World, poll};

/// How long nothing happens before it is measured.
const IDLE: Duration = Duration::from_secs(5);

/// What each may hold, in MiB.
const GOALS: [(&str, u64); 3] = [("server", 40), ("agent", 15), ("gateway", 15)];

/// What is written to the JSON file.
#[derive(Serialize)]
struct Report {
    load: String,
    idle_rss_kib: BTreeMap<&'static str, u64>,
}

/// Measures, prints and writes `target/bench/memory.json`.
pub(crate) fn run(words: &[&str]) -> Result<()> {
    let options = Options::read(words, 1)?;
    let world = World::start(&options.binary)?;
    poll("an agent and a gateway", || world.memory().ok().filter(|memory| memory.len() == GOALS.len()))?;
    std::thread::sleep(IDLE);
    let memory = world.memory()?;
    for (kind, goal) in GOALS {
        let held = memory.get(kind).copied().unwrap_or_default();
        ensure!(held > 0, "the {kind} ended while nothing happened");
        println!("{kind:<8} {:>6.1} MiB idle   goal: at most {goal} MiB", held as f64 / 1024.0);
    }
    report::write("memory", &Report { load: report::load(), idle_rss_kib: memory })
}
