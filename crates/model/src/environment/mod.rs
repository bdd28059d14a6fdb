//! A place of a Project: what runs there, what wants to, and who gets the traffic.
//!
//! One value holds everything that must change together: the queue of Promotions, the one Rollout,
//! the Instances and the split of the traffic. [`Environment::handle`] takes an event and the
//! facts of the moment; what it returns is stored in the same transaction as the new value.

mod alert;
mod back;
mod bisect;
mod checks;
mod drive;
mod fleet;
mod gates;
mod judging;
mod lane;
mod lift;
mod line;
mod lost;
mod outside;
mod phases;
mod promotion;
mod requests;
mod revoke;
mod rolling;
mod rollout;
mod steps;
mod traffic;
mod upkeep;
mod waiting;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

pub use bisect::{Bisection, Suspect};
pub use checks::check_attempt;
pub use fleet::{Fleet, Host, Instance, InstanceHealth, Observed, REPLACE_AFTER};
pub use gates::{GateState, GateStatus, Neighbour, human, may_vote};
pub use line::LINE;
pub use outside::{Answer, ChangeRead, Expressions, Lift, Probe, Subject, Upstream, may_lift};
pub use promotion::{Outcome, Promotion, PromotionKind, PromotionPlan, Revision, Vote};
pub use requests::{NewPromotion, Voter};
pub use rollout::{CONFIRM_WITHIN, Hold, MAX_RESTARTS, Phase, Return, Rollout, StepRecord};
pub use towpath_judge::Assessment;
pub use traffic::{Traffic, TrafficArm, TrafficRule};
pub use waiting::Wakeup;

use crate::attempt::AttemptReport;
use crate::evidence::ReleaseEvidence;
use crate::notify::OnAlert;
use crate::policy::EnvironmentDocument;
use crate::revocation::{OnRevocation, Revocation};
use crate::run::Handled;
use crate::timeline::Actor;
use crate::{AgentId, AttemptId, Digest, EnvironmentKey, EnvironmentName, PromotionId};

/// How many earlier Revisions an Environment remembers to go back to.
pub const HISTORY: usize = 20;

/// How many Revisions stay in quarantine; the oldest leaves first.
pub const QUARANTINE: usize = 50;

/// How many ended Promotions an Environment remembers by their identity.
pub const ENDED: usize = 200;

/// A place of a Project.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Environment {
    /// Which.
    pub key: EnvironmentKey,
    /// What it demands.
    pub policy: Policy,
    /// The newest configuration.
    pub config: Digest,
    /// What serves.
    pub current: Option<Deployment>,
    /// What served before, newest first, without repetition.
    pub history: Vec<Deployment>,
    /// What is kept running for an instant way back.
    pub warm: Option<Warm>,
    /// Its Instances.
    pub fleet: Fleet,
    /// Who gets which requests.
    pub traffic: Traffic,
    /// The Promotion that waits for its Gates; of several the first.
    pub waiting: Option<Promotion>,
    /// Those that wait behind it, where a newer one does not take its place.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub line: Vec<Promotion>,
    /// The Promotion whose Rollout runs.
    pub active: Option<Promotion>,
    /// A manual rollback that starts when the active Rollout has gone back.
    pub next: Option<Promotion>,
    /// Promotions that ended, oldest first, so that asking for one of them again, late, changes nothing.
    #[serde(default)]
    pub ended: Vec<PromotionId>,
    /// Set while nothing is promoted by itself.
    pub hold: Option<Hold>,
    /// Revisions that were rolled back, and why.
    pub quarantine: BTreeMap<Digest, Quarantine>,
    /// Releases that were taken back, and why.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub revoked: BTreeMap<Digest, Revocation>,
    /// Which of several Releases that came at once may have broken it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bisection: Option<Bisection>,
}

/// A version of an Environment's document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Policy {
    /// 1, 2, 3 …
    pub version: u64,
    /// The document.
    pub document: EnvironmentDocument,
    /// Logins of those who changed it lately.
    pub editors: BTreeSet<String>,
}

