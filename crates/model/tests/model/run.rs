//! Runs: needs, retries by kind and by round, concurrency groups, cancelling and trying again.

use std::collections::{BTreeMap, BTreeSet};

use towpath_model::Digest;
use towpath_model::RunId;
use towpath_model::attempt::{AttemptReport, AttemptState, Finished};
use towpath_model::pipeline::{
    Condition, EnvValue, Executor, Job, Network, Pipeline, Retry, RunWhen, Triggers,
};
use towpath_model::run::{
    Admission, Cause, Evaluator, Handled, JobState, NewRun, Run, RunEffect, RunEvent, RunState, Scope, Trust,
};
use towpath_model::timeline::Actor;

use crate::fixture::{agent, seconds, start, user};

pub struct Never;

impl Evaluator for Never {
    fn holds(&self, _: &Condition, _: &Scope<'_>) -> Result<bool, String> {
        Ok(false)
    }
    fn value(&self, value: &EnvValue, _: &Scope<'_>) -> Result<String, String> {
        Ok(value.0.clone())
    }
    fn matches(&self, pattern: &str, text: &str) -> bool {
        text.contains(pattern)
    }
}

pub fn job(name: &str, needs: &[&str], group: Option<&str>) -> Job {
    Job {
        name: name.parse().expect("a name"),
        needs: needs.iter().map(|need| need.parse().expect("a name")).collect(),
        optional_needs: BTreeSet::new(),
        run_when: RunWhen::AllPassed,
        paths: Vec::new(),
        condition: None,
        env: BTreeMap::new(),
        secrets: Vec::new(),
        steps: Vec::new(),
        artifacts: Vec::new(),
        reports: Vec::new(),
        runs_on: BTreeMap::new(),
        executor: Executor::Sandbox,
        image: None,
        services: Vec::new(),
        network: Network::Full,
        limits: Default::default(),
        timeout: seconds(60),
        retry: Retry { attempts: 2, attempts_lost: 2, ..Retry::default() },
        concurrency: group.map(str::to_owned),
        concurrency_limit: 1,
        priority: Job::DEFAULT_PRIORITY,
        allow_failure: false,
        cell: None,
        caches: Vec::new(),
        workspace: Default::default(),
    }
}

pub fn new_run(number: u64, commit: &str, trust: Trust, jobs: Vec<Job>) -> NewRun {
    let pipeline = Pipeline {
        name: "shop".parse().expect("a name"),
        triggers: Triggers::default(),
        env: BTreeMap::new(),
        cancel_superseded: true,
        jobs,
        workloads: Vec::new(),
        databases: Vec::new(),
        stages: Vec::new(),
    };
    let cause = Cause {
        event: "push".to_owned(),
        reference: "refs/heads/main".to_owned(),
        commit: commit.to_owned(),
        subject: String::new(),
        author: String::new(),
        makers: Vec::new(),
        actor: Actor::Towpath,
        inputs: BTreeMap::new(),
        origin: None,
    };
    NewRun {
        id: RunId(uuid::Uuid::from_u128(number.into())),
        project: "shop".parse().expect("a name"),
        number,
        directory: String::new(),
        cause,
        trust,
        pipeline: Ok((pipeline, Digest::of(b"file"))),
        admission: Admission::Free,
    }
}

fn run(jobs: Vec<Job>) -> Run {
    let (mut run, _handled) = Run::start(new_run(1, &"0".repeat(40), Trust::Internal, jobs), start());
    let _queued =
        send(&mut run, RunEvent::SourcePrepared { source: Digest::of(b"source"), bases: BTreeMap::new() });
    run
}

fn send(run: &mut Run, event: RunEvent) -> Handled<RunEffect> {
    run.handle(event, &Never, start())
}

/// Ends the newest Attempt of a Job.
fn end(run: &mut Run, index: usize, state: AttemptState) {
    let attempt = run.jobs[index].attempts.last().expect("an Attempt").id;
    let _leased = send(run, RunEvent::AttemptLeased { attempt, agent: agent(1), fence: 1 });
    let event = if state == AttemptState::Lost {
        RunEvent::AttemptLost { attempt, fence: 1, message: "silence".to_owned() }
    } else {
        let report = AttemptReport::Finished(Finished {
            state,
            message: state.word().to_owned(),
            outputs: BTreeMap::new(),
            artifacts: BTreeMap::new(),
            tests: None,
            reports: Vec::new(),
            log_bytes: 0,
        });
        RunEvent::AttemptReported { attempt, fence: 1, sequence: 1, at: start(), report }
    };
    let _once = send(run, event.clone());
    let after = run.clone();
    let _twice = send(run, event);
    assert_eq!(*run, after, "an end that came twice changed something");
}

