//! A new document that loosens an Environment's policy, and who has to sign it before it takes effect.
//!
//! Whoever could approve under the old policy decides over an easier one. Its author never does.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::environment::{Policy, Refused, Vote, Voter, may_vote};
use crate::pipeline::{ApprovalGate, Comment, Gate, SelfApproval};
use crate::policy::EnvironmentDocument;
use crate::revocation::Unrevoke;
use crate::timeline::{Actor, Entry};
use crate::{Digest, EnvironmentKey};

/// A document that waits for signatures, or what became of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PolicyChange {
    /// 1, 2, 3 … in its Environment.
    pub number: u64,
    /// Of which Environment.
    pub environment: EnvironmentKey,
    /// The version of the document that it replaces. With any other version in force it is void.
    pub base: u64,
    /// The new document.
    pub document: EnvironmentDocument,
    /// Its YAML as it was applied.
    pub source: String,
    /// What changes, one line each.
    pub changes: Vec<String>,
    /// Which of it loosens the policy.
    pub loosens: Vec<String>,
    /// Who applied it.
    pub author: Actor,
    /// When.
    pub proposed_at: Timestamp,
    /// When it ends, unless it is signed.
    pub expires_at: Timestamp,
    /// Who said what.
    pub votes: Vec<Vote>,
    /// What became of it.
    pub outcome: Option<ChangeOutcome>,
    /// When.
    pub ended_at: Option<Timestamp>,
}

/// What became of a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case")]
pub enum ChangeOutcome {
    /// It is in force, or was.
    Applied {
        /// As this version of the document.
        version: u64,
    },
    /// Somebody said no.
    Rejected {
        /// In words.
        reason: String,
    },
    /// Not enough people signed in time.
    Expired,
    /// Another change took its place.
    Superseded {
        /// Its number.
        by: u64,
    },
    /// The document that it changes was changed before it was signed.
    Void {
        /// The version in force now.
        version: u64,
    },
}

impl ChangeOutcome {
    /// One word for it.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Applied { .. } => "applied",
            Self::Rejected { .. } => "rejected",
            Self::Expired => "expired",
            Self::Superseded { .. } => "superseded",
            Self::Void { .. } => "void",
        }
    }

    /// In words.
    #[must_use]
    pub fn reason(&self) -> String {
        match self {
            Self::Applied { version } => format!("in force as version {version}"),
            Self::Rejected { reason } => reason.clone(),
            Self::Expired => "not enough people signed it in time".to_owned(),
            Self::Superseded { by } => format!("policy change {by} took its place"),
            Self::Void { version } => {
                format!("the document changed to version {version} before enough people had signed")
            }
        }
    }
}

/// Whether a signer agrees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// They sign.
    Yes,
    /// They do not, and the change ends.
    No,
}

/// What signers are bound to.
#[derive(Serialize)]
struct Binding<'c> {
    environment: &'c EnvironmentKey,
    number: u64,
    base: u64,
    document: &'c EnvironmentDocument,
}

impl PolicyChange {
    /// What a signature is bound to: exactly this document in place of exactly that version.
    #[must_use]
    pub fn binding(&self) -> Digest {
        let Self { number, environment, base, document, .. } = self;
        let binding = Binding { environment, number: *number, base: *base, document };
        // These types have only string keys and finite numbers, so they always have a JSON form.
        Digest::of(&serde_json::to_vec(&binding).unwrap_or_default())
    }

    /// The name for people.
    #[must_use]
    pub fn title(&self) -> String {
        format!("policy change {} of {}", self.number, self.environment)
    }

