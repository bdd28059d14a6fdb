//! Searching the logs of a Project, and what fails in it.

use jiff::Timestamp;

use super::Shell;

/// A search, or what fails most while nothing is looked for.
#[derive(Debug, Clone)]
pub struct LogsView {
    /// The frame.
    pub shell: Shell,
    /// The Project.
    pub project: String,
    /// What is looked for; empty for nothing.
    pub text: String,
    /// Lines that hold it, those of one log together.
    pub hits: Vec<LogHit>,
    /// How many logs were looked at.
    pub logs: usize,
    /// The Run below which to go on.
    pub below: Option<u64>,
    /// What failed in the last 30 days, the most frequent first.
    pub failures: Vec<FailureRow>,
    /// Retries in the last 30 days, by class and Job.
    pub retries: Vec<RetryRow>,
    /// Classes with retries in the last week: how many, and how many there may be.
    pub budgets: Vec<(&'static str, u32, u32)>,
}

/// Retries of one class and Job.
#[derive(Debug, Clone)]
pub struct RetryRow {
    /// The class.
    pub class: &'static str,
    /// The Job.
    pub job: String,
    /// How many there were.
    pub retries: u32,
    /// After how many the Job passed.
    pub helped: u32,
    /// After how many it did not.
    pub in_vain: u32,
    /// How many were refused.
    pub refused: u32,
    /// The Run of the last one.
    pub last_run: u64,
    /// When that was.
    pub last_at: Timestamp,
    /// Why that was one of this class, or was refused.
    pub last_why: String,
}

/// A line that holds what was looked for.
#[derive(Debug, Clone)]
pub struct LogHit {
    /// The Run's number.
    pub run: u64,
    /// The Job.
    pub job: String,
    /// Which Attempt, from 1.
    pub attempt: u32,
    /// The number of the line, from 1.
    pub line: u64,
    /// What it says, with its control sequences.
    pub text: String,
}

/// Failures that say the same.
#[derive(Debug, Clone)]
pub struct FailureRow {
    /// What the last one said.
    pub words: String,
    /// How often it was seen.
    pub count: u64,
    /// At how many commits.
    pub commits: u64,
    /// The first commit.
    pub since: String,
    /// When that was.
    pub first: Timestamp,
    /// When it was seen last.
    pub last: Timestamp,
    /// Where it was seen last.
    pub at: LogHit,
}