#[test]
fn a_job_waits_for_what_it_needs_and_is_skipped_after_a_failure() {
    let mut run = run(vec![job("test", &[], None), job("build", &["test"], None)]);
    assert_eq!(run.jobs[1].state, JobState::Blocked);
    end(&mut run, 0, AttemptState::Failed);
    end(&mut run, 0, AttemptState::Failed);
    assert_eq!((run.jobs[0].state, run.jobs[1].state), (JobState::Failed, JobState::Skipped));
    assert_eq!(run.state, RunState::Failed);
}

#[test]
fn failures_and_losses_are_counted_apart_and_never_without_end() {
    let mut run = run(vec![job("test", &[], None)]);
    let states = [AttemptState::Lost, AttemptState::Failed, AttemptState::Lost];
    for state in states {
        end(&mut run, 0, state);
    }
    assert_eq!(run.jobs[0].state, JobState::Failed, "{:?}", run.jobs[0]);
    assert_eq!(run.jobs[0].attempts.len(), 3);
}

#[test]
fn another_try_begins_with_fresh_retries() {
    let mut run = run(vec![job("test", &[], None)]);
    end(&mut run, 0, AttemptState::Failed);
    end(&mut run, 0, AttemptState::Failed);
    let _queued = send(&mut run, RunEvent::RerunRequested { actor: user("bob") });
    end(&mut run, 0, AttemptState::Failed);
    assert_eq!(run.jobs[0].state, JobState::Active);
    end(&mut run, 0, AttemptState::Passed);
    assert_eq!(run.state, RunState::Passed);
}

#[test]
fn a_group_that_is_freed_twice_lets_one_in() {
    let mut run = run(vec![job("a", &[], Some("db")), job("b", &[], Some("db"))]);
    for _ in 0..2 {
        let _granted = send(&mut run, RunEvent::GroupFreed { group: "db".to_owned() });
    }
    assert_eq!((run.jobs[0].state, run.jobs[1].state), (JobState::Active, JobState::Waiting));
    end(&mut run, 0, AttemptState::Passed);
    let _granted = send(&mut run, RunEvent::GroupFreed { group: "db".to_owned() });
    assert_eq!(run.jobs[1].state, JobState::Active);
}

#[test]
fn nothing_that_comes_late_wakes_a_cancelled_run() {
    let mut run = run(vec![job("test", &[], None)]);
    let attempt = run.jobs[0].attempts[0].id;
    let reason = "enough".to_owned();
    let _cancelled = send(&mut run, RunEvent::CancelRequested { actor: user("bob"), reason });
    assert_eq!(run.state, RunState::Cancelled);
    let before = run.clone();
    for event in [
        RunEvent::AttemptRefused { attempt, message: "late".to_owned() },
        RunEvent::AttemptLost { attempt, fence: 0, message: "late".to_owned() },
        RunEvent::SourcePrepared { source: Digest::of(b"late"), bases: BTreeMap::new() },
    ] {
        let _late = send(&mut run, event);
        assert_eq!(run, before);
    }
}

#[test]
fn an_optional_need_may_be_skipped_but_not_fail() {
    let with = |optional: &str| {
        let mut build = job("build", &["lint"], None);
        build.optional_needs = BTreeSet::from([optional.parse().expect("a name")]);
        build
    };
    // `Never` holds no condition, so `lint` is skipped.
    let mut lint = job("lint", &[], None);
    lint.condition = Some(Condition("branch == 'main'".to_owned()));
    assert_eq!(run(vec![lint.clone(), with("lint")]).jobs[1].state, JobState::Active);
    assert_eq!(run(vec![lint, with("other")]).jobs[1].state, JobState::Skipped);
    let mut failing = run(vec![job("lint", &[], None), with("lint")]);
    end(&mut failing, 0, AttemptState::Failed);
    end(&mut failing, 0, AttemptState::Failed);
    assert_eq!(failing.jobs[1].state, JobState::Skipped, "an optional need that failed was ignored");
}

