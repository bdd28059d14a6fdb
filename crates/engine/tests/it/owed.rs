//! Jobs with `paths` on a real repository: what is unchanged is taken over, what was cancelled stays owed.

use towpath_model::run::{JobState, RunState};

use crate::agent::Fate;
use crate::world::{World, developer, shop};

const PIPELINE: &str = "
name: shop
on: { push: { branches: [main] }, manual: true }
jobs:
  build:
    paths: [src.c, Makefile]
    steps: [make]
    artifacts: { shop: { files: [shop] } }
  docs: { paths: ['*.md'], steps: [./docs] }
workloads:
  shop: { artifact: shop, command: ./shop --port $PORT }
";

#[test]
fn what_nobody_touched_is_taken_over_and_released_again() {
    let mut world = World::start::<50>();
    world.push(&[("towpath.yaml", PIPELINE), ("src.c", "1"), ("a.md", "1")]);
    let first = world.ended_run(1);
    assert_eq!(first.state, RunState::Passed, "{}", first.reason);
    assert_eq!(first.jobs[0].why, "it has reached no verdict on this ref yet");
    world.push(&[("a.md", "2")]);
    let second = world.ended_run(2);
    assert_eq!(second.state, RunState::Passed, "{}", second.reason);
    let [build, docs] = second.jobs.as_slice() else { panic!("two jobs") };
    let commit = first.cause.short_commit();
    assert_eq!(build.reason, format!("skipped: nothing it reads has changed since {commit} (run 1)"));
    assert_eq!((build.state, build.attempts.len()), (JobState::Passed, 0));
    assert_eq!(build.artifacts, first.jobs[0].artifacts);
    assert!(second.release.is_some(), "a Release holds what was built before");
    assert_eq!(docs.why, format!("`a.md` has changed since {commit} (run 1)"));
    // A person who starts a Run wants all of it.
    world
        .run(world.engine.start_run(&shop(), "main", &std::collections::BTreeMap::new(), &developer()))
        .unwrap();
    assert!(world.ended_run(3).jobs.iter().all(|job| job.attempts.len() == 1));
}

#[test]
fn what_a_cancelled_or_failed_run_left_undone_is_done_by_the_next() {
    let mut world = World::start::<51>();
    world.push(&[("towpath.yaml", PIPELINE), ("src.c", "1"), ("a.md", "1")]);
    assert_eq!(world.ended_run(1).state, RunState::Passed);
    world.agent.fates.insert("build".to_owned(), Fate::Hangs);
    world.push(&[("src.c", "2")]);
    world.until("the build to run", |world| (!world.agent.held.is_empty()).then_some(()));
    // A newer push cancels it, and does not touch what the build reads.
    world.agent.fates.clear();
    world.agent.fates.insert("build".to_owned(), Fate::Fails);
    world.push(&[("a.md", "2")]);
    let third = world.ended_run(3);
    assert_eq!(world.find_run(2).state, RunState::Cancelled);
    assert!(third.jobs[0].why.starts_with("`src.c` has changed since"), "{:?}", third.jobs[0]);
    assert_eq!(third.state, RunState::Failed);
    // It stays owed until it passes, whatever is pushed.
    world.agent.fates.clear();
    world.push(&[("a.md", "3")]);
    let fourth = world.ended_run(4);
    assert!(fourth.jobs[0].why.ends_with("and is owed until it passes"), "{:?}", fourth.jobs[0]);
    world.push(&[("a.md", "4")]);
    assert!(world.ended_run(5).jobs[0].reason.starts_with("skipped: nothing it reads"));
}
