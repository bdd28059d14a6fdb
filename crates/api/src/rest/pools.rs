//! Pools of agents.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A pool of agents that grows and shrinks with the queue.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct AgentPool {
    /// Its name in the server's configuration file.
    pub name: String,
    /// `process` or `command`: how its agents are started.
    pub driver: String,
    /// The labels of its agents.
    pub labels: BTreeMap<String, String>,
    /// How many agents there are always.
    pub minimum: u32,
    /// How many there are at most.
    pub maximum: u32,
    /// How many there should be now.
    pub wanted: u32,
    /// For people: why.
    pub why: String,
    /// Who is there.
    pub members: Vec<PoolMember>,
    /// When the pool was last looked at; absent where it was not yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub looked_at: Option<Timestamp>,
}

/// One of a pool.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct PoolMember {
    /// Its name, by which its driver knows it.
    pub name: String,
    /// `starting`, `idle`, `busy`, `draining` or `silent`.
    pub doing: String,
    /// Its agent, once that has joined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
}
