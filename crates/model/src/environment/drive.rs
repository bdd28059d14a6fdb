//! What moves by itself: Gates open, Rollouts go step by step, or back.

use jiff::{SignedDuration, Timestamp};
use towpath_judge::Verdict;

use super::fleet::InstanceHealth;
use super::gates::{self, GateState, human};
use super::promotion::{Outcome, Promotion, PromotionKind, Revision};
use super::requests::{about, settle};
use super::rollout::{CONFIRM_WITHIN, Hold, MAX_RESTARTS, Phase, Return, Rollout, StepRecord, WARM};
use super::{
    Change, Deployment, Environment, EnvironmentEffect, Facts, HISTORY, QUARANTINE, Quarantine, Warm, judging,
};
use crate::attempt::Attempt;
use crate::pipeline::{CanaryStep, OnFailure, Strategy, Verification};
use crate::run::attempt_id;
use crate::timeline::Actor;
use crate::{Digest, PromotionId, Weight, WorkloadName};

/// What one look at the active Rollout came to.
enum Look {
    /// Something moved; look again.
    Moved,
    /// It waits.
    Waits,
    /// It cannot go on.
    Failed(String),
    /// The Promotion has ended.
    Ended(Outcome),
}

impl Environment {
    /// Goes as far as it can without waiting.
    pub(super) fn drive(&mut self, facts: &Facts, change: &mut Change, now: Timestamp) {
        self.traffic.follow(&self.fleet, now);
        self.cool_down(now);
        self.look_at_gates(facts, change, now);
        loop {
            self.start_what_may(change, now);
            let Some(mut active) = self.active.take() else { break };
            match self.look(&mut active, facts, change, now) {
                Look::Moved => self.active = Some(active),
                Look::Waits => {
                    self.active = Some(active);
                    break;
                }
                Look::Failed(reason) => {
                    let goes_on = self.fail(&mut active, reason, change, now);
                    self.active = Some(active);
                    if !goes_on {
                        break;
                    }
                }
                Look::Ended(outcome) => {
                    settle(active, outcome, Actor::Towpath, change, now);
                    self.look_at_gates(facts, change, now);
                }
            }
        }
        self.traffic.follow(&self.fleet, now);
    }

    /// Stops what was kept warm when its time is over.
    fn cool_down(&mut self, now: Timestamp) {
        if let Some(warm) = self.warm.take_if(|warm| now >= warm.until) {
            self.retire(warm.revision);
        }
    }

    /// Stops a Revision unless somebody still counts on it.
    fn retire(&mut self, revision: Digest) {
        let serves = self.current.as_ref().is_some_and(|current| current.revision.digest == revision);
        let wanted = [&self.active, &self.next].into_iter().flatten().any(|p| p.revision.digest == revision);
        if !serves && !wanted {
            self.fleet.stop(revision);
            self.traffic.arms.retain(|arm| arm.revision != revision || arm.weight != Weight::NONE);
        }
    }

    fn look_at_gates(&mut self, facts: &Facts, change: &mut Change, now: Timestamp) {
        let Some(waiting) = &mut self.waiting else { return };
        waiting.gates = gates::evaluate(waiting, &self.policy.editors, &facts.neighbours, now);
        let expired = waiting.gates.iter().find(|gate| gate.state == GateState::Expired);
        if let Some(reason) = expired.map(|gate| gate.reason.clone())
            && let Some(waiting) = self.waiting.take()
        {
            settle(waiting, Outcome::Expired { reason }, Actor::Towpath, change, now);
        }
    }

    /// Starts the manual rollback that waits for the lane, else the Promotion whose Gates are open.
    fn start_what_may(&mut self, change: &mut Change, now: Timestamp) {
        if self.active.is_some() {
            return;
        }
        if let Some(next) = self.next.take() {
            self.start(next, change, now);
            return;
        }
        let by_itself = |promotion: &Promotion| promotion.requested_by == Actor::Towpath;
        let held = self.hold.is_some();
        let Some(waiting) = self.waiting.take_if(|waiting| {
            waiting.gates.iter().all(|gate| gate.state == GateState::Open)
                && waiting.gates.len() >= waiting.plan.gates.len().min(1)
                && !(held && by_itself(waiting))
        }) else {
            return;
        };
        self.start(waiting, change, now);
    }

