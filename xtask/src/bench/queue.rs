//! `cargo xtask bench queue`: one look of the scheduler at 10,000 waiting Jobs.
//!
//! The scheduler is a pure function, so it is called here directly: nothing else is in the figures. `towpath-model` is
//! optimised in every profile.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::{Result, ensure};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use towpath_model::queue::{Busy, Runner, Standing, State, Waiting, schedule};
use towpath_model::{AgentId, AttemptId};
use uuid::Uuid;

use super::report;

/// How many Jobs wait.
const WAITING: usize = 10_000;

/// How often it looks.
const ROUNDS: usize = 50;

/// The goal for one look, in milliseconds.
const GOAL: f64 = 10.0;

/// What is written to the JSON file; times in milliseconds.
#[derive(Serialize)]
struct Report {
    load: String,
    waiting: usize,
    ticks: BTreeMap<&'static str, Tick>,
}

#[derive(Serialize)]
struct Tick {
    median: f64,
    p99: f64,
    begun: usize,
}

/// A queue and those who serve it.
struct World {
    waiting: Vec<Waiting>,
    busy: Vec<Busy>,
    runners: Vec<Runner>,
}

/// Measures, prints and writes `target/bench/queue.json`.
pub(crate) fn run(words: &[&str]) -> Result<()> {
    ensure!(words.is_empty(), "this benchmark has no options");
    let now = Timestamp::now();
    let worlds = [
        ("all agents busy", world(now, 200, 0)),
        ("500 places free", world(now, 250, 2)),
        ("more places than jobs", world(now, 1_000, 20)),
    ];
    let mut ticks = BTreeMap::new();
    for (name, world) in &worlds {
        let World { waiting, busy, runners } = world;
        let mut times = Vec::with_capacity(ROUNDS);
        let mut begun = 0;
        for _ in 0..ROUNDS {
            let start = Instant::now();
            let done = schedule(State { waiting, busy, runners, upcoming: &[] }, now);
            times.push(start.elapsed().as_secs_f64() * 1000.0);
            begun = done.assignments.len();
            ensure!(begun + done.waits.len() == waiting.len(), "somebody was told nothing");
        }
        let tick = Tick { median: report::median(&times), p99: report::quantile(&times, 0.99), begun };
        println!("{name:<22} median {:>6.2} ms   p99 {:>6.2} ms   {begun} begin", tick.median, tick.p99);
        ticks.insert(*name, tick);
    }
    let worst = ticks.values().map(|tick| tick.median).fold(0.0, f64::max);
    println!(
        "\n{WAITING} jobs wait: a look takes {worst:.2} ms in the worst of these (goal: under {GOAL} ms)"
    );
    report::write("queue", &Report { load: report::load(), waiting: WAITING, ticks })
}

/// 10,000 Jobs of 50 Projects, with three wishes and some concurrency groups.
fn world(now: Timestamp, agents: usize, free: u32) -> World {
    let labels = |index: usize| match index % 3 {
        0 => BTreeMap::new(),
        1 => BTreeMap::from([("os".to_owned(), "linux".to_owned())]),
        _ => BTreeMap::from([("os".to_owned(), "linux".to_owned()), ("size".to_owned(), "large".to_owned())]),
    };
    let id = |index: usize| Uuid::from_u128(index as u128 + 1);
    let waiting = (0..WAITING).map(|index| Waiting {
        attempt: AttemptId(id(index)),
        title: format!("p{}#{index} test", index % 50),
        project: format!("p{}", index % 50).parse().expect("it is a name"),
        run: index as u64,
        reference: "refs/heads/main".to_owned(),
        labels: labels(index / 7),
        priority: (index % 101) as u8,
        group: (index % 20 == 0).then(|| ("database".to_owned(), 2)),
        queued_at: now - SignedDuration::from_secs((WAITING - index) as i64 / 10),
        estimate: (index % 4 != 0).then(|| SignedDuration::from_secs(30 + (index % 300) as i64)),
    });
    let runner = |index: usize| Runner {
        id: AgentId(id(index)),
        labels: labels(index + 2),
        free,
        standing: Standing::Ready,
    };
    let busy = |index: usize| Busy {
        title: format!("p{}#0 build", index % 50),
        project: format!("p{}", index % 50).parse().expect("it is a name"),
        agent: AgentId(id(index)),
        group: None,
        started_at: now - SignedDuration::from_secs(10),
        estimate: Some(SignedDuration::from_secs(60)),
    };
    World {
        waiting: waiting.collect(),
        busy: (0..agents).map(busy).collect(),
        runners: (0..agents).map(runner).collect(),
    }
}
