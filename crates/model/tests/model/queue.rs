//! The queue: who goes first, who goes where, and what those are told who wait.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use jiff::Timestamp;
use towpath_model::queue::{Busy, Runner, Standing, State, Upcoming, WaitReason, Waiting, schedule};
use towpath_model::{AgentId, AttemptId};
use uuid::Uuid;

use crate::fixture::{agent, seconds, start};
use crate::prng::Prng;

fn labels(text: &str) -> BTreeMap<String, String> {
    let pairs = text.split_whitespace().filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn waiting(number: u128, project: &str, run: u64) -> Waiting {
    Waiting {
        attempt: AttemptId(Uuid::from_u128(number)),
        title: format!("{project}#{run} j{number}"),
        project: project.parse().expect("a name"),
        run,
        reference: "refs/heads/main".to_owned(),
        labels: BTreeMap::new(),
        priority: 50,
        group: None,
        queued_at: start() + seconds(i64::try_from(number).expect("small")),
        estimate: Some(seconds(60)),
    }
}

fn busy(project: &str, who: AgentId, group: Option<&str>) -> Busy {
    Busy {
        title: format!("{project} old"),
        project: project.parse().expect("a name"),
        agent: who,
        group: group.map(str::to_owned),
        started_at: later() - seconds(20),
        estimate: Some(seconds(60)),
    }
}

fn runner(number: u128, free: u32, text: &str) -> Runner {
    Runner { id: agent(number), labels: labels(text), free, standing: Standing::Ready }
}

fn later() -> Timestamp {
    start() + seconds(1_000)
}

/// The schedule in words: what begins where, then what waits, why, and for how many seconds.
fn told(waiting: &[Waiting], busy: &[Busy], runners: &[Runner], upcoming: &[Upcoming]) -> String {
    let schedule = schedule(State { waiting, busy, runners, upcoming }, later());
    let mut text = String::new();
    for begins in schedule.assignments {
        let _ = writeln!(text, "{} on {}", waiting[begins.waiting].title, begins.agent.0.as_u128());
    }
    for wait in schedule.waits {
        let Waiting { title, labels, .. } = &waiting[wait.waiting];
        let eta = wait.eta.map_or("?".to_owned(), |at| at.duration_since(later()).as_secs().to_string());
        let _ = writeln!(text, "{title} waits {eta}: {}", wait.reason.words(labels));
    }
    text
}

#[test]
fn a_project_that_floods_the_queue_delays_itself() {
    let mut all: Vec<Waiting> = (1..=4).map(|n| waiting(n, "flood", 1)).collect();
    all.push(waiting(9, "small", 1));
    let expected = "flood#1 j1 on 1\nsmall#1 j9 on 1\n\
                    flood#1 j2 waits 60: the only agent is busy; it is next\n\
                    flood#1 j3 waits 60: the only agent is busy; one job goes before it\n\
                    flood#1 j4 waits 120: the only agent is busy; 2 jobs go before it\n";
    assert_eq!(told(&all, &[], &[runner(1, 2, "")], &[]), expected);
    // One that runs something already comes after one that runs nothing.
    let running = [busy("flood", agent(1), None)];
    let first = told(&all, &running, &[runner(1, 1, "")], &[]);
    assert!(first.starts_with("small#1 j9 on 1\nflood#1 j1 waits 40"), "{first}");
}

#[test]
fn priority_goes_first_and_waiting_makes_up_for_it() {
    let mut urgent = waiting(100, "shop", 3);
    urgent.priority = 60;
    let old = waiting(1, "shop", 1);
    let text = |urgent: &Waiting| told(&[old.clone(), urgent.clone()], &[], &[runner(1, 1, "")], &[]);
    assert!(text(&urgent).starts_with("shop#3"), "ten points are worth ten minutes");
    // Eleven minutes later, it would have been too late to overtake.
    urgent.queued_at = old.queued_at + seconds(11 * 60);
    assert!(text(&urgent).starts_with("shop#1"));
}

#[test]
fn special_agents_are_kept_for_what_needs_them() {
    let mut gpu = waiting(2, "shop", 1);
    gpu.labels = labels("gpu=true");
    let runners = [runner(1, 1, "gpu=true os=linux"), runner(2, 1, "os=linux")];
    assert_eq!(
        told(&[waiting(1, "shop", 1), gpu.clone()], &[], &runners, &[]),
        "shop#1 j1 on 2\nshop#1 j2 on 1\n"
    );
    let alone = told(&[gpu.clone()], &[], &[runner(2, 1, "os=linux")], &[]);
    assert_eq!(
        alone,
        "shop#1 j2 waits ?: no connected agent with `gpu=true`; start one, or change `runs_on`\n"
    );
    let draining = Runner { standing: Standing::Draining, ..runner(1, 1, "gpu=true") };
    let text = told(&[gpu.clone()], &[], &[draining], &[]);
    assert!(text.contains("the only agent with `gpu=true` is given no jobs"), "{text}");
    assert!(told(&[gpu], &[], &[], &[]).contains("no agent that takes jobs is connected"));
}

#[test]
fn work_spreads_over_agents() {
    let all = [waiting(1, "shop", 1), waiting(2, "shop", 1)];
    assert_eq!(
        told(&all, &[], &[runner(1, 4, ""), runner(2, 4, "")], &[]),
        "shop#1 j1 on 1\nshop#1 j2 on 2\n"
    );
}

#[test]
fn a_group_runs_in_the_order_of_the_runs() {
    let grouped = |number, run, limit| Waiting {
        group: Some(("db".to_owned(), limit)),
        ..waiting(number, "shop", run)
    };
    // The newer Run was queued first, and is the more urgent one.
    let mut newer = grouped(1, 2, 1);
    newer.priority = 100;
    let all = [newer, grouped(2, 1, 1)];
    let expected = "shop#1 j2 on 1\nshop#2 j1 waits 60: shop#1 j2 has concurrency group `db`\n";
    assert_eq!(told(&all, &[], &[runner(1, 9, "")], &[]), expected);
    // A group that is held elsewhere keeps no place from others.
    let held = [busy("shop", agent(7), Some("db"))];
    let all = [grouped(1, 1, 1), waiting(2, "shop", 1)];
    let expected = "shop#1 j2 on 1\nshop#1 j1 waits 40: shop old has concurrency group `db`\n";
    assert_eq!(told(&all, &held, &[runner(1, 1, "")], &[]), expected);
    // Two may run, the third waits for the first of them.
    let three: Vec<_> = (1..=3).map(|n| grouped(n, n as u64, 2)).collect();
    let text = told(&three, &[], &[runner(1, 9, "")], &[]);
    assert!(
        text.ends_with("shop#3 j3 waits 60: 2 jobs have concurrency group `db`, shop#1 j1 among them\n"),
        "{text}"
    );
}

#[test]
fn a_job_of_an_earlier_run_that_is_not_queued_yet_keeps_its_turn() {
    let mut all = [waiting(1, "shop", 2)];
    all[0].group = Some(("db".to_owned(), 1));
    let mut upcoming = Upcoming {
        title: "shop#1 e2e".to_owned(),
        project: "shop".parse().expect("a name"),
        group: "db".to_owned(),
        run: 1,
        reference: "refs/heads/main".to_owned(),
    };
    let text = told(&all, &[], &[runner(1, 1, "")], std::slice::from_ref(&upcoming));
    assert_eq!(text, "shop#2 j1 waits ?: shop#1 e2e comes first in concurrency group `db`\n");
    upcoming.reference = "refs/heads/other".to_owned();
    assert_eq!(
        told(&all, &[], &[runner(1, 1, "")], &[upcoming]),
        "shop#2 j1 on 1\n",
        "another branch is no order"
    );
}

/// Whatever the queue looks like: labels, places and groups are kept, nobody waits beside an idle agent, all are told.
#[test]
fn random_queues_are_scheduled_soundly() {
    for seed in 0..2_000 {
        let mut dice = Prng(seed);
        let kinds = ["", "os=linux", "os=linux gpu=true", "os=mac"];
        let pick = |dice: &mut Prng| labels(kinds[dice.below(4) as usize]);
        let runners: Vec<Runner> = (0..dice.below(6))
            .map(|n| Runner {
                labels: pick(&mut dice),
                free: dice.below(3) as u32,
                standing: if dice.once_in(5) { Standing::Draining } else { Standing::Ready },
                ..runner(n.into(), 0, "")
            })
            .collect();
        let group = |dice: &mut Prng| dice.once_in(3).then(|| ("g".to_owned(), 1 + dice.below(2) as u32));
        let all: Vec<Waiting> = (0..dice.below(40))
            .map(|n| Waiting {
                labels: pick(&mut dice),
                group: group(&mut dice),
                priority: dice.below(101) as u8,
                estimate: dice.once_in(2).then(|| seconds(dice.below(300) as i64)),
                ..waiting(n.into(), ["a", "b", "c"][dice.below(3) as usize], dice.below(9))
            })
            .collect();
        let state = State { waiting: &all, busy: &[], runners: &runners, upcoming: &[] };
        let done = schedule(state, later());
        assert_eq!(
            done.assignments.len() + done.waits.len(),
            all.len(),
            "seed {seed}: somebody was told nothing"
        );
        let mut free: BTreeMap<AgentId, u32> = runners.iter().map(|r| (r.id, r.free)).collect();
        let mut groups: BTreeMap<(String, String), u32> = BTreeMap::new();
        for begins in &done.assignments {
            let waiting = &all[begins.waiting];
            let runner = runners.iter().find(|runner| runner.id == begins.agent).expect("one of them");
            assert_eq!(runner.standing, Standing::Ready, "seed {seed}");
            assert!(waiting.labels.iter().all(|(k, v)| runner.labels.get(k) == Some(v)), "seed {seed}");
            let left = free.get_mut(&begins.agent).expect("one of them");
            *left = left.checked_sub(1).unwrap_or_else(|| panic!("seed {seed}: an agent got too much"));
            if let Some((group, limit)) = &waiting.group {
                let count = groups.entry((waiting.project.to_string(), group.clone())).or_default();
                *count += 1;
                assert!(*count <= (*limit).max(2), "seed {seed}: too many in a group");
            }
        }
        for wait in &done.waits {
            let waiting = &all[wait.waiting];
            assert!(wait.eta.is_none_or(|eta| eta > later()), "seed {seed}: it waits for what has come");
            if matches!(wait.reason, WaitReason::Busy { .. }) {
                let idle = runners.iter().find(|runner| {
                    runner.standing == Standing::Ready
                        && free[&runner.id] > 0
                        && waiting.labels.iter().all(|(k, v)| runner.labels.get(k) == Some(v))
                });
                assert_eq!(idle, None, "seed {seed}: {} waits beside an idle agent", waiting.title);
            }
        }
    }
}
