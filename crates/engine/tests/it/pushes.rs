//! Pushes: good, broken, hostile, at once, told twice.

use std::os::unix::fs::symlink;

use towpath_model::run::RunState;

use crate::world::{PIPELINE, World, developer, shop};

#[test]
fn a_broken_pipeline_is_explained_to_the_pusher() {
    let world = World::start::<10>();
    let lines =
        world.push(&[("towpath.yaml", "name: shop\njobz: {}\njobs: { a: { needs: [b], steps: [x] } }\n")]);
    let text = lines.join("\n");
    for wanted in ["towpath.yaml:2", "jobz", "`jobs`", "`b`"] {
        assert!(text.contains(wanted), "{wanted} is missing in:\n{text}");
    }
    assert_eq!(world.find_run(1).state, RunState::Invalid);
}

#[test]
fn a_pipeline_file_that_is_a_link_is_refused() {
    let world = World::start::<11>();
    symlink("/etc/passwd", world.work().join("towpath.yaml")).unwrap();
    let text = world.push(&[("other", "x")]).join("\n");
    assert!(text.contains("towpath.yaml is a symbolic link, not a plain file"), "{text}");
    assert_eq!(world.find_run(1).state, RunState::Invalid);
}

#[test]
fn a_commit_without_a_pipeline_is_explained() {
    let world = World::start::<12>();
    let text = world.push(&[("other", "x")]).join("\n");
    assert!(text.contains("`towpath init` writes one"), "{text}");
}

#[test]
fn a_push_told_twice_starts_one_run() {
    let world = World::start::<13>();
    world.commit(&[("towpath.yaml", PIPELINE)]);
    let change = world.push_to_git();
    assert!(!world.tell(&change).is_empty());
    assert!(world.tell(&change).is_empty());
    assert_eq!(world.run(world.engine.runs(Some(&shop()), None, 10)).unwrap().len(), 1);
}

#[test]
fn two_pushes_at_once_start_two_runs_and_the_newer_commit_stays_known() {
    let world = World::start::<14>();
    world.commit(&[("towpath.yaml", PIPELINE)]);
    let older = world.push_to_git();
    world.commit(&[("greeting", "two")]);
    let newer = world.push_to_git();
    let actor = developer().actor();
    // The engine hears of them in the wrong order, and at once.
    let project = shop();
    let both = async {
        let newer = [newer.clone()];
        let older = [older.clone()];
        tokio::join!(
            world.engine.pushed(&project, &newer, &actor),
            world.engine.pushed(&project, &older, &actor)
        )
    };
    let (first, second) = world.run(both);
    assert!(!first.unwrap().is_empty() && !second.unwrap().is_empty());
    assert_eq!(world.run(world.engine.runs(Some(&shop()), None, 10)).unwrap().len(), 2);
    let known = world.run(async {
        let mut reader = world.engine.db().reader().await.unwrap();
        towpath_store::git_refs::of_project(&mut reader, "shop").await.unwrap()
    });
    assert_eq!(known, [("refs/heads/main".to_owned(), newer.new.unwrap())]);
}

#[test]
fn an_unprotected_branch_seals_nothing() {
    let mut world = World::start::<15>();
    world.commit(&[("towpath.yaml", &PIPELINE.replace("branches: [main]", "branches: ['*']"))]);
    let mut change = world.push_to_git();
    let bare = world.work().join("../git/shop.git");
    crate::world::git(&bare, &["update-ref", "refs/heads/feature", change.new.as_deref().unwrap()]);
    change.name = "refs/heads/feature".to_owned();
    let lines = world.tell(&change);
    assert!(lines.iter().any(|line| line.contains("no Release")), "{lines:?}");
    let run = world.ended_run(1);
    assert_eq!((run.state, run.release), (RunState::Passed, None));
}
