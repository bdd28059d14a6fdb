//! The execution of a strategy, and the way back.
//!
//! ```text
//! Preparing ─> Replacing (recreate) ─> Starting ─> Step 0 … n (canary, blue-green) ─> Completing ─> Verifying ─> done
//!      │                                              ▲                                  ▲
//!      └──────> Batch 0 ─> Step 0 ─> … ─> Batch n (rolling) ───────────────────────────┘      any of them ─> Returning
//! ```
//!
//! Where checks stand before the first weight (`before`), `Starting` goes through `Verifying` once and comes back.
//! Each phase desires something (Instances, a split) and waits until it is seen to be so.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use towpath_judge::{Assessment, Judge};

use super::promotion::Revision;
use crate::attempt::Attempt;
use crate::timeline::Actor;
use crate::{Digest, InstanceId, PromotionId, Weight};

/// How long a gateway may take to confirm a split before the Rollout gives up.
///
/// A gateway that lives answers in milliseconds; one that restarts needs about a second.
pub const CONFIRM_WITHIN: SignedDuration = SignedDuration::from_secs(30);

/// Restarts of one candidate Instance after which it counts as dead.
pub const MAX_RESTARTS: u32 = 3;

/// How a Rollout stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rollout {
    /// What it does now.
    pub phase: Phase,
    /// Since when.
    pub since: Timestamp,
    /// When it started.
    pub started_at: Timestamp,
    /// From when its deadline counts: its start, or a person's `resume` after the deadline had passed.
    pub deadline_from: Timestamp,
    /// What ran before and takes the traffic back on failure; absent for a bootstrap.
    pub stable: Option<Revision>,
    /// The evidence so far; absent for a bootstrap and for recreate.
    pub judge: Option<Judge>,
    /// Measurements that made no sense and were left out.
    pub refused_ticks: u64,
    /// The last look at the evidence.
    pub assessment: Option<Assessment>,
    /// Set while a person has to decide.
    pub held: Option<Hold>,
    /// What failed, where `on_failure: hold` leaves it to a person.
    pub failed: Option<String>,
    /// The check that failed, from 0; those before it passed, those after it were not made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_check: Option<usize>,
    /// Whether the checks before the candidate's first weight have passed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub checked: bool,
    /// Restarts of the candidate's Instances that ran already when it started.
    pub restarts: BTreeMap<InstanceId, u32>,
    /// What each finished or running step came to.
    pub steps: Vec<StepRecord>,
    /// Of a rolling replacement: how many Instances the candidate has after each batch.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub batches: Vec<u32>,
    /// The way back, once it was taken.
    pub back: Option<Return>,
}

/// What a Rollout does now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Phase {
    /// The way back is checked before anything changes.
    Preparing,
    /// What ran before is stopped (recreate).
    Replacing,
    /// The candidate's Instances start.
    Starting,
    /// Some of the old Instances make room, and some of the candidate's start (rolling).
    Batch {
        /// Which, from 0.
        index: usize,
    },
    /// The candidate has the weight of a step and is judged.
    Step {
        /// Which, from 0.
        index: usize,
    },
    /// The candidate gets everything.
    Completing,
    /// A check runs.
    Verifying {
        /// Which, from 0.
        index: usize,
        /// The Attempt, where the check is a script.
        attempt: Option<Box<Attempt>>,
    },
    /// Traffic goes back.
    Returning,
}

impl Phase {
    /// The word for people.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Preparing => "preparing",
            Self::Replacing => "replacing",
            Self::Starting => "starting",
            Self::Batch { .. } => "replacing a batch",
            Self::Step { .. } => "canary",
            Self::Completing => "completing",
            Self::Verifying { .. } => "verifying",
            Self::Returning => "rolling back",
        }
    }
}

/// What one step came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepRecord {
    /// The candidate's share.
    pub weight: Weight,
    /// When the share was ordered.
    pub ordered_at: Timestamp,
    /// When every gateway had it in force.
    pub in_force_at: Option<Timestamp>,
    /// When the next step began.
    pub ended_at: Option<Timestamp>,
    /// The verdict that ended it, in words.
    pub verdict: String,
    /// Whether a person let it go on after a `pause`.
    pub resumed: bool,
    /// Whether it waited, or waits, for a person because it is a `pause`.
    pub paused: bool,
    /// The generation of the traffic from which on its share was ordered; older measurements say nothing of it.
    pub generation: u64,
}

/// Somebody, or Towpath, wants nothing to move.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Who.
    pub by: Actor,
    /// Since when.
    pub at: Timestamp,
    /// Why.
    pub reason: String,
    /// The Promotion for whose sake it is: where that comes to nothing, it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promotion: Option<PromotionId>,
}

/// The way back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Return {
    /// Why.
    pub reason: String,
    /// When it was decided.
    pub decided_at: Timestamp,
    /// Whether what ran before had to be started first.
    pub cold: bool,
    /// Whether a gateway may have been told to send requests to the candidate.
    pub exposed: bool,
    /// When every gateway had stopped sending requests to the candidate.
    pub safe_at: Option<Timestamp>,
}

impl Return {
    /// From the decision until no new request reached the candidate, in milliseconds.
    #[must_use]
    pub fn time_to_safe_ms(&self) -> Option<i64> {
        self.safe_at.map(|at| at.as_millisecond() - self.decided_at.as_millisecond())
    }
}

impl Rollout {
    pub(super) fn new(stable: Option<Revision>, now: Timestamp) -> Self {
        Self {
            phase: Phase::Preparing,
            since: now,
            started_at: now,
            deadline_from: now,
            stable,
            judge: None,
            refused_ticks: 0,
            assessment: None,
            held: None,
            failed: None,
            failed_check: None,
            checked: false,
            restarts: BTreeMap::new(),
            steps: Vec::new(),
            batches: Vec::new(),
            back: None,
        }
    }

    pub(super) fn enter(&mut self, phase: Phase, now: Timestamp) {
        self.phase = phase;
        self.since = now;
    }

    /// The digest of what ran before.
    #[must_use]
    pub fn stable_digest(&self) -> Option<Digest> {
        self.stable.as_ref().map(|stable| stable.digest)
    }

    /// Whether traffic is on its way back.
    #[must_use]
    pub const fn is_returning(&self) -> bool {
        matches!(self.phase, Phase::Returning)
    }
}
