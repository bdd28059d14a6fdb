//! What holds for any measurements: errors never help, bad input changes nothing, time may go astray.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::time::Duration;

use proptest::prelude::*;
use towpath_judge::{Counts, Judge, Policy, Reason, Refused, Tick, Verdict};

const SECOND: i64 = 1_000_000;

fn judge(policy: Policy) -> Judge {
    Judge::new(policy, Duration::from_secs(60)).unwrap()
}

fn tick(second: i64, candidate: (u64, u64), stable: (u64, u64)) -> Tick {
    Tick {
        from: second * SECOND,
        to: (second + 1) * SECOND,
        candidate: Counts::ended(candidate.0, candidate.1),
        stable: Counts::ended(stable.0, stable.1),
        candidate_weight: 200,
        stable_weight: 800,
    }
}

fn feed(judge: &mut Judge, ticks: &[Tick]) {
    for tick in ticks {
        judge.observe(tick).unwrap();
    }
}

/// Ticks of one second with about 200 and 800 requests, and errors up to a few per cent.
fn ticks(most: usize) -> impl Strategy<Value = Vec<Tick>> {
    prop::collection::vec((150u64..250, 0u64..6, 700u64..900, 0u64..16), 1..most).prop_map(|rows| {
        rows.into_iter()
            .enumerate()
            .map(|(second, (nc, xc, nb, xb))| tick(second as i64, (nc, xc), (nb, xb)))
            .collect()
    })
}

/// Verdicts from worst to best.
fn rank(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Unhealthy => 0,
        Verdict::Unknown => 1,
        Verdict::Healthy => 2,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn more_errors_of_the_candidate_never_help_it(ticks in ticks(10), at in any::<prop::sample::Index>(), more in 1u64..40) {
        let mut worse = ticks.clone();
        worse[at.index(ticks.len())].candidate.errors += more;
        let now = ticks.len() as i64 * SECOND;
        let (mut before, mut after) = (judge(Policy::default()), judge(Policy::default()));
        feed(&mut before, &ticks);
        feed(&mut after, &worse);
        let (before, after) = (before.verdict(now), after.verdict(now));
        prop_assert!(rank(after.verdict) <= rank(before.verdict));
        prop_assert!(after.evidence.health <= before.evidence.health);
        prop_assert!(after.evidence.harm >= before.evidence.harm);
    }

    #[test]
    fn it_does_not_matter_how_a_block_is_cut_into_intervals(ticks in ticks(9)) {
        let ended = ticks.len() as i64;
        // Cut each second in two halves that are alike.
        let halves: Vec<Tick> = ticks.iter().flat_map(|whole| {
            let half = |counts: Counts| Counts::ended(counts.requests * 2, counts.errors * 2);
            let doubled = Tick { candidate: half(whole.candidate), stable: half(whole.stable), ..*whole };
            let middle = whole.from + SECOND / 2;
            let part = |from, to| Tick { from, to, candidate: whole.candidate, stable: whole.stable, ..doubled };
            [part(whole.from, middle), part(middle, whole.to)]
        }).collect();
        let wholes: Vec<Tick> = ticks.iter().map(|tick| Tick {
            candidate: Counts::ended(tick.candidate.requests * 2, tick.candidate.errors * 2),
            stable: Counts::ended(tick.stable.requests * 2, tick.stable.errors * 2),
            ..*tick
        }).collect();
        let (mut fine, mut coarse) = (judge(Policy::default()), judge(Policy::default()));
        feed(&mut fine, &halves);
        feed(&mut coarse, &wholes);
        let (fine, coarse) = (fine.verdict(ended * SECOND), coarse.verdict(ended * SECOND));
        prop_assert!((fine.evidence.harm - coarse.evidence.harm).abs() < 1e-6);
        prop_assert_eq!(fine.evidence.ratio, coarse.evidence.ratio);
        prop_assert_eq!(fine.evidence.rollout, coarse.evidence.rollout);
    }

    #[test]
    fn arms_that_fail_alike_are_never_called_different(rate in 0u64..10, seconds in 1i64..60) {
        // Stable gets exactly four times of everything, whichever arm is which.
        let mut judge = judge(Policy::default());
        for second in 0..seconds {
            judge.observe(&tick(second, (200, rate), (800, 4 * rate))).unwrap();
        }
        let assessment = judge.verdict(seconds * SECOND);
        prop_assert_ne!(assessment.verdict, Verdict::Unhealthy);
        prop_assert!(assessment.evidence.harm <= 0.0);
    }

    #[test]
    fn it_can_be_stored_between_any_two_ticks(ticks in ticks(30)) {
        let (mut kept, mut stored) = (judge(Policy::default()), judge(Policy::default()));
        for tick in &ticks {
            kept.observe(tick).unwrap();
            stored.observe(tick).unwrap();
            let json = serde_json::to_string(&stored).unwrap();
            prop_assert!(json.len() < 6_000, "{} bytes", json.len());
            stored = serde_json::from_str(&json).unwrap();
        }
        let now = ticks.len() as i64 * SECOND;
        let (kept, stored) = (kept.verdict(now), stored.verdict(now));
        prop_assert_eq!(kept.verdict, stored.verdict);
        prop_assert!((kept.evidence.harm - stored.evidence.harm).abs() < 1e-9);
        prop_assert!((kept.evidence.health - stored.evidence.health).abs() < 1e-9);
    }

    #[test]
    fn any_counts_and_any_times_leave_it_with_numbers(
        rows in prop::collection::vec((any::<i32>(), 0u64..1_000_000_000_000, 0u64..1_000_000_000_000, 0u16..=1000), 1..40)
    ) {
        let mut judge = judge(Policy { hard_limit: Some(0.2), ..Policy::default() });
        for (second, one, other, weight) in rows {
            let wild = Tick {
                candidate_weight: weight,
                stable_weight: 1000 - weight,
                ..tick(i64::from(second), (one.max(other), one.min(other)), (other, other / 2))
            };
            judge.observe(&wild).unwrap();
            let evidence = judge.verdict(i64::from(second) * SECOND).evidence;
            prop_assert!(evidence.harm.is_finite() && evidence.health.is_finite() && evidence.starved.is_finite());
            let json = serde_json::to_string(&judge).unwrap();
            prop_assert!(serde_json::from_str::<Judge>(&json).is_ok(), "{}", json);
        }
    }
}