/// What serves, and since when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployment {
    /// The Revision.
    pub revision: Revision,
    /// The Promotion that brought it.
    pub promotion: PromotionId,
    /// The end of that Promotion.
    pub since: Timestamp,
}

/// What is kept running without traffic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warm {
    /// The Revision.
    pub revision: Digest,
    /// Until when.
    pub until: Timestamp,
}

/// Why a Revision is not promoted again by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantine {
    /// Its version.
    pub version: String,
    /// Since when.
    pub at: Timestamp,
    /// Why.
    pub reason: String,
}

/// What the Environment cannot see itself, as of this moment.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// Hosts that match its target.
    pub hosts: Vec<Host>,
    /// Gateways that must confirm each split.
    pub gateways: BTreeSet<String>,
    /// What the Project's other Environments run.
    pub neighbours: BTreeMap<EnvironmentName, Neighbour>,
    /// What is known of the Releases that are looked at here, by digest; only where a Gate asks for it.
    pub evidence: BTreeMap<Digest, ReleaseEvidence>,
    /// What Environments run that upstream Gates name.
    pub upstreams: BTreeMap<EnvironmentKey, Upstream>,
    /// Environments of the Project in which the Releases that are looked at here succeeded; only where a Gate asks for it.
    pub passed: BTreeMap<Digest, BTreeSet<EnvironmentName>>,
    /// Evaluates expressions of Gates.
    pub expressions: Option<Expressions>,
}

