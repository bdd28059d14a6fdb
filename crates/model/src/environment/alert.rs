//! Alerts of a monitoring: a guard beside the judge.

use jiff::Timestamp;

use super::drive::hold;
use super::promotion::PromotionKind;
use super::requests::about;
use super::{Change, Environment, Refused};
use crate::notify::OnAlert;
use crate::timeline::Actor;

impl Environment {
    /// Stops the Rollout that runs. Without one, with one that goes back, and with a way back itself nothing is done: an alert
    /// blames a change, and there is none to take back.
    pub(super) fn alerted(
        &mut self,
        reason: String,
        then: OnAlert,
        change: &mut Change,
        now: Timestamp,
    ) -> Result<(), Refused> {
        let Some(active) = self.active.as_mut().filter(|active| active.kind != PromotionKind::Rollback)
        else {
            return Err(Refused::because("no Rollout runs that the alert could stop"));
        };
        let rollout = active.rollout.as_ref();
        if rollout.is_some_and(super::Rollout::is_returning) {
            return Err(Refused::because("the Rollout goes back already"));
        }
        let held = rollout.is_some_and(|rollout| rollout.held.is_some());
        if held && then == OnAlert::Hold {
            return Err(Refused::because("the Rollout is held already"));
        }
        let text = format!("{} is stopped: {reason}", active.title());
        change.handled.entry(about(active, "alert-received", Actor::Towpath, text));
        match then {
            OnAlert::Hold => hold(active, reason, change, now),
            OnAlert::Rollback => self.go_back(reason, change, now),
        }
        Ok(())
    }
}
