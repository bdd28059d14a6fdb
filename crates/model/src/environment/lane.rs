//! The lane: whose turn it is, and what has to be known before anything changes.

use jiff::{SignedDuration, Timestamp};

use super::gates::{self, Around, GateState};
use super::line::came_by_itself;
use super::promotion::{Outcome, Promotion, PromotionKind, Revision};
use super::requests::{about, settle};
use super::rollout::{Phase, Return, Rollout};
use super::{Change, Environment, EnvironmentEffect, Facts, judging};
use crate::PromotionId;
use crate::intake::Queue;
use crate::pipeline::Strategy;
use crate::timeline::Actor;

impl Environment {
    pub(super) fn look_at_gates(&mut self, facts: &Facts, change: &mut Change, now: Timestamp) {
        // One that has expired leaves its turn to the next.
        while let Some((id, reason)) = self.look_at_line(facts, change, now) {
            if let Some(expired) = self.take_out(|waiting| waiting.id == id, now) {
                settle(expired, Outcome::Expired { reason }, Actor::Towpath, change, now);
            }
        }
    }

    /// Looks at the Gates of those whose turn it is. Says which of them has expired, and why.
    fn look_at_line(
        &mut self,
        facts: &Facts,
        change: &mut Change,
        now: Timestamp,
    ) -> Option<(PromotionId, String)> {
        let side_by_side = self.queue() == Queue::Parallel;
        let Self { waiting, line, policy, current, .. } = self;
        let current = current.as_ref().map(|current| &current.revision);
        let around = Around { editors: &policy.editors, facts, current };
        let behind = line.iter_mut().filter(|_| side_by_side);
        let mut expired = None;
        for waiting in waiting.iter_mut().chain(behind) {
            ask(waiting, current, change, now);
            waiting.gates = gates::evaluate(waiting, &around, now);
            call_people(waiting, change);
            let ended = waiting.gates.iter().find(|gate| gate.state == GateState::Expired);
            expired = expired.or(ended.map(|gate| (waiting.id, gate.reason.clone())));
        }
        expired
    }

    /// Starts the manual rollback that waits for the lane, else the Promotion whose Gates are open.
    pub(super) fn start_what_may(&mut self, facts: &Facts, change: &mut Change, now: Timestamp) {
        // One that need not start any more leaves the lane free for the next.
        while self.active.is_none() {
            let Some(promotion) = self.next_in_line(now) else { return };
            self.start(promotion, facts, change, now);
            // Whoever is first in line now has not been looked at yet.
            self.look_at_gates(facts, change, now);
        }
    }

    fn next_in_line(&mut self, now: Timestamp) -> Option<Promotion> {
        if let Some(next) = self.next.take() {
            return Some(next);
        }
        let held = self.hold.is_some();
        let may = |waiting: &Promotion| {
            waiting.gates.iter().all(|gate| gate.state == GateState::Open)
                && waiting.gates.len() >= waiting.plan.gates.len().min(1)
                && !(held && came_by_itself(waiting))
        };
        let first = self.waiting.as_ref().map(|waiting| waiting.id);
        let side_by_side = self.queue() == Queue::Parallel;
        self.take_out(|waiting| (side_by_side || first == Some(waiting.id)) && may(waiting), now)
    }

