//! Gates that look outside the Environment: webhooks, metrics, expressions, other Environments. And those that open by
//! themselves, or by a person's hand.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::gates::{Around, GateState, GateStatus, human, named};
use super::promotion::{Promotion, PromotionKind, Revision};
use crate::cron::Cron;
use crate::evidence::ReleaseEvidence;
use crate::gate::{
    self, Changed, DelayGate, ExpressionGate, HoldGate, MetricGate, UpstreamGate, WebhookGate, When,
};
use crate::pipeline::Gate;
use crate::timeline::Actor;
use crate::{EnvironmentKey, ProjectName};

/// The first pause between two questions to a webhook; each is twice as long as the one before.
const FIRST_PAUSE: SignedDuration = SignedDuration::from_secs(5);

/// How often another Environment is looked at.
const LOOK_AT_UPSTREAM: SignedDuration = SignedDuration::from_secs(15);

/// What an outside system said of a Gate, and whether it is being asked.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Probe {
    /// Whether an answer is under way.
    pub under_way: bool,
    /// How many times in a row it was not a yes.
    pub tries: u32,
    /// The last answer.
    pub answer: Option<Answer>,
}

/// An answer of an outside system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Whether it lets the Promotion through.
    pub opens: bool,
    /// What it said, for people.
    pub words: String,
    /// When.
    pub at: Timestamp,
    /// When it is asked again.
    pub again_at: Timestamp,
}

/// What somebody said who lifted a hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lift {
    /// Who.
    pub login: String,
    /// Their words.
    pub comment: String,
    /// When.
    pub at: Timestamp,
}

/// What a Promotion changes, as far as git could tell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeRead {
    /// The commit that it was compared with.
    pub from: String,
    /// What differs, or why that is not known.
    pub changed: Result<Changed, String>,
}

/// What another Environment runs, for upstream Gates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    /// The version.
    pub version: String,
    /// The commit.
    pub commit: String,
}

/// What an expression may ask for.
#[derive(Debug)]
pub struct Subject<'a> {
    /// What waits.
    pub promotion: &'a Promotion,
    /// What runs there.
    pub current: Option<&'a Revision>,
    /// What is known of the Release.
    pub evidence: &'a ReleaseEvidence,
    /// What differs from what runs; unknown while it is read, and where nothing runs.
    pub change: Option<&'a Changed>,
}

/// Evaluates the expression of a Gate. `config` has the only one.
#[derive(Clone, Copy)]
pub struct Expressions(pub fn(&str, &Subject<'_>) -> Result<bool, String>);

impl std::fmt::Debug for Expressions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Expressions")
    }
}

/// What an approval's condition comes to.
pub(super) enum Needed {
    /// It is needed, and why; nothing where it has no condition.
    Yes(Option<String>),
    /// It is not.
    No(String),
    /// What the change touches is not known yet.
    Unknown,
}

/// Whether an approval is needed for a Promotion.
pub(super) fn needed(when: Option<&When>, promotion: &Promotion, current: Option<&Revision>) -> Needed {
    let Some(when) = when else { return Needed::Yes(None) };
    if promotion.kind == PromotionKind::Configuration {
        return Needed::Yes(Some("the configuration changes".to_owned()));
    }
    let Some(current) = current else {
        return Needed::Yes(Some("it is the first deployment there".to_owned()));
    };
    match promotion.change_from(current) {
        None => Needed::Unknown,
        Some(Err(why)) => Needed::Yes(Some(format!("what the change touches cannot be read: {why}"))),
        Some(Ok(change)) => match when.holds(change) {
            Ok(why) => Needed::Yes(Some(why)),
            Err(why) => Needed::No(why),
        },
    }
}

impl Promotion {
    /// What it changes, compared with what runs; `None` while that is not known.
    #[must_use]
    pub fn change_from(&self, current: &Revision) -> Option<Result<&Changed, &str>> {
        let read = self.change.as_ref().filter(|read| read.from == current.commit)?;
        Some(read.changed.as_ref().map_err(String::as_str))
    }

    /// Whether a Gate asks what it changes.
    pub(super) fn asks_for_change(&self) -> bool {
        self.plan.gates.iter().any(|gate| match gate {
            Gate::Approval(gate) => gate.when.is_some(),
            Gate::Expression(gate) => gate.holds.0.contains("change"),
            _ => false,
        })
    }

    /// The Gates that have to be asked now, each marked as being asked.
    pub(super) fn questions(&mut self, now: Timestamp) -> Vec<usize> {
        let mut due = Vec::new();
        for (index, gate) in self.plan.gates.iter().enumerate() {
            let once = match gate {
                Gate::Webhook(_) => true,
                Gate::Metric(_) => false,
                _ => continue,
            };
            let probe = self.probes.entry(index).or_default();
            let settled = once && probe.answer.as_ref().is_some_and(|answer| answer.opens);
            if !probe.under_way
                && !settled
                && probe.answer.as_ref().is_none_or(|answer| answer.again_at <= now)
            {
                probe.under_way = true;
                due.push(index);
            }
        }
        due
    }

