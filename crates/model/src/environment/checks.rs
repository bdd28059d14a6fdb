//! Checks before the first weight and after the deployment: which runs, their Attempts and their results.

use jiff::Timestamp;

use super::drive::Look;
use super::promotion::Promotion;
use super::requests::{about, settle};
use super::rollout::Phase;
use super::{Change, Environment, EnvironmentEffect};
use crate::attempt::{Applied, Attempt, AttemptReport, AttemptState};
use crate::pipeline::Verification;
use crate::run::attempt_id;
use crate::timeline::Actor;
use crate::{AttemptId, PromotionId};

/// How often a check is tried again when its agent was lost or could not run it.
const TRIES: u32 = 3;

impl Environment {
    pub(super) fn verify_from(
        &mut self,
        active: &mut Promotion,
        index: usize,
        nth: u32,
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
                let attempt = Attempt::queued(check_attempt(id, index, nth), nth, [run.name.clone()], now);
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
        if let Some(rollout) = &mut active.rollout {
            rollout.failed_check = problem.is_some().then_some(index);
        }
        let look = match problem {
            None => {
                let text = format!("check {} of {} passed", index + 1, active.title());
                change.handled.entry(about(&active, "verification-passed", Actor::Towpath, text));
                self.next_check(&mut active, index + 1, change, now)
            }
            Some(problem) => Look::Failed(format!("verification failed: {problem}")),
        };
        match look {
            Look::Ended(outcome) => settle(active, outcome, Actor::Towpath, change, now),
            Look::Failed(reason) => {
                self.fail(&mut active, reason, change, now);
                self.active = Some(active);
            }
            Look::Moved | Look::Waits | Look::Unconfirmed(_) => self.active = Some(active),
        }
    }

    /// Begins the next check. After the last of those before the first weight, the Rollout is where it was before them: its
    /// Instances are ready, and nobody's requests reach them.
    fn next_check(
        &mut self,
        active: &mut Promotion,
        index: usize,
        change: &mut Change,
        now: Timestamp,
    ) -> Look {
        match &mut active.rollout {
            Some(rollout) if index == active.plan.before => {
                rollout.checked = true;
                rollout.enter(Phase::Starting, now);
                Look::Moved
            }
            _ => self.verify_from(active, index, 1, change, now),
        }
    }

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
        if attempt.number % TRIES == 0 {
            let problem = format!("no agent could run the check in {TRIES} tries: {message}");
            return self.verified(index, Some(problem), change, now);
        }
        let next = check_attempt(promotion, index, nth);
        let steps: Vec<String> = attempt.steps.iter().map(|step| step.name.clone()).collect();
        *attempt = Attempt::queued(next, nth, steps, now);
        change.handled.effect(EnvironmentEffect::QueueAttempt { promotion, index, attempt: next });
    }

    /// Runs the check of this moment once more, because a person said so.
    pub(super) fn check_again(&mut self, change: &mut Change, now: Timestamp) {
        let Some(mut active) = self.active.take() else { return };
        if let Some(Phase::Verifying { index, attempt }) = active.rollout.as_ref().map(|r| r.phase.clone()) {
            // The next round of tries: no number is used twice.
            let nth = attempt.map_or(1, |attempt| (attempt.number - 1) / TRIES * TRIES + TRIES + 1);
            let _moved = self.verify_from(&mut active, index, nth, change, now);
        }
        self.active = Some(active);
    }
}

/// The identity of the `nth` Attempt of a check that is a script, counted from 1.
#[must_use]
pub fn check_attempt(promotion: PromotionId, index: usize, nth: u32) -> AttemptId {
    attempt_id(promotion.0, "verify", number(index, nth))
}

/// The number of the `nth` Attempt of check `index`.
fn number(index: usize, nth: u32) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX).saturating_mul(100).saturating_add(nth)
}