    /// Whether it still waits.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.outcome.is_none()
    }

    /// The word for how it stands.
    #[must_use]
    pub fn state_word(&self) -> &'static str {
        self.outcome.as_ref().map_or("waiting", ChangeOutcome::word)
    }

    /// Takes in what somebody says of it. Whether that is enough, [`is_agreed`](Self::is_agreed) says.
    ///
    /// # Errors
    /// When it does not wait any more, is not what they saw, or their word does not count.
    pub fn vote(
        &mut self,
        policy: &Policy,
        voter: Voter,
        word: Word,
        comment: &str,
        binding: Option<Digest>,
        now: Timestamp,
    ) -> Result<Entry, Refused> {
        self.check_open(policy, binding, now)?;
        // Whoever proposed something can take it back; only a yes of theirs counts for nothing.
        let withdraws = word == Word::No && voter.login == self.author.name();
        if let Some(objection) = self.objection(policy, &voter.login, &voter.roles).filter(|_| !withdraws) {
            return Err(Refused::to_person(format!(
                "your word does not count for {}: {objection}",
                self.title()
            )));
        }
        let actor = voter.actor();
        let words = if comment.is_empty() { String::new() } else { format!(": {comment}") };
        let (verb, kind, approve) = match word {
            Word::Yes => ("approved", "policy-change-approved", true),
            Word::No => ("rejected", "policy-change-rejected", false),
        };
        let text = format!("{} {verb} {}{words}", voter.login, self.title());
        let binding = self.binding();
        self.votes.retain(|vote| vote.user != voter.user);
        let Voter { user, login, roles } = voter;
        let vote = Vote { user, login, roles, approve, comment: comment.to_owned(), at: now, binding };
        self.votes.push(vote);
        if word == Word::No {
            self.end(ChangeOutcome::Rejected { reason: text.clone() }, now);
        }
        Ok(self.entry(kind, actor, text).fact("binding", binding).fact("comment", comment))
    }

    fn check_open(&self, policy: &Policy, binding: Option<Digest>, now: Timestamp) -> Result<(), Refused> {
        if let Some(outcome) = &self.outcome {
            let (title, reason) = (self.title(), outcome.reason());
            return Err(Refused::because(format!("{title} does not wait any more: {reason}")));
        }
        if self.base != policy.version {
            return Err(Refused::because(format!(
                "{} was made for version {} of the document, and version {} is in force; apply it again",
                self.title(),
                self.base,
                policy.version
            )));
        }
        if now >= self.expires_at {
            let reason = format!("{} expired {:.0}; apply it again", self.title(), self.expires_at);
            return Err(Refused::because(reason));
        }
        if binding.is_some_and(|seen| seen != self.binding()) {
            return Err(Refused::because(format!(
                "{} is not what you looked at; look again, then decide",
                self.title()
            )));
        }
        Ok(())
    }

    /// Why somebody's signature would count for no Gate of the old policy, if so.
    #[must_use]
    pub fn objection(&self, policy: &Policy, login: &str, roles: &[String]) -> Option<String> {
        let mut reasons = BTreeSet::new();
        for gate in approvals(&policy.document) {
            match self.may_sign(gate, policy, login, roles) {
                Ok(()) => return None,
                Err(reason) => reasons.insert(reason),
            };
        }
        Some(reasons.into_iter().collect::<Vec<_>>().join("; "))
    }

    fn may_sign(
        &self,
        gate: &ApprovalGate,
        policy: &Policy,
        login: &str,
        roles: &[String],
    ) -> Result<(), String> {
        if login == self.author.name() {
            return Err(format!("{login} wrote this change, and nobody signs their own"));
        }
        may_vote(gate, login, roles, &BTreeSet::new(), &policy.editors)
    }

    /// What is missing, one line for each Gate of the old policy; empty once it may take effect.
    #[must_use]
    pub fn needs(&self, policy: &Policy) -> Vec<String> {
        let binding = self.binding();
        let line = |gate: &ApprovalGate| {
            let counts = |vote: &&Vote| {
                vote.approve
                    && vote.binding == binding
                    && self.may_sign(gate, policy, &vote.login, &vote.roles).is_ok()
            };
            let signed: BTreeSet<&str> =
                self.votes.iter().filter(counts).map(|vote| vote.login.as_str()).collect();
            let (have, needed, who) = (signed.len(), gate.count as usize, gate.by.join(" or "));
            let names = signed.into_iter().collect::<Vec<_>>().join(", ");
            let so_far = if names.is_empty() { String::new() } else { format!(" ({names} signed)") };
            (have < needed).then(|| format!("{have} of {needed} signatures from {who}{so_far}"))
        };
        approvals(&policy.document).filter_map(line).collect()
    }

    /// Whether everybody has signed who has to.
    #[must_use]
    pub fn is_agreed(&self, policy: &Policy) -> bool {
        self.is_open() && self.base == policy.version && self.needs(policy).is_empty()
    }

    /// What it waits for, as a sentence.
    #[must_use]
    pub fn waits(&self, policy: &Policy) -> String {
        format!(
            "{} by {} waits: {}, not from {}; it expires {:.0}",
            self.title(),
            self.author.name(),
            self.needs(policy).join("; "),
            self.author.name(),
            self.expires_at
        )
    }

    /// Ends it.
    pub fn end(&mut self, outcome: ChangeOutcome, now: Timestamp) {
        self.outcome = Some(outcome);
        self.ended_at = Some(now);
    }

    /// An entry of the timeline about it.
    #[must_use]
    pub fn entry(&self, kind: &str, actor: Actor, text: String) -> Entry {
        Entry::new(kind, actor, text).fact("policy-change", self.number)
    }
}

