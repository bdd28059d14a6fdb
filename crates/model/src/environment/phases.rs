//! The phases of a Rollout that every strategy has: stopping the old, starting the new, giving it everything.

use jiff::Timestamp;

use super::drive::{Look, after, front};
use super::gates::human;
use super::promotion::{Outcome, Promotion, PromotionKind};
use super::requests::about;
use super::rollout::{CONFIRM_WITHIN, Phase};
use super::{Change, Deployment, Environment, Facts, HISTORY, Warm, judging};
use crate::Weight;
use crate::pipeline::Strategy;
use crate::timeline::Actor;

impl Environment {
    /// Recreate: first nobody is sent to the old Instances, then they stop, then the new ones start.
    pub(super) fn look_replacing(&mut self, active: &mut Promotion, facts: &Facts, now: Timestamp) -> Look {
        let Some(rollout) = &mut active.rollout else { return Look::Waits };
        let Some(stable) = rollout.stable_digest() else {
            rollout.enter(Phase::Starting, now);
            return Look::Moved;
        };
        // Held before the first change: what runs goes on.
        if rollout.held.is_some() && self.traffic.weight(stable) != Weight::NONE {
            return Look::Waits;
        }
        self.traffic.split(&[], &self.fleet, now);
        if !self.traffic.in_force(&facts.gateways) {
            return self.unconfirmed(rollout.since, facts, now).map_or(Look::Waits, Look::Unconfirmed);
        }
        self.fleet.stop(stable);
        if !self.fleet.gone(stable) {
            return Look::Waits;
        }
        rollout.enter(Phase::Starting, now);
        Look::Moved
    }

    pub(super) fn look_starting(
        &mut self,
        active: &mut Promotion,
        facts: &Facts,
        change: &mut Change,
        now: Timestamp,
    ) -> Look {
        let digest = active.revision.digest;
        self.order(&active.revision, self.full_count(), facts, now);
        if !self.fleet.ready(digest) || !self.has_ready(&active.revision) {
            return Look::Waits;
        }
        self.show(active, now);
        if active.plan.before > 0 && active.rollout.as_ref().is_some_and(|rollout| !rollout.checked) {
            return self.check_before(active, facts, change, now);
        }
        // A held Rollout gives nobody's requests away. Where nothing serves (recreate), going on is the lesser harm.
        let held = active.rollout.as_ref().is_some_and(|rollout| rollout.held.is_some());
        let replaced = matches!(active.plan.strategy, Strategy::Recreate) && self.current.is_some();
        if held && !replaced {
            return Look::Waits;
        }
        let text = format!("every Instance of {} is ready", active.revision.version);
        change.handled.entry(about(active, "candidate-ready", Actor::Towpath, text));
        self.first_step(active, change, now)
    }

    /// Lets the preview address reach the candidate, where there is one.
    fn show(&mut self, active: &Promotion, now: Timestamp) {
        // What comes back is known, and nothing may delay it.
        let is_shown = self.policy.document.preview.is_some() && active.kind != PromotionKind::Rollback;
        if let Some(front) = front(&active.revision).filter(|_| is_shown) {
            self.traffic.show(active.revision.digest, front, &self.fleet, now);
        }
    }

    /// Begins the checks that stand before the candidate's first weight, once the preview address reaches it.
    fn check_before(
        &mut self,
        active: &mut Promotion,
        facts: &Facts,
        change: &mut Change,
        now: Timestamp,
    ) -> Look {
        if !self.traffic.in_force(&facts.gateways) {
            let since = active.rollout.as_ref().map_or(now, |rollout| rollout.since);
            return self.unconfirmed(since, facts, now).map_or(Look::Waits, Look::Failed);
        }
        self.verify_from(active, 0, 1, change, now)
    }

    /// Begins the first step of a Rollout that has steps, else gives the candidate everything.
    pub(super) fn first_step(&mut self, active: &mut Promotion, change: &mut Change, now: Timestamp) -> Look {
        let steps = active.steps();
        let Some(rollout) = &mut active.rollout else { return Look::Waits };
        if steps.is_empty() || rollout.stable.is_none() || active.kind == PromotionKind::Rollback {
            rollout.enter(Phase::Completing, now);
            return Look::Moved;
        }
        if rollout.judge.is_none() {
            match judging::judge(&active.plan, &steps) {
                Ok(judge) => rollout.judge = Some(judge),
                Err(problem) => return Look::Failed(format!("the analysis cannot be used: {problem}")),
            }
        }
        self.begin_step(active, 0, change, now);
        Look::Moved
    }

    pub(super) fn look_completing(
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
        self.traffic.unguide(now);
        self.share(&active.revision, Weight::FULL, kept.as_ref(), now);
        if !self.traffic.in_force(&facts.gateways) {
            return self.unconfirmed(since, facts, now).map_or(Look::Waits, Look::Unconfirmed);
        }
        if active.kind == PromotionKind::Rollback {
            if let Some(back) = active.rollout.as_mut().and_then(|rollout| rollout.back.as_mut()) {
                back.safe_at = Some(now);
                let time = back.time_to_safe_ms().unwrap_or_default();
                let text = format!(
                    "every request reaches {} again, {time} ms after it was asked for",
                    active.revision.version
                );
                change.handled.entry(about(active, "traffic-safe", Actor::Towpath, text));
            }
            return self.succeed(active, now);
        }
        self.verify_from(active, active.plan.before, 1, change, now)
    }

    /// Why a split that is not in force yet will not be waited for any longer.
    pub(super) fn unconfirmed(&self, since: Timestamp, facts: &Facts, now: Timestamp) -> Option<String> {
        if now < after(since.max(self.traffic.since), CONFIRM_WITHIN) {
            return None;
        }
        let silent: Vec<&str> = facts
            .gateways
            .iter()
            .filter(|name| {
                self.traffic.confirmed.get(*name).is_none_or(|seen| *seen != self.traffic.generation)
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

    pub(super) fn succeed(&mut self, active: &Promotion, now: Timestamp) -> Look {
        let digest = active.revision.digest;
        self.traffic.hide(now);
        self.quarantine.remove(&digest);
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
            // What a rolling replacement has left of it could not carry the traffic, so it goes as soon as nobody sends to it.
            let partial = active.rollout.as_ref().is_some_and(|rollout| !rollout.batches.is_empty());
            let runs = self.fleet.wanted(kept).next().is_some();
            let until = if partial { now } else { after(now, active.plan.strategy.warm()) };
            self.warm = runs.then_some(Warm { revision: kept, until });
            self.fleet.stop_all_but(&[digest, kept]);
        } else {
            self.fleet.stop_all_but(&[digest]);
        }
        Look::Ended(Outcome::Succeeded)
    }
}
