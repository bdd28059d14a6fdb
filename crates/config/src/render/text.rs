//! A plan for a terminal.

use std::fmt::Write as _;

use towpath_model::pipeline::OnFailure;
use towpath_model::plan::{Fate, GateOrigin, PlanReport, PlannedPromotion, PlannedRollout, PlannedStage};

use crate::values::show_duration;

/// Writes the plan for people: what would happen, in order, and why.
#[must_use]
pub fn text(report: &PlanReport) -> String {
    let mut page = String::new();
    let occasion = &report.occasion;
    let verdict = if report.starts { "starts a Run" } else { "starts nothing" };
    let _ = writeln!(
        page,
        "{}: {} of {} ({}) {verdict}: {}",
        report.project,
        occasion.event,
        occasion.reference,
        occasion.trust.word(),
        report.reason
    );
    if !report.starts {
        return page;
    }
    jobs(&mut page, report);
    seal(&mut page, report);
    for stage in report.stages.iter().filter(|_| report.seal.seals) {
        stage_text(&mut page, stage);
    }
    for warning in &report.warnings {
        let _ = write!(page, "\nwarning: {warning}");
    }
    if !report.warnings.is_empty() {
        page.push('\n');
    }
    page
}

fn jobs(page: &mut String, report: &PlanReport) {
    let rows = super::rows(report);
    let width = rows.iter().map(|row| row.name.len()).max().unwrap_or(0);
    page.push_str("\nJobs\n");
    for super::Row { name, job, jobs: _ } in &rows {
        let fate = match job.fate {
            Fate::Runs => "runs   ",
            Fate::Skipped => "skipped",
            Fate::Undecided => "perhaps",
            Fate::Unchanged => "same   ",
        };
        let _ = writeln!(page, "  {:>2}  {name:width$}  {fate}  {}", job.batch, job.reason);
    }
}

fn seal(page: &mut String, report: &PlanReport) {
    let seal = &report.seal;
    let what = if seal.seals { "sealed" } else { "not sealed" };
    let _ = writeln!(page, "\nRelease\n  {what}: {}", seal.reason);
    if seal.seals {
        let artifacts: Vec<_> = seal.artifacts.iter().map(ToString::to_string).collect();
        let workloads: Vec<_> = seal.workloads.iter().map(ToString::to_string).collect();
        let _ =
            writeln!(page, "  artifacts: {}\n  workloads: {}", artifacts.join(", "), workloads.join(", "));
    }
}

fn stage_text(page: &mut String, stage: &PlannedStage) {
    let _ = writeln!(page, "\nStage {}, {}", stage.name, stage.starts);
    for promotion in &stage.promotions {
        promotion_text(page, promotion);
    }
    for check in &stage.before {
        let _ = writeln!(page, "    before any user's request, check: {check}");
    }
    for check in &stage.verify {
        let _ = writeln!(page, "    then check: {check}");
    }
    let failure = match stage.on_failure {
        OnFailure::Rollback => "traffic goes back to what ran before",
        OnFailure::Hold => "the weight stays where it is, and a person decides",
    };
    let _ = writeln!(page, "    on failure, or after {}: {failure}", show_duration(stage.deadline));
}

fn promotion_text(page: &mut String, promotion: &PlannedPromotion) {
    let verdict = if promotion.admitted { "promotes to" } else { "does not come to" };
    let _ = writeln!(page, "  {verdict} {}: {}", promotion.environment, promotion.reason);
    if !promotion.admitted {
        return;
    }
    for words in &promotion.intake {
        let _ = writeln!(page, "    {words}");
    }
    for gate in &promotion.gates {
        let origin = match gate.origin {
            GateOrigin::Environment => "the environment",
            GateOrigin::Stage => "the pipeline",
        };
        let _ = writeln!(page, "    waits for {} (demanded by {origin})", gate.waits_for);
    }
    rollout_text(page, &promotion.rollout);
}

fn rollout_text(page: &mut String, rollout: &PlannedRollout) {
    let PlannedRollout { strategy, steps, routing, until_full, exposure } = rollout;
    if steps.is_empty() {
        let _ = writeln!(page, "    {strategy}: everything at once");
        return;
    }
    let _ = writeln!(page, "    {strategy}:");
    for step in steps {
        let pause = if step.pause { ", then waits for a person" } else { "" };
        let _ = writeln!(
            page,
            "      at {:>6}  {:>6} for {}, at most {}{pause}",
            show_duration(step.at),
            step.weight.to_string(),
            show_duration(step.duration),
            show_duration(step.max)
        );
    }
    let full = show_duration(*until_full);
    let _ = writeln!(page, "      at {full:>6}    100%");
    for words in routing {
        let _ = writeln!(page, "    {words}");
    }
    let _ = writeln!(
        page,
        "    a bad version noticed only at the end would have cost as much as {} of the full traffic",
        show_duration(*exposure)
    );
}
