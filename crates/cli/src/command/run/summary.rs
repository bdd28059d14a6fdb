//! The end of a local run: how each Job ended, what the failing Steps said last, and what a server would do next.

use std::fmt::Write as _;

use serde_json::json;
use towpath_model::plan::{PlanReport, PlannedStage};
use towpath_model::run::{JobRun, JobState, Run, RunState};

use super::between;
use super::drive::Finished;
use super::show::{Show, seconds, style_of, time_of};

/// In this order the states stand in the table: what matters most is nearest to the prompt.
const ORDER: [JobState; 4] = [JobState::Passed, JobState::Skipped, JobState::Cancelled, JobState::Failed];

/// Prints it.
pub fn print(finished: &Finished, report: &PlanReport, show: &Show) {
    let Finished { run, tails: _ } = finished;
    if show.is_json() {
        let counts = ORDER.map(|state| (state.word().to_owned(), json!(count(run, state))));
        show.event(&json!({
            "event": "run-finished",
            "state": run.state.word(),
            "reason": run.reason,
            "jobs": serde_json::Map::from_iter(counts),
            "sealed": false,
            "stages": report.stages,
        }));
        return;
    }
    let mut page = String::from("\n");
    table(&mut page, run, show);
    failures(&mut page, finished);
    total(&mut page, run);
    if run.state == RunState::Passed {
        next(&mut page, report);
    }
    show.write(&page);
}

fn count(run: &Run, state: JobState) -> usize {
    run.jobs.iter().filter(|job| job.state == state).count()
}

fn table(page: &mut String, run: &Run, show: &Show) {
    for state in ORDER {
        for job in run.jobs.iter().filter(|job| job.state == state) {
            let style = style_of(state);
            let took = time_of(job).map(seconds).unwrap_or_default();
            let line = format!(
                "{}  {style}{:9}{style:#}  {took:>12}  {}",
                show.name(&job.name),
                state.word(),
                details(job)
            );
            let _ = writeln!(page, "{}", line.trim_end());
        }
    }
}

fn details(job: &JobRun) -> String {
    let mut parts = Vec::new();
    if job.state != JobState::Passed {
        parts.push(job.reason.clone());
    }
    if let Some(tests) = job.attempts.last().and_then(|attempt| attempt.tests) {
        parts.push(format!(
            "tests: {} passed, {} failed, {} skipped",
            tests.passed, tests.failed, tests.skipped
        ));
    }
    if job.attempts.len() > 1 {
        parts.push(format!("{} tries", job.attempts.len()));
    }
    parts.join("; ")
}

fn failures(page: &mut String, finished: &Finished) {
    let Finished { run, tails } = finished;
    for job in run.jobs.iter().filter(|job| job.state == JobState::Failed) {
        let lines = job.attempts.last().and_then(|attempt| tails.get(&attempt.id));
        let Some(lines) = lines.filter(|lines| !lines.is_empty()) else { continue };
        let style = style_of(JobState::Failed);
        let _ = writeln!(page, "\n{style}{}{style:#}: {}; its last lines:", job.name, job.reason);
        for line in lines {
            let _ = writeln!(page, "  {line}\u{1b}[0m");
        }
    }
}

fn total(page: &mut String, run: &Run) {
    let counts = ORDER.map(|state| (count(run, state), state.word()));
    let shown = counts.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}"));
    let shown: Vec<String> = shown.collect();
    let took = run.finished_at.map(|at| format!(" in {}", seconds(between(run.created_at, at))));
    let _ = writeln!(page, "\n{}{}", shown.join(", "), took.unwrap_or_default());
}

fn next(page: &mut String, report: &PlanReport) {
    page.push_str("Nothing was sealed: this is a local run.");
    let occasion = &report.occasion;
    if report.stages.is_empty() {
        page.push('\n');
    } else if !report.starts {
        let _ = writeln!(
            page,
            " On a server, {} of {} starts nothing: {}.",
            occasion.event, occasion.reference, report.reason
        );
    } else if !report.seal.seals {
        let _ = writeln!(page, " On a server neither: {}.", report.seal.reason);
    } else {
        let _ = writeln!(page, " On a server, a Release would be, and then go");
        for stage in &report.stages {
            stage_line(page, stage);
        }
    }
}

fn stage_line(page: &mut String, stage: &PlannedStage) {
    for promotion in &stage.promotions {
        let gates: Vec<&str> = promotion.gates.iter().map(|gate| gate.waits_for.as_str()).collect();
        let waits =
            if gates.is_empty() { String::new() } else { format!("; waits for {}", gates.join("; ")) };
        let what = if promotion.admitted { &stage.starts } else { &promotion.reason };
        let _ = writeln!(page, "  to {}, {what}{waits}", promotion.environment);
    }
}
