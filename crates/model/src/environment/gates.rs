//! Whether a waiting Promotion may start, and in words why not yet.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::Facts;
use super::outside::{self, Needed};
use super::promotion::{Promotion, Revision, Vote};
use crate::calendar::{self, Openness};
use crate::evidence::{EvidenceGate, ReleaseEvidence};
use crate::pipeline::{ApprovalGate, Gate, SelfApproval, SoakGate};
use crate::{Digest, EnvironmentName};

/// How one Gate stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateStatus {
    /// `approval`, `window`, `freeze`, `soak`, `evidence`, `webhook`, `metric`, `expression`, `hold`, `delay`, `upstream`, `schedule`.
    pub kind: String,
    /// Whether it lets the Promotion through.
    pub state: GateState,
    /// For people: what it waits for, or why it is open.
    pub reason: String,
    /// When it will open or end by itself, where that is known.
    pub next: Option<Timestamp>,
}

/// Whether a Gate lets a Promotion through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GateState {
    /// It does.
    Open,
    /// Not yet.
    Waiting,
    /// Never again for this Promotion: nobody said yes in time.
    Expired,
}

/// What another Environment of the Project runs, for soak Gates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Neighbour {
    /// The Release that runs there.
    pub release: Digest,
    /// Its version.
    pub version: String,
    /// Since when, counted from the end of its Promotion.
    pub since: Timestamp,
}

/// What stands around a Promotion that waits.
pub(super) struct Around<'a> {
    /// Logins of those who edited the policy lately.
    pub(super) editors: &'a BTreeSet<String>,
    pub(super) facts: &'a Facts,
    /// What runs here.
    pub(super) current: Option<&'a Revision>,
}

/// Looks at every Gate of a Promotion: first at the calendar, where there is one, then at the others in their order.
#[must_use]
pub(super) fn evaluate(promotion: &mut Promotion, around: &Around<'_>, now: Timestamp) -> Vec<GateStatus> {
    let gates = promotion.plan.gates.clone();
    let mut statuses = calendar_status(&gates, now);
    for (index, gate) in gates.iter().enumerate() {
        statuses.push(match gate {
            Gate::Approval(gate) => approval(gate, promotion, around, now),
            Gate::Soak(gate) => soak(index, gate, promotion, &around.facts.neighbours, now),
            Gate::Evidence(gate) => evidence(gate, promotion, around, now),
            Gate::Webhook(gate) => outside::webhook(index, gate, promotion, now),
            Gate::Metric(gate) => outside::metric(index, gate, promotion, now),
            Gate::Expression(gate) => outside::expression(gate, promotion, around, now),
            Gate::Hold(gate) => outside::hold(index, gate, promotion, now),
            Gate::Delay(gate) => outside::delay(gate, promotion, now),
            Gate::Upstream(gate) => outside::upstream(gate, promotion, around, now),
            Gate::Schedule(cron) => outside::schedule(cron, promotion, now),
            Gate::Window(_) | Gate::Freeze(_) => continue,
        });
    }
    statuses
}

/// Whether a person is among roles, groups and `@login`s.
pub(super) fn named(by: &[String], login: &str, roles: &[String]) -> bool {
    by.iter().any(|by| match by.strip_prefix('@') {
        Some(name) => name == login,
        None => roles.iter().any(|role| role == by),
    })
}

/// Windows and freezes are one calendar: any window opens, any freeze closes.
fn calendar_status(gates: &[Gate], now: Timestamp) -> Vec<GateStatus> {
    let windows: Vec<_> =
        gates.iter().filter_map(|gate| if let Gate::Window(w) = gate { Some(w) } else { None }).collect();
    let freezes: Vec<_> =
        gates.iter().filter_map(|gate| if let Gate::Freeze(f) = gate { Some(f) } else { None }).collect();
    if windows.is_empty() && freezes.is_empty() {
        return Vec::new();
    }
    let kind = if windows.is_empty() { "freeze" } else { "window" };
    let (state, reason, next) = match calendar::openness(&windows, &freezes, now) {
        Openness::Open { reason } => (GateState::Open, reason, None),
        Openness::Closed { reason, next_open } => (GateState::Waiting, reason, next_open),
    };
    vec![GateStatus { kind: kind.to_owned(), state, reason, next }]
}

/// Whether a person's yes or no counts for a Gate; if not, why.
///
/// # Errors
/// Says in words why it does not count.
pub fn may_vote(
    gate: &ApprovalGate,
    login: &str,
    roles: &[String],
    makers: &BTreeSet<String>,
    editors: &BTreeSet<String>,
) -> Result<(), String> {
    if !named(&gate.by, login, roles) {
        let has = match roles {
            [] => "no role here".to_owned(),
            [role] => format!("the role {role}"),
            roles => format!("the roles {}", roles.join(" and ")),
        };
        return Err(format!("it takes {}; {login} has {has}", gate.by.join(" or ")));
    }
    if gate.self_approval == SelfApproval::Deny {
        if makers.contains(login) {
            return Err(format!("{login} made or pushed this change, and nobody approves their own"));
        }
        if editors.contains(login) {
            return Err(format!(
                "{login} edited this Environment's policy lately, and nobody approves under their own policy"
            ));
        }
    }
    Ok(())
}