    /// Takes the answer to a question. `again` is when the other side wants to be asked again.
    pub(super) fn answered(
        &mut self,
        index: usize,
        opens: bool,
        words: String,
        again: Option<SignedDuration>,
        now: Timestamp,
    ) {
        let Some(gate) = self.plan.gates.get(index) else { return };
        let probe = self.probes.entry(index).or_default();
        probe.under_way = false;
        probe.tries = if opens { 0 } else { probe.tries.saturating_add(1) };
        let pause = match gate {
            Gate::Webhook(gate) => {
                let pause =
                    FIRST_PAUSE.saturating_mul(1 << probe.tries.saturating_sub(1).min(20)).min(gate.every);
                again.map_or(pause, |again| again.clamp(pause, gate.every.max(pause)))
            }
            Gate::Metric(gate) => gate.every,
            _ => return,
        };
        let again_at = now.saturating_add(pause).unwrap_or(Timestamp::MAX);
        probe.answer = Some(Answer { opens, words, at: now, again_at });
    }
}

/// A Gate that is shut, with what happens if it stays so.
pub(super) fn shut(
    kind: &str,
    reason: String,
    next: Option<Timestamp>,
    (promotion, expires): (&Promotion, SignedDuration),
    now: Timestamp,
) -> GateStatus {
    let end = promotion.asked_at.saturating_add(expires).unwrap_or(Timestamp::MAX);
    if now >= end {
        let reason = format!("{reason}; it had {} for that", human(expires));
        return GateStatus { kind: kind.to_owned(), state: GateState::Expired, reason, next: None };
    }
    let next = Some(next.map_or(end, |next| next.min(end)));
    let reason = format!("{reason}; without it the promotion ends {end:.0}");
    GateStatus { kind: kind.to_owned(), state: GateState::Waiting, reason, next }
}

fn open(kind: &str, reason: String, next: Option<Timestamp>) -> GateStatus {
    GateStatus { kind: kind.to_owned(), state: GateState::Open, reason, next }
}

pub(super) fn webhook(index: usize, gate: &WebhookGate, promotion: &Promotion, now: Timestamp) -> GateStatus {
    let place = gate::place(&gate.url);
    let probe = promotion.probes.get(&index);
    match probe.and_then(|probe| probe.answer.as_ref()) {
        Some(answer) if answer.opens => open("webhook", format!("{place} said yes: {}", answer.words), None),
        Some(answer) if probe.is_some_and(|probe| probe.under_way) => {
            let reason = format!("{place} says not yet: {}; it is being asked again", answer.words);
            shut("webhook", reason, None, (promotion, gate.expires), now)
        }
        Some(answer) => {
            let reason =
                format!("{place} says not yet: {}; it is asked again {:.0}", answer.words, answer.again_at);
            shut("webhook", reason, Some(answer.again_at), (promotion, gate.expires), now)
        }
        None => shut("webhook", format!("{place} is being asked"), None, (promotion, gate.expires), now),
    }
}

/// An answer counts for two pauses: a source that has fallen silent opens nothing.
pub(super) fn metric(index: usize, gate: &MetricGate, promotion: &Promotion, now: Timestamp) -> GateStatus {
    let place = gate::place(&gate.prometheus);
    let probe = promotion.probes.get(&index);
    let under_way = probe.is_some_and(|probe| probe.under_way);
    let Some(answer) = probe.and_then(|probe| probe.answer.as_ref()) else {
        let reason = format!("{place} is being asked for `{}`", gate.query);
        return shut("metric", reason, None, (promotion, gate.expires), now);
    };
    let stale_at = answer.at.saturating_add(gate.every.saturating_mul(2)).unwrap_or(Timestamp::MAX);
    if now >= stale_at {
        let reason = format!("{place} has not answered since {:.0}", answer.at);
        return shut("metric", reason, None, (promotion, gate.expires), now);
    }
    let next = Some(if under_way { stale_at } else { answer.again_at.min(stale_at) });
    if answer.opens {
        return open("metric", answer.words.clone(), next);
    }
    shut("metric", answer.words.clone(), next, (promotion, gate.expires), now)
}

