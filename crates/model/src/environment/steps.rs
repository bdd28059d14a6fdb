//! The steps at which a candidate is judged: a weight, its time, and the verdict that ends it.

use jiff::Timestamp;
use towpath_judge::Verdict;

use super::drive::{Look, after, front, hold};
use super::gates::human;
use super::promotion::{Promotion, Revision};
use super::requests::about;
use super::rollout::{Phase, Rollout, StepRecord};
use super::traffic::Front;
use super::{Change, Environment, Facts, judging};
use crate::pipeline::Strategy;
use crate::timeline::Actor;
use crate::{Digest, Weight};

impl Environment {
    pub(super) fn begin_step(
        &mut self,
        active: &mut Promotion,
        index: usize,
        change: &mut Change,
        now: Timestamp,
    ) {
        let Some(step) = active.step(index) else { return };
        let weight = step.weight;
        let text = format!("{} gets {weight} of the requests", active.revision.version);
        change.handled.entry(about(active, "weight-ordered", Actor::Towpath, text).fact("weight", weight));
        let Some(rollout) = &mut active.rollout else { return };
        if matches!(active.plan.strategy, Strategy::BlueGreen(_))
            && let Ok(judge) = judging::judge_alone(&active.plan.analysis, &step, rollout.judge.as_ref(), now)
        {
            rollout.judge = Some(judge);
        }
        rollout.steps.push(StepRecord {
            weight,
            ordered_at: now,
            in_force_at: None,
            ended_at: None,
            verdict: String::new(),
            resumed: false,
            paused: false,
            generation: 0,
        });
        rollout.enter(Phase::Step { index }, now);
        let stable = rollout.stable.clone();
        if let Strategy::Canary(canary) = &active.plan.strategy {
            let stable = stable.as_ref().map(|stable| stable.digest);
            self.traffic.guide(canary, active.revision.digest, stable, now);
        }
        self.share(&active.revision, weight, stable.as_ref(), now);
        if let Some(record) = active.rollout.as_mut().and_then(|rollout| rollout.steps.last_mut()) {
            record.generation = self.traffic.generation;
        }
    }

    /// Desires `weight` for the candidate and the rest for stable.
    pub(super) fn share(
        &mut self,
        candidate: &Revision,
        weight: Weight,
        stable: Option<&Revision>,
        now: Timestamp,
    ) {
        let arms: Vec<(Digest, Front, Weight)> =
            [Some((candidate, weight)), stable.map(|s| (s, weight.rest()))]
                .into_iter()
                .flatten()
                .filter_map(|(revision, weight)| Some((revision.digest, front(revision)?, weight)))
                .collect();
        self.traffic.split(&arms, &self.fleet, now);
    }

    pub(super) fn look_step(
        &mut self,
        active: &mut Promotion,
        index: usize,
        facts: &Facts,
        change: &mut Change,
        now: Timestamp,
    ) -> Look {
        let Some(step) = active.step(index) else { return Look::Waits };
        let in_force = self.traffic.in_force(&facts.gateways);
        let Some(rollout) = &mut active.rollout else { return Look::Waits };
        let Some(record) = rollout.steps.last_mut() else { return Look::Waits };
        if record.in_force_at.is_none() {
            if !in_force {
                return self
                    .unconfirmed(record.ordered_at, facts, now)
                    .map_or(Look::Waits, Look::Unconfirmed);
            }
            record.in_force_at = Some(now);
            rollout.since = now;
            judging::step_started(rollout.judge.as_mut(), now);
        }
        self.make_room(active, now);
        let Some(rollout) = &mut active.rollout else { return Look::Waits };
        rollout.assessment = rollout.judge.as_ref().map(|judge| judging::assess(judge, now));
        let Some(assessment) = &rollout.assessment else { return Look::Waits };
        let (verdict, words) = (assessment.verdict, assessment.reason.to_string());
        if verdict == Verdict::Unhealthy {
            if rollout.failed.is_none() {
                end_step(rollout, &words, now);
            }
            return Look::Failed(words);
        }
        if rollout.held.is_some() || now < after(rollout.since, step.duration) {
            return Look::Waits;
        }
        let resumed = rollout.steps.last().is_some_and(|record| record.resumed);
        match verdict {
            Verdict::Healthy if step.pause && !resumed => {
                let reason =
                    format!("the step at {} asks for a person: `towpath resume {}`", step.weight, self.key);
                if let Some(record) = rollout.steps.last_mut() {
                    record.paused = true;
                }
                hold(active, reason, change, now);
                Look::Waits
            }
            Verdict::Healthy => {
                let text = format!("{} is healthy at {}: {words}", active.revision.version, step.weight);
                end_step(rollout, &words, now);
                change
                    .handled
                    .entry(about(active, "step-passed", Actor::Towpath, text).fact("weight", step.weight));
                self.after_step(active, index, change, now);
                Look::Moved
            }
            Verdict::Unknown | Verdict::Unhealthy if now >= after(rollout.since, step.max) => {
                let reason = format!(
                    "undecided after {} at {}: {words}; `towpath resume {key}` gives the step its time again, \
                     `towpath rollback {key}` goes back",
                    human(step.max),
                    step.weight,
                    key = self.key
                );
                hold(active, reason, change, now);
                Look::Waits
            }
            Verdict::Unknown | Verdict::Unhealthy => Look::Waits,
        }
    }

    fn after_step(&mut self, active: &mut Promotion, index: usize, change: &mut Change, now: Timestamp) {
        if self.begin_batch(active, index + 1, now) {
        } else if active.step(index + 1).is_some() {
            self.begin_step(active, index + 1, change, now);
        } else if let Some(rollout) = &mut active.rollout {
            rollout.enter(Phase::Completing, now);
        }
    }
}

fn end_step(rollout: &mut Rollout, verdict: &str, now: Timestamp) {
    if let Some(record) = rollout.steps.last_mut() {
        record.ended_at = Some(now);
        verdict.clone_into(&mut record.verdict);
    }
}
