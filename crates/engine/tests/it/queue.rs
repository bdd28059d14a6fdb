//! The queue and the agents: groups, drains, old and cloned and lying agents, and a server killed with 500 Jobs running.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use towpath_api::agent::{AttemptEvent, AttemptOutcome, AttemptReport, Poll, SequencedEvent};
use towpath_engine::EngineError;
use towpath_model::Digest;
use towpath_model::attempt::AttemptState;
use towpath_model::queue::{Standing, WaitReason};
use towpath_model::run::{JobState, RunState};
use uuid::Uuid;

use crate::agent::{Fate, SimAgent, finished};
use crate::world::{World, admin};

const GROUPED: &str = "
name: shop
on: { push: { branches: [main] } }
cancel_superseded: false
jobs:
  e2e: { concurrency: staging, steps: [./e2e] }
  unit: { steps: [./unit] }
";

fn pipeline(job: &str) -> String {
    format!("name: shop\non: {{ push: {{ branches: [main] }} }}\njobs:\n  build: {{ {job} }}\n")
}

#[test]
fn a_concurrency_group_lets_runs_in_by_their_order_and_says_who_has_it() {
    let mut world = World::start::<52>();
    world.agent.fates.insert("e2e".to_owned(), Fate::Hangs);
    world.push(&[("towpath.yaml", GROUPED)]);
    world.until("the first to run", |world| (!world.agent.held.is_empty()).then_some(()));
    for text in ["2", "3"] {
        world.push(&[("a", text)]);
    }
    let queue = world.until("the others to wait", |world| {
        let queue = world.run(world.engine.queue()).unwrap();
        let done = (2..=3).all(|number| world.find_run(number).jobs[1].state == JobState::Passed);
        (queue.waiting.len() == 2 && done).then_some(queue)
    });
    let words: Vec<_> =
        queue.waiting.iter().map(|entry| (entry.waiting.title.as_str(), entry.words.as_str())).collect();
    assert_eq!(
        words,
        [
            ("shop#2 e2e", "shop#1 e2e has concurrency group `staging`"),
            ("shop#3 e2e", "shop#1 e2e has concurrency group `staging`"),
        ]
    );
    assert!(queue.waiting.iter().all(|entry| entry.eta.is_some()));
    world.agent.fates.clear();
    world.agent.restart();
    for number in 1..=3 {
        assert_eq!(world.ended_run(number).state, RunState::Passed);
    }
    let given: Vec<_> = world.agent.given.iter().filter(|given| given.title.ends_with("e2e")).collect();
    let titles: Vec<_> = given.iter().map(|given| given.title.as_str()).collect();
    assert_eq!(titles, ["shop#1 e2e", "shop#1 e2e", "shop#2 e2e", "shop#3 e2e"]);
}

#[test]
fn a_drained_agent_finishes_what_it_has_and_is_given_nothing() {
    let mut world = World::start::<53>();
    world.tick();
    world.run(world.engine.drain_agent(world.agent.id, "new disk", &admin())).unwrap();
    world.push(&[("towpath.yaml", &pipeline("steps: [make]"))]);
    let queue = world.until("the job to wait", |world| {
        let queue = world.run(world.engine.queue()).unwrap();
        (!queue.waiting.is_empty()).then_some(queue)
    });
    for _ in 0..5 {
        world.tick();
    }
    assert_eq!(queue.waiting[0].reason, Some(WaitReason::NoneReady { agents: 1 }));
    assert!(world.agent.given.is_empty(), "a drained agent was given work");
    let orders = world.run(world.engine.agent_poll(&world.agent.poll())).unwrap();
    assert!(orders.notice.unwrap().contains("drained"));
    world.run(world.engine.undrain_agent(world.agent.id, &admin())).unwrap();
    assert_eq!(world.ended_run(1).state, RunState::Passed);
    assert_eq!((world.count("agent-drained"), world.count("agent-undrained")), (1, 1));
}

#[test]
fn an_agent_that_is_too_old_is_told_so_and_given_nothing() {
    let mut world = World::start::<54>();
    world.agent.version = "0.0.9".to_owned();
    world.push(&[("towpath.yaml", &pipeline("steps: [make]"))]);
    for _ in 0..10 {
        world.tick();
    }
    assert!(world.agent.given.is_empty());
    let orders = world.run(world.engine.agent_poll(&world.agent.poll())).unwrap();
    let notice = orders.notice.unwrap();
    assert!(notice.contains("0.0.9 is too old") && notice.contains(towpath_engine::OLDEST_AGENT), "{notice}");
    world.agent.version = "0.1.0".to_owned();
    assert_eq!(world.ended_run(1).state, RunState::Passed);
}