fn approval(gate: &ApprovalGate, promotion: &Promotion, around: &Around<'_>, now: Timestamp) -> GateStatus {
    let status = |state, reason, next| GateStatus { kind: "approval".to_owned(), state, reason, next };
    let because = match outside::needed(gate.when.as_ref(), promotion, around.current) {
        Needed::Yes(None) => String::new(),
        Needed::Yes(Some(why)) => format!(", because {why}"),
        Needed::No(why) => return status(GateState::Open, why, None),
        Needed::Unknown => {
            let reason = "what the change touches is being read".to_owned();
            return outside::shut("approval", reason, None, (promotion, gate.expires), now);
        }
    };
    let editors = around.editors;
    let binding = promotion.binding();
    let expires = promotion.asked_at.saturating_add(gate.expires).unwrap_or(Timestamp::MAX);
    let counts = |vote: &&Vote| {
        vote.approve
            && vote.at < expires
            && vote.binding == binding
            && may_vote(gate, &vote.login, &vote.roles, &promotion.makers, editors).is_ok()
    };
    let said_yes: BTreeSet<&str> =
        promotion.votes.iter().filter(counts).map(|vote| vote.login.as_str()).collect();
    let who = gate.by.join(" or ");
    let (needed, have) = (gate.count as usize, said_yes.len());
    let names = said_yes.into_iter().collect::<Vec<_>>().join(", ");
    let (state, reason, next) = if have >= needed {
        (GateState::Open, format!("approved by {names}"), None)
    } else if now >= expires {
        (GateState::Expired, format!("only {have} of {needed} approvals from {who} came in time"), None)
    } else {
        let so_far = if names.is_empty() { String::new() } else { format!(" ({names} said yes)") };
        let reason = format!(
            "{have} of {needed} approvals from {who}{so_far}{because}; the request expires {expires:.0}"
        );
        (GateState::Waiting, reason, Some(expires))
    };
    status(state, reason, next)
}

fn soak(
    index: usize,
    gate: &SoakGate,
    promotion: &mut Promotion,
    neighbours: &BTreeMap<EnvironmentName, Neighbour>,
    now: Timestamp,
) -> GateStatus {
    let version = &promotion.revision.version;
    let status = |state, reason, next| GateStatus { kind: "soak".to_owned(), state, reason, next };
    let (place, time) = (&gate.environment, human(gate.duration));
    if promotion.soaked.contains(&index) {
        return status(GateState::Open, format!("{version} ran in {place} for {time}"), None);
    }
    match neighbours.get(place) {
        Some(there) if there.release == promotion.revision.release => {
            let end = there.since.saturating_add(gate.duration).unwrap_or(Timestamp::MAX);
            if now >= end {
                promotion.soaked.insert(index);
                status(GateState::Open, format!("{version} ran in {place} for {time}"), None)
            } else {
                let reason = format!("{version} has to run in {place} for {time}, until {end:.0}");
                status(GateState::Waiting, reason, Some(end))
            }
        }
        Some(there) => {
            let reason =
                format!("{place} runs {} now, so the soak of {version} there has ended", there.version);
            outside::shut("soak", reason, None, (promotion, gate.expires), now)
        }
        None => {
            let reason = format!("{version} does not run in {place} yet");
            outside::shut("soak", reason, None, (promotion, gate.expires), now)
        }
    }
}

/// What is missing is said whole: who has to mend it wants to know all of it at once.
fn evidence(gate: &EvidenceGate, promotion: &Promotion, around: &Around<'_>, now: Timestamp) -> GateStatus {
    let revision = &promotion.revision;
    let unknown = ReleaseEvidence::default();
    let of = |release: &Digest| around.facts.evidence.get(release);
    let known = of(&revision.release).unwrap_or(&unknown);
    let missing = gate.missing(known, around.current.and_then(|current| of(&current.release)));
    if missing.is_empty() {
        let reason = format!("{} has {}", revision.version, gate.words());
        return GateStatus { kind: "evidence".to_owned(), state: GateState::Open, reason, next: None };
    }
    let reason = format!("{} lacks evidence: {}", revision.version, missing.join("; "));
    outside::shut("evidence", reason, None, (promotion, gate.expires), now)
}

/// A duration in the largest units that fit: `30m`, `1h 30m`.
#[must_use]
pub fn human(duration: SignedDuration) -> String {
    format!("{duration:#}")
}
