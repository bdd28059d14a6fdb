//! Those that wait: one, whose place a newer one takes, or a line of them, as the Environment's document says.
//!
//! The first stands in `waiting`, those behind it in `line`. Side by side, all pass their Gates at once; one after the other,
//! only the first is looked at, and its approvals are asked for when it is first.

use jiff::Timestamp;

use super::promotion::{Outcome, Promotion, PromotionKind};
use super::requests::{NewPromotion, about, settle};
use super::rollout::Hold;
use super::{Change, Environment, Refused};
use crate::PromotionId;
use crate::intake::Queue;
use crate::timeline::{Actor, Entry};

/// How many may wait in one Environment.
pub const LINE: usize = 50;

impl Environment {
    /// Everything that waits for its Gates or its turn, in its order.
    pub fn in_line(&self) -> impl Iterator<Item = &Promotion> {
        self.waiting.iter().chain(&self.line)
    }

    pub(super) fn in_line_mut(&mut self) -> impl Iterator<Item = &mut Promotion> {
        self.waiting.iter_mut().chain(&mut self.line)
    }

    pub(super) fn waiting_as(&mut self, id: PromotionId) -> Option<&mut Promotion> {
        self.in_line_mut().find(|waiting| waiting.id == id)
    }

    pub(super) const fn queue(&self) -> Queue {
        self.policy.document.intake.queue
    }

    /// Takes one out of the line. Whoever becomes the first of those that have to wait for their turn is asked about from now on.
    pub(super) fn take_out(
        &mut self,
        fits: impl Fn(&Promotion) -> bool,
        now: Timestamp,
    ) -> Option<Promotion> {
        if let Some(found) = self.waiting.take_if(|waiting| fits(waiting)) {
            if !self.line.is_empty() {
                let first = self.line.remove(0);
                let asked_at = if self.queue() == Queue::Queued { now } else { first.asked_at };
                self.waiting = Some(Promotion { asked_at, ..first });
            }
            return Some(found);
        }
        let at = self.line.iter().position(fits)?;
        Some(self.line.remove(at))
    }

    /// Says why a new one cannot wait here, if so.
    pub(super) fn check_line(&self, new: &NewPromotion) -> Result<(), Refused> {
        let version = &new.revision.version;
        let by_itself = new.actor == Actor::Towpath;
        if let (Some(hold), Some(asked)) = (&self.hold, self.in_line().find(|asked| !came_by_itself(asked)))
            && by_itself
            && self.queue() == Queue::Superseded
        {
            return Err(Refused::because(format!(
                "{} is on hold ({}), and {} waits there, which {} asked for; what comes by itself does not take its place. \
                 `towpath resume {}` offers {version} again",
                self.key,
                hold.reason,
                asked.revision.version,
                asked.requested_by.name(),
                self.key
            )));
        }
        if self.queue() != Queue::Superseded && self.in_line().count() >= LINE {
            return Err(Refused::because(format!(
                "{LINE} promotions wait for {} already, as many as may; withdraw some, or let a newer one take the place of \
                 older ones (`queue: superseded`)",
                self.key
            )));
        }
        Ok(())
    }

    /// Lets a new one wait.
    pub(super) fn stand_in_line(&mut self, promotion: Promotion, change: &mut Change, now: Timestamp) {
        match self.queue() {
            Queue::Superseded => {
                let by = promotion.revision.version.clone();
                if let Some(older) = self.waiting.replace(promotion) {
                    settle(older, Outcome::Superseded { by }, Actor::Towpath, change, now);
                }
            }
            Queue::Queued | Queue::Parallel => {
                // What comes by itself stands still during a hold, so who asks by hand goes past it.
                let passes = self.hold.is_some() && !came_by_itself(&promotion);
                let waits = self.in_line().count();
                let behind = self.in_line().take_while(|before| !came_by_itself(before)).count();
                let at = if passes { behind } else { waits };
                match at.checked_sub(1) {
                    Some(place) => self.line.insert(place, promotion),
                    None => self.line.splice(..0, self.waiting.replace(promotion)).for_each(drop),
                }
            }
        }
    }

