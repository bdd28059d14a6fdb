//! Who of a Project is told of what.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A notification document as it was applied.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Notifications {
    /// 1, 2, 3 …
    pub version: u64,
    /// The YAML.
    pub text: String,
    /// The login of who applied it.
    pub applied_by: String,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub applied_at: Timestamp,
    /// Its channels.
    pub channels: Vec<Channel>,
}

/// Where news can go.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Channel {
    /// Its name in the document.
    pub name: String,
    /// `slack`, `teams`, `email`, `webhook`, `grafana` or `datadog`.
    pub kind: String,
}

/// What applying a notification document came to, or would.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct AppliedNotifications {
    /// The version afterwards.
    pub version: u64,
    /// What changes, one sentence each.
    pub changes: Vec<String>,
    /// Secrets that it names and nobody has set.
    pub unset: Vec<String>,
    /// What else will not work as it is, one sentence each.
    pub warnings: Vec<String>,
}

/// A message to a channel.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Delivery {
    /// The channel.
    pub channel: String,
    /// Of mail the address or the `@login`; else empty.
    pub recipient: String,
    /// What happened, in a word: `deployed`.
    pub event: String,
    /// Where and what, in one line.
    pub title: String,
    /// The Promotion that it is about.
    pub promotion: Option<String>,
    /// `waiting`, `sent` or `failed`.
    pub state: String,
    /// What went wrong with the last try; empty if nothing did.
    pub error: String,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it was sent, or given up.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ended_at: Option<Timestamp>,
}

impl Delivery {
    /// Who it is for, in words.
    #[must_use]
    pub fn whom(&self) -> String {
        match self.recipient.as_str() {
            "" => self.channel.clone(),
            recipient => format!("{} ({recipient})", self.channel),
        }
    }

    /// What became of it, in a sentence.
    #[must_use]
    pub fn words(&self) -> String {
        let (whom, error) = (self.whom(), &self.error);
        match self.state.as_str() {
            "sent" => format!("{whom} was told {:.0}", self.ended_at.unwrap_or(self.created_at)),
            "failed" => format!("{whom} could not be told: {error}"),
            _ if error.is_empty() => format!("{whom} is being told"),
            _ => format!("{whom} is told again soon: {error}"),
        }
    }
}
