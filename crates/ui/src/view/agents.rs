//! The agents.

use jiff::Timestamp;

use super::{Shell, State};

/// All agents.
#[derive(Debug, Clone)]
pub struct AgentsView {
    /// The frame.
    pub shell: Shell,
    /// The agents.
    pub agents: Vec<AgentRow>,
    /// The command that joins another one, with its one-use token, right after it was asked for.
    pub join: Option<String>,
    /// Whether agents of other hosts can join at all.
    pub may_join: bool,
    /// Pools of agents that grow and shrink with the queue.
    pub pools: Vec<PoolRow>,
}

/// A pool of agents.
#[derive(Debug, Clone)]
pub struct PoolRow {
    /// Its name.
    pub name: String,
    /// How its agents are started.
    pub driver: String,
    /// The labels of its agents: `os=linux`.
    pub labels: Vec<String>,
    /// How many are there.
    pub there: usize,
    /// How many there should be.
    pub wanted: u32,
    /// The least and the most.
    pub bounds: (u32, u32),
    /// Why it is as large as it is.
    pub why: String,
    /// Who is there, and what each does.
    pub members: Vec<(String, String)>,
}

/// An agent.
#[derive(Debug, Clone)]
pub struct AgentRow {
    /// Its id.
    pub id: String,
    /// Its host's name.
    pub hostname: String,
    /// Its version of Towpath.
    pub version: String,
    /// The address at which its Instances are reached.
    pub address: String,
    /// Its labels: `role=web`.
    pub labels: Vec<String>,
    /// `runner`, `deploy`.
    pub roles: Vec<String>,
    /// Whether it is there.
    pub state: State,
    /// Why it is given no jobs.
    pub held: Option<String>,
    /// Whether a person can give it jobs again.
    pub can_undrain: bool,
    /// When it last called.
    pub seen: Timestamp,
    /// What it does: `shop#12 test`, `3 instances`.
    pub busy: Vec<String>,
    /// When its certificate ends.
    pub certificate: Option<Timestamp>,
}
