//! The way back: requests first, then the candidate; nothing is stopped that a gateway may still send to.

use jiff::Timestamp;

use super::drive::{Look, front};
use super::promotion::{Outcome, Promotion, Revision};
use super::requests::about;
use super::rollout::{Phase, Return};
use super::{Change, Environment, EnvironmentEffect, Facts, QUARANTINE, Quarantine};
use crate::Weight;
use crate::timeline::Actor;

impl Environment {
    pub(super) fn turn_back(
        &mut self,
        active: &mut Promotion,
        reason: String,
        change: &mut Change,
        now: Timestamp,
    ) {
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
        let cold = rollout.stable.as_ref().is_some_and(|stable| !self.has_ready(stable));
        rollout.held = None;
        rollout.failed = None;
        let exposed = !self.traffic.serves_only(rollout.stable_digest());
        rollout.back = Some(Return { reason: reason.clone(), decided_at: now, cold, exposed, safe_at: None });
        rollout.enter(Phase::Returning, now);
        self.traffic.unguide(now);
        self.traffic.hide(now);
        let to = rollout.stable.as_ref().map_or("not serving", |stable| stable.version.as_str());
        let text = format!("{title} goes back to {to}: {reason}");
        change.handled.entry(about(active, "rollback-started", Actor::Towpath, text));
    }

    /// Traffic first, then the candidate; nothing is stopped that a gateway may still send to.
    pub(super) fn look_returning(
        &mut self,
        active: &mut Promotion,
        facts: &Facts,
        change: &mut Change,
        now: Timestamp,
    ) -> Look {
        let Some(rollout) = &active.rollout else { return Look::Waits };
        let (stable, candidate) = (rollout.stable.clone(), active.revision.clone());
        // Where nobody was ever told to send anything to the candidate, nobody has to confirm that it stopped.
        let exposed = rollout.back.as_ref().is_none_or(|back| back.exposed);
        match &stable {
            Some(stable) if !self.has_ready(stable) => {
                self.keep(stable, self.full_count(), facts, now);
                return Look::Waits;
            }
            Some(_) | None if !exposed => {}
            Some(stable) => {
                let left = self.left_while_returning(active, stable, now);
                self.share(&candidate, left, Some(stable), now);
                if left != Weight::NONE {
                    self.keep(stable, self.full_count(), facts, now);
                    return Look::Waits;
                }
            }
            None => self.traffic.split(&[], &self.fleet, now),
        }
        if exposed && !self.traffic.in_force(&facts.gateways) {
            return Look::Waits;
        }
        let back = active.rollout.as_mut().and_then(|rollout| rollout.back.as_mut());
        let Some(back) = back else { return Look::Waits };
        back.safe_at.get_or_insert(now);
        let (reason, time_to_safe_ms) = (back.reason.clone(), back.time_to_safe_ms());
        self.fleet.stop(candidate.digest);
        if let Some(stable) = &stable {
            self.keep(stable, self.full_count(), facts, now);
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

    pub(super) fn put_in_quarantine(&mut self, revision: &Revision, reason: String, now: Timestamp) {
        if self.quarantine.len() >= QUARANTINE {
            let oldest =
                self.quarantine.iter().min_by_key(|(_, quarantine)| quarantine.at).map(|(digest, _)| *digest);
            oldest.map(|digest| self.quarantine.remove(&digest));
        }
        let quarantine = Quarantine { version: revision.version.clone(), at: now, reason };
        self.quarantine.insert(revision.digest, quarantine);
    }
}
