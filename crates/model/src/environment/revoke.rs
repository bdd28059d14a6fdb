//! A Release was taken back: what of it waits ends, what of it moves stands still or goes back, and it starts no more.

use jiff::Timestamp;

use super::promotion::{Outcome, Promotion, PromotionKind, Revision};
use super::requests::{about, settle};
use super::rollout::{Hold, Phase};
use super::{Change, Environment, Refused};
use crate::Digest;
use crate::pipeline::Strategy;
use crate::revocation::{OnRevocation, Revocation};
use crate::timeline::{Actor, Entry};

impl Environment {
    /// Says why a Release starts no more, if so.
    pub(super) fn check_revoked(&self, revision: &Revision) -> Result<(), Refused> {
        let Some(revoked) = self.revoked.get(&revision.release) else { return Ok(()) };
        Err(Refused::because(format!(
            "{}; promote another one, or let it start again with `towpath unrevoke {} {}`",
            revoked.words(),
            self.key.project,
            revision.version
        )))
    }

    pub(super) fn revoke(
        &mut self,
        release: Digest,
        revocation: Revocation,
        then: OnRevocation,
        change: &mut Change,
        now: Timestamp,
    ) {
        let (words, actor) = (revocation.words(), revocation.by.clone());
        self.revoked.insert(release, revocation);
        if self.current.as_ref().is_some_and(|current| current.revision.release == release) {
            let text = format!("{words}; it serves in {}", self.key);
            change
                .handled
                .entry(Entry::new("revoked-release-serves", actor.clone(), text).fact("release", release));
        }
        while let Some(waiting) = self.take_out(|waiting| waiting.revision.release == release, now) {
            let reason = words.clone();
            settle(waiting, Outcome::Cancelled { reason }, actor.clone(), change, now);
        }
        if let Some(next) = self.next.take_if(|next| next.revision.release == release) {
            let reason = words.clone();
            settle(next, Outcome::Cancelled { reason }, actor.clone(), change, now);
        }
        self.cool_revoked(release, now);
        // Who takes one of the suspects back knows already what the search was for.
        self.bisection.take_if(|found| found.suspects.iter().any(|suspect| suspect.release == release));
        let Some(mut active) = self.active.take_if(|active| active.revision.release == release) else {
            return;
        };
        let returning = active.rollout.as_ref().is_none_or(super::Rollout::is_returning);
        if returning {
            self.active = Some(active);
            return;
        }
        if then == OnRevocation::RollBack || !can_stand_still(&active) {
            self.turn_back(&mut active, words, change, now);
        } else if let Some(rollout) = &mut active.rollout {
            let title = format!("{}/{}", self.key.project, self.key.environment);
            let text = format!("the Rollout to {title} stays where it is: {words}");
            rollout.held = Some(Hold { by: actor.clone(), at: now, reason: words, promotion: None });
            change.handled.entry(about(&active, "rollout-held", actor, text));
        }
        self.active = Some(active);
    }

    /// What is kept warm of it is no way back any more.
    fn cool_revoked(&mut self, release: Digest, now: Timestamp) {
        let past = self.history.iter().map(|deployment| &deployment.revision);
        let mine: Vec<Digest> =
            past.filter(|revision| revision.release == release).map(|r| r.digest).collect();
        if let Some(warm) = self.warm.as_mut().filter(|warm| mine.contains(&warm.revision)) {
            warm.until = warm.until.min(now);
        }
    }

    pub(super) fn unrevoke(&mut self, release: Digest, actor: &Actor, change: &mut Change) {
        let Some(revoked) = self.revoked.remove(&release) else { return };
        let held = self.active.as_mut().filter(|active| active.revision.release == release);
        let held = held.and_then(|active| active.rollout.as_mut());
        // Held for the sake of the revocation alone, it waits for somebody to say `resume`.
        if let Some(hold) = held.and_then(|rollout| rollout.held.as_mut()) {
            let text = format!("{}: {} may go on; `resume` lets it", self.key, revoked.version);
            hold.reason = format!("{}; {} let it start again", hold.reason, actor.name());
            change.handled.entry(Entry::new("rollout-may-resume", actor.clone(), text));
        }
    }

    /// What was revoked and runs here, or is on its way, with what to do: one sentence each.
    pub(super) fn revoked_waits(&self) -> Vec<String> {
        let mut waits = Vec::new();
        if let Some(revoked) =
            self.current.as_ref().and_then(|current| self.revoked.get(&current.revision.release))
        {
            let back = match self.way_back() {
                Some(back) => {
                    format!("`towpath rollback {} --to {}` goes back to that", self.key, back.version)
                }
                None => "nothing that ran before may start; promote something newer".to_owned(),
            };
            waits.push(format!("{} and serves here; {back}", revoked.words()));
        }
        waits
    }

    /// The newest Revision that ran here before and may run again.
    #[must_use]
    pub fn way_back(&self) -> Option<&Revision> {
        let past = self.history.iter().map(|deployment| &deployment.revision);
        let mut free = past.filter(|revision| !self.revoked.contains_key(&revision.release));
        free.next()
    }
}

/// Whether a Rollout can stay at the weight that it has: one that stops what ran before, or gives everything away, cannot.
fn can_stand_still(active: &Promotion) -> bool {
    let Some(rollout) = &active.rollout else { return false };
    let replaces = active.plan.strategy == Strategy::Recreate || active.kind == PromotionKind::Rollback;
    match rollout.phase {
        Phase::Preparing => true,
        Phase::Starting | Phase::Batch { .. } | Phase::Step { .. } => !replaces,
        Phase::Replacing | Phase::Completing | Phase::Verifying { .. } | Phase::Returning => false,
    }
}
