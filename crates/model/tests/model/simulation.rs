//! Ten thousand simulated worlds with faults, each from its seed.
//!
//! `TOWPATH_SEED=<seed>` plays one alone and prints its timeline; `TOWPATH_SEEDS=<count>` plays more.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::world::{FAULTS, Faults, World};

#[test]
fn ten_thousand_worlds_keep_the_invariants() {
    if let Some(seed) = number("TOWPATH_SEED") {
        let mut world = World::new(seed);
        let result = catch_unwind(AssertUnwindSafe(|| play(&mut world)));
        println!("{}", world.log.join("\n"));
        assert!(result.is_ok(), "seed {seed} breaks an invariant");
        return;
    }
    let seeds = number("TOWPATH_SEEDS").unwrap_or(10_000);
    let (next, faults) = (AtomicU64::new(0), Mutex::new(Faults::new()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| play_until(seeds, &next, &faults));
        }
    });
    let faults = faults.into_inner().expect("every world went well");
    println!("{seeds} worlds; faults: {faults:#?}");
    for fault in FAULTS {
        assert!(faults.contains_key(fault), "`{fault}` never happened");
    }
}

fn play_until(seeds: u64, next: &AtomicU64, faults: &Mutex<Faults>) {
    loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= seeds {
            return;
        }
        let mut world = World::new(seed);
        if catch_unwind(AssertUnwindSafe(|| play(&mut world))).is_err() {
            next.store(seeds, Ordering::Relaxed);
            panic!(
                "seed {seed} breaks an invariant; play it alone: \
                 TOWPATH_SEED={seed} cargo test -p towpath-model --test model simulation -- --nocapture"
            );
        }
        let mut sum = faults.lock().expect("no world panics with it");
        for (fault, count) in world.faults {
            *sum.entry(fault).or_default() += count;
        }
    }
}

fn play(world: &mut World) {
    world.live(600, true);
    world.converge();
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}
