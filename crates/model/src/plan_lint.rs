//! A second opinion on a plan: is it consistent with itself?
//!
//! It shares no code with the planner, so that a mistake there does not excuse itself here.

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;

use crate::Weight;
use crate::plan::{Fate, PlanReport, PlannedPromotion, PlannedRollout};
use crate::run::Trust;

/// What is wrong with a plan; nothing, in a good one.
#[must_use]
pub fn lint(report: &PlanReport) -> Vec<String> {
    let mut wrong = Vec::new();
    lint_jobs(report, &mut wrong);
    lint_seal(report, &mut wrong);
    lint_stages(report, &mut wrong);
    if report.reason.is_empty() {
        wrong.push("the plan does not say why it starts or not".to_owned());
    }
    wrong
}

fn lint_jobs(report: &PlanReport, wrong: &mut Vec<String>) {
    let mut before: BTreeMap<&str, (usize, Fate)> = BTreeMap::new();
    let mut made = BTreeSet::new();
    for job in &report.jobs {
        let name = job.name.as_str();
        let mut earliest = 1;
        for need in &job.needs {
            match before.get(need.as_str()) {
                None => wrong.push(format!("`{name}` comes before `{need}`, which it needs")),
                Some((batch, _)) => earliest = earliest.max(batch + 1),
            }
        }
        if job.batch != earliest {
            wrong.push(format!("`{name}` is in batch {}, and could be in {earliest}", job.batch));
        }
        if job.reason.is_empty() || job.steps.is_empty() {
            wrong.push(format!("`{name}` has no reason or no steps"));
        }
        if job.artifacts.iter().any(|artifact| !made.insert(artifact)) {
            wrong.push(format!("`{name}` makes an artifact that another makes too"));
        }
        if before.insert(name, (job.batch, job.fate)).is_some() {
            wrong.push(format!("`{name}` is planned twice"));
        }
    }
}

fn lint_seal(report: &PlanReport, wrong: &mut Vec<String>) {
    let seal = &report.seal;
    if seal.seals && (report.occasion.trust != Trust::Protected || seal.workloads.is_empty()) {
        wrong.push("a Release is sealed from an untrusted ref, or without workloads".to_owned());
    }
    for artifact in &seal.artifacts {
        let maker = report.jobs.iter().find(|job| job.artifacts.contains(artifact));
        if maker.is_none_or(|job| job.fate == Fate::Skipped) {
            wrong.push(format!("the Release holds `{artifact}`, which no job makes"));
        }
    }
}

fn lint_stages(report: &PlanReport, wrong: &mut Vec<String>) {
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    let mut environments = BTreeSet::new();
    for stage in &report.stages {
        if stage.needs.iter().any(|need| places.get(need.as_str()).is_none_or(|batch| *batch >= stage.batch))
        {
            wrong.push(format!("stage `{}` does not come after what it needs", stage.name));
        }
        places.insert(stage.name.as_str(), stage.batch);
        for promotion in &stage.promotions {
            if !environments.insert(promotion.environment.as_str()) {
                wrong.push(format!("`{}` is promoted to twice", promotion.environment));
            }
            if promotion.admitted && !report.seal.seals {
                wrong.push(format!("`{}` takes a Release that is not sealed", promotion.environment));
            }
            if promotion.reason.is_empty() {
                wrong.push(format!("`{}` has no reason", promotion.environment));
            }
            lint_rollout(promotion, stage.deadline, wrong);
        }
    }
}

fn lint_rollout(promotion: &PlannedPromotion, deadline: SignedDuration, wrong: &mut Vec<String>) {
    let PlannedRollout { strategy: _, steps, routing: _, until_full, exposure } = &promotion.rollout;
    let place = &promotion.environment;
    let mut weight = Weight::NONE;
    let mut clock = SignedDuration::ZERO;
    for step in steps {
        if step.weight <= weight {
            wrong.push(format!("the weights of `{place}` do not rise"));
        }
        if step.at != clock || step.max < step.duration {
            wrong.push(format!("the times of `{place}` do not add up"));
        }
        weight = step.weight;
        clock += step.duration;
    }
    if *until_full != clock || *exposure > clock || deadline <= clock {
        wrong.push(format!("the rollout of `{place}` is longer than it says, or than its deadline"));
    }
}
