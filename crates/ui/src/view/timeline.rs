//! Who did what.

use jiff::Timestamp;

use super::{Shell, State};

/// The timeline.
#[derive(Debug, Clone)]
pub struct TimelineView {
    /// The frame.
    pub shell: Shell,
    /// What is asked for: `?project=&environment=&actor=`; empty for all.
    pub filter: TimelineFilter,
    /// What can be asked for.
    pub projects: Vec<String>,
    /// What can be asked for.
    pub environments: Vec<String>,
    /// What can be asked for.
    pub actors: Vec<String>,
    /// Newest first.
    pub entries: Vec<TimelineEntry>,
    /// The sequence number to give as `?before=` for older entries.
    pub older: Option<u64>,
}

/// What the timeline is narrowed to; empty strings for all.
#[derive(Debug, Clone, Default)]
pub struct TimelineFilter {
    /// A Project.
    pub project: String,
    /// An Environment.
    pub environment: String,
    /// A login, or `towpath`.
    pub actor: String,
}

/// One entry.
#[derive(Debug, Clone)]
pub struct TimelineEntry {
    /// Its number; there are no gaps.
    pub sequence: u64,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub actor: String,
    /// What kind of news it is.
    pub state: State,
    /// In words.
    pub text: String,
    /// What the person wrote.
    pub comment: Option<String>,
    /// The Project.
    pub project: Option<String>,
    /// The Environment.
    pub environment: Option<String>,
    /// Where to read more; see [`crate::routes`].
    pub href: Option<String>,
}
