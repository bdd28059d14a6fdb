//! What logs say: searching them, and failures that come again.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A line of a log that holds what was looked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LogHit {
    /// The Run's number.
    pub run: u64,
    /// The Job.
    pub job: String,
    /// Which Attempt of it, from 1.
    pub attempt: u32,
    /// The number of the line, from 1.
    pub line: u64,
    /// The line as it is stored: time, Step and stream, text.
    pub text: String,
}

/// What a search in logs has found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LogSearch {
    /// Lines, those of the newest Run first; at most 20 of one log.
    pub hits: Vec<LogHit>,
    /// How many logs were looked at.
    pub logs: usize,
    /// The `below` to go on with; absent once every log was looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub below: Option<u64>,
}

/// How an Attempt failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Failure {
    /// The Run's number.
    pub run: u64,
    /// The Job.
    pub job: String,
    /// Which Attempt of it, from 1.
    pub attempt: u32,
    /// The Step.
    pub step: String,
    /// The line of its log that says what went wrong.
    pub words: String,
    /// The number of that line, from 1.
    pub line: u64,
    /// The host that ran it; empty where it is not known.
    pub agent: String,
    /// The commit.
    pub commit: String,
    /// When it ended.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
}

/// Failures that say the same, but for what differs from one time to the next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RecurringFailure {
    /// What they say; `#` stands for what differs.
    pub signature: String,
    /// How often it was seen.
    pub count: u64,
    /// At how many commits.
    pub commits: u64,
    /// The first.
    pub first: Failure,
    /// The last.
    pub last: Failure,
}
