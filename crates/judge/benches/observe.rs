//! What one measurement and one look cost: `cargo bench -p towpath-judge`.

use std::hint::black_box;
use std::time::{Duration, Instant};

use towpath_judge::{Counts, Judge, Policy, Tick};

const ROUNDS: i64 = 200_000;

#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
fn time(name: &str, mut round: impl FnMut(i64)) {
    let start = Instant::now();
    (0..ROUNDS).for_each(&mut round);
    println!("{name}: {} ns", start.elapsed().as_nanos() / u128::from(ROUNDS.unsigned_abs()));
}

fn main() {
    let mut judge = Judge::new(Policy::default(), Duration::from_secs(1_800))
        .expect("the default policy is within bounds");
    let tick = |second: i64| Tick {
        from: second * 1_000_000,
        to: (second + 1) * 1_000_000,
        candidate: Counts::ended(25, second.unsigned_abs() % 2),
        stable: Counts::ended(475, second.unsigned_abs() % 7),
        candidate_weight: 50,
        stable_weight: 950,
    };
    time("observe", |second| judge.observe(&tick(second)).expect("no more errors than requests"));
    time("verdict", |_| {
        let _ = black_box(judge.verdict(black_box(ROUNDS * 1_000_000)));
    });
    let stored = serde_json::to_string(&judge).expect("numbers can be written");
    println!("stored: {} bytes", stored.len());
}
