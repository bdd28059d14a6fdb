//! What an Environment waits for, in words, and when it has to be looked at again.

use jiff::{SignedDuration, Timestamp};

use super::drive::after;
use super::fleet::{InstanceHealth, REPLACE_AFTER};
use super::gates::{GateState, human};
use super::promotion::{Promotion, Revision};
use super::rollout::{CONFIRM_WITHIN, Phase, Rollout};
use super::{Environment, Facts};
use crate::intake::Queue;
use crate::timeline::Actor;

/// Why an Environment has to be looked at again at a certain time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wakeup {
    /// When.
    pub at: Timestamp,
    /// Why.
    pub reason: String,
}

/// Evidence is looked at again at least this often while a step is measured, so that silence is noticed.
const LOOK_EVERY: SignedDuration = SignedDuration::from_secs(1);

impl Environment {
    /// The next time at which something happens without an event.
    #[must_use]
    pub fn next_wakeup(&self, now: Timestamp) -> Option<Wakeup> {
        let mut times: Vec<(Timestamp, String)> = Vec::new();
        if let Some(warm) = &self.warm {
            times.push((warm.until, "what ran before is kept warm no longer".to_owned()));
        }
        for waiting in self.in_line() {
            let gates = waiting.gates.iter().filter(|gate| gate.state == GateState::Waiting);
            times.extend(gates.filter_map(|gate| gate.next.map(|at| (at, gate.reason.clone()))));
        }
        if let Some((active, rollout)) = self.active.as_ref().and_then(|a| a.rollout.as_ref().map(|r| (a, r)))
        {
            self.rollout_times(active, rollout, now, &mut times);
        }
        let failed = self.current.iter().flat_map(|current| self.fleet.counted(current.revision.digest));
        times.extend(failed.filter(|instance| instance.health == InstanceHealth::Failed).map(|instance| {
            (after(instance.since, REPLACE_AFTER), "an Instance that failed gets a successor".to_owned())
        }));
        let leaving =
            self.fleet.instances.iter().filter(|instance| instance.wanted).filter_map(|i| i.leaving);
        times.extend(
            leaving
                .map(|since| (after(since, CONFIRM_WITHIN), "an Instance that left is stopped".to_owned())),
        );
        // What was due has just been looked at; where that did not settle it, it is looked at again soon, not at once.
        let later = |at: Timestamp| if at > now { at } else { after(now, LOOK_EVERY) };
        let times = times.into_iter().map(|(at, reason)| Wakeup { at: later(at), reason });
        times.min_by_key(|wakeup| wakeup.at)
    }

    fn rollout_times(
        &self,
        active: &Promotion,
        rollout: &Rollout,
        now: Timestamp,
        times: &mut Vec<(Timestamp, String)>,
    ) {
        if rollout.is_returning() {
            times.push((after(now, LOOK_EVERY), "the way back is watched".to_owned()));
            return;
        }
        if rollout.failed.is_some() {
            // A person decides now.
            return;
        }
        let deadline = after(rollout.deadline_from, active.plan.deadline);
        times.push((deadline, "the deadline of the Promotion".to_owned()));
        let starting = self.fleet.counted(active.revision.digest);
        let starting = starting.filter(|instance| instance.health == InstanceHealth::Starting);
        times.extend(starting.filter_map(|instance| {
            let workload = active.revision.workloads.iter().find(|w| w.name == instance.workload)?;
            let end = after(instance.since, workload.health.start_within);
            Some((end, "an Instance's time to get ready".to_owned()))
        }));
        let confirm = (
            after(self.traffic.since.max(rollout.since), CONFIRM_WITHIN),
            "the gateways' time to confirm".to_owned(),
        );
        let unconfirmed = rollout.steps.last().is_some_and(|step| step.in_force_at.is_none());
        match &rollout.phase {
            Phase::Starting if self.waits_to_show(active, rollout) => times.push(confirm),
            Phase::Preparing | Phase::Starting | Phase::Verifying { .. } | Phase::Returning => {}
            Phase::Replacing | Phase::Completing => times.push(confirm),
            Phase::Batch { .. } => {
                times.push((after(now, LOOK_EVERY), "a batch of Instances is looked at".to_owned()))
            }
            Phase::Step { .. } if rollout.held.is_none() => {
                times.push((after(now, LOOK_EVERY), "the evidence is looked at".to_owned()));
            }
            Phase::Step { .. } if unconfirmed => times.push(confirm),
            Phase::Step { .. } => {}
        }
    }

    /// Whether the candidate is ready, and checks wait until the preview address reaches it.
    fn waits_to_show(&self, active: &Promotion, rollout: &Rollout) -> bool {
        active.plan.before > 0 && !rollout.checked && self.traffic.preview.is_some()
    }

