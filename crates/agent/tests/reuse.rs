//! Caches, Steps that are left out, and workspaces, with real Steps and a real directory of entries.

#![allow(clippy::unwrap_used, reason = "a failed helper fails the test")]

mod support;

use std::fs;
use std::path::PathBuf;

use support::{Bench, Recorder, step};
use towpath_agent::executor::Cancel;
use towpath_agent::reuse::{Depot as _, LocalDepot};
use towpath_agent::sandbox::{Isolation, Watch};
use towpath_api::agent::{AttemptOutcome, Secret, StepOrder};
use towpath_api::reuse::{CacheOrder, Find, KeyOrder, ResumeOrder};
use towpath_model::reuse::{EntryKind, KeepWorkspace, Save, StepInputs};
use towpath_model::{AttemptId, Digest};

fn bench() -> Bench {
    let bench = Bench::new(Isolation::host(&support::helper(), Watch::Go));
    fs::write(bench.source().join("Cargo.lock"), "one").unwrap();
    bench
}

fn cache(save: Save) -> CacheOrder {
    CacheOrder {
        key: vec![KeyOrder::Text("cargo".to_owned()), KeyOrder::Files(vec!["Cargo.lock".to_owned()])],
        restore: vec!["cargo-".to_owned()],
        paths: vec!["deps".to_owned()],
        save,
    }
}

fn log(bench: &Bench, steps: &[StepOrder]) -> (AttemptOutcome, String) {
    let (ended, recorder) = bench.run(steps);
    (ended.outcome, recorder.text())
}

#[track_caller]
fn has(text: &str, wanted: &str) {
    assert!(text.contains(wanted), "{wanted:?} is not in:\n{text}");
}

#[test]
fn a_cache_is_saved_restored_and_says_why_it_missed() {
    let mut bench = bench();
    bench.reuse.caches = vec![cache(Save::OnSuccess)];
    let build = [step(
        "test -e deps/lib && cat deps/lib; mkdir -p deps && echo $((1 + $(cat deps/lib 2>/dev/null || echo 0))) > deps/lib",
    )];
    let (_, first) = log(&bench, &build);
    has(&first, "missed: nothing was saved yet");
    has(&first, "saved: 1 files");
    let (_, second) = log(&bench, &build);
    has(&second, "restored: 1 files");
    assert!(second.lines().any(|line| line == "1") && !second.contains("saved:"), "{second}");
    fs::write(bench.source().join("Cargo.lock"), "two").unwrap();
    let (_, third) = log(&bench, &build);
    has(&third, "restored from the older `cargo-");
    has(&third, "`Cargo.lock` changed (");
    assert!(third.lines().any(|line| line == "1"), "{third}");
    let (_, fourth) = log(&bench, &build);
    assert!(fourth.lines().any(|line| line == "2"), "{fourth}");
}

#[test]
fn a_failed_job_saves_only_what_asks_for_it() {
    let mut bench = bench();
    let failing = [step("mkdir deps; echo x > deps/x; exit 3")];
    bench.reuse.caches = vec![cache(Save::OnSuccess)];
    let (outcome, text) = log(&bench, &failing);
    assert_eq!(outcome, AttemptOutcome::Failed);
    assert!(!text.contains("saved:"), "{text}");
    bench.reuse.caches = vec![cache(Save::Always)];
    has(&log(&bench, &failing).1, "saved: 1 files");
    bench.reuse.caches = vec![cache(Save::Never)];
    has(&log(&bench, &[step("cat deps/x")]).1, "restored: 1 files");
}

#[test]
fn a_file_with_a_secret_is_never_kept() {
    let mut bench = bench();
    bench.secrets.insert("TOKEN".to_owned(), Secret::new("hunter2hunter2".to_owned()));
    bench.reuse.caches = vec![cache(Save::OnSuccess)];
    let (_, text) =
        log(&bench, &[step("mkdir deps; echo token=$TOKEN > deps/.npmrc; echo fine > deps/fine")]);
    has(&text, "leaves out .npmrc (a secret is in it)");
    has(&log(&bench, &[step("ls -A deps")]).1, "restored: 1 files");
}

/// A Step that counts, in a file outside, how often it really ran.
fn counting(bench: &Bench, script: &str, verify: u32) -> (StepOrder, PathBuf) {
    let count = bench.root.path().join("count");
    let inputs = StepInputs {
        files: vec!["src/**".to_owned()],
        env: vec!["MODE".to_owned()],
        outputs: vec!["dist".to_owned()],
        verify,
    };
    let run = format!("echo ran >> {}; {script}", count.display());
    (StepOrder { inputs: Some(inputs), ..step(&run) }, count)
}

fn runs(count: &PathBuf) -> usize {
    fs::read_to_string(count).unwrap_or_default().lines().count()
}