#[test]
fn what_cannot_be_is_refused_and_changes_nothing() {
    let mut judge = judge(Policy::default());
    let before = judge.clone();
    let good = tick(0, (10, 1), (10, 1));
    let refused = |tick: Tick, judge: &mut Judge| judge.observe(&tick).unwrap_err().to_string();
    assert_eq!(
        refused(tick(0, (10, 11), (10, 1)), &mut judge),
        "measurement refused: candidate reports 11 failed of 10 requests"
    );
    assert!(matches!(
        judge.observe(&Tick { from: 2, to: 1, ..good }),
        Err(Refused::Reversed { from: 2, to: 1 })
    ));
    assert!(matches!(
        judge.observe(&Tick { stable_weight: 1001, ..good }),
        Err(Refused::Weight { weight: 1001 })
    ));
    assert!(matches!(
        judge.observe(&Tick { stable: Counts::ended(u64::MAX, 0), ..good }),
        Err(Refused::Implausible { .. })
    ));
    assert_eq!(judge, before);
}

#[test]
fn policies_out_of_bounds_are_refused() {
    let refused = |policy: Policy| Judge::new(policy, Duration::from_secs(60)).unwrap_err().to_string();
    assert_eq!(
        refused(Policy { alpha: f64::NAN, ..Policy::default() }),
        "the analysis policy's `alpha` is NaN; it can be 0.000001 to 0.2"
    );
    assert!(refused(Policy { minimum_requests: 0, ..Policy::default() }).contains("`minimum_requests` is 0"));
    assert!(
        refused(Policy { margin: towpath_judge::Margin::ratio(1.0), ..Policy::default() })
            .contains("allows no increase at all")
    );
}

fn good_seconds(from: i64, count: i64) -> Vec<Tick> {
    (from..from + count).map(|second| tick(second, (200, 0), (800, 1))).collect()
}

#[test]
fn no_data_never_counts_as_healthy() {
    let mut judge = judge(Policy::default());
    assert_eq!(judge.verdict(0).reason, Reason::NoMeasurements);
    feed(&mut judge, &[tick(0, (0, 0), (0, 0))]);
    assert_eq!(judge.verdict(SECOND).reason, Reason::NoTraffic);
    feed(&mut judge, &[tick(1, (50, 0), (0, 0))]);
    assert_eq!(judge.verdict(2 * SECOND).reason, Reason::NoStableTraffic { candidate: 50 });
    feed(&mut judge, &[tick(2, (49, 0), (200, 0))]);
    assert_eq!(judge.verdict(3 * SECOND).reason, Reason::TooFewRequests { seen: 99, needed: 100 });
    feed(&mut judge, &[tick(3, (1, 0), (4, 0))]);
    assert!(matches!(judge.verdict(4 * SECOND).reason, Reason::Undecided { .. }));
    feed(&mut judge, &good_seconds(4, 20));
    assert_eq!(judge.verdict(24 * SECOND).verdict, Verdict::Healthy);
}

