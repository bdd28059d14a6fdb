//! What is wrong with the installation.

use jiff::Timestamp;

use super::{Shell, State};

/// All findings.
#[derive(Debug, Clone)]
pub struct DoctorView {
    /// The frame.
    pub shell: Shell,
    /// When it was looked at.
    pub checked: Timestamp,
    /// The findings, worst first.
    pub findings: Vec<Finding>,
}

/// A finding.
#[derive(Debug, Clone)]
pub struct Finding {
    /// Healthy, unknown (a warning) or unhealthy.
    pub state: State,
    /// What was looked at.
    pub title: String,
    /// What was found.
    pub detail: String,
    /// What to do about it.
    pub advice: Option<String>,
    /// The command for it.
    pub command: Option<String>,
}
