//! What waits for agents and what runs, and what is done with agents.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The queue of the agents, as far as the caller can see its Projects.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Queue {
    /// What waits, in the order in which it is expected to begin; 1,000 at most.
    pub waiting: Vec<Waiting>,
    /// How many wait in all, in Projects that the caller can see or not.
    pub waiting_in_all: u64,
    /// What runs.
    pub running: Vec<Running>,
    /// How many agents take Attempts now.
    pub agents: u64,
    /// How many more Attempts they could take.
    pub free: u64,
}

/// An Attempt that waits.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Waiting {
    /// Its id.
    pub attempt: String,
    /// What it is: `shop#12 test`.
    pub title: String,
    /// The Project.
    pub project: String,
    /// The number of its Run; 0 for a check of a Promotion.
    pub run: u64,
    /// The priority within its Project.
    pub priority: u8,
    /// Why it waits.
    pub reason: String,
    /// Why it waits, for programs: `no-agents`, `no-fit`, `none-ready`, `busy`, `group`, `turn`; absent where it is about to begin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    pub queued_at: Timestamp,
    /// When it may begin, by how long Jobs took before; absent where nobody can tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub eta: Option<Timestamp>,
}

/// An Attempt that runs.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Running {
    /// What it is.
    pub title: String,
    /// The Project.
    pub project: String,
    /// The agent's id.
    pub agent: String,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    pub started_at: Timestamp,
    /// How long it takes as a rule, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usually: Option<u64>,
}

/// Why an agent is drained.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct Drain {
    /// For people.
    #[serde(default)]
    pub reason: String,
}
