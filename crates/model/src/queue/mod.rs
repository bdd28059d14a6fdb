//! The queue of the agents: who runs what next, and why everybody else waits.
//!
//! [`schedule()`] looks at everything at once: what waits, what runs, who is there. It gives away what can begin now, and
//! says of the rest why it waits and when it may begin. It is a pure function, so the command line, the page and the
//! agents are told the same.
//!
//! - **Between Projects** the one with the fewest running Jobs goes first. A Project that floods the queue
//!   therefore delays itself, not others.
//! - **Within a Project** the higher priority goes first, and each minute of waiting counts as one more, so nothing
//!   starves; then the older Run.
//! - **In a concurrency group** the order of the Runs decides, whatever the priorities, and a Job waits for those of
//!   earlier Runs of its ref even where these are not in the queue yet.
//! - **Among agents** the one with the fewest labels that fits is taken, so that special ones stay free for what
//!   needs them.

mod reason;
mod schedule;

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

pub use reason::WaitReason;
pub use schedule::schedule;

use crate::{AgentId, AttemptId, ProjectName};

/// An Attempt that waits for an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Which.
    pub attempt: AttemptId,
    /// For people: `shop#12 test`.
    pub title: String,
    /// Its Project.
    pub project: ProjectName,
    /// The number of its Run; 0 for a check of a Promotion.
    pub run: u64,
    /// The ref of its Run.
    pub reference: String,
    /// Labels that an agent must have.
    pub labels: BTreeMap<String, String>,
    /// From 0 to 100.
    pub priority: u8,
    /// Its concurrency group, and how many of it may run.
    pub group: Option<(String, u32)>,
    /// When it was queued.
    pub queued_at: Timestamp,
    /// How long it takes, where that is known.
    pub estimate: Option<SignedDuration>,
}

/// An Attempt that an agent has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Busy {
    /// For people.
    pub title: String,
    /// Its Project.
    pub project: ProjectName,
    /// Who has it.
    pub agent: AgentId,
    /// Its concurrency group.
    pub group: Option<String>,
    /// Since when.
    pub started_at: Timestamp,
    /// How long it takes, where that is known.
    pub estimate: Option<SignedDuration>,
}

/// An agent that takes Attempts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Runner {
    /// Which.
    pub id: AgentId,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// How many more it can take.
    pub free: u32,
    /// Whether it is given any.
    pub standing: Standing,
}

/// Whether an agent is given work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// It is.
    Ready,
    /// It finishes what it has.
    Draining,
    /// Its version is too old.
    TooOld,
    /// Two processes with its identity were seen.
    Cloned,
}

/// A Job of an unfinished Run that is in a concurrency group and not in the queue yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upcoming {
    /// For people.
    pub title: String,
    /// Its Project.
    pub project: ProjectName,
    /// Its group.
    pub group: String,
    /// The number of its Run.
    pub run: u64,
    /// The ref of its Run.
    pub reference: String,
}

/// Everything that the decision is made of.
#[derive(Debug, Clone, Copy)]
pub struct State<'a> {
    /// What waits, in any order.
    pub waiting: &'a [Waiting],
    /// What runs.
    pub busy: &'a [Busy],
    /// Who is there.
    pub runners: &'a [Runner],
    /// What will come into concurrency groups.
    pub upcoming: &'a [Upcoming],
}

/// What can begin, and why the rest cannot.
#[must_use = "an unread schedule starts nothing"]
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Schedule {
    /// What begins now, and where.
    pub assignments: Vec<Assignment>,
    /// What waits, in the order in which it is expected to begin.
    pub waits: Vec<Wait>,
}

/// An Attempt that begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Assignment {
    /// Which, as an index into [`State::waiting`].
    pub waiting: usize,
    /// Where.
    pub agent: AgentId,
}

/// An Attempt that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wait {
    /// Which, as an index into [`State::waiting`].
    pub waiting: usize,
    /// Why.
    pub reason: WaitReason,
    /// When it may begin, as far as can be told from how long Jobs took before.
    pub eta: Option<Timestamp>,
}
