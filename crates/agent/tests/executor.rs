//! The executor with real processes: time, cancellation, output, what is left behind.

#![allow(clippy::unwrap_used, reason = "a failed helper fails the test")]

mod support;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use support::{Bench, Recorder, eventually, helper, step};
use towpath_agent::executor::{Cancel, CancelReason};
use towpath_agent::processes::{ATTEMPT_MARKER, Marker};
use towpath_agent::sandbox::{Isolation, Watch};
use towpath_api::agent::{AttemptEvent, AttemptOutcome, Secret, StepOrder, StepOutcome};
use towpath_model::AttemptId;

fn bench() -> Bench {
    Bench::new(Isolation::host(&helper(), Watch::Go))
}

fn new_attempt() -> (AttemptId, Marker) {
    let attempt = AttemptId(uuid::Uuid::new_v4());
    (attempt, Marker::new(ATTEMPT_MARKER, &attempt.to_string()))
}

fn outcomes(recorder: &Recorder) -> Vec<StepOutcome> {
    let events = recorder.events.lock().unwrap();
    events
        .iter()
        .filter_map(|event| match event {
            AttemptEvent::StepFinished { outcome, .. } => Some(outcome.clone()),
            _ => None,
        })
        .collect()
}

#[test]
fn runs_steps_in_order_and_collects_outputs() {
    let bench = bench();
    std::fs::write(bench.source().join("file"), "content").unwrap();
    let (ended, recorder) = bench.run(&[
        step("cat file; echo; echo error >&2; echo version=1 >> \"$TOWPATH_OUTPUT\""),
        step("printf 'no line feed'; test \"$CI\" = true; read line && exit 9 || true"),
    ]);
    assert_eq!(ended.outcome, AttemptOutcome::Passed, "{}", ended.message);
    assert_eq!(ended.outputs, BTreeMap::from([("version".to_owned(), "1".to_owned())]));
    let mut lines = recorder.lines.lock().unwrap().clone();
    lines.sort();
    assert_eq!(lines, ["content", "error", "no line feed"]);
}

#[test]
fn what_steps_say_of_places_is_collected_with_who_says_it() {
    let (ended, _) = bench().run(&[
        step("printf '{\"file\":\"a.rs\",\"line\":2,\"message\":\"m\"}' >> \"$TOWPATH_ANNOTATIONS\"; echo '::warning::w'"),
        step("ln -sf /etc/passwd \"$TOWPATH_ANNOTATIONS\"; echo ':: no annotation'; echo '::error::e' >&2; exit 3"),
    ]);
    assert_eq!(ended.outcome, AttemptOutcome::Failed);
    let said = String::from_utf8(ended.annotations).unwrap();
    let step = "{\"source\":\"step\"}\n";
    let first = format!("{step}::warning::w\n{{\"file\":\"a.rs\",\"line\":2,\"message\":\"m\"}}\n");
    assert_eq!(said, format!("{first}{step}::error::e\n"), "a link was followed, or a line lost");
}

#[test]
fn a_failed_step_skips_the_rest_except_what_always_runs() {
    let clean_up = StepOrder { always: true, ..step("echo cleaned") };
    let (ended, recorder) = bench().run(&[step("false; echo not reached"), step("echo skipped"), clean_up]);
    assert_eq!(ended.outcome, AttemptOutcome::Failed);
    assert_eq!(ended.message, "step `step` failed with exit code 1");
    assert_eq!(
        outcomes(&recorder),
        [StepOutcome::Failed { code: 1 }, StepOutcome::Skipped, StepOutcome::Passed]
    );
    assert_eq!(recorder.text(), "cleaned");
}

#[test]
fn the_environment_of_the_agent_stays_outside() {
    // The test harness has CARGO_MANIFEST_DIR set for every test.
    let (ended, recorder) = bench().run(&[step("echo \"<${CARGO_MANIFEST_DIR-unset}>\"")]);
    assert_eq!(ended.outcome, AttemptOutcome::Passed);
    assert_eq!(recorder.text(), "<unset>");
}