/// What happens to an Environment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum EnvironmentEvent {
    /// Somebody, or the route, wants a Revision here.
    PromotionRequested(Box<NewPromotion>),
    /// Somebody says yes or no.
    Voted {
        /// Of which Promotion.
        promotion: PromotionId,
        /// Who.
        voter: Voter,
        /// Yes or no.
        approve: bool,
        /// Their words.
        comment: String,
        /// What they saw; `None` takes what is there now.
        binding: Option<Digest>,
    },
    /// Somebody lifts a hold of what waits.
    Lifted {
        /// Of which Promotion.
        promotion: PromotionId,
        /// Who.
        voter: Voter,
        /// The hold's name; `None` means every one that they may lift.
        name: Option<String>,
        /// Their words.
        comment: String,
    },
    /// An outside system was asked about a Gate.
    GateAnswered {
        /// Of which Promotion.
        promotion: PromotionId,
        /// Which Gate of its plan.
        index: usize,
        /// What the Promotion was bound to when it was asked.
        binding: Digest,
        /// Whether it lets the Promotion through.
        opens: bool,
        /// What it said.
        words: String,
        /// When it wants to be asked again, where it says so.
        again: Option<SignedDuration>,
    },
    /// An alert of a monitoring fires.
    AlertFired {
        /// What it says.
        reason: String,
        /// What it does to a Rollout that runs.
        then: OnAlert,
    },
    /// What a Promotion changes was read.
    ChangeRead {
        /// Which.
        promotion: PromotionId,
        /// What it was.
        change: ChangeRead,
    },
    /// The document changed.
    PolicyApplied {
        /// The new version.
        policy: Box<Policy>,
        /// The new configuration.
        config: Digest,
        /// Who.
        actor: Actor,
    },
    /// Nothing shall move.
    HoldRequested {
        /// Who.
        actor: Actor,
        /// Why.
        reason: String,
    },
    /// It shall go on.
    ResumeRequested {
        /// Who.
        actor: Actor,
        /// Why.
        reason: String,
    },
    /// The running Rollout shall go back.
    AbortRequested {
        /// Who.
        actor: Actor,
        /// Why.
        reason: String,
    },
    /// An earlier Revision shall come back. Plan and id are made by the caller.
    RollbackRequested(Box<NewPromotion>),
    /// A waiting Promotion is withdrawn.
    Withdrawn {
        /// Which.
        promotion: PromotionId,
        /// Who.
        actor: Actor,
        /// Why.
        reason: String,
    },
    /// The bytes and signature of what ran before, and of the candidate, were checked.
    WayBackChecked {
        /// For which Promotion.
        promotion: PromotionId,
        /// What is wrong.
        problem: Option<String>,
    },
    /// An agent says how its Instances are.
    InstancesObserved {
        /// Who.
        agent: AgentId,
        /// All of them.
        observed: Vec<Observed>,
    },
    /// A gateway says what it has in force.
    RouteConfirmed {
        /// Who.
        gateway: String,
        /// The generation of this Environment's route.
        generation: u64,
        /// What it complains about.
        problem: Option<String>,
        /// The addresses of Instances that it leaves alone for a while, because they fail what others do well.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        outliers: Vec<SocketAddr>,
    },
    /// A gateway measured.
    Measured {
        /// Disjoint from every other.
        samples: Vec<Sample>,
    },
    /// A check that the server makes itself has ended.
    VerificationFinished {
        /// Of which Promotion.
        promotion: PromotionId,
        /// Which check.
        index: usize,
        /// What is wrong.
        problem: Option<String>,
    },
    /// An agent took the Attempt of a check.
    AttemptLeased {
        /// Which.
        attempt: AttemptId,
        /// Who.
        agent: AgentId,
        /// Under which fence.
        fence: u64,
    },
    /// An agent said something of the Attempt of a check.
    AttemptReported {
        /// Which.
        attempt: AttemptId,
        /// Under which fence.
        fence: u64,
        /// The number of the report.
        sequence: u64,
        /// When, by the agent's clock.
        at: Timestamp,
        /// What.
        report: AttemptReport,
    },
    /// The agent that held the Attempt of a check went silent.
    AttemptLost {
        /// Which.
        attempt: AttemptId,
        /// The fence that was lost.
        fence: u64,
        /// What is known.
        message: String,
    },
    /// A Release starts no more.
    ReleaseRevoked {
        /// Which.
        release: Digest,
        /// By whom, and why.
        revocation: Box<Revocation>,
        /// What a running Rollout of it does.
        then: OnRevocation,
    },
    /// A revoked Release may start again.
    RevocationLifted {
        /// Which.
        release: Digest,
        /// Who let it.
        actor: Actor,
    },
    /// A Promotion that went back had brought these Releases at once, oldest first; it is the last of them.
    SuspectsFound {
        /// Which.
        promotion: PromotionId,
        /// What ran before.
        good: String,
        /// Why it went back.
        reason: String,
        /// They.
        suspects: Vec<Suspect>,
    },
    /// Time has passed, or the facts have changed.
    Looked,
}

/// What one Revision did in one interval.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// Who.
    pub revision: Digest,
    /// Start of the interval.
    pub from: Timestamp,
    /// End of the interval.
    pub to: Timestamp,
    /// The route generation in force at the end.
    pub generation: u64,
    /// Requests that were given to it.
    pub started: u64,
    /// Requests that ended.
    pub requests: u64,
    /// Of these, errors.
    pub errors: u64,
}

/// What should happen because of an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum EnvironmentEffect {
    /// Check the bytes and signatures of candidate and stable; answer with `WayBackChecked`.
    CheckWayBack {
        /// For which Promotion.
        promotion: PromotionId,
    },
    /// Ask an outside system about a Gate; answer with `GateAnswered`.
    AskGate {
        /// Of which Promotion.
        promotion: PromotionId,
        /// Which Gate of its plan.
        index: usize,
        /// What the Promotion is bound to.
        binding: Digest,
    },
    /// Read what a Promotion changes; answer with `ChangeRead`.
    ReadChange {
        /// Which.
        promotion: PromotionId,
        /// The commit that runs.
        from: String,
    },
    /// Make an HTTP check through the listener; answer with `VerificationFinished`.
    VerifyHttp {
        /// For which Promotion.
        promotion: PromotionId,
        /// Which check.
        index: usize,
    },
    /// Put the Attempt of a check into the queue of the agents.
    QueueAttempt {
        /// For which Promotion.
        promotion: PromotionId,
        /// Which check.
        index: usize,
        /// Which.
        attempt: AttemptId,
    },
    /// End an Attempt wherever it is.
    CancelAttempt {
        /// Which.
        attempt: AttemptId,
        /// Why.
        reason: String,
    },
    /// A Promotion ended: offer its Release to the Stages that follow.
    Settled {
        /// Which.
        promotion: PromotionId,
    },
}

