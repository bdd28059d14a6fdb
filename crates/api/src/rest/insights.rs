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

/// Something that users met: it was taken back, or people reported it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Incident {
    /// Where.
    pub environment: String,
    /// The version that caused it; empty where that is not known.
    pub version: String,
    /// What caught it.
    pub caught_by: String,
    /// When it was noticed.
    #[schema(value_type = String, format = DateTime)]
    pub opened_at: Timestamp,
    /// When what ran before ran again, or people said that it is over.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub closed_at: Option<Timestamp>,
    /// Its number, where people reported it.
    pub number: Option<u64>,
}

/// An incident that people opened, and perhaps closed.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ReportedIncident {
    /// 1, 2, 3 … in its Project.
    pub number: u64,
    /// Where.
    pub environment: String,
    /// The version that caused it; absent where nothing ran.
    pub version: Option<String>,
    /// What users met.
    pub title: String,
    /// The login of who opened it.
    pub opened_by: String,
    /// Since when it was noticed.
    #[schema(value_type = String, format = DateTime)]
    pub opened_at: Timestamp,
    /// The login of who closed it.
    pub closed_by: Option<String>,
    /// Since when it is over; absent while it lasts.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub closed_at: Option<Timestamp>,
    /// What they said.
    pub comment: String,
}

/// An incident to open.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct OpenIncident {
    /// Where.
    pub environment: String,
    /// What users meet.
    pub title: String,
    /// The version that caused it; what ran there at that time if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Since when it was noticed; now if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub opened_at: Option<Timestamp>,
}

/// An incident that is over.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct CloseIncident {
    /// What it was.
    #[serde(default)]
    pub comment: String,
    /// Since when it is over; now if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub closed_at: Option<Timestamp>,
}