#[test]
fn a_step_whose_inputs_are_the_same_is_left_out_and_its_outputs_are_there() {
    let mut bench = bench();
    fs::create_dir(bench.source().join("src")).unwrap();
    fs::write(bench.source().join("src/a"), "a").unwrap();
    let (build, count) =
        counting(&bench, "mkdir -p dist/old; cp src/a dist/out; echo version=7 >> $TOWPATH_OUTPUT", 0);
    let steps = [build, step("cat dist/out; echo; ls dist")];
    has(&log(&bench, &steps).1, "runs: nothing was saved yet");
    let (ended, recorder) = bench.run(&steps);
    has(&recorder.text(), "was left out: nothing that it reads has changed");
    assert_eq!((runs(&count), ended.outputs["version"].as_str()), (1, "7"));
    has(&recorder.text(), "\na\nold\nout");
    // A file that it does not read changes nothing; one that it does, or its environment, runs it again.
    fs::write(bench.source().join("README"), "x").unwrap();
    log(&bench, &steps);
    assert_eq!(runs(&count), 1);
    fs::write(bench.source().join("src/b"), "b").unwrap();
    has(&log(&bench, &steps).1, "`src/b` is new");
    bench.env.insert("MODE".to_owned(), "fast".to_owned());
    has(&log(&bench, &steps).1, "`env MODE` changed");
    assert_eq!(runs(&count), 3);
}

#[test]
fn a_sampled_step_runs_anyway_and_shows_that_it_is_not_deterministic() {
    let bench = bench();
    fs::create_dir(bench.source().join("src")).unwrap();
    fs::write(bench.source().join("src/a"), "a").unwrap();
    let (same, count) = counting(&bench, "mkdir -p dist; cp src/a dist/out", 1000);
    log(&bench, std::slice::from_ref(&same));
    has(&log(&bench, &[same]).1, "made the same outputs");
    assert_eq!(runs(&count), 2);
    let (other, count) = counting(&bench, "mkdir -p dist; date +%N > dist/out; echo x > dist/same", 1000);
    log(&bench, std::slice::from_ref(&other));
    has(&log(&bench, &[other]).1, "is not deterministic: with the same inputs it made other outputs");
    assert_eq!(runs(&count), 4);
}

#[test]
fn a_step_that_changes_its_inputs_is_not_kept() {
    let bench = bench();
    fs::create_dir(bench.source().join("src")).unwrap();
    fs::write(bench.source().join("src/a"), "a").unwrap();
    let (step, count) = counting(&bench, "mkdir dist; echo y > dist/y; echo generated > src/generated", 0);
    has(&log(&bench, std::slice::from_ref(&step)).1, "it changed its own inputs");
    log(&bench, &[step]);
    assert_eq!(runs(&count), 2);
}

/// What an Attempt left after a Step.
fn workspace(bench: &Bench, attempt: AttemptId, step: u32) -> Option<Digest> {
    let depot = LocalDepot::open(bench.runner.kept.as_deref().unwrap()).unwrap();
    let find = Find {
        fence: 0,
        kind: EntryKind::Workspace,
        space: attempt.to_string(),
        key: step.to_string(),
        parts: Vec::new(),
        restore: Vec::new(),
        step: None,
    };
    depot.find(find).unwrap().entry.map(|entry| entry.snapshot)
}

#[test]
fn a_failed_attempt_goes_on_from_the_step_that_failed() {
    let mut bench = bench();
    bench.reuse.workspace = KeepWorkspace::OnFailure;
    let attempt = AttemptId(uuid::Uuid::new_v4());
    let steps = [step("echo expensive > made; mkdir -p deep/er; ln -s made link"), step("cat made; exit 7")];
    let recorder = Recorder::default();
    let ended = bench.run_with(attempt, &steps, &Cancel::new(), &recorder);
    assert_eq!(ended.outcome, AttemptOutcome::Failed);
    let snapshot = workspace(&bench, attempt, 0).unwrap();
    bench.reuse.resume = Some(ResumeOrder { snapshot, from: 1, title: "attempt 1, after step 1".to_owned() });
    let edited = [step("echo must not run; exit 9"), step("cat link; test -d deep/er")];
    let (outcome, text) = log(&bench, &edited);
    assert_eq!(outcome, AttemptOutcome::Passed, "{text}");
    has(&text, "goes on from the workspace of attempt 1, after step 1");
    has(&text, "expensive");
}

#[test]
fn a_failed_attempt_goes_on_after_a_step_that_was_left_out() {
    let mut bench = bench();
    bench.reuse.workspace = KeepWorkspace::OnFailure;
    fs::create_dir(bench.source().join("src")).unwrap();
    fs::write(bench.source().join("src/a"), "a").unwrap();
    let (build, count) = counting(&bench, "mkdir -p dist; cp src/a dist/out", 0);
    let steps = [build, step("exit 7")];
    log(&bench, &steps);
    let attempt = AttemptId(uuid::Uuid::new_v4());
    let recorder = Recorder::default();
    bench.run_with(attempt, &steps, &Cancel::new(), &recorder);
    has(&recorder.text(), "was left out");
    assert_eq!(runs(&count), 1);
    assert!(workspace(&bench, attempt, 0).is_some(), "{}", recorder.text());
}
