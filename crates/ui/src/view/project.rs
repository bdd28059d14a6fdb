//! One Project.

use jiff::Timestamp;

use super::{Action, Commit, RouteStage, RunRow, Shell, State};

/// A Project with its route, Runs and Releases.
#[derive(Debug, Clone)]
pub struct ProjectView {
    /// The frame.
    pub shell: Shell,
    /// Its name.
    pub name: String,
    /// Its stages in order.
    pub route: Vec<RouteStage>,
    /// The newest Runs, newest first.
    pub runs: Vec<RunRow>,
    /// The newest Releases, newest first.
    pub releases: Vec<ReleaseRow>,
    /// Environments whose automatic promotion is held.
    pub holds: Vec<HoldRow>,
    /// Revisions that are barred.
    pub quarantined: Vec<QuarantineRow>,
    /// The address for `git clone` and `git push`.
    pub clone_url: String,
    /// The branch that delivers.
    pub branch: String,
    /// What starts Runs.
    pub triggers: super::TriggersView,
}

/// A Release in a list.
#[derive(Debug, Clone)]
pub struct ReleaseRow {
    /// Its version.
    pub version: String,
    /// Its digest.
    pub digest: String,
    /// The commit it was built from.
    pub commit: Commit,
    /// When it was sealed.
    pub sealed: Timestamp,
    /// Where it has got to, one entry per Environment that it met.
    pub reached: Vec<(String, State)>,
}

/// A hold.
#[derive(Debug, Clone)]
pub struct HoldRow {
    /// The Environment.
    pub environment: String,
    /// Who, or `towpath` itself.
    pub by: String,
    /// Since when.
    pub since: Timestamp,
    /// Why.
    pub reason: String,
    /// The way to end it.
    pub resume: Option<Action>,
}

/// A barred Revision.
#[derive(Debug, Clone)]
pub struct QuarantineRow {
    /// The Environment that rolled it back.
    pub environment: String,
    /// The version.
    pub version: String,
    /// The Revision's digest.
    pub digest: String,
    /// Since when.
    pub since: Timestamp,
    /// Why.
    pub reason: String,
    /// The way to end it.
    pub release: Option<Action>,
}