#[test]
fn a_cloned_agent_is_found_out_and_refused_visibly() {
    let mut world = World::start::<55>();
    world.tick();
    let original = world.agent.session;
    let clone = Uuid::from_u128(99);
    let mut refused = Vec::new();
    for session in [clone, original, clone, original, clone] {
        world.agent.session = session;
        let answer = world.run(world.engine.agent_poll(&world.agent.poll()));
        refused.push(matches!(answer, Err(EngineError::Fenced { .. })));
    }
    assert_eq!(refused, [false, true, false, true, true], "neither of two is believed");
    let (agent, _) = world.run(world.engine.agents()).unwrap().remove(0);
    assert_eq!(towpath_engine::standing_of(&agent), Standing::Cloned);
    assert_eq!(world.count("agent-cloned"), 1);
    // A server that starts anew still knows.
    let mut world = world.crashed();
    let answer = world.run(world.engine.agent_poll(&world.agent.poll()));
    assert!(matches!(answer, Err(EngineError::Fenced { .. })), "{answer:?}");
    world.run(world.engine.undrain_agent(world.agent.id, &admin())).unwrap();
    world.push(&[("towpath.yaml", &pipeline("steps: [make]"))]);
    assert_eq!(world.ended_run(1).state, RunState::Passed);
}

#[test]
fn a_lying_agent_is_not_believed() {
    let mut world = World::start::<56>();
    world.push(&[("towpath.yaml", &pipeline("steps: [make], retry: { attempts_lost: 2 }"))]);
    let never_uploaded = Digest::of(b"never uploaded");
    world.agent.claims = Some(BTreeMap::from([("other".to_owned(), never_uploaded)]));
    let run = world.ended_run(1);
    assert_eq!(run.state, RunState::Failed);
    assert!(run.reason.contains("artifact `other`, which the job does not declare"), "{}", run.reason);
    let states: Vec<_> = run.jobs[0].attempts.iter().map(|attempt| attempt.state).collect();
    assert_eq!(states, [AttemptState::Errored, AttemptState::Errored]);
    // One that it should have made, under a digest whose bytes nobody has.
    world.agent.claims = Some(BTreeMap::from([("shop".to_owned(), never_uploaded)]));
    let declared = "steps: [make], artifacts: { shop: shop }, retry: { attempts_lost: 1 }";
    world.push(&[("towpath.yaml", &pipeline(declared))]);
    let run = world.ended_run(2);
    assert!(run.reason.contains("which it never uploaded"), "{}", run.reason);
    assert!(run.jobs[0].artifacts.is_empty());
}

#[test]
fn a_result_for_an_attempt_that_another_agent_holds_is_refused() {
    let mut world = World::start::<57>();
    world.agent.fates.insert("build".to_owned(), Fate::Hangs);
    world.push(&[("towpath.yaml", &pipeline("steps: [make]"))]);
    world.until("the job to run", |world| (!world.agent.held.is_empty()).then_some(()));
    let lease = world.agent.held[0];
    let liar = towpath_model::AgentId(Uuid::from_u128(666));
    let event =
        SequencedEvent { sequence: 9, at: world.now(), event: finished(AttemptOutcome::Passed, "done", 0) };
    for fence in [lease.fence, lease.fence + 1] {
        let report = AttemptReport { fence, events: vec![event.clone()] };
        let answer = world.run(world.engine.agent_report(Some(liar), lease.attempt, report));
        assert!(matches!(answer, Err(EngineError::Fenced { .. })), "{answer:?}");
    }
    assert_eq!(world.find_run(1).jobs[0].state, JobState::Active);
}

const RUNS: u64 = 10;
const JOBS: usize = 50;

