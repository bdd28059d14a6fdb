//! The queue of the agents.

use jiff::Timestamp;

use super::Shell;

/// What waits and what runs.
#[derive(Debug, Clone)]
pub struct QueueView {
    /// The frame.
    pub shell: Shell,
    /// What waits, in the order in which it is expected to begin.
    pub waiting: Vec<WaitingRow>,
    /// How many wait in all, in Projects that this person sees or not.
    pub waiting_in_all: u64,
    /// What runs.
    pub running: Vec<RunningRow>,
    /// How many agents take work.
    pub agents: u64,
    /// How much more they could take.
    pub free: u64,
}

/// One that waits.
#[derive(Debug, Clone)]
pub struct WaitingRow {
    /// `shop#12 test`.
    pub title: String,
    /// Its Project.
    pub project: String,
    /// The number of its Run; 0 for a check.
    pub run: u64,
    /// Why it waits.
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
    /// When it may begin.
    pub eta: Option<Timestamp>,
    /// From 0 to 100.
    pub priority: u8,
}

/// One that runs.
#[derive(Debug, Clone)]
pub struct RunningRow {
    /// `shop#12 test`.
    pub title: String,
    /// Since when.
    pub since: Timestamp,
    /// How many seconds it takes as a rule.
    pub usually: Option<u64>,
}