    /// What it waits for, for people: one sentence each, most important first.
    #[must_use]
    pub fn waits(&self, facts: &Facts, now: Timestamp) -> Vec<String> {
        let mut reasons = Vec::new();
        if let Some(active) = &self.active {
            reasons.extend(self.rollout_waits(active, facts, now));
        }
        if let (Some(next), Some(active)) = (&self.next, &self.active) {
            let (version, before) = (&next.revision.version, &active.revision.version);
            reasons.push(format!("the rollback to {version} starts when {before} has gone back"));
        }
        let side_by_side = self.queue() == Queue::Parallel;
        let behind = self.line.iter().filter(|_| side_by_side);
        for waiting in self.waiting.iter().chain(behind) {
            let version = &waiting.revision.version;
            if let Some(active) = &self.active {
                reasons.push(format!(
                    "{version} waits until the Rollout of {} is done",
                    active.revision.version
                ));
            }
            if let Some(hold) = &self.hold
                && waiting.requested_by == Actor::Towpath
            {
                reasons.push(format!(
                    "{version} waits because {} holds promotions: {}",
                    hold.by.name(),
                    hold.reason
                ));
            }
            let closed = waiting.gates.iter().filter(|gate| gate.state != GateState::Open);
            reasons.extend(closed.map(|gate| format!("{version} waits: {}", gate.reason)));
        }
        reasons.extend(self.revoked_waits());
        reasons.extend(self.line_waits());
        reasons.extend(self.bisection.iter().map(|bisection| bisection.words(self.after_rollback())));
        reasons.extend(self.moving_waits(facts));
        reasons.extend(
            self.traffic.problems.iter().map(|(gateway, problem)| format!("gateway {gateway}: {problem}")),
        );
        reasons.extend(self.traffic.outliers.iter().flat_map(|(gateway, outliers)| {
            outliers.iter().map(move |address| {
                format!("gateway {gateway} leaves {address} alone for a while: it fails what other Instances do well")
            })
        }));
        reasons
    }

    fn rollout_waits(&self, active: &Promotion, facts: &Facts, now: Timestamp) -> Vec<String> {
        let Some(rollout) = &active.rollout else { return Vec::new() };
        let version = &active.revision.version;
        let mut reasons = Vec::new();
        if let Some(hold) = &rollout.held {
            reasons.push(format!("the Rollout of {version} is held by {}: {}", hold.by.name(), hold.reason));
        }
        let unconfirmed =
            || (!self.traffic.in_force(&facts.gateways)).then(|| "the gateways' confirmation".to_owned());
        let what = match &rollout.phase {
            Phase::Preparing => Some("the check of the way back".to_owned()),
            Phase::Replacing => Some("the old Instances to stop".to_owned()),
            Phase::Starting => Some(
                unconfirmed()
                    .filter(|_| self.waits_to_show(active, rollout))
                    .unwrap_or_else(|| self.starting_waits(active, facts)),
            ),
            Phase::Batch { index } => Some(self.batch_waits(active, rollout, *index, facts)),
            Phase::Step { index } => {
                let ordered = rollout.steps.last().is_some_and(|step| step.in_force_at.is_none());
                unconfirmed().filter(|_| ordered).or_else(|| step_waits(active, rollout, *index, now))
            }
            Phase::Completing => unconfirmed(),
            Phase::Verifying { index, .. } => {
                Some(format!("check {} of {}", index + 1, active.plan.verify.len()))
            }
            Phase::Returning => {
                Some(unconfirmed().unwrap_or_else(|| "what ran before to be ready".to_owned()))
            }
        };
        reasons.extend(
            what.map(|what| format!("the Rollout of {version} ({}) waits for {what}", active.state_word())),
        );
        reasons
    }

    fn batch_waits(&self, active: &Promotion, rollout: &Rollout, index: usize, facts: &Facts) -> String {
        let wanted = rollout.batches.get(index).copied().unwrap_or(0);
        let leaving = |stable: &Revision| -> u32 {
            let counts = stable.workloads.iter().map(|each| self.fleet.count(stable.digest, &each.name));
            counts.map(|count| count.present - count.staying).sum()
        };
        let leaving = rollout.stable.as_ref().map_or(0, leaving);
        if !self.fleet.has(&active.revision, wanted) && leaving > 0 {
            return format!("room: {leaving} of the old Instances have to stop first");
        }
        self.starting_waits(active, facts)
    }

    fn starting_waits(&self, active: &Promotion, facts: &Facts) -> String {
        let wanted: Vec<_> = self.fleet.counted(active.revision.digest).collect();
        if wanted.is_empty() && !facts.hosts.iter().any(|host| host.connected) {
            let wanted = self.policy.document.target.hosts_in_words();
            return format!("a deploy agent with {wanted}; none is connected (`towpath agent list`)");
        }
        let ready = wanted.iter().filter(|instance| instance.health == InstanceHealth::Ready).count();
        let slow = wanted.iter().find(|instance| instance.health != InstanceHealth::Ready);
        let detail = slow.map(|i| format!("; one is {}: {}", i.health.word(), i.message)).unwrap_or_default();
        format!("its Instances: {ready} of {} are ready{detail}", wanted.len())
    }
}

fn step_waits(active: &Promotion, rollout: &Rollout, index: usize, now: Timestamp) -> Option<String> {
    let step = active.step(index)?;
    let end = after(rollout.since, step.duration);
    if now < end {
        // Rounded up: it never ends in no time.
        let left = SignedDuration::from_secs((end.as_millisecond() - now.as_millisecond() + 999) / 1000);
        return Some(format!("the end of the step at {} in {}", step.weight, human(left)));
    }
    let words = rollout.assessment.as_ref().map(|assessment| assessment.reason.to_string());
    Some(format!(
        "a verdict at {}: {}",
        step.weight,
        words.unwrap_or_else(|| "no measurement yet".to_owned())
    ))
}
