//! What the doctor finds.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One thing that was examined.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Finding {
    /// How bad it is.
    pub level: FindingLevel,
    /// What was found.
    pub title: String,
    /// What to do about it; empty where nothing is wrong.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub advice: String,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FindingLevel {
    /// As it should be.
    Good,
    /// Works, with a catch.
    Warning,
    /// Does not work.
    Bad,
}
