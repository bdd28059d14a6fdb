//! What people and the route ask of an Environment.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::drive::after;
use super::gates::may_vote;
use super::promotion::{Outcome, Promotion, PromotionKind, PromotionPlan, Revision, Vote};
use super::rollout::{Hold, Phase};
use super::{Change, Environment, Policy, Refused, judging};
use crate::intake::Promote;
use crate::pipeline::{Comment, Gate};
use crate::policy::EnvironmentDocument;
use crate::timeline::{Actor, Entry};
use crate::{Digest, PromotionId, UserId};

/// A Promotion that somebody asks for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NewPromotion {
    /// Its identity.
    pub id: PromotionId,
    /// What.
    pub revision: Revision,
    /// Why.
    pub kind: PromotionKind,
    /// What it is held to.
    pub plan: PromotionPlan,
    /// Logins whose approval would be their own.
    pub makers: BTreeSet<String>,
    /// Who asks.
    pub actor: Actor,
    /// Their words.
    pub comment: String,
    /// Whether a person takes a Revision out of quarantine with this.
    pub override_quarantine: bool,
    /// The version that runs, where a person wants one that was sealed before it: what is newer shall not come by itself then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub older_than: Option<String>,
}

/// Somebody who says yes or no.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Voter {
    /// Who.
    pub user: UserId,
    /// Their login.
    pub login: String,
    /// Their roles in the Project.
    pub roles: Vec<String>,
}

impl Voter {
    pub(crate) fn actor(&self) -> Actor {
        Actor::User { id: self.user, login: self.login.clone() }
    }
}

impl Environment {
    pub(super) fn request(
        &mut self,
        new: NewPromotion,
        change: &mut Change,
        now: Timestamp,
    ) -> Result<(), Refused> {
        if self.knows(new.id) {
            return Ok(());
        }
        self.check_request(&new)?;
        let taken_over = self.is_taken_over(&new, change);
        if !taken_over {
            self.check_line(&new)?;
        }
        if new.override_quarantine {
            self.quarantine.remove(&new.revision.digest);
        }
        if taken_over {
            return Ok(());
        }
        let older_than = new.older_than.clone();
        let promotion = self.promote(new, now);
        let text = format!("{} was proposed for {}", promotion.revision.version, self.key);
        change.handled.entry(about(&promotion, "promotion-requested", promotion.requested_by.clone(), text));
        let (id, actor) = (promotion.id, promotion.requested_by.clone());
        let version = promotion.revision.version.clone();
        self.stand_in_line(promotion, change, now);
        if let Some(runs) = older_than {
            self.hold_for_older(id, (&actor, &version, &runs), change, now);
        }
        Ok(())
    }

    /// Whether a Promotion is or was here.
    fn knows(&self, id: PromotionId) -> bool {
        self.promotion(id).is_some() || self.ended.contains(&id)
    }

    fn check_request(&self, new: &NewPromotion) -> Result<(), Refused> {
        self.check_revoked(&new.revision)?;
        let version = &new.revision.version;
        let runs =
            self.current.as_ref().is_some_and(|current| current.revision.digest == new.revision.digest);
        if runs && self.active.is_none() {
            return Err(Refused::because(format!(
                "{version} with this configuration already runs in {}",
                self.key
            )));
        }
        if self.active.as_ref().is_some_and(|active| active.revision.digest == new.revision.digest) {
            return Err(Refused::because(format!("{version} is being rolled out to {} right now", self.key)));
        }
        if let Some(quarantine) = self.quarantine.get(&new.revision.digest)
            && !new.override_quarantine
        {
            return Err(Refused::because(format!(
                "{version} is in quarantine in {}: {}; promote something newer, or say `--override-quarantine`",
                self.key, quarantine.reason
            )));
        }
        Ok(())
    }

    fn promote(&self, new: NewPromotion, now: Timestamp) -> Promotion {
        let NewPromotion {
            id,
            revision,
            kind,
            plan,
            makers,
            actor,
            comment: _,
            override_quarantine: _,
            older_than: _,
        } = new;
        Promotion {
            id,
            environment: self.key.clone(),
            revision,
            kind,
            plan,
            policy: self.policy.version,
            makers,
            requested_by: actor,
            requested_at: now,
            asked_at: now,
            votes: Vec::new(),
            gates: Vec::new(),
            soaked: BTreeSet::new(),
            probes: BTreeMap::new(),
            lifted: BTreeMap::new(),
            change: None,
            comparing: None,
            called: false,
            started_at: None,
            rollout: None,
            outcome: None,
            finished_at: None,
        }
    }