/// A request that does not fit. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Refused {
    /// What speaks against it.
    pub ground: Ground,
    /// What is wrong and what to do.
    pub reason: String,
}

/// What speaks against a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ground {
    /// How things stand.
    State,
    /// Who asks: somebody else may.
    Person,
}

impl Refused {
    pub(crate) fn because(reason: impl Into<String>) -> Self {
        Self { ground: Ground::State, reason: reason.into() }
    }

    pub(crate) fn to_person(reason: impl Into<String>) -> Self {
        Self { ground: Ground::Person, reason: reason.into() }
    }
}

/// What became of an event: the effects, what is written down, and Promotions that ended.
#[derive(Debug, Clone, PartialEq, Default)]
#[must_use = "effects that nobody performs never happen"]
pub struct Change {
    /// Effects and entries.
    pub handled: Handled<EnvironmentEffect>,
    /// Promotions that ended, for the archive.
    pub ended: Vec<Promotion>,
}

impl Environment {
    /// Makes an Environment in which nothing runs.
    #[must_use]
    pub fn new(policy: Policy, config: Digest, now: Timestamp) -> Self {
        Self {
            key: policy.document.key(),
            policy,
            config,
            current: None,
            history: Vec::new(),
            warm: None,
            fleet: Fleet::default(),
            traffic: Traffic::none(now),
            waiting: None,
            active: None,
            next: None,
            ended: Vec::new(),
            hold: None,
            quarantine: BTreeMap::new(),
            line: Vec::new(),
            revoked: BTreeMap::new(),
            bisection: None,
        }
    }

    /// Applies one event. An event that no longer fits changes nothing.
    ///
    /// # Errors
    /// A request of a person that cannot be granted is refused with the reason.
    pub fn handle(
        &mut self,
        event: EnvironmentEvent,
        facts: &Facts,
        now: Timestamp,
    ) -> Result<Change, Refused> {
        let mut change = Change::default();
        self.apply(event, &mut change, now)?;
        self.drive(facts, &mut change, now);
        if self.ends_hold(&mut change) {
            self.drive(facts, &mut change, now);
        }
        self.ended.extend(change.ended.iter().map(|promotion| promotion.id));
        let surplus = self.ended.len().saturating_sub(ENDED);
        self.ended.drain(..surplus);
        Ok(change)
    }

