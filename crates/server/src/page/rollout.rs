//! A Rollout as its page shows it: arms, steps, verdict, checks.

use towpath_judge::{Assessment, Verdict};
use towpath_model::environment::{
    Environment, Outcome, Phase, Promotion, Revision, Rollout, check_attempt, human,
};
use towpath_model::pipeline::{BlueGreen, Strategy, Verification};
use towpath_store::core::measurements::Total;
use towpath_ui::routes;
use towpath_ui::view::{Arm, CheckRow, JudgeTest, RolloutStep, RolloutView, Series, State, VerdictView};

use super::words::{self, Counted};

/// Evidence beyond this is shown as over a million; it keeps the numbers finite.
const MOST_NATS: f64 = 100.0;

/// Draws the Rollout of a Promotion, once it has one.
pub(super) fn view(
    environment: &Environment,
    promotion: &Promotion,
    totals: &[Total],
    series: Series,
) -> Option<RolloutView> {
    let rollout = promotion.rollout.as_ref()?;
    let deadline = rollout.started_at.saturating_add(promotion.plan.deadline).ok();
    let recorded = match &promotion.outcome {
        Some(Outcome::RolledBack { reason: _, time_to_safe_ms }) => *time_to_safe_ms,
        _ => rollout.back.as_ref().and_then(|back| back.time_to_safe_ms()),
    };
    Some(RolloutView {
        strategy: promotion.plan.strategy.word().to_owned(),
        state: words::promotion_state(promotion),
        stable: rollout.stable.as_ref().map(|stable| arm(environment, rollout, stable, false, totals)),
        candidate: arm(environment, rollout, &promotion.revision, true, totals),
        weight: words::confirmed_weight(environment, promotion),
        steps: steps(promotion, rollout),
        deadline,
        verdict: verdict(promotion, rollout),
        time_to_safe_ms: recorded.and_then(|time| time.try_into().ok()),
        polls: promotion.outcome.is_none(),
        series,
    })
}

/// One side. The judge's counts are those of this Rollout alone; without a judge, all that is kept is counted.
fn arm(
    environment: &Environment,
    rollout: &Rollout,
    revision: &Revision,
    candidate: bool,
    totals: &[Total],
) -> Arm {
    let Counted { ready, desired } = words::count(environment, revision);
    let judged = rollout.assessment.as_ref().map(|assessment| &assessment.evidence.rollout);
    let judged = judged.map(|tally| if candidate { tally.candidate } else { tally.stable });
    let (requests, errors) = match judged {
        Some(counts) => (counts.requests, counts.errors),
        None => totals
            .iter()
            .find(|total| total.revision == revision.digest && total.way == "split")
            .map_or((0, 0), |total| (total.requests, total.errors)),
    };
    Arm { revision: words::revision_name(revision), ready, desired, requests, errors }
}

/// The steps, and at their end everything.
fn steps(promotion: &Promotion, rollout: &Rollout) -> Vec<RolloutStep> {
    if promotion.plan.strategy == Strategy::Recreate {
        return Vec::new();
    }
    let over = promotion.outcome.is_some() || rollout.is_returning();
    let mut drawn: Vec<RolloutStep> = promotion
        .steps()
        .iter()
        .enumerate()
        .map(|(index, step)| {
            let now = matches!(rollout.phase, Phase::Step { index: current } if current == index);
            let state = match rollout.steps.get(index) {
                Some(_) if now && rollout.held.is_some() => State::Held,
                Some(_) if now => State::Running,
                Some(_) if over && index + 1 == rollout.steps.len() && failed(promotion, rollout) => {
                    State::Failed
                }
                Some(_) => State::Passed,
                None if over => State::Skipped,
                None => State::Queued,
            };
            let ends = now.then(|| rollout.since.saturating_add(step.duration).ok()).flatten();
            let pause = if step.pause { ", then waits for a person" } else { "" };
            let lasts = format!("{}{pause}", human(step.duration));
            RolloutStep { weight: step.weight.permille().into(), state, lasts, ends }
        })
        .collect();
    let state = match (&promotion.outcome, &rollout.phase) {
        (Some(Outcome::Succeeded), _) => State::Passed,
        (Some(_), _) | (None, Phase::Returning) => State::Skipped,
        (None, Phase::Completing) => State::Running,
        (None, Phase::Verifying { index, .. }) if *index >= promotion.plan.before => State::Running,
        (None, _) => State::Queued,
    };
    drawn.push(RolloutStep { weight: 1000, state, lasts: "for good".to_owned(), ends: None });
    drawn
}

/// Whether a Rollout went back.
fn failed(promotion: &Promotion, rollout: &Rollout) -> bool {
    rollout.is_returning() || !matches!(promotion.outcome, Some(Outcome::Succeeded) | None)
}