    /// Keeps what comes by itself away while somebody wants an older version, until `resume`.
    pub(super) fn hold_for_older(
        &mut self,
        id: PromotionId,
        (actor, version, runs): (&Actor, &str, &str),
        change: &mut Change,
        now: Timestamp,
    ) {
        // A hold for another reason stays for that.
        if self.hold.as_ref().is_some_and(|hold| hold.promotion.is_none()) {
            return;
        }
        let reason = format!("{} promotes {version}, which is older than {runs}", actor.name());
        let text = format!("{} is on hold: {reason}; nothing newer comes by itself until `resume`", self.key);
        change.handled.entry(Entry::new("environment-held", actor.clone(), text));
        self.hold = Some(Hold { by: actor.clone(), at: now, reason, promotion: Some(id) });
    }

    /// Ends a hold whose Promotion came to nothing: what ran before still runs. Says whether it did.
    pub(super) fn ends_hold(&mut self, change: &mut Change) -> bool {
        let nothing = |promotion: &Promotion| promotion.outcome != Some(Outcome::Succeeded);
        let whose = self.hold.as_ref().and_then(|hold| hold.promotion);
        let ended = change.ended.iter().find(|ended| whose == Some(ended.id) && nothing(ended));
        let Some(version) = ended.map(|ended| ended.revision.version.clone()) else { return false };
        self.hold = None;
        let text = format!("{} goes on: {version}, for which it was held, did not come to run", self.key);
        change.handled.entry(Entry::new("environment-resumed", Actor::Towpath, text));
        true
    }

    /// What was asked for before the one that runs now, and passed its Gates slower, has been overtaken: older versions do
    /// not come back by themselves.
    pub(super) fn end_overtaken(&mut self, arrived: &Promotion, change: &mut Change, now: Timestamp) {
        if self.queue() != Queue::Parallel
            || !came_by_itself(arrived)
            || arrived.kind != PromotionKind::Release
        {
            return;
        }
        let overtaken = |waiting: &Promotion| {
            came_by_itself(waiting)
                && waiting.kind == PromotionKind::Release
                && waiting.requested_at < arrived.requested_at
        };
        while let Some(older) = self.take_out(overtaken, now) {
            let by = arrived.revision.version.clone();
            settle(older, Outcome::Superseded { by }, Actor::Towpath, change, now);
        }
    }

    /// After a new document: where one waits at most, it is the newest.
    pub(super) fn shorten_line(&mut self, change: &mut Change, now: Timestamp) {
        if self.queue() != Queue::Superseded {
            return;
        }
        let Some(newest) = self.line.pop() else { return };
        let by = newest.revision.version.clone();
        for older in self.waiting.replace(newest).into_iter().chain(std::mem::take(&mut self.line)) {
            settle(older, Outcome::Superseded { by: by.clone() }, Actor::Towpath, change, now);
        }
    }

    /// What those behind the first wait for, one sentence each.
    pub(super) fn line_waits(&self) -> Vec<String> {
        let Some(first) = self.waiting.as_ref().filter(|_| self.queue() == Queue::Queued) else {
            return Vec::new();
        };
        let mut before = &first.revision.version;
        let mut waits = Vec::new();
        for behind in &self.line {
            let version = &behind.revision.version;
            waits.push(format!("{version} waits behind {before}: each gets its turn"));
            before = version;
        }
        waits
    }

    /// Writes down that somebody asks for what waits by itself already: a hold does not keep it any more.
    pub(super) fn is_taken_over(&mut self, new: &NewPromotion, change: &mut Change) -> bool {
        let same = |waiting: &&mut Promotion| {
            waiting.revision.digest == new.revision.digest && waiting.plan == new.plan
        };
        let Some(waiting) = self.in_line_mut().find(same) else { return false };
        if came_by_itself(waiting) && new.actor != Actor::Towpath {
            waiting.requested_by = new.actor.clone();
            waiting.makers.extend(new.makers.iter().cloned());
            let text = format!("{} asks for {}, which waits already", new.actor.name(), waiting.title());
            change.handled.entry(about(waiting, "promotion-requested", new.actor.clone(), text));
        }
        true
    }
}

/// Whether nobody asked for it.
pub(super) fn came_by_itself(promotion: &Promotion) -> bool {
    promotion.requested_by == Actor::Towpath
}