    fn apply(&mut self, event: EnvironmentEvent, change: &mut Change, now: Timestamp) -> Result<(), Refused> {
        match event {
            EnvironmentEvent::PromotionRequested(new) => self.request(*new, change, now)?,
            EnvironmentEvent::RollbackRequested(new) => self.request_rollback(*new, change, now)?,
            EnvironmentEvent::Voted { promotion, voter, approve, comment, binding } => {
                self.vote(promotion, voter, approve, comment, binding, change, now)?;
            }
            EnvironmentEvent::Lifted { promotion, voter, name, comment } => {
                self.lift(promotion, &voter, name.as_deref(), &comment, change, now)?;
            }
            EnvironmentEvent::GateAnswered { promotion, index, binding, opens, words, again } => {
                if let Some(waiting) =
                    self.waiting_as(promotion).filter(|waiting| waiting.binding() == binding)
                {
                    waiting.answered(index, opens, words, again, now);
                }
            }
            EnvironmentEvent::AlertFired { reason, then } => self.alerted(reason, then, change, now)?,
            EnvironmentEvent::ChangeRead { promotion, change } => {
                if let Some(waiting) = self.waiting_as(promotion) {
                    waiting.comparing = None;
                    waiting.change = Some(change);
                }
            }
            EnvironmentEvent::PolicyApplied { policy, config, actor } => {
                self.apply_policy(*policy, config, actor, change, now);
            }
            EnvironmentEvent::HoldRequested { actor, reason } => {
                self.request_hold(actor, reason, change, now)?
            }
            EnvironmentEvent::ResumeRequested { actor, reason } => {
                self.resume(&actor, &reason, change, now)?
            }
            EnvironmentEvent::AbortRequested { actor, reason } => {
                self.abort(&actor, &reason, change, now)?;
                self.hold.get_or_insert(Hold { by: actor, at: now, reason, promotion: None });
            }
            EnvironmentEvent::Withdrawn { promotion, actor, reason } => {
                self.withdraw(promotion, &actor, &reason, change, now)?;
            }
            EnvironmentEvent::WayBackChecked { promotion, problem } => {
                self.way_back_checked(promotion, problem, change, now);
            }
            EnvironmentEvent::InstancesObserved { agent, observed } => {
                self.fleet.observe(agent, &observed, now);
                self.traffic.follow(&self.fleet, now);
            }
            EnvironmentEvent::RouteConfirmed { gateway, generation, problem, outliers } => {
                if outliers.is_empty() {
                    self.traffic.outliers.remove(&gateway);
                } else {
                    self.traffic.outliers.insert(gateway.clone(), outliers);
                }
                match problem {
                    Some(problem) => self.traffic.problems.insert(gateway.clone(), problem),
                    None => self.traffic.problems.remove(&gateway),
                };
                self.traffic.confirmed.insert(gateway, generation);
            }
            EnvironmentEvent::Measured { samples } => self.measured(&samples),
            EnvironmentEvent::VerificationFinished { promotion, index, problem } => {
                self.verification_finished(promotion, index, problem, change, now);
            }
            EnvironmentEvent::AttemptLeased { attempt, agent, fence } => {
                if let Some(held) = self.verification_attempt(attempt) {
                    held.lease(agent, fence, now);
                }
            }
            EnvironmentEvent::AttemptReported { attempt, fence, sequence, at, report } => {
                self.attempt_reported(attempt, fence, sequence, at, report, change, now);
            }
            EnvironmentEvent::AttemptLost { attempt, fence, message } => {
                self.attempt_lost(attempt, fence, &message, change, now);
            }
            EnvironmentEvent::ReleaseRevoked { release, revocation, then } => {
                self.revoke(release, *revocation, then, change, now);
            }
            EnvironmentEvent::RevocationLifted { release, actor } => {
                self.unrevoke(release, &actor, change);
            }
            EnvironmentEvent::SuspectsFound { promotion, good, reason, suspects } => {
                self.name_suspects(promotion, Bisection { good, suspects, reason, since: now }, change);
            }
            EnvironmentEvent::Looked => {}
        }
        Ok(())
    }

    /// Finds a Promotion that has not ended.
    #[must_use]
    pub fn promotion(&self, id: PromotionId) -> Option<&Promotion> {
        let moving = [&self.active, &self.next].into_iter().flatten();
        moving.chain(self.in_line()).find(|promotion| promotion.id == id)
    }

    /// A Revision that ran here, by digest.
    #[must_use]
    pub fn known_revision(&self, digest: Digest) -> Option<&Revision> {
        let past = self.current.iter().chain(&self.history).map(|deployment| &deployment.revision);
        let coming =
            [&self.active, &self.next].into_iter().flatten().chain(self.in_line()).map(|p| &p.revision);
        past.chain(coming).find(|revision| revision.digest == digest)
    }
}