    pub(super) fn request_rollback(
        &mut self,
        new: NewPromotion,
        change: &mut Change,
        now: Timestamp,
    ) -> Result<(), Refused> {
        if self.knows(new.id) {
            return Ok(());
        }
        let current = self.current.as_ref().map(|current| current.revision.digest);
        let same = current == Some(new.revision.digest);
        // What serves takes its requests back, revoked or not: nothing else runs.
        if !same {
            self.check_revoked(&new.revision)?;
        }
        if same && self.active.is_none() {
            let reason =
                format!("{} already runs in {}; name another Revision", new.revision.version, self.key);
            return Err(Refused::because(reason));
        }
        let (actor, version) = (new.actor.clone(), new.revision.version.clone());
        let because = if new.comment.is_empty() { String::new() } else { format!(": {}", new.comment) };
        let reason = format!("{} asked to go back to {version}{because}", actor.name());
        self.hold = Some(Hold { by: actor.clone(), at: now, reason: reason.clone(), promotion: None });
        if same {
            if let Some(older) = self.next.take() {
                settle(older, Outcome::Superseded { by: version }, Actor::Towpath, change, now);
            }
            return self.abort(&actor, &reason, change, now);
        }
        let promotion = self.promote(new, now);
        change.handled.entry(about(&promotion, "rollback-requested", actor.clone(), reason.clone()));
        if self.active.is_some() {
            self.abort(&actor, &reason, change, now)?;
        }
        if let Some(older) = self.next.replace(promotion) {
            settle(older, Outcome::Superseded { by: version }, Actor::Towpath, change, now);
        }
        Ok(())
    }

    #[expect(clippy::too_many_arguments, reason = "these are the fields of one event")]
    pub(super) fn vote(
        &mut self,
        id: PromotionId,
        voter: Voter,
        approve: bool,
        comment: String,
        binding: Option<Digest>,
        change: &mut Change,
        now: Timestamp,
    ) -> Result<(), Refused> {
        let editors = self.policy.editors.clone();
        let Some(promotion) = self.waiting_as(id) else {
            let reason = "this Promotion does not wait any more; look at its page for what became of it";
            return Err(Refused::because(reason));
        };
        let now_bound = promotion.binding();
        if binding.is_some_and(|seen| seen != now_bound) {
            return Err(Refused::because(format!(
                "{} has changed since you looked (its Revision, plan or policy); look again, then decide",
                promotion.title()
            )));
        }
        let mut objections = Vec::new();
        let mut counts = false;
        let mut silent = false;
        for gate in promotion.plan.gates.iter().filter_map(Gate::approval) {
            match may_vote(gate, &voter.login, &voter.roles, &promotion.makers, &editors) {
                Ok(()) => {
                    counts = true;
                    silent |= gate.comment == Comment::Required && comment.trim().is_empty();
                }
                Err(objection) => objections.push(objection),
            }
        }
        if !counts {
            let say = |why: &str| format!("your word does not count for {}: {why}", promotion.title());
            return Err(if objections.is_empty() {
                Refused::because(say("no approval is asked for here"))
            } else {
                Refused::to_person(say(&objections.join("; ")))
            });
        }
        if silent {
            return Err(Refused::because(format!(
                "who decides on {} has to say why; give a comment with your decision (`-m \"...\"`)",
                promotion.title()
            )));
        }
        let actor = voter.actor();
        let (verb, kind) =
            if approve { ("approved", "promotion-approved") } else { ("rejected", "promotion-rejected") };
        let words = if comment.is_empty() { String::new() } else { format!(": {comment}") };
        let text = format!("{} {verb} {}{words}", voter.login, promotion.title());
        change.handled.entry(
            about(promotion, kind, actor.clone(), text.clone())
                .fact("binding", now_bound)
                .fact("comment", &comment),
        );
        promotion.votes.retain(|vote| vote.user != voter.user);
        let Voter { user, login, roles } = voter;
        promotion.votes.push(Vote { user, login, roles, approve, comment, at: now, binding: now_bound });
        if !approve && let Some(rejected) = self.take_out(|waiting| waiting.id == id, now) {
            settle(rejected, Outcome::Rejected { reason: text }, actor, change, now);
        }
        Ok(())
    }

