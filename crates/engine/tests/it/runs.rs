//! Runs: failure, cancel, another try, lost agents, secrets.

use jiff::SignedDuration;
use towpath_artifact::SecretValue;
use towpath_engine::EngineError;
use towpath_model::attempt::AttemptState;
use towpath_model::run::{JobState, RunState};

use crate::agent::Fate;
use crate::world::{PIPELINE, World, developer, shop};

#[test]
fn a_failed_job_fails_its_run_and_can_be_tried_again() {
    let mut world = World::start::<20>();
    world.agent.fates.insert("test".to_owned(), Fate::Fails);
    world.push(&[("towpath.yaml", PIPELINE)]);
    let run = world.ended_run(1);
    assert_eq!(run.state, RunState::Failed, "{}", run.reason);
    assert_eq!(run.jobs[1].state, JobState::Skipped);
    world.agent.fates.clear();
    world.run(world.engine.rerun(&shop(), 1, &developer())).unwrap();
    let run = world.ended_run(1);
    assert_eq!(run.state, RunState::Passed, "{}", run.reason);
    assert_eq!(run.jobs[0].attempts.len(), 2);
    let refused = world.run(world.engine.rerun(&shop(), 1, &developer())).unwrap_err();
    assert!(matches!(refused, EngineError::Refused { .. }), "{refused}");
}

#[test]
fn a_cancelled_run_is_over_at_once_and_its_attempt_ends() {
    let mut world = World::start::<21>();
    world.agent.fates.insert("test".to_owned(), Fate::Hangs);
    world.push(&[("towpath.yaml", PIPELINE)]);
    world.until("the job to run", |world| (!world.agent.held.is_empty()).then_some(()));
    let run = world.run(world.engine.cancel_run(&shop(), 1, "enough", &developer())).unwrap();
    assert_eq!(run.state, RunState::Cancelled);
    let attempt = run.jobs[0].attempts[0].id;
    assert!(world.run(world.engine.log(attempt, 0, 100)).unwrap().open, "its agent may still say something");
    world.until("the agent to let go", |world| world.agent.held.is_empty().then_some(()));
    let log = world.run(world.engine.log(attempt, 0, 100)).unwrap();
    assert_eq!((log.bytes.as_slice(), log.open), (b"log of shop#1 test\n".as_slice(), false));
}

#[test]
fn a_lost_agent_costs_a_try_and_nothing_else() {
    let mut world = World::start::<22>();
    world.agent.fates.insert("test".to_owned(), Fate::Hangs);
    world.push(&[("towpath.yaml", PIPELINE)]);
    world.until("the job to run", |world| (!world.agent.held.is_empty()).then_some(()));
    world.agent.alive = false;
    let lease = world.agent.held[0];
    world.pass(SignedDuration::from_secs(60));
    world.until("the lease to be taken back", |world| {
        (world.find_run(1).jobs[0].attempts[0].state == AttemptState::Lost).then_some(())
    });
    let log = world.run(world.engine.log(lease.attempt, 0, 100)).unwrap();
    assert!(!log.open && !log.bytes.is_empty(), "what it had said stays, and nobody waits for more");
    // It comes back and does not know that it was given up.
    let late =
        world.run(world.engine.agent_log(Some(world.agent.id), lease.attempt, lease.fence, 0, b"x".to_vec()));
    assert!(matches!(late, Err(EngineError::Fenced { .. })), "{late:?}");
    world.agent.alive = true;
    world.agent.fates.clear();
    world.agent.restart();
    let run = world.ended_run(1);
    assert_eq!(run.state, RunState::Passed, "{}", run.reason);
    let states: Vec<_> = run.jobs[0].attempts.iter().map(|attempt| attempt.state).collect();
    assert_eq!(states, [AttemptState::Lost, AttemptState::Passed]);
}