#[test]
fn a_step_that_ignores_term_is_killed_when_its_time_is_up() {
    let (attempt, marker) = new_attempt();
    let slow =
        StepOrder { timeout_ms: Some(100), ..step("trap '' TERM; echo started; while :; do sleep 1; done") };
    let recorder = Recorder::default();
    let begun = Instant::now();
    let ended = bench().run_with(attempt, &[slow, step("echo never")], &Cancel::new(), &recorder);
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert_eq!(ended.outcome, AttemptOutcome::TimedOut);
    assert_eq!(outcomes(&recorder), [StepOutcome::TimedOut, StepOutcome::Skipped]);
    assert!(ended.message.contains("0.100 s"), "{}", ended.message);
    assert_eq!(marker.processes(), []);
}

#[test]
fn cancelling_ends_everything_and_lets_it_clean_up() {
    let bench = bench();
    let (attempt, marker) = new_attempt();
    let cancel = Cancel::new();
    let recorder = Recorder::default();
    let script = step("trap 'echo bye; exit 7' TERM; sleep 1000 & echo ready; wait");
    let ended = std::thread::scope(|scope| {
        let run = scope.spawn(|| bench.run_with(attempt, std::slice::from_ref(&script), &cancel, &recorder));
        eventually("the step is ready", || recorder.text().contains("ready"));
        cancel.cancel(CancelReason::Cancelled("ann pressed cancel".to_owned()));
        run.join().unwrap()
    });
    assert_eq!(ended.outcome, AttemptOutcome::Cancelled);
    assert!(recorder.text().contains("bye"), "{}", recorder.text());
    assert!(ended.message.contains("ann pressed cancel"));
    assert_eq!(marker.processes(), []);
}

#[test]
fn nothing_stays_running_that_left_session_and_group() {
    let (attempt, marker) = new_attempt();
    let recorder = Recorder::default();
    let daemon = step(
        "setsid sh -c 'setsid sleep 1000 >/dev/null 2>&1 & sleep 1000' >/dev/null 2>&1 & sleep 0.1; echo done",
    );
    let ended = bench().run_with(attempt, &[daemon], &Cancel::new(), &recorder);
    assert_eq!(ended.outcome, AttemptOutcome::Passed);
    assert_eq!(marker.processes(), []);
}

#[test]
fn a_background_process_that_holds_the_pipe_does_not_stall_the_step() {
    let begun = Instant::now();
    let (ended, recorder) = bench().run(&[step("setsid sleep 1000 & echo done")]);
    assert_eq!(ended.outcome, AttemptOutcome::Passed);
    assert_eq!(recorder.text(), "done");
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_gigabyte_of_output_keeps_its_beginning_and_its_end() {
    let mut bench = bench();
    bench.runner.limits.log_bytes = 1 << 20;
    let (ended, recorder) = bench.run(&[
        step("echo first; head -c 1000000000 /dev/zero | tr '\\0' x | fold -w 100; echo; echo last"),
        step("echo next step"),
    ]);
    assert_eq!(ended.outcome, AttemptOutcome::Passed, "{}", ended.message);
    let lines = recorder.lines.lock().unwrap();
    let bytes: usize = lines.iter().map(String::len).sum();
    assert!(bytes < 2 << 20, "{bytes} bytes of log");
    assert_eq!(lines.first().unwrap(), "first");
    assert!(lines.iter().any(|line| line.contains("1.0 GB left out")));
    assert_eq!(lines[lines.len() - 2..], ["last", "next step"]);
}

#[test]
fn secrets_are_masked() {
    let mut bench = bench();
    bench.secrets.insert("TOKEN".to_owned(), Secret::new("hunter2-hunter2".to_owned()));
    let (_, recorder) = bench.run(&[step(
        "echo \"a $TOKEN b\"; printf hunter2-; sleep 0.05; echo hunter2; printf $TOKEN | base64",
    )]);
    assert_eq!(recorder.text().replace("==", "").replace('=', ""), "a **** b\n****\n****");
}

#[test]
fn refuses_directories_outside_and_says_which_step() {
    let outside = StepOrder { directory: Some("../..".to_owned()), ..step("true") };
    let (ended, _) = bench().run(&[outside]);
    assert_eq!(ended.outcome, AttemptOutcome::Errored);
    assert!(ended.message.contains("leads out of the workspace"), "{}", ended.message);
}
