//! Between a Rollout and its judge.

use jiff::Timestamp;
use std::time::Duration;
use towpath_judge::{Assessment, Compare, Counts, InvalidPolicy, Judge, Margin, Policy, Tick};

use super::{Environment, Phase, PromotionPlan, Sample};
use crate::pipeline::{Analysis, CanaryStep};

/// The judge of a Rollout with these steps.
pub(super) fn judge(plan: &PromotionPlan, steps: &[CanaryStep]) -> Result<Judge, InvalidPolicy> {
    let policy = Policy { sticky: plan.strategy.is_sticky(), ..policy(&plan.analysis) };
    Judge::new(policy, longest(steps))
}

/// A judge of the same policy that has seen nothing yet.
pub(super) fn afresh(judge: &Judge, steps: &[CanaryStep]) -> Result<Judge, InvalidPolicy> {
    Judge::new(judge.policy().clone(), longest(steps))
}

fn longest(steps: &[CanaryStep]) -> Duration {
    steps.iter().map(|step| step.max.unsigned_abs()).sum()
}

/// The judge of a candidate that has everything at once, given the one that watched stable until then.
///
/// Nothing serves beside it, so what stable did before the switch is its limit: the upper end of the 99 % interval
/// (Wilson, 1927) of stable's error rate, and `max_increase` on top. Where too little was seen of stable, the limit is
/// `max`, else that of a first deployment.
pub(super) fn judge_alone(
    analysis: &Analysis,
    step: &CanaryStep,
    before: Option<&Judge>,
    now: Timestamp,
) -> Result<Judge, InvalidPolicy> {
    let rate = &analysis.error_rate;
    let stable = before.map(|judge| assess(judge, now).evidence.rollout.stable).unwrap_or_default();
    let policy = policy(analysis);
    let known = stable.requests >= rate.min_requests.max(1);
    let by_stable = known.then(|| upper_bound(&stable) + rate.max_increase);
    let limit = [by_stable, rate.max].into_iter().flatten().min_by(f64::total_cmp);
    let limit = limit.unwrap_or(policy.bootstrap_limit).clamp(0.0001, 0.999);
    let expected = known.then(|| stable.error_rate().min(limit));
    let policy = Policy { compare: Compare::Nothing, bootstrap_limit: limit, expected, ..policy };
    Judge::new(policy, step.max.unsigned_abs())
}

/// The upper end of the interval in which an error rate lies with 99 % (one-sided).
fn upper_bound(counts: &Counts) -> f64 {
    const Z: f64 = 2.326;
    let (n, rate) = (counts.requests as f64, counts.error_rate());
    let spread = Z * (rate * (1.0 - rate) / n + Z * Z / (4.0 * n * n)).sqrt();
    (rate + Z * Z / (2.0 * n) + spread) / (1.0 + Z * Z / n)
}

fn policy(analysis: &Analysis) -> Policy {
    let rate = &analysis.error_rate;
    Policy {
        alpha: rate.false_alarm,
        margin: Margin::increase(rate.max_increase),
        hard_limit: rate.max,
        minimum_requests: rate.min_requests,
        block_seconds: rate.block.as_secs_f64(),
        ..Policy::default()
    }
}

pub(super) fn step_started(judge: Option<&mut Judge>, now: Timestamp) {
    if let Some(judge) = judge {
        judge.step_started(now.as_microsecond());
    }
}

pub(super) fn assess(judge: &Judge, now: Timestamp) -> Assessment {
    judge.verdict(now.as_microsecond())
}

impl Environment {
    /// Whether measurements are of use now: from the time on that a judged candidate starts.
    #[must_use]
    pub fn is_judged(&self) -> bool {
        let rollout = self.active.as_ref().and_then(|active| active.rollout.as_ref());
        rollout.is_some_and(|rollout| {
            rollout.judge.is_some()
                && match rollout.phase {
                    Phase::Starting | Phase::Batch { .. } | Phase::Step { .. } => true,
                    Phase::Verifying { index, .. } => index < self.checks_before(),
                    _ => false,
                }
        })
    }

    /// How many checks of the active Promotion stand before its first weight.
    fn checks_before(&self) -> usize {
        self.active.as_ref().map_or(0, |active| active.plan.before)
    }

    /// Shows new measurements to the judge: of stable while the candidate starts, of both in a step.
    pub(super) fn measured(&mut self, samples: &[Sample]) {
        if !self.is_judged() {
            return;
        }
        let Some(active) = &mut self.active else { return };
        let Some(rollout) = &mut active.rollout else { return };
        let stable = rollout.stable_digest();
        // An interval that began before the split was in force, or a gateway with older routes, mixes two splits: it
        // would mislead the test of the traffic's share, so it is left out.
        let (begin, generation) = match (&rollout.phase, rollout.steps.last()) {
            (Phase::Starting | Phase::Verifying { .. }, _) | (Phase::Batch { .. }, None) => {
                (rollout.since, 0)
            }
            (_, Some(step)) => match step.in_force_at {
                Some(in_force) => (in_force, step.generation),
                None => return,
            },
            (_, None) => return,
        };
        let weight = self.traffic.weight(active.revision.digest);
        let fresh = samples.iter().filter(|sample| sample.from >= begin && sample.generation >= generation);
        let (mut candidate, mut baseline) = (Counts::default(), Counts::default());
        let (mut from, mut to) = (i64::MAX, i64::MIN);
        for sample in fresh {
            let arm = if sample.revision == active.revision.digest {
                &mut candidate
            } else if Some(sample.revision) == stable {
                &mut baseline
            } else {
                continue;
            };
            arm.started += sample.started;
            arm.requests += sample.requests;
            arm.errors += sample.errors;
            from = from.min(sample.from.as_microsecond());
            to = to.max(sample.to.as_microsecond());
        }
        if from >= to {
            return;
        }
        let tick = Tick {
            from,
            to,
            candidate,
            stable: baseline,
            candidate_weight: weight.permille(),
            stable_weight: weight.rest().permille(),
        };
        if let Some(judge) = &mut rollout.judge {
            // A tick that the judge refuses (more errors than requests) is no evidence; the step stays undecided.
            rollout.refused_ticks += u64::from(judge.observe(&tick).is_err());
        }
    }
}