#[test]
fn run_when_looks_at_everything_before() {
    let of = |run_when| {
        let mut told = job("told", &["build"], None);
        told.run_when = run_when;
        run(vec![job("test", &[], None), job("build", &["test"], None), told])
    };
    for (run_when, fails, expected) in [
        (RunWhen::AllPassed, false, JobState::Active),
        (RunWhen::AllPassed, true, JobState::Skipped),
        (RunWhen::AnyFailed, false, JobState::Skipped),
        // `build` itself is skipped; what failed is further up.
        (RunWhen::AnyFailed, true, JobState::Active),
        (RunWhen::Always, false, JobState::Active),
        (RunWhen::Always, true, JobState::Active),
    ] {
        let mut run = of(run_when);
        if fails {
            end(&mut run, 0, AttemptState::Failed);
            end(&mut run, 0, AttemptState::Failed);
        } else {
            end(&mut run, 0, AttemptState::Passed);
            end(&mut run, 1, AttemptState::Passed);
        }
        assert_eq!(run.jobs[2].state, expected, "{run_when:?} fails={fails}");
        if run.jobs[2].state == JobState::Active {
            end(&mut run, 2, AttemptState::Passed);
        }
        let expected = if fails { RunState::Failed } else { RunState::Passed };
        assert_eq!(run.state, expected, "what runs after a failure must not hide it");
    }
}

#[test]
fn a_group_that_is_left_to_the_queue_lets_all_of_its_jobs_into_it() {
    let mut run = run(vec![job("a", &[], Some("db")), job("b", &[], Some("db"))]);
    let _queued = send(&mut run, RunEvent::GroupLeftToQueue { group: "db".to_owned() });
    assert_eq!((run.jobs[0].state, run.jobs[1].state), (JobState::Active, JobState::Active));
}

/// Cells of a matrix.
fn cells(count: usize, fail_fast: bool, max_parallel: Option<u32>) -> Vec<Job> {
    let cell = |index: usize| {
        let cell = towpath_model::matrix::Cell {
            of: "test".parse().expect("a name"),
            values: vec![("n".to_owned(), index.to_string())],
            fail_fast,
            max_parallel,
            share: None,
        };
        Job { cell: Some(cell), ..job(&format!("test-{index}"), &[], None) }
    };
    (0..count).map(cell).collect()
}

fn states(run: &Run) -> Vec<JobState> {
    run.jobs.iter().map(|job| job.state).collect()
}

#[test]
fn a_cell_that_fails_ends_the_others_where_the_matrix_says_so() {
    for fail_fast in [true, false] {
        let mut jobs = cells(3, fail_fast, None);
        jobs.push(job("other", &[], None));
        let mut run = run(jobs);
        end(&mut run, 1, AttemptState::Failed);
        end(&mut run, 1, AttemptState::Failed);
        let rest = if fail_fast { JobState::Cancelled } else { JobState::Active };
        assert_eq!(states(&run), [rest, JobState::Failed, rest, JobState::Active]);
        if fail_fast {
            assert_eq!(run.jobs[0].reason, "`test-1` failed, and its matrix has `fail_fast`");
            end(&mut run, 3, AttemptState::Passed);
            assert_eq!(run.state, RunState::Failed);
            assert!(run.reason.contains("`test-1` failed"), "{}", run.reason);
            let _again = send(&mut run, RunEvent::RerunRequested { actor: user("bob") });
            assert_eq!(
                states(&run)[..3],
                [JobState::Active; 3],
                "another try begins all cells that did not pass"
            );
        }
    }
}

#[test]
fn no_more_cells_run_at_once_than_the_matrix_allows() {
    let mut run = run(cells(3, false, Some(2)));
    assert_eq!(states(&run), [JobState::Active, JobState::Active, JobState::Blocked]);
    assert_eq!(run.jobs[2].reason, "waits: 2 of 2 cells of `test` run at once");
    end(&mut run, 0, AttemptState::Passed);
    assert_eq!(states(&run), [JobState::Passed, JobState::Active, JobState::Active]);
    end(&mut run, 1, AttemptState::Passed);
    end(&mut run, 2, AttemptState::Passed);
    assert_eq!(run.state, RunState::Passed);
}

#[test]
fn a_skipped_cell_does_not_hold_back_what_needs_the_matrix() {
    let mut jobs = cells(2, false, None);
    jobs[0].condition = Some(Condition("false".to_owned()));
    jobs.push(job("build", &["test-0", "test-1"], None));
    let mut one = run(jobs.clone());
    assert_eq!(states(&one), [JobState::Skipped, JobState::Active, JobState::Blocked]);
    end(&mut one, 1, AttemptState::Passed);
    assert_eq!(one.jobs[2].state, JobState::Active);
    jobs[1].condition = Some(Condition("false".to_owned()));
    assert_eq!(states(&run(jobs)), [JobState::Skipped; 3], "where all are skipped, nothing passed");
}
