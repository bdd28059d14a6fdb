//! How a Project delivers.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The four DORA metrics, rework and waiting, computed from what happened. Times are in seconds. What nothing is known of is
/// absent.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct DeliveryInsights {
    /// Of the last days.
    pub days: u32,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    pub since: Timestamp,
    /// The Environments that count.
    pub environments: Vec<String>,
    /// Deployments in all.
    pub deployments: u64,
    /// Deployments per day.
    pub per_day: f64,
    /// `elite`, `high`, `medium` or `low`.
    pub frequency: String,
    /// The median time from the push of a commit until it ran.
    pub lead_time_seconds: Option<i64>,
    /// `elite`, `high`, `medium` or `low`.
    pub lead_time: Option<String>,
    /// Deployments that failed.
    pub failures: u64,
    /// Their share, 0 to 1.
    pub failure_rate: Option<f64>,
    /// `elite`, `high`, `medium` or `low`.
    pub change_failure: Option<String>,
    /// The median time from noticing a failure until what ran before ran again.
    pub restore_seconds: Option<i64>,
    /// `elite`, `high`, `medium` or `low`.
    pub restore: Option<String>,
    /// Deployments that were made to mend a failure.
    pub rework: u64,
    /// Their share, 0 to 1.
    pub rework_rate: Option<f64>,
    /// The median time that Gates and the queue kept what was deployed waiting.
    pub gate_wait_seconds: Option<i64>,
    /// Promotions that ended without a Rollout.
    pub never_started: u64,
    /// The median time of a Run.
    pub run_seconds: Option<i64>,
    /// The same for as many days before.
    pub run_seconds_before: Option<i64>,
    /// What failed, newest first.
    pub incidents: Vec<Incident>,
}

/// Something that users met and that was taken back.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Incident {
    /// Where.
    pub environment: String,
    /// The version that caused it.
    pub version: String,
    /// What caught it.
    pub caught_by: String,
    /// When it was noticed.
    #[schema(value_type = String, format = DateTime)]
    pub opened_at: Timestamp,
    /// When what ran before ran again.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub closed_at: Option<Timestamp>,
}
