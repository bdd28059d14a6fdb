//! Triggers that stand: schedules with a clock that is moved by hand, Releases of other Projects, inputs.

use std::collections::BTreeMap;
use std::fs;

use jiff::SignedDuration;
use towpath_engine::{EngineError, RefChange};
use towpath_model::run::RunState;
use towpath_store::core::projects::Project;
use towpath_store::core::standing::Trigger;

use crate::world::{World, admin, developer, git, shop};

const NIGHTLY: &str = "
name: shop
on: { push: main, schedule: [{ cron: '0 * * * *', timezone: Europe/Berlin }] }
jobs: { test: { steps: [./test] } }
";

const INPUTS: &str = "
name: shop
on:
  push: main
  manual:
    inputs:
      target: { type: choice, options: [staging, production], required: true }
      hosts: { type: number, default: 3 }
jobs:
  test: { if: \"inputs.hosts > 2 && inputs.target != 'production'\", steps: [./test] }
";

fn runs(world: &World) -> usize {
    world.run(world.engine.runs(Some(&shop()), None, 50)).unwrap().len()
}

fn next(world: &World) -> jiff::Timestamp {
    let standing = world.run(world.engine.standing_triggers(&shop())).unwrap();
    match &standing[0].trigger {
        Trigger::Schedule { next_at, .. } => next_at.unwrap(),
        Trigger::Release(_) => panic!("it is a schedule"),
    }
}

#[test]
fn a_schedule_starts_one_run_each_time_and_one_for_all_that_were_missed() {
    let mut world = World::start::<40>();
    world.push(&[("towpath.yaml", NIGHTLY)]);
    world.ended_run(1);
    let first = next(&world);
    world.pass(first.duration_since(world.now()) + SignedDuration::from_secs(1));
    let run = world.until("the scheduled run", |world| world.run(world.engine.find_run(&shop(), 2)).ok());
    assert_eq!((run.cause.event.as_str(), run.trust.word()), ("schedule", "protected"));
    assert!(run.cause.origin.unwrap().words().contains("`0 * * * *` in Europe/Berlin is due"));
    assert_eq!(next(&world), first + SignedDuration::from_hours(1));
    world.ended_run(2);

    // The server is killed and stays down over five due times.
    let world = world.crashed();
    world.pass(SignedDuration::from_mins(5 * 60));
    let mut world = world.crashed();
    let run =
        world.until("the run that catches up", |world| world.run(world.engine.find_run(&shop(), 3)).ok());
    let words = run.cause.origin.unwrap().words();
    assert!(words.contains("missed") && words.contains("this one Run makes up for all of them"), "{words}");
    world.ended_run(3);
    assert_eq!(runs(&world), 3);

    // Without the schedule in the file of the default branch nothing more is due.
    world.push(&[("towpath.yaml", "name: shop\non: { push: main }\njobs: { test: { steps: [./test] } }\n")]);
    assert_eq!(world.run(world.engine.standing_triggers(&shop())).unwrap(), []);
}

#[test]
fn inputs_are_checked_before_a_run_is_made_and_reach_its_steps() {
    let mut world = World::start::<41>();
    world.push(&[("towpath.yaml", INPUTS)]);
    world.ended_run(1);
    let start = |pairs: &[(&str, &str)]| {
        let inputs: BTreeMap<String, String> =
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        world.run(world.engine.start_run(&shop(), "", &inputs, &developer()))
    };
    let Err(EngineError::Invalid { reason }) = start(&[("hosts", "many"), ("ghost", "1")]) else {
        panic!("it was started")
    };
    for part in ["`target`", "required", "`many` is not a number", "no input `ghost`"] {
        assert!(reason.contains(part), "{part} is not in: {reason}");
    }
    assert_eq!(runs(&world), 1);
    let run = start(&[("target", "staging"), ("hosts", "7")]).unwrap();
    assert_eq!(run.cause.inputs["hosts"], "7");
    let run = world.ended_run(2);
    assert_eq!((run.state, run.jobs[0].state.word()), (RunState::Passed, "passed"));
    let id = run.jobs[0].attempts[0].id;
    let env = &world.agent.given.iter().find(|given| given.lease.attempt == id).unwrap().env;
    assert_eq!(env["INPUT_TARGET"], "staging");
    assert_eq!(env["INPUT_HOSTS"], "7");
    assert_eq!(env["TOWPATH_EVENT"], "manual");
}

#[test]
fn a_release_of_another_project_starts_a_run_and_a_circle_ends() {
    let mut world = World::start::<42>();
    // `shop` and `base` start each other.
    let pipeline = |own: &str, other: &str| {
        format!(
            "name: {own}\non: {{ push: main, release: {{ project: {other}, versions: 0.* }} }}\n\
             jobs: {{ build: {{ steps: [make], artifacts: {{ a: {{ files: [x] }} }} }} }}\n\
             workloads: {{ a: {{ artifact: a, command: ./x }} }}\n"
        )
    };
    let base = second_project(&world, "base", &pipeline("base", "shop"));
    world.push(&[("towpath.yaml", &pipeline("shop", "base"))]);
    world.until("the end of the circle", |world| (world.count("release-circle") == 1).then_some(()));
    let of_base = world.run(world.engine.runs(Some(&base), None, 50)).unwrap();
    let started = of_base.iter().find(|run| run.cause.event == "release").unwrap();
    assert!(started.cause.origin.as_ref().unwrap().words().starts_with("shop sealed 0.1.0"));
}

/// Makes another Project with one commit, and tells the engine of it.
fn second_project(world: &World, name: &str, pipeline: &str) -> towpath_model::ProjectName {
    let top = world.work().parent().unwrap().to_owned();
    let bare = top.join(format!("git/{name}.git"));
    git(&top, &["init", "-q", "--bare", "-b", "main", bare.to_str().unwrap()]);
    git(&top, &["init", "-q", "-b", "main", name]);
    fs::write(top.join(name).join("towpath.yaml"), pipeline).unwrap();
    git(&top.join(name), &["add", "--all"]);
    git(&top.join(name), &["commit", "-q", "-m", "first"]);
    git(&top.join(name), &["push", "-q", bare.to_str().unwrap(), "main"]);
    let name: towpath_model::ProjectName = name.parse().unwrap();
    let protected_refs = vec!["refs/heads/main".to_owned()];
    let project =
        Project { name: name.clone(), protected_refs, directory: String::new(), created_at: world.now() };
    world.run(world.engine.create_project(&project, &admin())).unwrap();
    let commit = git(&top.join(name.as_str()), &["rev-parse", "HEAD"]);
    let change = RefChange { name: "refs/heads/main".to_owned(), old: None, new: Some(commit) };
    world.run(world.engine.pushed(&name, &[change], &developer().actor())).unwrap();
    name
}
