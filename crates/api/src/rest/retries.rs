//! How the retries of a Project went.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use towpath_model::retry::RetryClass;
use utoipa::ToSchema;

/// How the retries of a Project went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RetryInsights {
    /// Over how many days `jobs` counts.
    pub days: u32,
    /// Each class with what the Project had of it in the last 7 days, and may have.
    pub budgets: Vec<RetryBudget>,
    /// By class and Job, the most frequent first.
    pub jobs: Vec<JobRetries>,
}

/// The budget of a class.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RetryBudget {
    /// `lost`, `image_pull`, `network`, `timeout`, `exit_code` or `pattern`.
    #[schema(value_type = String)]
    pub class: RetryClass,
    /// How many retries there were in the last 7 days.
    pub spent: u32,
    /// How many there may be.
    pub budget: u32,
}

/// The retries of one class and Job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JobRetries {
    /// The class.
    #[schema(value_type = String)]
    pub class: RetryClass,
    /// The Job.
    pub job: String,
    /// How many there were.
    pub retries: u32,
    /// After how many of them the Job passed.
    pub helped: u32,
    /// After how many of them it did not.
    pub in_vain: u32,
    /// How many were refused: the budget or the Job's maximum was used up, or `when` does not name the failure.
    pub refused: u32,
    /// The number of the last Run with one.
    pub last_run: u64,
    /// When that was.
    #[schema(value_type = String, format = DateTime)]
    pub last_at: Timestamp,
    /// What made it one of this class, or why it was refused.
    pub last_why: String,
}