fn verdict(promotion: &Promotion, rollout: &Rollout) -> VerdictView {
    if let Some(assessment) = &rollout.assessment {
        return assessed(assessment);
    }
    let (state, reason) = match (&promotion.plan.strategy, &rollout.stable) {
        (Strategy::Recreate, _) => (None, "a recreate is not judged: readiness and the verification decide"),
        (Strategy::BlueGreen(BlueGreen { watch: None, .. }), _) => {
            (None, "a switch without `watch` is not judged: readiness and the verification decide")
        }
        (_, None) => (
            None,
            "the first deployment has nothing to be compared with: readiness and the verification decide",
        ),
        (_, Some(_)) => (Some(State::Unknown), "nothing was measured yet"),
    };
    VerdictView { state, reason: reason.to_owned(), tests: Vec::new() }
}

/// What the judge said, with the evidence of each of its tests.
fn assessed(assessment: &Assessment) -> VerdictView {
    let state = match assessment.verdict {
        Verdict::Healthy => State::Healthy,
        Verdict::Unhealthy => State::Unhealthy,
        Verdict::Unknown => State::Unknown,
    };
    let evidence = &assessment.evidence;
    let capital = |nats: f64| nats.clamp(-MOST_NATS, MOST_NATS).exp();
    let reached = |seen: f64, needed: f64, then: State| if seen >= needed { then } else { State::Unknown };
    let (candidate, stable) = (evidence.rollout.candidate, evidence.rollout.stable);
    let mut harm = format!(
        "{} of {} requests failed, of stable {} of {}",
        candidate.errors, candidate.requests, stable.errors, stable.requests
    );
    if evidence.ratio.lower.is_some() || evidence.ratio.upper.is_some() {
        harm.push_str(&format!("; that is {} as many", evidence.ratio));
    }
    let (step, both) =
        (evidence.step.candidate, evidence.step.candidate.started + evidence.step.stable.started);
    let fine = match evidence.more_requests {
        Some(more) if evidence.health < evidence.health_needed => {
            format!(
                "{} of {} requests of this step failed; about {more} more are needed",
                step.errors, step.requests
            )
        }
        _ => format!("{} of {} requests of this step failed", step.errors, step.requests),
    };
    let tests = vec![
        JudgeTest {
            name: "harm".to_owned(),
            state: reached(evidence.harm, evidence.harm_needed, State::Unhealthy),
            reason: harm,
            e_worse: Some(capital(evidence.harm)),
            e_fine: None,
            threshold: capital(evidence.harm_needed),
        },
        JudgeTest {
            name: "health".to_owned(),
            state: reached(evidence.health, evidence.health_needed, State::Healthy),
            reason: fine,
            e_worse: None,
            e_fine: Some(capital(evidence.health)),
            threshold: capital(evidence.health_needed),
        },
        JudgeTest {
            name: "traffic share".to_owned(),
            state: reached(evidence.starved, evidence.starved_needed, State::Unhealthy),
            reason: format!("the candidate was given {} of {both} requests of this step", step.started),
            e_worse: Some(capital(evidence.starved)),
            e_fine: None,
            threshold: capital(evidence.starved_needed),
        },
    ];
    VerdictView { state: Some(state), reason: assessment.reason.to_string(), tests }
}

/// The checks before and after the deployment. Each is made only when the one before it has passed.
pub(super) fn checks(promotion: &Promotion) -> Vec<CheckRow> {
    let reached = promotion.rollout.as_ref().and_then(|rollout| match &rollout.phase {
        Phase::Verifying { index, attempt } => Some((*index, attempt.as_ref().map(|attempt| attempt.id))),
        _ => None,
    });
    let failed = promotion.rollout.as_ref().and_then(|rollout| rollout.failed_check);
    let checked = promotion.rollout.as_ref().is_some_and(|rollout| rollout.checked);
    let row = |(index, check): (usize, &Verification)| {
        let running = reached.filter(|(current, _)| *current == index);
        let state = match (&promotion.outcome, reached) {
            (Some(Outcome::Succeeded), _) => State::Passed,
            _ if failed == Some(index) && running.is_none() => State::Failed,
            _ if failed.is_some_and(|failed| index < failed) => State::Passed,
            _ if checked && index < promotion.plan.before => State::Passed,
            (Some(_), _) => State::Skipped,
            (None, Some((current, _))) if index < current => State::Passed,
            (None, Some((current, _))) if index == current => State::Running,
            (None, _) => State::Queued,
        };
        let log = match check {
            Verification::Run(_) if running.is_some() => running.and_then(|(_, attempt)| attempt),
            Verification::Run(_) if matches!(state, State::Passed | State::Failed) => {
                Some(check_attempt(promotion.id, index, 1))
            }
            Verification::Run(_) | Verification::Http(_) => None,
        };
        let (name, detail) = check_words(check);
        CheckRow { name, state, detail, log: log.map(|id| routes::log_text(&id.to_string())) }
    };
    promotion.plan.verify.iter().enumerate().map(row).collect()
}

fn check_words(check: &Verification) -> (String, String) {
    match check {
        Verification::Http(http) => {
            let contains = http.contains.as_ref().map(|text| format!(" with `{text}` in it"));
            let detail = format!(
                "answers {}{} within {}",
                http.status,
                contains.unwrap_or_default(),
                human(http.within)
            );
            (format!("GET {}", http.path), detail)
        }
        Verification::Run(run) => (run.name.clone(), format!("a script, within {}", human(run.timeout))),
    }
}
