//! All Projects at a glance.

use super::{RouteStage, RunRow, Shell};

/// The first page after signing in.
#[derive(Debug, Clone)]
pub struct OverviewView {
    /// The frame.
    pub shell: Shell,
    /// The server's address, without a slash at its end.
    pub url: String,
    /// The Projects this person may see.
    pub projects: Vec<ProjectCard>,
}

/// A Project at a glance.
#[derive(Debug, Clone)]
pub struct ProjectCard {
    /// Its name.
    pub name: String,
    /// Its stages in order.
    pub route: Vec<RouteStage>,
    /// Its newest Run.
    pub last_run: Option<RunRow>,
}