    fn start(&mut self, mut promotion: Promotion, change: &mut Change, now: Timestamp) {
        let digest = promotion.revision.digest;
        if self.current.as_ref().is_some_and(|current| current.revision.digest == digest) {
            let reason = "it runs already".to_owned();
            return settle(promotion, Outcome::Cancelled { reason }, Actor::Towpath, change, now);
        }
        if promotion.kind != PromotionKind::Rollback
            && let Some(quarantine) = self.quarantine.get(&digest)
        {
            let reason = format!("it is in quarantine: {}", quarantine.reason);
            return settle(promotion, Outcome::Cancelled { reason }, Actor::Towpath, change, now);
        }
        // One warm Revision beside two that serve is more than a host has to bear.
        if let Some(warm) = self.warm.take_if(|warm| warm.revision != digest) {
            self.retire(warm.revision);
        }
        let stable = self.current.as_ref().map(|current| current.revision.clone());
        let how = match (&stable, &promotion.kind) {
            (None, _) => "bootstrap: nothing to compare with, so health and checks decide; the way back is `not serving`".to_owned(),
            (Some(stable), PromotionKind::Rollback) => format!("rollback from {}", stable.version),
            (Some(stable), PromotionKind::Release | PromotionKind::Configuration) => {
                format!("it replaces {}, which is the way back", stable.version)
            }
        };
        let text = format!("the Rollout of {} starts; {how}", promotion.title());
        change.handled.entry(about(&promotion, "rollout-started", Actor::Towpath, text));
        change.handled.effect(EnvironmentEffect::CheckWayBack { promotion: promotion.id });
        promotion.started_at = Some(now);
        let mut rollout = Rollout::new(stable, now);
        if promotion.kind == PromotionKind::Rollback {
            let reason = how;
            let decided_at = promotion.requested_at;
            rollout.back = Some(Return { reason, decided_at, cold: !has_ready(self, digest), safe_at: None });
        }
        promotion.rollout = Some(rollout);
        self.active = Some(promotion);
    }

    pub(super) fn way_back_checked(
        &mut self,
        id: PromotionId,
        problem: Option<String>,
        change: &mut Change,
        now: Timestamp,
    ) {
        let Some(mut active) = self.active.take_if(|active| active.id == id) else { return };
        match (&mut active.rollout, problem) {
            (Some(rollout), None) if rollout.phase == Phase::Preparing => {
                let replaces = rollout.stable.is_some() && active.kind != PromotionKind::Rollback;
                let next = match &active.plan.strategy {
                    Strategy::Recreate if replaces => Phase::Replacing,
                    Strategy::Recreate | Strategy::Canary(_) => Phase::Starting,
                };
                rollout.enter(next, now);
                self.active = Some(active);
            }
            (Some(rollout), Some(problem)) if rollout.phase == Phase::Preparing => {
                let reason = format!("nothing was changed: {problem}");
                settle(active, Outcome::Cancelled { reason }, Actor::Towpath, change, now);
            }
            _ => self.active = Some(active),
        }
    }

    fn look(&mut self, active: &mut Promotion, facts: &Facts, change: &mut Change, now: Timestamp) -> Look {
        let Some(rollout) = &mut active.rollout else { return Look::Waits };
        if rollout.is_returning() {
            return self.look_returning(active, facts, change, now);
        }
        let started = rollout.started_at;
        if now >= after(started, active.plan.deadline) {
            return Look::Failed(format!(
                "it was not done within its deadline of {}",
                human(active.plan.deadline)
            ));
        }
        if let Some(reason) = self.dead_candidate(&active.revision, now) {
            return Look::Failed(reason);
        }
        match rollout.phase.clone() {
            Phase::Preparing | Phase::Returning => Look::Waits,
            Phase::Replacing => self.look_replacing(active, facts, now),
            Phase::Starting => self.look_starting(active, facts, change, now),
            Phase::Step { index } => self.look_step(active, index, facts, change, now),
            Phase::Completing => self.look_completing(active, facts, change, now),
            Phase::Verifying { .. } => Look::Waits,
        }
    }