    /// Takes a new document, or only a new configuration where the version is the same. A running Rollout keeps the one it started with; approvals of a waiting Promotion die.
    pub(super) fn apply_policy(
        &mut self,
        policy: Policy,
        config: Digest,
        actor: Actor,
        change: &mut Change,
        now: Timestamp,
    ) {
        if policy.version < self.policy.version {
            return;
        }
        self.config = config;
        if policy.version == self.policy.version {
            return;
        }
        let listens =
            |document: &EnvironmentDocument| (document.addresses().collect::<Vec<_>>(), document.tls.clone());
        if listens(&policy.document) != listens(&self.policy.document) {
            self.traffic.generation += 1;
            self.traffic.since = now;
        }
        let old_gates = self.policy.document.gates.len();
        let text =
            format!("{} changed the document of {} to version {}", actor.name(), self.key, policy.version);
        change.handled.entry(Entry::new("policy-applied", actor, text).fact("version", policy.version));
        let old_schedule = matches!(self.policy.document.intake.promote, Promote::Scheduled(_));
        for waiting in self.in_line_mut() {
            // The Environment's own Gates come first in the plan; the Stage's follow, and a schedule is the last.
            let mut stage_gates = waiting.plan.gates.split_off(old_gates.min(waiting.plan.gates.len()));
            let schedule = match &policy.document.intake.promote {
                Promote::Scheduled(cron) => Some(Gate::Schedule(cron.clone())),
                Promote::Automatic | Promote::Manual => None,
            };
            if old_schedule || schedule.is_some() {
                stage_gates.retain(|gate| !matches!(gate, Gate::Schedule(_)));
            }
            let stage_gates = stage_gates.into_iter().chain(schedule);
            waiting.plan.gates = policy.document.gates.iter().cloned().chain(stage_gates).collect();
            waiting.policy = policy.version;
            waiting.asked_at = now;
            waiting.soaked.clear();
            waiting.probes.clear();
            waiting.lifted.clear();
            waiting.called = false;
            if !waiting.votes.is_empty() {
                let text =
                    format!("approvals of {} are void, because the policy has changed", waiting.title());
                change.handled.entry(about(waiting, "approvals-voided", Actor::Towpath, text));
                waiting.votes.clear();
            }
        }
        self.policy = policy;
        self.shorten_line(change, now);
    }

    pub(super) fn request_hold(
        &mut self,
        actor: Actor,
        reason: String,
        change: &mut Change,
        now: Timestamp,
    ) -> Result<(), Refused> {
        let rollout = self.active.as_mut().filter(|active| active.kind != PromotionKind::Rollback);
        // The way back is never held.
        let rollout =
            rollout.and_then(|active| active.rollout.as_mut()).filter(|rollout| !rollout.is_returning());
        let moves = rollout.as_ref().is_some_and(|rollout| rollout.held.is_none());
        if let Some(hold) = self.hold.as_ref().filter(|_| !moves) {
            return Err(Refused::because(format!("{} is already on hold: {}", self.key, hold.reason)));
        }
        let hold = Hold { by: actor.clone(), at: now, reason: reason.clone(), promotion: None };
        if let Some(rollout) = rollout.filter(|_| moves) {
            rollout.held = Some(hold.clone());
        }
        self.hold.get_or_insert(hold);
        let text = format!("{} put {} on hold: {reason}", actor.name(), self.key);
        change.handled.entry(Entry::new("environment-held", actor, text));
        Ok(())
    }

    pub(super) fn resume(
        &mut self,
        actor: &Actor,
        reason: &str,
        change: &mut Change,
        now: Timestamp,
    ) -> Result<(), Refused> {
        let held =
            self.active.as_ref().and_then(|active| active.rollout.as_ref()).and_then(|r| r.held.clone());
        if self.hold.is_none() && held.is_none() {
            return Err(Refused::because(format!("nothing is on hold in {}", self.key)));
        }
        if let Some(active) = self.active.as_ref().filter(|_| held.is_some()) {
            self.check_revoked(&active.revision)?;
        }
        // What Towpath holds in a Rollout is let go alone; a person's hold of the Environment stays until it is meant.
        if held.is_none() || held == self.hold {
            self.hold = None;
        }
        if held.is_some() {
            self.resume_rollout(change, now);
        }
        let words = if reason.is_empty() { String::new() } else { format!(": {reason}") };
        let text = format!("{} let {} go on{words}", actor.name(), self.key);
        change.handled.entry(Entry::new("environment-resumed", actor.clone(), text));
        Ok(())
    }

