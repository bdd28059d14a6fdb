//! Using up what others need.

use towpath_agent::sandbox::Isolation;
use towpath_api::agent::AttemptOutcome;
use towpath_model::JobLimits;

use crate::support::{Bench, step};
use crate::{SIGN, unconfined, walls};

/// Runs `script` under `limits` everywhere, and without them once as the control.
fn must_be_stopped(limits: JobLimits, script: &str, word: &str, counted: fn(&Isolation) -> bool) {
    let (_, recorder) = Bench::new(unconfined()).run(&[step(script)]);
    assert!(recorder.text().contains(SIGN), "without a limit it must come through: {}", recorder.text());
    for isolation in walls().into_iter().chain([unconfined()]) {
        let name = isolation.name();
        if !counted(&isolation) {
            eprintln!("SKIPPED: this host has no control groups that tests may use ({name})");
            continue;
        }
        let mut bench = Bench::new(isolation);
        bench.job_limits = limits;
        let (ended, recorder) = bench.run(&[step(script)]);
        let said = format!("{name}: {ended:?}\n{}", recorder.text());
        assert!(!recorder.text().contains(SIGN), "it came through {said}");
        assert_eq!(ended.outcome, AttemptOutcome::Failed, "{said}");
        assert!(said.contains(word), "{said}");
    }
}

fn has_groups(isolation: &Isolation) -> bool {
    isolation.means().groups.is_some()
}

#[test]
fn fork_bomb() {
    let limits = JobLimits { processes: Some(40), ..JobLimits::default() };
    let script = "i=0; while [ $i -lt 120 ]; do sleep 20 & i=$((i+1)); done; echo ESCAPED; kill $(jobs -p)";
    must_be_stopped(limits, script, "more processes than the 40 allowed were refused", has_groups);
}

#[test]
fn memory_bomb() {
    let limits = JobLimits { memory: Some(48 << 20), ..JobLimits::default() };
    // `tail` keeps the whole of a line without end.
    let script =
        "n=$(head -c 200000000 /dev/zero | tail | wc -c); [ \"$n\" = 200000000 ] || exit 9; echo ESCAPED";
    must_be_stopped(limits, script, "killed at the limit of 48 MiB of memory", has_groups);
}

#[test]
fn disk_bomb_in_one_file() {
    let limits = JobLimits { disk: Some(10_000_000), ..JobLimits::default() };
    let script = "head -c 30000000 /dev/zero >big; echo ESCAPED";
    must_be_stopped(limits, script, "step", |_| true);
}

#[test]
fn disk_bomb_in_many_files() {
    let limits = JobLimits { disk: Some(10_000_000), ..JobLimits::default() };
    let script = "i=0; while [ $i -lt 60 ]; do head -c 1000000 /dev/zero >f$i; i=$((i+1)); sleep 0.05; done; echo ESCAPED";
    must_be_stopped(limits, script, "more than `limits.disk` allows (10 MB)", |_| true);
}

#[test]
fn a_limit_that_cannot_be_kept_is_refused() {
    for isolation in walls() {
        let mut bench = Bench::new(isolation.clone());
        bench.job_limits.cpu = Some(500);
        let (ended, recorder) = bench.run(&[step("echo ran")]);
        if has_groups(&isolation) {
            assert_eq!(ended.outcome, AttemptOutcome::Passed, "{}", ended.message);
        } else {
            assert_eq!(ended.outcome, AttemptOutcome::Errored);
            assert!(ended.message.contains("`limits.cpu`"), "{}", ended.message);
            assert_eq!(recorder.text(), "");
        }
    }
}
