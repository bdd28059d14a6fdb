//! Who of a Project is told of what.

use jiff::Timestamp;

use super::{Shell, State};

/// The notifications of a Project.
#[derive(Debug, Clone)]
pub struct NotificationsView {
    /// The frame.
    pub shell: Shell,
    /// The Project.
    pub project: String,
    /// The document in force, in words; `None` while there is none.
    pub document: Option<String>,
    /// Where news can go.
    pub channels: Vec<ChannelRow>,
    /// Why this person cannot try a channel.
    pub refused: Option<String>,
    /// What alerts do, one sentence each.
    pub alerts: Vec<String>,
    /// What was told lately, newest first.
    pub told: Vec<DeliveryRow>,
}

/// Where news can go.
#[derive(Debug, Clone)]
pub struct ChannelRow {
    /// Its name.
    pub name: String,
    /// `slack`, `email` and so on.
    pub kind: String,
    /// What it is told of, one route each.
    pub told_of: Vec<String>,
}

/// A message to a channel.
#[derive(Debug, Clone)]
pub struct DeliveryRow {
    /// Since when.
    pub at: Timestamp,
    /// The channel, and who of it.
    pub whom: String,
    /// Whether it was sent.
    pub state: State,
    /// The same as a word.
    pub word: String,
    /// What it says, in one line.
    pub title: String,
    /// The Promotion that it is about.
    pub promotion: Option<String>,
    /// What went wrong with the last try; empty if nothing did.
    pub error: String,
}
