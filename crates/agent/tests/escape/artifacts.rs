//! Having the agent collect what the Step could not read.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use towpath_agent::executor::Cancel;
use towpath_agent::local::{LocalEnd, LocalJob, SourceTree};
use towpath_api::agent::{ArtifactOrder, AttemptOutcome};
use towpath_artifact::{ContentStore, extract, unpack};
use towpath_model::AttemptId;
use towpath_model::reports::ReportDeclaration;

use crate::support::{Bench, Recorder, step};
use crate::walls;

/// Runs `script`, collects `files`, and gives how it ended and what it said.
fn collect(bench: &Bench, script: &str, files: &[&str]) -> (LocalEnd, String) {
    let source = SourceTree::list(&bench.source()).unwrap();
    let orders = [ArtifactOrder {
        name: "loot".parse().unwrap(),
        files: files.iter().map(|&file| file.to_owned()).collect(),
        image: None,
    }];
    let (none, secrets) = (BTreeMap::new(), BTreeMap::new());
    let recorder = Recorder::default();
    let job = LocalJob {
        attempt: AttemptId(uuid::Uuid::new_v4()),
        title: "shop#1 test",
        source: &source,
        directory: "",
        steps: &[step(script)],
        env: &none,
        secrets: &secrets,
        inputs: &[],
        artifacts: &orders,
        reports: &ReportDeclaration::junit(&["report.xml".to_owned()]),
        containers: &Default::default(),
        network: true,
        limits: Default::default(),
        reuse: &Default::default(),
        timeout: Duration::from_secs(20),
    };
    let end = bench.runner.run_job(&job, &Cancel::new(), &recorder);
    let said = format!("{} {}", end.ended.message, recorder.text());
    (end, said)
}

/// Everything that was collected, as text.
fn loot(bench: &Bench, end: &LocalEnd) -> String {
    let Some(manifest) = end.artifacts.values().next() else { return String::new() };
    let store = ContentStore::open(&bench.runner.artifacts).unwrap();
    let into = tempfile::tempdir().unwrap();
    unpack(*manifest, &store, into.path(), extract::Limits::default()).unwrap();
    let mut text = String::new();
    let mut open = vec![into.path().to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory).unwrap().flatten() {
            if entry.file_type().unwrap().is_dir() {
                open.push(entry.path());
            } else {
                text.push_str(&fs::read_to_string(entry.path()).unwrap_or_default());
            }
        }
    }
    text
}

fn must_not_collect(script: impl Fn(&Bench) -> String, files: &[&str]) {
    for isolation in walls() {
        let name = isolation.name();
        let bench = Bench::new(isolation);
        let (end, said) = collect(&bench, &script(&bench), files);
        assert!(!loot(&bench, &end).contains("top secret"), "{name}: the secret was collected: {said}");
        assert!(!said.contains("timed out"), "{name}: {said}");
    }
}

#[test]
fn a_link_to_a_file_outside() {
    for files in [&["loot/*"][..], &["loot/key"], &["loot/**"], &["loot"]] {
        must_not_collect(
            |bench| {
                format!(
                    "mkdir loot; echo x >loot/own; ln -s {}/keys/release.key loot/key",
                    bench.data().display()
                )
            },
            files,
        );
    }
}

#[test]
fn a_link_to_a_directory_outside() {
    for files in [&["loot/**"][..], &["loot/keys/*"], &["loot/keys/release.key"]] {
        must_not_collect(
            |bench| format!("mkdir loot; echo x >loot/own; ln -s {}/keys loot/keys", bench.data().display()),
            files,
        );
    }
}

#[test]
fn a_hard_link_to_a_file_outside() {
    must_not_collect(
        |bench| {
            format!(
                "mkdir loot; echo x >loot/own; ln {}/keys/release.key loot/key || true",
                bench.data().display()
            )
        },
        &["loot/*"],
    );
}

#[test]
fn a_pipe_on_which_the_collector_would_wait() {
    for files in [&["loot/*"][..], &["loot/pipe"]] {
        must_not_collect(|_| "mkdir loot; echo x >loot/own; mkfifo loot/pipe".to_owned(), files);
    }
}

#[test]
fn a_link_to_a_file_of_the_kernel() {
    must_not_collect(
        |_| {
            "mkdir loot; echo x >loot/own; ln -s /proc/self/environ loot/env; ln -s /dev/zero loot/zero"
                .to_owned()
        },
        &["loot/*"],
    );
}

/// A report is read by the agent, which can read more than the Step.
#[test]
fn a_report_that_is_a_link_to_a_file_outside() {
    for isolation in walls() {
        let bench = Bench::new(isolation);
        let foreign = bench.root.path().join("foreign.xml");
        fs::write(&foreign, "<testsuite><testcase name='of the host'/></testsuite>").unwrap();
        fs::write(bench.source().join("own"), "x").unwrap();
        let (end, said) = collect(&bench, &format!("ln -s {} report.xml", foreign.display()), &["own"]);
        assert_eq!(end.tests, None, "{said}");
        assert_eq!(end.ended.outcome, AttemptOutcome::Passed, "{said}");
        let (end, said) = collect(&bench, "mkfifo report.xml", &["own"]);
        assert_eq!((end.tests, end.ended.outcome), (None, AttemptOutcome::Passed), "{said}");
    }
}
