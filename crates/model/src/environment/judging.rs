//! Between a Rollout and its judge.

use jiff::Timestamp;
use std::time::Duration;
use towpath_judge::{Assessment, Counts, InvalidPolicy, Judge, Margin, Policy, Tick};

use super::{Environment, Phase, Sample};
use crate::pipeline::{Analysis, Canary};

/// The judge for a canary.
pub(super) fn judge(analysis: &Analysis, canary: &Canary) -> Result<Judge, InvalidPolicy> {
    let rate = &analysis.error_rate;
    let policy = Policy {
        alpha: rate.false_alarm,
        margin: Margin::increase(rate.max_increase),
        hard_limit: rate.max,
        minimum_requests: rate.min_requests,
        block_seconds: rate.block.as_secs_f64(),
        ..Policy::default()
    };
    let longest: Duration = canary.steps.iter().map(|step| step.max.unsigned_abs()).sum();
    Judge::new(policy, longest)
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
    /// Whether measurements are of use now: from the time on that a canary's candidate starts.
    #[must_use]
    pub fn is_judged(&self) -> bool {
        let rollout = self.active.as_ref().and_then(|active| active.rollout.as_ref());
        rollout.is_some_and(|rollout| {
            rollout.judge.is_some() && matches!(rollout.phase, Phase::Starting | Phase::Step { .. })
        })
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
            (Phase::Starting, _) => (rollout.since, 0),
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