/// 500 Jobs run on 50 agents when the server is killed. Half of the agents report while it is away, so to speak: first
/// thing to the next one; some of these twice, some late. The others go on and report afterwards; five never come back.
#[test]
fn a_server_killed_with_500_jobs_running_loses_none_and_runs_none_twice_with_effect() {
    let mut world = World::start::<58>();
    let jobs: String = (0..JOBS).map(|n| format!("  j{n}: {{ steps: [./work] }}\n")).collect();
    let pipeline = format!(
        "name: shop\non: {{ push: {{ branches: [main] }} }}\ncancel_superseded: false\njobs:\n{jobs}"
    );
    world.agent.alive = false;
    let mut agents: Vec<SimAgent> = (0..50)
        .map(|n| {
            let mut agent = SimAgent::new(1_000 + n, world.engine.content().clone());
            agent.capacity = 10;
            agent.fates = (0..JOBS).map(|n| (format!(" j{n}"), Fate::Hangs)).collect();
            agent
        })
        .collect();
    world.push(&[("towpath.yaml", &pipeline)]);
    for n in 1..RUNS {
        world.push(&[("a", &n.to_string())]);
    }
    let held = |agents: &[SimAgent]| agents.iter().map(|agent| agent.held.len()).sum::<usize>();
    for _ in 0..200 {
        if held(&agents) == RUNS as usize * JOBS {
            break;
        }
        world.tick();
        let now = world.now();
        for index in 0..agents.len() {
            world.run(agents[index].tick(&world.engine, now)).unwrap();
            // On a slow disk a round takes longer than a lease; agents would say meanwhile that they are there.
            for agent in agents[..=index].iter().filter(|_| index % 5 == 4) {
                let there = Poll { capacity: 0, ..agent.poll() };
                world.run(world.engine.agent_poll(&there)).unwrap();
            }
        }
    }
    assert_eq!(held(&agents), RUNS as usize * JOBS, "all run at once");
    let mut world = world.crashed();
    for (index, agent) in agents.iter_mut().enumerate() {
        agent.fates.clear();
        agent.alive = index >= 5;
    }
    for index in 5..agents.len() {
        // The first ones report before they have asked anything; the others keep their leases over the server's death.
        for agent in agents[index..].iter().filter(|_| index >= 10) {
            let orders = world.run(world.engine.agent_poll(&agent.poll())).unwrap();
            assert!(orders.assignments.is_empty() && orders.cancel.is_empty());
        }
        let agent = &mut agents[index];
        for lease in std::mem::take(&mut agent.held) {
            for _ in 0..=index % 3 {
                let now = world.now();
                let told = end(&world, agent, lease, now);
                assert!(told.is_ok() || index % 3 > 0, "{told:?}");
            }
        }
    }
    // What the five had is lost once its time is over, and goes to the others.
    world.pass(SignedDuration::from_secs(60));
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while (1..=RUNS).any(|number| !world.find_run(number).state.is_final()) {
        assert!(std::time::Instant::now() < deadline, "{}", world.picture());
        world.tick();
        let now = world.now();
        for agent in agents.iter_mut().filter(|agent| agent.alive) {
            world.run(agent.tick(&world.engine, now)).unwrap();
        }
    }
    let mut lost = 0;
    for number in 1..=RUNS {
        let run = world.find_run(number);
        assert_eq!(run.state, RunState::Passed, "{}", run.reason);
        for job in &run.jobs {
            let passed = job.attempts.iter().filter(|attempt| attempt.state == AttemptState::Passed).count();
            assert_eq!(passed, 1, "{} of run {number} took effect {passed} times", job.name);
            let others = job.attempts.len() - passed;
            assert!(
                job.attempts.iter().all(|a| matches!(a.state, AttemptState::Passed | AttemptState::Lost))
            );
            lost += others;
        }
    }
    assert_eq!(lost, 50, "only what the five had was lost");
    assert_eq!(world.count("job-attempt-finished"), RUNS as usize * JOBS, "an end was taken in twice");
    // The five come back with what they had: it is nobody's any more.
    for agent in &mut agents[..5] {
        let lease = agent.held[0];
        let late = end(&world, agent, lease, world.now());
        assert!(matches!(late, Err(EngineError::Fenced { .. })), "{late:?}");
    }
    assert!(world.run(world.engine.queue()).unwrap().running.is_empty());
}

/// Says that an Attempt passed.
fn end(
    world: &World,
    agent: &SimAgent,
    lease: towpath_api::agent::Lease,
    at: Timestamp,
) -> Result<(), EngineError> {
    let events: Vec<AttemptEvent> = vec![finished(AttemptOutcome::Passed, "done", 0)];
    let events = (50..).zip(events).map(|(sequence, event)| SequencedEvent { sequence, at, event }).collect();
    let report = AttemptReport { fence: lease.fence, events };
    world.run(world.engine.agent_report(Some(agent.id), lease.attempt, report))
}
