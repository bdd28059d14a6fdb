//! How a Project delivers.

use jiff::Timestamp;

use super::{Action, Shell};

/// The insights of a Project.
#[derive(Debug, Clone)]
pub struct InsightsView {
    /// The frame.
    pub shell: Shell,
    /// The Project.
    pub project: String,
    /// Which Environments count, and since when, in words.
    pub scope: String,
    /// One for each metric.
    pub metrics: Vec<MetricRow>,
    /// What failed, newest first.
    pub incidents: Vec<IncidentRow>,
    /// What can be done: opening an incident in each Environment.
    pub actions: Vec<Action>,
}

/// A metric.
#[derive(Debug, Clone)]
pub struct MetricRow {
    /// What is measured.
    pub name: String,
    /// How much it is.
    pub value: String,
    /// `elite`, `high`, `medium`, `low`, or nothing.
    pub band: Option<String>,
    /// How it is counted.
    pub meaning: &'static str,
}

/// Something that users met.
#[derive(Debug, Clone)]
pub struct IncidentRow {
    /// Where.
    pub environment: String,
    /// The version that caused it; empty where that is not known.
    pub version: String,
    /// What caught it.
    pub caught_by: String,
    /// When it was noticed.
    pub opened: Timestamp,
    /// When what ran before ran again, or people said that it is over.
    pub closed: Option<Timestamp>,
    /// Closes it, where people reported it and it lasts.
    pub close: Option<Action>,
}
