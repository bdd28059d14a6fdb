//! Files that a pipeline includes: its own, and those that another Project shares.

use std::path::Path;

use towpath_model::run::RunState;
use towpath_store::core::projects::Project;

use crate::world::{World, admin, git};

/// Makes the Project `platform` with a branch that is protected and one that is not. Says a commit of each.
pub fn platform(world: &World) -> (String, String) {
    let directory = world.work().parent().unwrap().to_owned();
    git(&directory, &["init", "-q", "--bare", "-b", "main", "git/platform.git"]);
    git(&directory, &["init", "-q", "-b", "main", "platform"]);
    let project = Project {
        name: "platform".parse().unwrap(),
        protected_refs: vec!["refs/heads/main".to_owned()],
        directory: String::new(),
        created_at: world.now(),
    };
    world.run(world.engine.create_project(&project, &admin())).unwrap();
    let clone = directory.join("platform");
    let push = |branch: &str, files: &[(&str, &str)]| push(&clone, &directory, branch, files);
    let main = push(
        "main",
        &[
            ("shared.yaml", "share: [shop]\njobs: { scan: { steps: [scan] } }\n"),
            ("secret.yaml", "share: [other]\njobs: { hidden: { steps: [hidden] } }\n"),
        ],
    );
    let topic = push("topic", &[("shared.yaml", "share: all\njobs: { evil: { steps: [evil] } }\n")]);
    (main, topic)
}

fn push(clone: &Path, directory: &Path, branch: &str, files: &[(&str, &str)]) -> String {
    for (path, text) in files {
        std::fs::write(clone.join(path), text).unwrap();
    }
    git(clone, &["add", "--all"]);
    git(clone, &["commit", "-q", "-m", "a change"]);
    let bare = directory.join("git/platform.git");
    git(clone, &["push", "-q", bare.to_str().unwrap(), &format!("HEAD:refs/heads/{branch}")]);
    git(clone, &["rev-parse", "HEAD"])
}

/// A pipeline that includes one file.
fn including(include: &str) -> String {
    format!("name: shop\ninclude: [{include}]\njobs: {{ test: {{ steps: [make] }} }}\n")
}

#[test]
fn own_files_and_shared_ones_become_part_of_the_run() {
    let world = World::start::<73>();
    let (main, _) = platform(&world);
    let shared = format!("own.yaml, {{ project: platform, file: shared.yaml, commit: {main} }}");
    let own = "jobs: { lint: { matrix: { os: [linux, mac] }, steps: [lint] } }\n";
    let lines = world.push(&[("own.yaml", own), ("towpath.yaml", &including(&shared))]);
    let run = world.find_run(1);
    let jobs: Vec<&str> = run.jobs.iter().map(|job| job.name.as_str()).collect();
    assert_eq!(jobs, ["test", "lint-linux", "lint-mac", "scan"], "{lines:?}");
}

#[test]
fn what_is_not_shared_or_not_protected_cannot_be_told_from_what_is_not_there() {
    let world = World::start::<74>();
    let (main, topic) = platform(&world);
    let refused = |number: u64, file: &str, project: &str, commit: &str| {
        let include = format!("{{ project: {project}, file: {file}, commit: {commit} }}");
        let text = world.push(&[("towpath.yaml", &including(&include))]).join("\n");
        assert_eq!(world.find_run(number).state, RunState::Invalid, "{text}");
        let wanted = format!("project `{project}` shares no file `{file}` with this one at that commit");
        assert!(text.contains(&wanted), "{text}");
        assert!(!text.contains("hidden"), "{text}");
        text.lines().find(|line| line.contains("shares no file")).unwrap().replace(file, "FILE")
    };
    let not_shared = refused(1, "secret.yaml", "platform", &main);
    let not_there = refused(2, "nothing.yaml", "platform", &main);
    assert_eq!(not_shared, not_there);
    refused(3, "shared.yaml", "platform", &topic);
    refused(4, "shared.yaml", "platform", &"0".repeat(40));
    refused(5, "shared.yaml", "nobody", &main);
}

/// Whose a file is decides who asks, and not what the file of whoever asks calls itself.
#[test]
fn a_pipeline_that_takes_another_name_gets_nothing_of_it() {
    let world = World::start::<75>();
    let (main, _) = platform(&world);
    let stolen = format!("{{ project: platform, file: secret.yaml, commit: {main} }}");
    let text = world.push(&[("towpath.yaml", &including(&stolen).replace("name: shop", "name: other"))]);
    assert_eq!(world.find_run(1).state, RunState::Invalid, "{text:?}");
    let text = text.join("\n");
    assert!(text.contains("shares no file `secret.yaml`") && !text.contains("hidden"), "{text}");
}
