//! The timeline.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TimelineEntry {
    /// Its place: 1, 2, 3 … without a gap.
    pub sequence: i64,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// Who: `user:alice`, `agent:<id>` or `system`.
    pub actor: String,
    /// In which Project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// In which Environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// What happened: `user-created`.
    pub kind: String,
    /// What it happened to: `user:bob`.
    pub subject: String,
    /// What people call it: `shop#12`, `shop/production`, `bob`.
    #[serde(default)]
    pub about: String,
    /// The facts.
    #[schema(value_type = Object)]
    pub body: serde_json::Value,
}
