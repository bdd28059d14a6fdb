//! Keeping Instances: of what serves, of what is warm, and the signs of one that cannot be counted on.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::drive::{after, front};
use super::fleet::{InstanceHealth, REPLACE_AFTER};
use super::gates::human;
use super::promotion::{PromotionKind, Revision};
use super::rollout::{CONFIRM_WITHIN, MAX_RESTARTS, Phase};
use super::{Environment, Facts, Warm};
use crate::pipeline::Strategy;
use crate::{Digest, InstanceId};

impl Environment {
    /// Stops what was kept warm when its time is over and no gateway may send to it any more.
    pub(super) fn cool_down(&mut self, facts: &Facts, now: Timestamp) {
        // A gateway that came back with old routes may still use it.
        if !self.traffic.in_force(&facts.gateways) {
            return;
        }
        if let Some(warm) = self.warm.take_if(|warm| now >= warm.until) {
            self.retire(warm.revision, now);
        }
    }

    /// Takes care of Instances that were there before a Promotion of theirs which came to nothing: the time for which they were
    /// kept warm may have ended meanwhile, when they were wanted.
    pub(super) fn let_cool(&mut self, revision: Digest, now: Timestamp) {
        let runs = self.fleet.wanted(revision).next().is_some();
        match &self.warm {
            Some(warm) if warm.revision == revision => {}
            None if runs => self.warm = Some(Warm { revision, until: now }),
            Some(_) | None => self.retire(revision, now),
        }
    }

    /// Stops a Revision unless somebody still counts on it.
    fn retire(&mut self, revision: Digest, now: Timestamp) {
        let serves = self.current.as_ref().is_some_and(|current| current.revision.digest == revision);
        let wanted = [&self.active, &self.next].into_iter().flatten().any(|p| p.revision.digest == revision);
        if !serves && !wanted {
            self.fleet.stop(revision);
            self.traffic.forget(revision, now);
        }
    }

    /// Why the candidate's Instances cannot be counted on, if so.
    pub(super) fn dead_candidate(
        &self,
        revision: &Revision,
        restarts_before: &BTreeMap<InstanceId, u32>,
        now: Timestamp,
    ) -> Option<String> {
        self.fleet.counted(revision.digest).find_map(|instance| {
            let workload = revision.workloads.iter().find(|workload| workload.name == instance.workload)?;
            let within = workload.health.start_within;
            let slow = instance.health == InstanceHealth::Starting && now >= after(instance.since, within);
            let before = restarts_before.get(&instance.id).copied().unwrap_or(0);
            let restarts = instance.restarts.saturating_sub(before);
            if instance.health == InstanceHealth::Failed {
                Some(format!("an Instance of `{}` failed: {}", instance.workload, instance.message))
            } else if restarts >= MAX_RESTARTS {
                Some(format!(
                    "an Instance of `{}` ended {} times: {}",
                    instance.workload, restarts, instance.message
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

    /// How many Instances of each Workload the policy wants.
    pub(super) const fn full_count(&self) -> u32 {
        self.policy.document.target.instances
    }

    /// How many Instances of each Workload of a Revision there shall be now.
    pub(super) fn count_of(&self, revision: Digest) -> u32 {
        let serves = self.current.as_ref().is_some_and(|current| current.revision.digest == revision);
        match &self.active {
            Some(active) if serves => self.stable_count(active),
            Some(active) if active.revision.digest == revision => self.candidate_count(active),
            Some(_) | None => self.full_count(),
        }
    }

    /// Wants so many Instances of each Workload of a Revision, where there are fewer.
    pub(super) fn order(&mut self, revision: &Revision, count: u32, facts: &Facts, now: Timestamp) {
        if !self.fleet.has(revision, count) {
            self.fleet.want(&self.key, revision, count, &facts.hosts, now);
        }
    }

    /// Keeps what serves at the number of Instances that the policy wants, unless it is being replaced in place.
    pub(super) fn keep_serving(&mut self, facts: &Facts, now: Timestamp) {
        let in_place = self.active.as_ref().is_some_and(|active| {
            let begun = active.rollout.as_ref().is_some_and(|rollout| rollout.phase != Phase::Preparing);
            begun && active.plan.strategy == Strategy::Recreate && active.kind != PromotionKind::Rollback
        });
        let Some(current) = self.current.as_ref().filter(|_| !in_place) else { return };
        let revision = current.revision.clone();
        let count = self.count_of(revision.digest);
        self.shrink(&revision, count, now);
        self.keep(&revision, count, facts, now);
    }

    /// Lets Instances go that are more than `count` of a Workload.
    pub(super) fn shrink(&mut self, revision: &Revision, count: u32, now: Timestamp) {
        for workload in &revision.workloads {
            self.fleet.shrink(revision.digest, &workload.name, count, now);
        }
    }

    /// Stops Instances that left, once no gateway sends to them any more; where one has been silent about it for too long,
    /// those in whose place others answer.
    pub(super) fn let_go(&mut self, facts: &Facts, now: Timestamp) {
        if self.traffic.in_force(&facts.gateways) {
            self.fleet.let_go();
        } else if let Ok(before) = now.checked_sub(CONFIRM_WITHIN) {
            self.fleet.let_go_late(before);
        }
    }

    /// Wants `count` Instances of a Revision, with new ones for those that were given up.
    pub(super) fn keep(&mut self, revision: &Revision, count: u32, facts: &Facts, now: Timestamp) {
        if facts.hosts.iter().any(|host| host.connected) {
            self.fleet.give_up_failed(revision.digest, now, REPLACE_AFTER);
        }
        self.order(revision, count, facts, now);
    }

    /// Whether somebody can answer requests for a Revision.
    pub(super) fn has_ready(&self, revision: &Revision) -> bool {
        let Some(front) = front(revision) else { return false };
        self.fleet.counted(revision.digest).any(|instance| {
            instance.workload == front.workload
                && instance.health == InstanceHealth::Ready
                && instance.address.is_some()
        })
    }
}
