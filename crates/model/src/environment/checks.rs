//! Checks after the deployment: their Attempts and their results.

use jiff::Timestamp;

use super::drive::number;
use super::rollout::Phase;
use super::{Change, Environment, EnvironmentEffect};
use crate::attempt::{Applied, Attempt, AttemptReport, AttemptState};
use crate::run::attempt_id;
use crate::{AttemptId, PromotionId};

/// How often a check is tried again when its agent was lost or could not run it.
const TRIES: u32 = 3;

impl Environment {
    pub(super) fn verification_attempt(&mut self, id: AttemptId) -> Option<&mut Attempt> {
        let rollout = self.active.as_mut()?.rollout.as_mut()?;
        match &mut rollout.phase {
            Phase::Verifying { attempt: Some(attempt), .. } if attempt.id == id => Some(attempt),
            _ => None,
        }
    }

    fn verifying(&self) -> Option<(PromotionId, usize)> {
        let active = self.active.as_ref()?;
        match active.rollout.as_ref()?.phase {
            Phase::Verifying { index, .. } => Some((active.id, index)),
            _ => None,
        }
    }

    pub(super) fn verification_finished(
        &mut self,
        promotion: PromotionId,
        index: usize,
        problem: Option<String>,
        change: &mut Change,
        now: Timestamp,
    ) {
        if self.verifying() == Some((promotion, index)) {
            self.verified(index, problem, change, now);
        }
    }

    #[expect(clippy::too_many_arguments, reason = "these are the fields of one event")]
    pub(super) fn attempt_reported(
        &mut self,
        id: AttemptId,
        fence: u64,
        sequence: u64,
        at: Timestamp,
        report: AttemptReport,
        change: &mut Change,
        now: Timestamp,
    ) {
        let Some(attempt) = self.verification_attempt(id) else { return };
        let Applied::Ended(finished) = attempt.report(fence, sequence, at, report) else { return };
        let Some((_, index)) = self.verifying() else { return };
        match finished.state {
            AttemptState::Passed => self.verified(index, None, change, now),
            AttemptState::Errored => self.try_check_again(id, index, &finished.message, change, now),
            _ => self.verified(index, Some(finished.message), change, now),
        }
    }

    pub(super) fn attempt_lost(
        &mut self,
        id: AttemptId,
        fence: u64,
        message: &str,
        change: &mut Change,
        now: Timestamp,
    ) {
        let Some(attempt) = self.verification_attempt(id) else { return };
        if attempt.state.is_final() || attempt.fence != fence {
            return;
        }
        attempt.end(AttemptState::Lost, message.to_owned(), now);
        if let Some((_, index)) = self.verifying() {
            self.try_check_again(id, index, message, change, now);
        }
    }

    /// A check whose agent failed says nothing of the candidate; it is tried again a few times.
    fn try_check_again(
        &mut self,
        id: AttemptId,
        index: usize,
        message: &str,
        change: &mut Change,
        now: Timestamp,
    ) {
        let Some((promotion, _)) = self.verifying() else { return };
        let Some(attempt) = self.verification_attempt(id) else { return };
        let nth = attempt.number + 1;
        if nth > TRIES {
            let problem = format!("no agent could run the check in {TRIES} tries: {message}");
            return self.verified(index, Some(problem), change, now);
        }
        let next = attempt_id(promotion.0, "verify", number(index, nth));
        let steps: Vec<String> = attempt.steps.iter().map(|step| step.name.clone()).collect();
        *attempt = Attempt::queued(next, nth, steps, now);
        change.handled.effect(EnvironmentEffect::QueueAttempt { promotion, index, attempt: next });
    }
}