    fn resume_rollout(&mut self, change: &mut Change, now: Timestamp) {
        let Some(active) = &mut self.active else { return };
        let Some(rollout) = &mut active.rollout else { return };
        rollout.held = None;
        match rollout.steps.last_mut() {
            Some(step) if step.paused && rollout.failed.is_none() => step.resumed = true,
            // The step's clock starts again, so that a step that was undecided gets its whole time once more.
            Some(_) | None => rollout.since = now,
        }
        if rollout.failed.take().is_none() {
            return;
        }
        // What failed is tried again: the person knows why it failed, and the evidence does not.
        if now >= after(rollout.deadline_from, active.plan.deadline) {
            rollout.deadline_from = now;
        }
        let steps = active.steps();
        let digest = active.revision.digest;
        let Some(rollout) = &mut active.rollout else { return };
        if let Some(judge) = &rollout.judge {
            rollout.judge = judging::afresh(judge, &steps).ok();
            rollout.assessment = None;
            judging::step_started(rollout.judge.as_mut(), now);
        }
        self.fleet.give_up_failed(digest, now, SignedDuration::ZERO);
        rollout.restarts = self.fleet.wanted(digest).map(|i| (i.id, i.restarts)).collect();
        self.check_again(change, now);
    }

    pub(super) fn abort(
        &mut self,
        actor: &Actor,
        reason: &str,
        change: &mut Change,
        now: Timestamp,
    ) -> Result<(), Refused> {
        let Some(active) = &self.active else {
            return Err(Refused::because(format!("no Rollout runs in {}", self.key)));
        };
        if active.rollout.as_ref().is_some_and(|rollout| rollout.phase == Phase::Returning) {
            return Ok(());
        }
        let text = format!("{} rolls {} back: {reason}", actor.name(), active.title());
        change.handled.entry(about(active, "rollback-ordered", actor.clone(), text));
        self.go_back(reason.to_owned(), change, now);
        Ok(())
    }

    pub(super) fn withdraw(
        &mut self,
        id: PromotionId,
        actor: &Actor,
        reason: &str,
        change: &mut Change,
        now: Timestamp,
    ) -> Result<(), Refused> {
        if self.active.as_ref().is_some_and(|active| active.id == id) {
            return Err(Refused::because("its Rollout runs already; roll it back instead"));
        }
        let waiting = self.take_out(|waiting| waiting.id == id, now);
        let Some(waiting) = waiting.or_else(|| self.next.take_if(|next| next.id == id)) else {
            return Err(Refused::because("this Promotion does not wait any more"));
        };
        let reason = format!("{} withdrew it: {reason}", actor.name());
        settle(waiting, Outcome::Cancelled { reason }, actor.clone(), change, now);
        Ok(())
    }
}

/// An entry with the facts of a Promotion.
pub(super) fn about(promotion: &Promotion, kind: &str, actor: Actor, text: String) -> Entry {
    Entry::new(kind, actor, text)
        .fact("promotion", promotion.id)
        .fact("revision", promotion.revision.digest)
        .fact("release", promotion.revision.release)
        .fact("version", &promotion.revision.version)
}

/// Ends a Promotion.
pub(super) fn settle(
    mut promotion: Promotion,
    outcome: Outcome,
    actor: Actor,
    change: &mut Change,
    now: Timestamp,
) {
    let text = format!("{} {}: {}", promotion.title(), outcome.word(), outcome.reason());
    let mut entry = about(&promotion, "promotion-finished", actor, text).fact("outcome", outcome.word());
    if let Outcome::RolledBack { reason: _, time_to_safe_ms: Some(time) } = &outcome {
        entry = entry.fact("time_to_safe_ms", time);
    }
    change.handled.entry(entry);
    change.handled.effect(super::EnvironmentEffect::Settled { promotion: promotion.id });
    promotion.outcome = Some(outcome);
    promotion.finished_at = Some(now);
    change.ended.push(promotion);
}
