//! `/api/v1`: what people's tools say to the server.
//!
//! Lists are pages: `?limit=` (1 to 200, else 50) and `?cursor=` (the `next` of the page before).
//! Errors are [`ProblemBody`]. News come from `GET /api/v1/events` as server-sent events whose id
//! is the timeline's sequence number; `Last-Event-ID` goes on from there.

mod delivery;
mod doctor;
mod environment;
mod evidence;
mod history;
mod imported;
mod insights;
mod kept;
mod logs;
mod notifications;
mod people;
mod policy_change;
mod pools;
mod problem;
mod project;
mod promotion;
mod queue;
mod retries;
mod rollout;
mod run;
pub mod shape;
mod source;
mod timeline;

pub use delivery::*;
pub use doctor::{Finding, FindingLevel};
pub use environment::{Deployment, Environment, EnvironmentStatus};
pub use evidence::*;
pub use history::PastEvent;
pub use imported::{ImportOrigin, ImportedDetail, ImportedLog, ImportedRun};
pub use insights::{CloseIncident, DeliveryInsights, Incident, OpenIncident, ReportedIncident};
pub use kept::{CacheEntry, CacheReach, ResumeJob, Reused, Workspace};
pub use logs::{Failure, LogHit, LogSearch, RecurringFailure};
pub use notifications::{AppliedNotifications, Channel, Delivery, Notifications};
pub use people::*;
pub use policy_change::PolicyChange;
pub use pools::{AgentPool, PoolMember};
pub use problem::ProblemBody;
pub use project::*;
pub use promotion::{
    Change, EnvironmentRef, Gate, GateAnswer, Lifted, Promotion, PromotionKind, Revision, Vote,
};
pub use queue::{Drain, Queue, Running, Waiting};
pub use retries::{JobRetries, RetryBudget, RetryInsights};
pub use rollout::{Hold, Return, Rollout, Step};
pub use run::{Attempt, AttemptRetry, Job, Run};
pub use source::*;
pub use timeline::TimelineEntry;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One page of a list.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// What to give as `?cursor=` for the next page; absent at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// What the server is and how it does.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ServerVersion {
    /// The version of Towpath.
    pub version: String,
}