#[test]
fn old_measurements_and_those_from_the_future_do_not_count() {
    let mut judge = judge(Policy::default());
    feed(&mut judge, &good_seconds(0, 20));
    assert_eq!(judge.verdict(35 * SECOND).verdict, Verdict::Healthy);
    assert_eq!(judge.verdict(36 * SECOND).reason, Reason::Stale { age_seconds: 16.0, most_seconds: 15.0 });
    assert_eq!(judge.verdict(0).reason, Reason::FromTheFuture { ahead_seconds: 20.0 });
}

#[test]
fn each_step_shows_its_health_anew_and_harm_is_remembered() {
    let mut judge = judge(Policy::default());
    feed(&mut judge, &good_seconds(0, 20));
    assert_eq!(judge.verdict(20 * SECOND).verdict, Verdict::Healthy);
    judge.step_started(20 * SECOND);
    assert_eq!(judge.verdict(20 * SECOND).reason, Reason::NoTraffic);
    // A tick that ended before the step is not the step's.
    feed(&mut judge, &good_seconds(19, 1));
    assert_eq!(judge.verdict(20 * SECOND).reason, Reason::NoTraffic);
    let bad: Vec<Tick> = (20..40).map(|second| tick(second, (200, 40), (800, 1))).collect();
    feed(&mut judge, &bad);
    let proven = judge.verdict(40 * SECOND);
    assert_eq!(proven.verdict, Verdict::Unhealthy);
    judge.step_started(40 * SECOND);
    feed(&mut judge, &good_seconds(40, 200));
    // Not even silence afterwards makes it forget.
    assert_eq!(judge.verdict(10_000 * SECOND).reason, proven.reason);
}

#[test]
fn a_clock_that_is_set_back_holds_nothing_up() {
    let mut judge = judge(Policy::default());
    feed(&mut judge, &good_seconds(3_600, 5));
    judge.step_started(3_605 * SECOND);
    feed(&mut judge, &good_seconds(0, 20));
    assert_eq!(judge.verdict(20 * SECOND).verdict, Verdict::Healthy);
    let bad: Vec<Tick> = (20..45).map(|second| tick(second, (200, 40), (800, 1))).collect();
    feed(&mut judge, &bad);
    assert_eq!(judge.verdict(45 * SECOND).verdict, Verdict::Unhealthy);
}

#[test]
fn a_change_of_weight_is_not_taken_for_missing_traffic() {
    let mut judge = judge(Policy::default());
    // The weight changes just before the first tick ends: all its requests went to stable, rightly.
    feed(&mut judge, &[tick(0, (0, 0), (1_000, 1))]);
    feed(&mut judge, &good_seconds(1, 3));
    let doubled =
        |second| Tick { candidate_weight: 900, stable_weight: 100, ..tick(second, (200, 0), (800, 1)) };
    feed(&mut judge, &[doubled(4)]);
    assert_ne!(judge.verdict(5 * SECOND).verdict, Verdict::Unhealthy);
    feed(&mut judge, &[doubled(5)]);
    assert!(matches!(judge.verdict(6 * SECOND).reason, Reason::Starved { .. }));
}

#[test]
fn a_slow_candidate_is_not_a_starved_one() {
    let mut judge = judge(Policy::default());
    for second in 0..5 {
        let slow = Counts { started: 200, requests: 0, errors: 0 };
        judge.observe(&Tick { candidate: slow, ..tick(second, (0, 0), (800, 1)) }).unwrap();
    }
    assert_eq!(judge.verdict(5 * SECOND).reason, Reason::NoCandidateTraffic { stable: 4_000 });
}

#[test]
fn a_proven_trifle_is_no_harm() {
    let policy = Policy { negligible: 0.002, ..Policy::default() };
    let run = |policy: Policy| {
        let mut judge = judge(policy);
        for second in 0..60 {
            judge.observe(&tick(second, (20_000, 20), (80_000, 40))).unwrap();
        }
        judge.verdict(60 * SECOND).verdict
    };
    assert_eq!(run(policy), Verdict::Healthy);
    assert_eq!(run(Policy { negligible: 0.0, ..Policy::default() }), Verdict::Unhealthy);
}