#[test]
fn an_agent_that_starts_anew_gives_up_what_it_held() {
    let mut world = World::start::<23>();
    world.agent.fates.insert("test".to_owned(), Fate::Hangs);
    world.push(&[("towpath.yaml", PIPELINE)]);
    world.until("the job to run", |world| (!world.agent.held.is_empty()).then_some(()));
    world.agent.fates.clear();
    world.agent.restart();
    let run = world.ended_run(1);
    assert_eq!(run.state, RunState::Passed, "{}", run.reason);
}

#[test]
fn jobs_that_cannot_be_put_together_fail_with_the_reason() {
    let mut world = World::start::<24>();
    let pipeline = "name: shop\non: { push: { branches: [main] } }\njobs:\n  \
        one: { executor: host, steps: [x] }\n  two: { executor: host, steps: [x] }\n";
    world.push(&[("towpath.yaml", pipeline)]);
    let run = world.ended_run(1);
    for job in &run.jobs {
        assert_eq!(job.state, JobState::Failed, "{job:?}");
        assert!(job.reason.contains("--allow-unsandboxed"), "{}", job.reason);
    }
}

#[test]
fn a_missing_secret_is_named_and_setting_it_helps() {
    let mut world = World::start::<25>();
    world.push(&[("towpath.yaml", &PIPELINE.replace("test: {", "test: { secrets: [TOKEN],"))]);
    let run = world.ended_run(1);
    assert_eq!(run.state, RunState::Failed);
    assert!(run.reason.contains("towpath secret set shop TOKEN"), "{}", run.reason);
    let (name, value) = ("TOKEN".parse().unwrap(), SecretValue::new(b"s3cret".to_vec()));
    world.run(world.engine.set_secret(&shop(), None, &name, &value, &developer())).unwrap();
    world.run(world.engine.rerun(&shop(), 1, &developer())).unwrap();
    assert_eq!(world.ended_run(1).state, RunState::Passed);
    let given = world.agent.given.iter().find(|given| given.title.ends_with("test")).unwrap();
    assert_eq!(given.secrets["TOKEN"].expose(), "s3cret");
    let told = world.timeline().iter().any(|(_, _, text)| text.contains("s3cret"));
    assert!(!told, "a secret is in the timeline");
}

#[test]
fn a_failure_is_known_when_it_comes_again_and_its_words_are_found() {
    let mut world = World::start::<29>();
    world.agent.fates.insert("test".to_owned(), Fate::Fails);
    world.push(&[("towpath.yaml", PIPELINE)]);
    world.ended_run(1);
    let first = world.find_run(1).cause.commit;
    world.push(&[("README", "another try")]);
    world.ended_run(2);
    let known = world.run(world.engine.failures_of_run(&shop(), 2)).unwrap();
    let [(failure, seen)] = known.as_slice() else { panic!("{known:?}") };
    assert_eq!((failure.words.as_str(), failure.line), ("error: the sluice of shop#2 test is stuck", 2));
    assert_eq!((seen.count, seen.commits, seen.first.commit.as_str()), (2, 2, first.as_str()));
    let alone = world.run(world.engine.failures_of_run(&shop(), 1)).unwrap();
    assert_eq!(alone[0].1.count, 1, "what came later does not count for what came before");
    let frequent = world.run(world.engine.frequent_failures(&shop(), 30, 10)).unwrap();
    assert_eq!(frequent.iter().map(|found| found.count).collect::<Vec<_>>(), [2]);

    let search = |text: &str, below, limit| world.run(world.engine.search_logs(&shop(), text, below, limit));
    let found = search("SLUICE of shop#", None, 10).unwrap();
    assert_eq!(found.hits.iter().map(|hit| (hit.run, hit.line)).collect::<Vec<_>>(), [(2, 2), (1, 2)]);
    assert_eq!(found.below, None);
    let newest = search("sluice", None, 1).unwrap();
    assert_eq!((newest.hits.len(), newest.below), (1, Some(2)));
    let older = search("sluice", newest.below, 1).unwrap();
    assert_eq!(older.hits[0].run, 1);
    assert!(search(" ", None, 1).unwrap_err().to_string().contains("what to look for"));
}