    /// Why the candidate's Instances cannot be counted on, if so.
    fn dead_candidate(&self, revision: &Revision, now: Timestamp) -> Option<String> {
        self.fleet.wanted(revision.digest).find_map(|instance| {
            let workload = revision.workloads.iter().find(|workload| workload.name == instance.workload)?;
            let within = workload.health.start_within;
            let slow = instance.health == InstanceHealth::Starting && now >= after(instance.since, within);
            if instance.health == InstanceHealth::Failed {
                Some(format!("an Instance of `{}` failed: {}", instance.workload, instance.message))
            } else if instance.restarts >= MAX_RESTARTS {
                Some(format!(
                    "an Instance of `{}` ended {} times: {}",
                    instance.workload, instance.restarts, instance.message
                ))
            } else if slow {
                Some(format!(
                    "an Instance of `{}` was not ready within {}: {}",
                    instance.workload,
                    human(within),
                    instance.message
                ))
            } else {
                None
            }
        })
    }

    /// Recreate: first nobody is sent to the old Instances, then they stop, then the new ones start.
    fn look_replacing(&mut self, active: &mut Promotion, facts: &Facts, now: Timestamp) -> Look {
        let Some(rollout) = &mut active.rollout else { return Look::Waits };
        let Some(stable) = rollout.stable_digest() else {
            rollout.enter(Phase::Starting, now);
            return Look::Moved;
        };
        self.traffic.split(&[], &self.fleet, now);
        if !self.traffic.in_force(&facts.gateways) {
            return self.unconfirmed(rollout.since, facts, now).map_or(Look::Waits, Look::Failed);
        }
        self.fleet.stop(stable);
        if !self.fleet.gone(stable) {
            return Look::Waits;
        }
        rollout.enter(Phase::Starting, now);
        Look::Moved
    }

    fn look_starting(
        &mut self,
        active: &mut Promotion,
        facts: &Facts,
        change: &mut Change,
        now: Timestamp,
    ) -> Look {
        let digest = active.revision.digest;
        self.order(&active.revision, facts, now);
        if !self.fleet.ready(digest) {
            return Look::Waits;
        }
        let text = format!("every Instance of {} is ready", active.revision.version);
        change.handled.entry(about(active, "candidate-ready", Actor::Towpath, text));
        let Some(rollout) = &mut active.rollout else { return Look::Waits };
        let canary = match &active.plan.strategy {
            Strategy::Canary(canary) if active.kind != PromotionKind::Rollback => {
                rollout.stable.is_some().then_some(canary)
            }
            Strategy::Canary(_) | Strategy::Recreate => None,
        };
        match canary {
            Some(canary) if !canary.steps.is_empty() => {
                match judging::judge(&active.plan.analysis, canary) {
                    Ok(judge) => rollout.judge = Some(judge),
                    Err(problem) => return Look::Failed(format!("the analysis cannot be used: {problem}")),
                }
                self.begin_step(active, 0, change, now);
            }
            _ => rollout.enter(Phase::Completing, now),
        }
        Look::Moved
    }

    fn order(&mut self, revision: &Revision, facts: &Facts, now: Timestamp) {
        let count = self.policy.document.target.instances;
        let missing = |workload: &crate::pipeline::Workload| {
            self.fleet.wanted(revision.digest).filter(|i| i.workload == workload.name).count()
                < count as usize
        };
        if revision.workloads.iter().any(missing) {
            self.fleet.want(&self.key, revision, count, &facts.hosts, now);
        }
    }

    fn begin_step(&mut self, active: &mut Promotion, index: usize, change: &mut Change, now: Timestamp) {
        let Some(step) = step(active, index) else { return };
        let weight = step.weight;
        let text = format!("{} gets {weight} of the requests", active.revision.version);
        change.handled.entry(about(active, "weight-ordered", Actor::Towpath, text).fact("weight", weight));
        let Some(rollout) = &mut active.rollout else { return };
        rollout.steps.push(StepRecord {
            weight,
            ordered_at: now,
            in_force_at: None,
            ended_at: None,
            verdict: String::new(),
            resumed: false,
        });
        rollout.enter(Phase::Step { index }, now);
        let stable = rollout.stable.clone();
        self.share(&active.revision, weight, stable.as_ref(), now);
    }