/// How long people have to sign: the shortest time that an approval of the old policy gives.
#[must_use]
pub fn time_to_sign(old: &EnvironmentDocument) -> SignedDuration {
    approvals(old).map(|gate| gate.expires).min().unwrap_or(SignedDuration::from_hours(24))
}

/// Whether somebody may loosen a policy alone: nobody has to approve under it, or every approval takes one person,
/// takes this one, and lets people approve what is their own.
#[must_use]
pub fn may_loosen_alone(old: &EnvironmentDocument, login: &str, roles: &[String]) -> bool {
    let nobody = BTreeSet::new();
    approvals(old).all(|gate| {
        gate.count <= 1
            && gate.self_approval == SelfApproval::Allow
            && may_vote(gate, login, roles, &nobody, &nobody).is_ok()
    })
}

/// What gets easier under a new document, in words.
#[must_use]
pub fn loosenings(old: &EnvironmentDocument, new: &EnvironmentDocument) -> Vec<String> {
    let easier = |gate: &&Gate| !new.gates.iter().any(|other| demands_as_much(other, gate));
    let gates = old.gates.iter().filter(easier).map(Gate::words);
    let refs = new.allow.refs.iter().filter(|pattern| !old.allow.refs.contains(pattern));
    let refs = refs.map(|pattern| format!("releases of {pattern} may come in"));
    let promote = &new.intake.promote;
    let freer = promote.is_freer_than(&old.intake.promote);
    let freer = freer.then(|| format!("releases come by themselves: {}", promote.words()));
    let alone = old.intake.unrevoke == Unrevoke::Together && new.intake.unrevoke == Unrevoke::Alone;
    let alone = alone.then(|| "one person alone lets revoked releases start again".to_owned());
    gates.chain(refs).chain(freer).chain(alone).collect()
}

fn approvals(document: &EnvironmentDocument) -> impl Iterator<Item = &ApprovalGate> {
    document.gates.iter().filter_map(Gate::approval)
}

/// Whether a Gate demands at least what another one does.
fn demands_as_much(new: &Gate, old: &Gate) -> bool {
    match (new, old) {
        (Gate::Approval(new), Gate::Approval(old)) => {
            let fewer_may = new.by.iter().all(|by| old.by.contains(by));
            let self_denied =
                old.self_approval == SelfApproval::Allow || new.self_approval == SelfApproval::Deny;
            let as_often = new.when.is_none() || new.when == old.when;
            let as_wordy = new.comment == old.comment || new.comment == Comment::Required;
            fewer_may && self_denied && as_often && as_wordy && new.count >= old.count
        }
        (Gate::Soak(new), Gate::Soak(old)) => {
            new.environment == old.environment && new.duration >= old.duration
        }
        (Gate::Evidence(new), Gate::Evidence(old)) => new.demands_as_much(old),
        (new, old) => new == old,
    }
}
