//! A rolling replacement: how many of each there are, batch by batch, and the way back without overload.

use jiff::Timestamp;
use towpath_judge::Verdict;

use super::drive::{Look, after, front};
use super::promotion::{Promotion, Revision};
use super::requests::about;
use super::rollout::{Phase, Rollout};
use super::{Change, Environment, Facts, judging};
use crate::pipeline::{Rolling, Strategy};
use crate::strategy::share;
use crate::timeline::Actor;
use crate::{Digest, Weight};

/// The rolling replacement that runs, if it is one. A bootstrap and a rollback replace nothing in batches.
fn rolling(active: &Promotion) -> Option<(&Rolling, &Rollout)> {
    match (&active.plan.strategy, &active.rollout) {
        (Strategy::Rolling(rolling), Some(rollout)) if !rollout.batches.is_empty() => {
            Some((rolling, rollout))
        }
        _ => None,
    }
}

impl Environment {
    /// How many Instances of each Workload the candidate has in this phase.
    pub(super) fn candidate_count(&self, active: &Promotion) -> u32 {
        match rolling(active).map(|(_, rollout)| (rollout, &rollout.phase)) {
            Some((rollout, Phase::Batch { index } | Phase::Step { index })) => {
                rollout.batches.get(*index).copied().unwrap_or(self.full_count())
            }
            _ => self.full_count(),
        }
    }

    /// How many Instances of each Workload what serves has in this phase.
    ///
    /// With those of the candidate they are never more than the wanted number and `max_surge`, and those that answer are
    /// never fewer than the wanted number without `max_unavailable`.
    pub(super) fn stable_count(&self, active: &Promotion) -> u32 {
        let Some((rolling, rollout)) = rolling(active) else { return self.full_count() };
        let Some(&all) = rollout.batches.last() else { return self.full_count() };
        let last = rollout.batches.len() - 1;
        // Until the requests go to a batch, what it replaces has to answer them.
        let (index, taken) = match rollout.phase {
            Phase::Batch { index } => (index, false),
            Phase::Step { index } => {
                (index, rollout.steps.last().is_some_and(|step| step.in_force_at.is_some()))
            }
            Phase::Completing | Phase::Verifying { .. } => (last, false),
            Phase::Preparing | Phase::Replacing | Phase::Starting | Phase::Returning => {
                return self.full_count();
            }
        };
        let new = rollout.batches.get(index).copied().unwrap_or(all);
        if taken {
            return all - new;
        }
        let before =
            index.checked_sub(1).and_then(|before| rollout.batches.get(before)).copied().unwrap_or(0);
        (all - before).min((all - new).saturating_add(rolling.surge(all)))
    }

    /// Lets Instances of what served before go that a batch has replaced, or that it needs the room of.
    pub(super) fn make_room(&mut self, active: &Promotion, now: Timestamp) {
        if let Some(stable) = rolling(active).and_then(|(_, rollout)| rollout.stable.as_ref()) {
            self.shrink(stable, self.stable_count(active), now);
        }
    }

    /// Goes on to a batch, where there is such a one.
    pub(super) fn begin_batch(&mut self, active: &mut Promotion, index: usize, now: Timestamp) -> bool {
        let is_there = rolling(active).is_some_and(|(_, rollout)| index < rollout.batches.len());
        if let Some(rollout) = active.rollout.as_mut().filter(|_| is_there) {
            rollout.enter(Phase::Batch { index }, now);
        }
        is_there
    }

    pub(super) fn look_batch(
        &mut self,
        active: &mut Promotion,
        index: usize,
        facts: &Facts,
        change: &mut Change,
        now: Timestamp,
    ) -> Look {
        if self.stable_count(active) == 0 {
            // The last of the old make room: what was theirs goes to the batches before.
            let stable = active.rollout.as_ref().and_then(|rollout| rollout.stable.clone());
            self.share(&active.revision, Weight::FULL, stable.as_ref(), now);
        }
        self.make_room(active, now);
        let Some((rolling, rollout)) = rolling(active) else { return Look::Waits };
        let (Some(&all), Some(&wanted)) = (rollout.batches.last(), rollout.batches.get(index)) else {
            return Look::Waits;
        };
        let held = rollout.held.is_some();
        let (of, most) = (rollout.batches.len(), all.saturating_add(rolling.surge(all)));
        if let Some(words) = self.unhealthy(active, index, now) {
            return Look::Failed(words);
        }
        let stable = active.rollout.as_ref().and_then(Rollout::stable_digest);
        let left = stable.map_or(0, |stable| self.most_present(&active.revision, stable));
        if held || left.saturating_add(wanted) > most {
            return Look::Waits;
        }
        self.order(&active.revision, wanted, facts, now);
        if !self.fleet.has(&active.revision, wanted) || !self.fleet.ready(active.revision.digest) {
            return Look::Waits;
        }
        let text = format!(
            "batch {} of {of} is ready: {wanted} of {all} Instances are {}",
            index + 1,
            active.revision.version
        );
        change.handled.entry(about(active, "batch-ready", Actor::Towpath, text));
        match (index, index + 1 == of) {
            (_, true) => {
                if let Some(rollout) = &mut active.rollout {
                    rollout.enter(Phase::Completing, now);
                }
                Look::Moved
            }
            (0, false) => self.first_step(active, change, now),
            (_, false) => {
                self.begin_step(active, index, change, now);
                Look::Moved
            }
        }
    }

    /// What the judge has against the batches so far, while the next one starts.
    fn unhealthy(&self, active: &mut Promotion, index: usize, now: Timestamp) -> Option<String> {
        let rollout = active.rollout.as_mut().filter(|_| index > 0)?;
        rollout.assessment = rollout.judge.as_ref().map(|judge| judging::assess(judge, now));
        let assessment = rollout.assessment.as_ref()?;
        (assessment.verdict == Verdict::Unhealthy).then(|| assessment.reason.to_string())
    }

    /// The largest number of Instances of one Workload of a Revision that have not gone yet, those on lost hosts left out.
    fn most_present(&self, candidate: &Revision, revision: Digest) -> u32 {
        let known = self.known_revision(revision).unwrap_or(candidate);
        let present = known.workloads.iter().map(|each| self.fleet.count(revision, &each.name).present);
        present.max().unwrap_or(0)
    }

    /// The candidate's share on the way back: what stable has no Instances for yet, and never more than before.
    ///
    /// What stable has left of a rolling replacement could not carry everything at once, so the requests move as its
    /// Instances come back; at the latest after the time that they have to get ready, all of them.
    pub(super) fn left_while_returning(
        &self,
        active: &Promotion,
        stable: &Revision,
        now: Timestamp,
    ) -> Weight {
        let (Some((_, rollout)), Some(front)) = (rolling(active), front(stable)) else { return Weight::NONE };
        let within = stable.workloads.iter().find(|workload| workload.name == front.workload);
        let end = within.map(|workload| after(rollout.since, workload.health.start_within));
        if end.is_none_or(|end| now >= end) || !self.has_ready(&active.revision) {
            return Weight::NONE;
        }
        let all = self.full_count();
        let missing = all.saturating_sub(self.fleet.count(stable.digest, &front.workload).ready);
        share(missing, all).min(self.traffic.weight(active.revision.digest))
    }
}