    /// Desires `weight` for the candidate and the rest for stable.
    fn share(&mut self, candidate: &Revision, weight: Weight, stable: Option<&Revision>, now: Timestamp) {
        let arms: Vec<(Digest, WorkloadName, Weight)> =
            [Some((candidate, weight)), stable.map(|s| (s, weight.rest()))]
                .into_iter()
                .flatten()
                .filter_map(|(revision, weight)| Some((revision.digest, front(revision)?, weight)))
                .collect();
        self.traffic.split(&arms, &self.fleet, now);
    }

    fn look_step(
        &mut self,
        active: &mut Promotion,
        index: usize,
        facts: &Facts,
        change: &mut Change,
        now: Timestamp,
    ) -> Look {
        let Some(step) = step(active, index).cloned() else { return Look::Waits };
        let in_force = self.traffic.in_force(&facts.gateways);
        let Some(rollout) = &mut active.rollout else { return Look::Waits };
        let Some(record) = rollout.steps.last_mut() else { return Look::Waits };
        if record.in_force_at.is_none() {
            if !in_force {
                return self.unconfirmed(record.ordered_at, facts, now).map_or(Look::Waits, Look::Failed);
            }
            record.in_force_at = Some(now);
            rollout.since = now;
            judging::step_started(rollout.judge.as_mut(), now);
        }
        rollout.assessment = rollout.judge.as_ref().map(|judge| judging::assess(judge, now));
        let Some(assessment) = &rollout.assessment else { return Look::Waits };
        let (verdict, words) = (assessment.verdict, assessment.reason.to_string());
        if verdict == Verdict::Unhealthy {
            end_step(rollout, &words, now);
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
        if step(active, index + 1).is_some() {
            self.begin_step(active, index + 1, change, now);
        } else if let Some(rollout) = &mut active.rollout {
            rollout.enter(Phase::Completing, now);
        }
    }

    fn look_completing(
        &mut self,
        active: &mut Promotion,
        facts: &Facts,
        change: &mut Change,
        now: Timestamp,
    ) -> Look {
        let Some(rollout) = &active.rollout else { return Look::Waits };
        let (stable, since) = (rollout.stable.clone(), rollout.since);
        // What ran before keeps an arm without weight, so that requests in flight end well and the way back is short.
        let kept = stable.filter(|stable| self.fleet.wanted(stable.digest).next().is_some());
        self.share(&active.revision, Weight::FULL, kept.as_ref(), now);
        if !self.traffic.in_force(&facts.gateways) {
            return self.unconfirmed(since, facts, now).map_or(Look::Waits, Look::Failed);
        }
        if active.kind == PromotionKind::Rollback {
            if let Some(back) = active.rollout.as_mut().and_then(|rollout| rollout.back.as_mut()) {
                back.safe_at = Some(now);
            }
            return self.succeed(active, now);
        }
        self.verify_from(active, 0, change, now)
    }

    fn verify_from(
        &mut self,
        active: &mut Promotion,
        index: usize,
        change: &mut Change,
        now: Timestamp,
    ) -> Look {
        let id = active.id;
        let Some(verification) = active.plan.verify.get(index) else { return self.succeed(active, now) };
        let attempt = match verification {
            Verification::Http(_) => {
                change.handled.effect(EnvironmentEffect::VerifyHttp { promotion: id, index });
                None
            }
            Verification::Run(run) => {
                let attempt =
                    Attempt::queued(attempt_id(id.0, "verify", number(index, 1)), 1, [run.name.clone()], now);
                let effect = EnvironmentEffect::QueueAttempt { promotion: id, index, attempt: attempt.id };
                change.handled.effect(effect);
                Some(Box::new(attempt))
            }
        };
        if let Some(rollout) = &mut active.rollout {
            rollout.enter(Phase::Verifying { index, attempt }, now);
        }
        Look::Moved
    }

    /// Takes the result of a check and goes on with the next one.
    pub(super) fn verified(
        &mut self,
        index: usize,
        problem: Option<String>,
        change: &mut Change,
        now: Timestamp,
    ) {
        let Some(mut active) = self.active.take() else { return };
        let look = match problem {
            None => {
                let text = format!("check {} of {} passed", index + 1, active.title());
                change.handled.entry(about(&active, "verification-passed", Actor::Towpath, text));
                self.verify_from(&mut active, index + 1, change, now)
            }
            Some(problem) => Look::Failed(format!("verification failed: {problem}")),
        };
        match look {
            Look::Ended(outcome) => settle(active, outcome, Actor::Towpath, change, now),
            Look::Failed(reason) => {
                self.fail(&mut active, reason, change, now);
                self.active = Some(active);
            }
            Look::Moved | Look::Waits => self.active = Some(active),
        }
    }

    fn succeed(&mut self, active: &Promotion, now: Timestamp) -> Look {
        let digest = active.revision.digest;
        let deployment = Deployment { revision: active.revision.clone(), promotion: active.id, since: now };
        if let Some(before) = self.current.replace(deployment) {
            let kept = before.revision.digest;
            self.history.retain(|past| past.revision.digest != kept && past.revision.digest != digest);
            if active.kind == PromotionKind::Rollback {
                let reason =
                    format!("it was left for {} by {}", active.revision.version, active.requested_by.name());
                self.put_in_quarantine(&before.revision, reason, now);
            }
            self.history.insert(0, before);
            self.history.truncate(HISTORY);
            self.warm = Some(Warm { revision: kept, until: after(now, WARM) });
            self.fleet.stop_all_but(&[digest, kept]);
        } else {
            self.fleet.stop_all_but(&[digest]);
        }
        Look::Ended(Outcome::Succeeded)
    }

    /// Why a split that is not in force yet will not be waited for any longer.
    fn unconfirmed(&self, since: Timestamp, facts: &Facts, now: Timestamp) -> Option<String> {
        if now < after(since.max(self.traffic.since), CONFIRM_WITHIN) {
            return None;
        }
        let silent: Vec<&str> = facts
            .gateways
            .iter()
            .filter(|name| {
                self.traffic.confirmed.get(*name).is_none_or(|seen| *seen < self.traffic.generation)
            })
            .map(String::as_str)
            .collect();
        let who = if silent.is_empty() {
            "no gateway is connected".to_owned()
        } else {
            format!("gateway {} was silent", silent.join(", "))
        };
        Some(format!("the split of the traffic was not confirmed within {}: {who}", human(CONFIRM_WITHIN)))
    }

    /// Acts on a failure. Says whether something moved.
    fn fail(&mut self, active: &mut Promotion, reason: String, change: &mut Change, now: Timestamp) -> bool {
        let exposed = active.rollout.as_ref().is_some_and(|rollout| {
            matches!(rollout.phase, Phase::Step { .. } | Phase::Completing | Phase::Verifying { .. })
        });
        match active.plan.on_failure {
            OnFailure::Hold if exposed => {
                if active.rollout.as_ref().is_some_and(|rollout| rollout.held.is_none()) {
                    hold(
                        active,
                        format!("{reason}; `on_failure: hold` leaves the decision to a person"),
                        change,
                        now,
                    );
                }
                false
            }
            OnFailure::Hold | OnFailure::Rollback => {
                self.turn_back(active, reason, change, now);
                true
            }
        }
    }

    /// Sends the active Rollout back.
    pub(super) fn go_back(&mut self, reason: String, change: &mut Change, now: Timestamp) {
        if let Some(mut active) = self.active.take() {
            self.turn_back(&mut active, reason, change, now);
            self.active = Some(active);
        }
    }

    fn turn_back(&mut self, active: &mut Promotion, reason: String, change: &mut Change, now: Timestamp) {
        let title = active.title();
        let Some(rollout) = &mut active.rollout else { return };
        if rollout.is_returning() {
            return;
        }
        if let Phase::Verifying { attempt: Some(attempt), .. } = &rollout.phase
            && !attempt.state.is_final()
        {
            let effect = EnvironmentEffect::CancelAttempt { attempt: attempt.id, reason: reason.clone() };
            change.handled.effect(effect);
        }
        let cold = rollout.stable_digest().is_some_and(|stable| !has_ready(self, stable));
        rollout.held = None;
        rollout.back = Some(Return { reason: reason.clone(), decided_at: now, cold, safe_at: None });
        rollout.enter(Phase::Returning, now);
        let to = rollout.stable.as_ref().map_or("not serving", |stable| stable.version.as_str());
        let text = format!("{title} goes back to {to}: {reason}");
        change.handled.entry(about(active, "rollback-started", Actor::Towpath, text));
    }

    /// Traffic first, then the candidate; nothing is stopped that a gateway may still send to.
    fn look_returning(
        &mut self,
        active: &mut Promotion,
        facts: &Facts,
        change: &mut Change,
        now: Timestamp,
    ) -> Look {
        let Some(rollout) = &mut active.rollout else { return Look::Waits };
        let (stable, candidate) = (rollout.stable.clone(), active.revision.clone());
        match &stable {
            Some(stable) if !has_ready(self, stable.digest) => {
                self.order(stable, facts, now);
                if !has_ready(self, stable.digest) {
                    return Look::Waits;
                }
                return Look::Moved;
            }
            Some(stable) => self.share(&candidate, Weight::NONE, Some(stable), now),
            None => self.traffic.split(&[], &self.fleet, now),
        }
        if !self.traffic.in_force(&facts.gateways) {
            return Look::Waits;
        }
        let Some(back) = &mut rollout.back else { return Look::Waits };
        back.safe_at.get_or_insert(now);
        let (reason, time_to_safe_ms) = (back.reason.clone(), back.time_to_safe_ms());
        self.fleet.stop(candidate.digest);
        if let Some(stable) = &stable {
            self.order(stable, facts, now);
            if let Some(front) = front(stable) {
                self.traffic.split(&[(stable.digest, front, Weight::FULL)], &self.fleet, now);
            }
        }
        self.put_in_quarantine(&candidate, reason.clone(), now);
        let text = match time_to_safe_ms {
            Some(time) => {
                format!("no new request reaches {} any more, {time} ms after the decision", candidate.version)
            }
            None => format!("no new request reaches {} any more", candidate.version),
        };
        change.handled.entry(about(active, "traffic-safe", Actor::Towpath, text));
        Look::Ended(Outcome::RolledBack { reason, time_to_safe_ms })
    }

    fn put_in_quarantine(&mut self, revision: &Revision, reason: String, now: Timestamp) {
        if self.quarantine.len() >= QUARANTINE {
            let oldest =
                self.quarantine.iter().min_by_key(|(_, quarantine)| quarantine.at).map(|(digest, _)| *digest);
            oldest.map(|digest| self.quarantine.remove(&digest));
        }
        let quarantine = Quarantine { version: revision.version.clone(), at: now, reason };
        self.quarantine.insert(revision.digest, quarantine);
    }
}

/// The Workload that takes the listener's requests: the first one.
fn front(revision: &Revision) -> Option<WorkloadName> {
    revision.workloads.first().map(|workload| workload.name.clone())
}

fn has_ready(environment: &Environment, revision: Digest) -> bool {
    let Some(known) = environment.fleet.wanted(revision).next() else { return false };
    let front =
        environment.known_revision(revision).and_then(front).unwrap_or_else(|| known.workload.clone());
    environment.fleet.wanted(revision).any(|i| i.workload == front && i.health == InstanceHealth::Ready)
}

fn step(active: &Promotion, index: usize) -> Option<&CanaryStep> {
    match &active.plan.strategy {
        Strategy::Canary(canary) => canary.steps.get(index),
        Strategy::Recreate => None,
    }
}

fn end_step(rollout: &mut Rollout, verdict: &str, now: Timestamp) {
    if let Some(record) = rollout.steps.last_mut() {
        record.ended_at = Some(now);
        verdict.clone_into(&mut record.verdict);
    }
}

fn hold(active: &mut Promotion, reason: String, change: &mut Change, now: Timestamp) {
    let text = format!("{} holds: {reason}", active.title());
    change.handled.entry(about(active, "rollout-held", Actor::Towpath, text));
    if let Some(rollout) = &mut active.rollout {
        rollout.held = Some(Hold { by: Actor::Towpath, at: now, reason });
    }
}

/// The number of the `nth` Attempt of check `index`.
pub(super) fn number(index: usize, nth: u32) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX).saturating_mul(100).saturating_add(nth)
}

pub(super) fn after(start: Timestamp, duration: SignedDuration) -> Timestamp {
    start.saturating_add(duration).unwrap_or(Timestamp::MAX)
}
