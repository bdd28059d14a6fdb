//! Retries: their class, their pause, their budget, and what is told of them afterwards.

use jiff::SignedDuration;
use towpath_model::attempt::AttemptState;
use towpath_model::retry::RetryClass;
use towpath_model::run::{JobState, RunState};

use crate::agent::Fate;
use crate::world::{World, shop};

const PIPELINE: &str = "
name: shop
on: { push: { branches: [main] } }
cancel_superseded: false
jobs:
  test:
    retry: { attempts: 3, when: [{ pattern: 'the \\w+ of shop#\\d+ test is stuck' }], backoff: 30s }
    steps: [./test]
";

#[test]
fn a_pause_outlives_a_crash_and_a_pass_says_what_it_took() {
    let mut world = World::start::<64>();
    world.agent.fates.insert("test".to_owned(), Fate::Fails);
    world.push(&[("towpath.yaml", PIPELINE)]);
    let paused = world.until("the first try to fail", |world| {
        Some(world.find_run(1)).filter(|run| run.jobs[0].state == JobState::Waiting)
    });
    let (first, until) = (&paused.jobs[0].attempts[0], paused.jobs[0].paused_until.expect("a pause"));
    let note = first.retry.as_ref().expect("a note");
    assert_eq!(note.class, RetryClass::Pattern);
    assert_eq!(first.words.as_deref(), Some("error: the sluice of shop#1 test is stuck"));
    let pause = until.duration_since(first.finished_at.expect("an end"));
    let bounds = SignedDuration::from_secs(15)..=SignedDuration::from_secs(30);
    assert!(bounds.contains(&pause), "{pause}");
    assert_eq!(world.count("job-retried"), 1);

    let mut world = world.crashed();
    world.agent.restart();
    world.agent.fates.clear();
    let run = world.ended_run(1);
    assert_eq!(run.state, RunState::Passed);
    assert!(run.reason.ends_with("; passed on retry: `test` (pattern)"), "{}", run.reason);
    assert!(run.jobs[0].reason.ends_with("on try 2 after pattern"), "{}", run.jobs[0].reason);
    assert!(run.jobs[0].attempts[1].queued_at >= until, "it did not wait for the end of the pause");
    let insights = world.run(world.engine.retries(&shop(), 7, 10)).unwrap();
    let [job] = insights.jobs.as_slice() else { panic!("{insights:?}") };
    assert_eq!(
        (job.class, job.retries, job.helped, job.in_vain, job.refused),
        (RetryClass::Pattern, 1, 1, 0, 0)
    );
}

#[test]
fn a_budget_that_is_used_up_shows_what_is_broken() {
    let mut world = World::start::<65>();
    world.agent.fates.insert("test".to_owned(), Fate::Fails);
    // The world's Projects may have two retries of this class in a week: the first Run has both.
    for (number, tries) in [(1, 3), (2, 1)] {
        world.push(&[("towpath.yaml", PIPELINE), ("n", &number.to_string())]);
        let run = world.ended_run(number);
        assert_eq!((run.state, run.jobs[0].attempts.len()), (RunState::Failed, tries), "{}", run.reason);
    }
    let run = world.find_run(2);
    assert!(
        run.reason.contains("had 2 retries of class pattern in the last 7 days, and may have 2"),
        "{}",
        run.reason
    );
    let insights = world.run(world.engine.retries(&shop(), 7, 10)).unwrap();
    let job = &insights.jobs[0];
    assert_eq!((job.retries, job.helped, job.in_vain, job.refused, job.last_run), (2, 0, 2, 2, 2));
    // A week later there is a new one.
    world.pass(SignedDuration::from_hours(24 * 7 + 1));
    world.push(&[("towpath.yaml", PIPELINE), ("n", "3")]);
    assert_eq!(world.ended_run(3).jobs[0].attempts.len(), 3);
}

#[test]
fn a_lost_agent_is_no_failure_of_the_job() {
    let mut world = World::start::<7>();
    world.agent.fates.insert("test".to_owned(), Fate::Hangs);
    world.push(&[("towpath.yaml", PIPELINE)]);
    world.until("the job to run", |world| (!world.agent.held.is_empty()).then_some(()));
    world.agent.restart();
    world.agent.fates.clear();
    let run = world.ended_run(1);
    assert_eq!(run.jobs[0].attempts[0].state, AttemptState::Lost);
    assert_eq!(run.jobs[0].passed_on_retry(), Some(RetryClass::Lost));
    assert!(
        !run.reason.contains("passed on retry"),
        "a lost host says nothing about the commit: {}",
        run.reason
    );
}