pub(super) fn expression(
    gate: &ExpressionGate,
    promotion: &Promotion,
    around: &Around<'_>,
    now: Timestamp,
) -> GateStatus {
    let why = if gate.reason.is_empty() { String::new() } else { format!(" ({})", gate.reason) };
    let unknown = ReleaseEvidence::default();
    let subject = Subject {
        promotion,
        current: around.current,
        evidence: around.facts.evidence.get(&promotion.revision.release).unwrap_or(&unknown),
        change: around.current.and_then(|current| promotion.change_from(current)?.ok()),
    };
    let said = match around.facts.expressions {
        Some(Expressions(evaluate)) => evaluate(&gate.holds.0, &subject),
        None => Err("it cannot be evaluated here".to_owned()),
    };
    let reason = match said {
        Ok(true) => return open("expression", format!("`{}` holds{why}", gate.holds.0), None),
        Ok(false) => format!("`{}` does not hold{why}", gate.holds.0),
        Err(problem) => format!("`{}` is not known: {problem}{why}", gate.holds.0),
    };
    shut("expression", reason, None, (promotion, gate.expires), now)
}

pub(super) fn hold(index: usize, gate: &HoldGate, promotion: &Promotion, now: Timestamp) -> GateStatus {
    let why = if gate.reason.is_empty() { String::new() } else { format!(" ({})", gate.reason) };
    if let Some(lift) = promotion.lifted.get(&index) {
        let words = if lift.comment.is_empty() { String::new() } else { format!(": {}", lift.comment) };
        return open("hold", format!("{} lifted `{}`{words}", lift.login, gate.name), None);
    }
    let reason = format!("`{}`{why} holds it until {} lifts that", gate.name, gate.by.join(" or "));
    shut("hold", reason, None, (promotion, gate.expires), now)
}

/// Whether somebody may lift a hold.
///
/// # Errors
/// Says in words why they may not.
pub fn may_lift(gate: &HoldGate, login: &str, roles: &[String]) -> Result<(), String> {
    if named(&gate.by, login, roles) {
        return Ok(());
    }
    Err(format!("`{}` is lifted by {}; {login} is none of these", gate.name, gate.by.join(" or ")))
}

pub(super) fn delay(gate: &DelayGate, promotion: &Promotion, now: Timestamp) -> GateStatus {
    match gate.opens_at(promotion.asked_at) {
        Ok(at) if now >= at => open("delay", format!("it was to start no earlier than {at:.0}"), None),
        Ok(at) => GateStatus {
            kind: "delay".to_owned(),
            state: GateState::Waiting,
            reason: format!("it starts no earlier than {at:.0}"),
            next: Some(at),
        },
        Err(error) => shut("delay", error.to_string(), None, (promotion, gate::PATIENCE), now),
    }
}

/// What comes by itself waits for its time; who asks by hand has chosen theirs.
pub(super) fn schedule(cron: &Cron, promotion: &Promotion, now: Timestamp) -> GateStatus {
    if promotion.requested_by != Actor::Towpath {
        let who = promotion.requested_by.name();
        return open("schedule", format!("{who} asked for it, so it does not wait for its time"), None);
    }
    match cron.due_after(promotion.requested_at) {
        Some(at) if now >= at => open("schedule", format!("its time came {at:.0}"), None),
        Some(at) => GateStatus {
            kind: "schedule".to_owned(),
            state: GateState::Waiting,
            reason: format!("it starts at its next time, {at:.0} ({cron})"),
            next: Some(at),
        },
        None => {
            let reason = format!("{cron} is never due again");
            shut("schedule", reason, None, (promotion, gate::PATIENCE), now)
        }
    }
}

pub(super) fn upstream(
    gate: &UpstreamGate,
    promotion: &Promotion,
    around: &Around<'_>,
    now: Timestamp,
) -> GateStatus {
    let place = gate.place();
    let own: &ProjectName = promotion.project();
    let project = gate.project.as_ref().unwrap_or(own).clone();
    let key = EnvironmentKey { project, environment: gate.environment.clone() };
    let revision = &promotion.revision;
    let reason = if gate.at_least.is_none() && !gate.same_commit {
        let passed = around.facts.passed.get(&revision.release);
        if passed.is_some_and(|passed| passed.contains(&gate.environment)) {
            return open("upstream", format!("{} succeeded in {place}", revision.version), None);
        }
        format!("{} has not succeeded in {place} yet", revision.version)
    } else {
        match around.facts.upstreams.get(&key) {
            None => format!("nothing runs in {place} yet, and it takes {}", gate.words()),
            Some(there) => {
                let new = gate.at_least.as_ref().is_none_or(|least| gate::is_at_least(&there.version, least));
                if new && (!gate.same_commit || there.commit == revision.commit) {
                    return open("upstream", format!("{place} runs {}", there.version), None);
                }
                format!("{place} runs {}, and it takes {}", there.version, gate.words())
            }
        }
    };
    let next = now.saturating_add(LOOK_AT_UPSTREAM).ok();
    shut("upstream", reason, next, (promotion, gate.expires), now)
}