    fn start(&mut self, mut promotion: Promotion, facts: &Facts, change: &mut Change, now: Timestamp) {
        let digest = promotion.revision.digest;
        if self.current.as_ref().is_some_and(|current| current.revision.digest == digest) {
            let reason = "it runs already".to_owned();
            return settle(promotion, Outcome::Cancelled { reason }, Actor::Towpath, change, now);
        }
        if let Some(revoked) = self.revoked.get(&promotion.revision.release) {
            let reason = revoked.words();
            return settle(promotion, Outcome::Cancelled { reason }, Actor::Towpath, change, now);
        }
        if promotion.kind != PromotionKind::Rollback
            && let Some(quarantine) = self.quarantine.get(&digest)
        {
            let reason = format!("it is in quarantine: {}", quarantine.reason);
            return settle(promotion, Outcome::Cancelled { reason }, Actor::Towpath, change, now);
        }
        // One warm Revision beside two that serve is more than a host has to bear.
        if let Some(warm) = self.warm.as_mut().filter(|warm| warm.revision != digest) {
            warm.until = warm.until.min(now);
            self.cool_down(facts, now);
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
        // An Instance that is kept warm, or ran before, is blamed only for what it does from now on.
        self.fleet.give_up_failed(digest, now, SignedDuration::ZERO);
        rollout.restarts = self.fleet.wanted(digest).map(|i| (i.id, i.restarts)).collect();
        if promotion.kind == PromotionKind::Rollback {
            let reason = how;
            let decided_at = promotion.requested_at;
            rollout.back = Some(Return {
                reason,
                decided_at,
                cold: !self.has_ready(&promotion.revision),
                exposed: true,
                safe_at: None,
            });
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
                    Strategy::Rolling(rolling) if replaces => {
                        rollout.batches = rolling.batches(self.policy.document.target.instances);
                        Phase::Batch { index: 0 }
                    }
                    _ => Phase::Starting,
                };
                rollout.enter(next, now);
                begin_judging(&mut active);
                self.active = Some(active);
            }
            (Some(rollout), Some(problem)) if rollout.phase == Phase::Preparing => {
                let reason = format!("nothing was changed: {problem}");
                let digest = active.revision.digest;
                settle(active, Outcome::Cancelled { reason }, Actor::Towpath, change, now);
                self.let_cool(digest, now);
            }
            _ => self.active = Some(active),
        }
    }
}

/// Asks for what the Gates of a Promotion want to know from outside, each thing once.
fn ask(waiting: &mut Promotion, current: Option<&Revision>, change: &mut Change, now: Timestamp) {
    let promotion = waiting.id;
    if let Some(current) = current.filter(|_| waiting.asks_for_change())
        && waiting.change_from(current).is_none()
        && waiting.comparing.as_ref() != Some(&current.commit)
    {
        let from = current.commit.clone();
        waiting.comparing = Some(from.clone());
        change.handled.effect(EnvironmentEffect::ReadChange { promotion, from });
    }
    let questions = waiting.questions(now);
    if questions.is_empty() {
        return;
    }
    let binding = waiting.binding();
    for index in questions {
        change.handled.effect(EnvironmentEffect::AskGate { promotion, index, binding });
    }
}

/// Writes down, once, that a Promotion needs people. Whoever wants to hear of that is told by this entry.
fn call_people(waiting: &mut Promotion, change: &mut Change) {
    let by_people = |kind: &str| matches!(kind, "approval" | "hold");
    let undecided = waiting.comparing.is_some();
    let needs: Vec<&str> = waiting
        .gates
        .iter()
        .filter(|gate| gate.state == GateState::Waiting && by_people(&gate.kind))
        .map(|gate| gate.reason.as_str())
        .collect();
    if waiting.called || undecided || needs.is_empty() {
        return;
    }
    let text = format!("{} needs people: {}", waiting.title(), needs.join("; "));
    waiting.called = true;
    change.handled.entry(about(waiting, "people-asked", Actor::Towpath, text));
}

/// Makes the judge while the candidate starts, so that it knows stable before the first step.
///
/// A judge that cannot be made is reported when it would be needed.
fn begin_judging(active: &mut Promotion) {
    let steps = active.steps();
    let Promotion { kind, plan, rollout, .. } = active;
    let Some(rollout) = rollout.as_mut().filter(|rollout| rollout.stable.is_some()) else { return };
    if *kind != PromotionKind::Rollback && !steps.is_empty() {
        rollout.judge = judging::judge(plan, &steps).ok();
    }
}
