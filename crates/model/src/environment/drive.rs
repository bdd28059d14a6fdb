//! What moves by itself: one look after another at the lane and at the Rollout in it, until both wait.

use jiff::{SignedDuration, Timestamp};

use super::promotion::{Outcome, Promotion, Revision};
use super::requests::{about, settle};
use super::rollout::{Hold, Phase};
use super::traffic::Front;
use super::{Change, Environment, Facts, gates::human};
use crate::pipeline::{OnFailure, Workload};
use crate::timeline::Actor;

/// What one look at the active Rollout came to.
pub(super) enum Look {
    /// Something moved; look again.
    Moved,
    /// It waits.
    Waits,
    /// It cannot go on.
    Failed(String),
    /// Nobody knows where the requests go, so they go back, whatever `on_failure` says.
    Unconfirmed(String),
    /// The Promotion has ended.
    Ended(Outcome),
}

impl Environment {
    /// Goes as far as it can without waiting.
    pub(super) fn drive(&mut self, facts: &Facts, change: &mut Change, now: Timestamp) {
        self.traffic.follow(&self.fleet, now);
        self.leave_lost_hosts(facts, change, now);
        self.cool_down(facts, now);
        self.keep_serving(facts, now);
        self.look_at_gates(facts, change, now);
        loop {
            self.start_what_may(facts, change, now);
            let Some(mut active) = self.active.take() else { break };
            match self.look(&mut active, facts, change, now) {
                Look::Moved => self.active = Some(active),
                Look::Waits => {
                    self.active = Some(active);
                    break;
                }
                Look::Unconfirmed(reason) => {
                    self.turn_back(&mut active, reason, change, now);
                    self.active = Some(active);
                }
                Look::Failed(reason) => {
                    let goes_on = self.fail(&mut active, reason, change, now);
                    self.active = Some(active);
                    if !goes_on {
                        break;
                    }
                }
                Look::Ended(outcome) => {
                    if outcome == Outcome::Succeeded {
                        self.end_overtaken(&active, change, now);
                    }
                    self.learn_of_suspects(&active, &outcome, change);
                    settle(active, outcome, Actor::Towpath, change, now);
                    self.look_at_gates(facts, change, now);
                }
            }
        }
        self.traffic.follow(&self.fleet, now);
        self.let_go(facts, now);
    }

    fn look(&mut self, active: &mut Promotion, facts: &Facts, change: &mut Change, now: Timestamp) -> Look {
        let Some(rollout) = &active.rollout else { return Look::Waits };
        if rollout.is_returning() {
            return self.look_returning(active, facts, change, now);
        }
        if now >= after(rollout.deadline_from, active.plan.deadline) {
            return Look::Failed(format!(
                "it was not done within its deadline of {}",
                human(active.plan.deadline)
            ));
        }
        if matches!(rollout.phase, Phase::Step { .. } | Phase::Completing | Phase::Verifying { .. }) {
            // A person who resumed after an Instance had failed wants another in its place.
            self.order(&active.revision, self.candidate_count(active), facts, now);
        }
        if let Some(reason) = self.dead_candidate(&active.revision, &rollout.restarts, now) {
            return Look::Failed(reason);
        }
        match rollout.phase {
            Phase::Preparing | Phase::Returning => Look::Waits,
            Phase::Replacing => self.look_replacing(active, facts, now),
            Phase::Starting => self.look_starting(active, facts, change, now),
            Phase::Batch { index } => self.look_batch(active, index, facts, change, now),
            Phase::Step { index } => self.look_step(active, index, facts, change, now),
            Phase::Completing => self.look_completing(active, facts, change, now),
            Phase::Verifying { .. } => Look::Waits,
        }
    }

    /// Acts on a failure. Says whether something moved.
    pub(super) fn fail(
        &mut self,
        active: &mut Promotion,
        reason: String,
        change: &mut Change,
        now: Timestamp,
    ) -> bool {
        let exposed = active.rollout.as_ref().is_some_and(|rollout| match rollout.phase {
            Phase::Step { .. } | Phase::Completing => true,
            Phase::Verifying { index, .. } => index >= active.plan.before,
            Phase::Batch { index } => index > 0,
            Phase::Preparing | Phase::Replacing | Phase::Starting | Phase::Returning => false,
        });
        match active.plan.on_failure {
            OnFailure::Hold if exposed => {
                if active.rollout.as_ref().is_some_and(|rollout| rollout.failed.is_none()) {
                    let words = format!("{reason}; `on_failure: hold` leaves the decision to a person");
                    hold(active, words, change, now);
                    if let Some(rollout) = &mut active.rollout {
                        rollout.failed = Some(reason);
                    }
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
}

/// The Workload that takes the listener's requests: the first one.
pub(super) fn front(revision: &Revision) -> Option<Front> {
    let Workload { name, protocol, .. } = revision.workloads.first()?;
    Some(Front { workload: name.clone(), protocol: *protocol })
}

/// Leaves the decision to a person.
pub(super) fn hold(active: &mut Promotion, reason: String, change: &mut Change, now: Timestamp) {
    let text = format!("{} holds: {reason}", active.title());
    change.handled.entry(about(active, "rollout-held", Actor::Towpath, text));
    if let Some(rollout) = &mut active.rollout {
        rollout.held = Some(Hold { by: Actor::Towpath, at: now, reason, promotion: None });
    }
}

pub(super) fn after(start: Timestamp, duration: SignedDuration) -> Timestamp {
    start.saturating_add(duration).unwrap_or(Timestamp::MAX)
}
