//! Pools of agents, driven at random against what must hold at each moment.

use std::collections::BTreeMap;

use jiff::Timestamp;
use proptest::prelude::*;
use towpath_model::pool::{Demand, Doing, Member, Pool, PoolSettings};

use crate::fixture::{seconds, start};

fn settings() -> PoolSettings {
    PoolSettings {
        labels: BTreeMap::from([("os".to_owned(), "linux".to_owned())]),
        minimum: 1,
        maximum: 4,
        waiting_per_agent: 2,
        scale_up_after: seconds(10),
        cool_down: seconds(60),
        idle_limit: seconds(120),
    }
}

fn waits(os: &str, since: Timestamp) -> Demand {
    Demand { labels: BTreeMap::from([("os".to_owned(), os.to_owned())]), since }
}

fn member(name: &str, doing: Doing) -> Member {
    Member { name: name.to_owned(), doing }
}

#[test]
fn a_pool_grows_for_what_waits_long_enough_and_fits() {
    let now = start() + seconds(100);
    let decide =
        |members: &[Member], demand: &[Demand]| Pool::default().decide(&settings(), members, demand, now);
    assert_eq!(decide(&[], &[]).start, 1, "the minimum");
    let busy = [member("a", Doing::Busy)];
    assert_eq!(decide(&busy, &[waits("linux", now)]).start, 0, "it may be taken in a moment");
    assert_eq!(decide(&busy, &vec![waits("linux", start()); 3]).start, 2);
    assert_eq!(decide(&busy, &vec![waits("plan9", start()); 3]).start, 0, "no agent of it could take these");
    assert_eq!(decide(&busy, &vec![waits("linux", start()); 90]).start, 3, "the maximum");
    let starting = [member("a", Doing::Busy), member("b", Doing::Starting)];
    assert_eq!(decide(&starting, &[waits("linux", start())]).start, 0, "it is on its way");
}

#[test]
fn starts_that_come_to_nothing_are_tried_less_and_less_often() {
    let (mut pool, mut now, mut starts) = (Pool::default(), start(), 0);
    for _ in 0..3600 {
        now += seconds(1);
        let decision = pool.decide(&settings(), &[], &[], now);
        if decision.start > 0 {
            starts += 1;
            let started = [member("dies at once", Doing::Starting)];
            now += seconds(1);
            drop(pool.decide(&settings(), &started, &[], now));
        }
    }
    assert!((5..20).contains(&starts), "{starts} starts in an hour");
}

proptest! {
    #[test]
    fn what_must_hold_holds(steps in proptest::collection::vec((0_u8..6, 0_u8..8, 1_i64..90), 1..120)) {
        let (settings, mut pool, mut now) = (settings(), Pool::default(), start());
        let (mut members, mut demand): (Vec<Member>, Vec<Demand>) = (Vec::new(), Vec::new());
        let (mut named, mut started_at, mut drained_at) = (0, None, None);
        for (what, which, pass) in steps {
            now += seconds(pass);
            let index = usize::from(which) % members.len().max(1);
            match (what, members.get_mut(index)) {
                (0, Some(member)) if member.doing == Doing::Starting => member.doing = Doing::Idle,
                (1, Some(member)) if member.doing == Doing::Idle && !demand.is_empty() => {
                    demand.pop();
                    member.doing = Doing::Busy;
                }
                (2, Some(member)) if member.doing == Doing::Busy => member.doing = Doing::Idle,
                (2, Some(member)) if member.doing == (Doing::Draining { busy: true }) => {
                    member.doing = Doing::Draining { busy: false };
                }
                (3, _) => demand.extend(std::iter::repeat_n(waits("linux", now), usize::from(which))),
                (4, Some(_)) => drop(members.remove(index)),
                _ => {}
            }
            let decision = pool.decide(&settings, &members, &demand, now);
            prop_assert!(members.len() + decision.start as usize <= 4, "more than the maximum: {decision:?}");
            let live = members.iter().filter(|member| !matches!(member.doing, Doing::Draining { .. } | Doing::Silent)).count();
            if decision.start > 0 {
                let least = live < 1;
                let flaps = drained_at.is_some_and(|at| now.duration_since(at) < settings.cool_down);
                prop_assert!(!flaps || least, "grew within the cool-down: {decision:?}");
                started_at = Some(now);
            }
            if !decision.drain.is_empty() {
                let flaps = started_at.is_some_and(|at| now.duration_since(at) < settings.cool_down);
                prop_assert!(!flaps, "shrank within the cool-down: {decision:?}");
                prop_assert!(live - decision.drain.len() >= 1, "less than the minimum: {decision:?}");
                drained_at = Some(now);
            }
            for name in &decision.stop {
                let doing = members.iter().find(|member| member.name == *name).map(|member| member.doing);
                prop_assert!(!matches!(doing, Some(Doing::Busy | Doing::Draining { busy: true }) | None), "killed {doing:?}");
            }
            members.retain(|member| !decision.stop.contains(&member.name));
            for member in members.iter_mut().filter(|member| decision.drain.contains(&member.name)) {
                member.doing = Doing::Draining { busy: false };
            }
            for _ in 0..decision.start {
                named += 1;
                members.push(member(&format!("m{named}"), Doing::Starting));
            }
        }
    }
}
