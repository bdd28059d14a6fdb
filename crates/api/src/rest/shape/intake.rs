//! How Releases come into an Environment, and the search for the one that failed.

use serde::Deserialize;
use utoipa::ToSchema;

/// How Releases come in.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Intake {
    /// Whether they come by themselves.
    pub promote: Promote,
    /// `superseded`, `queued` or `parallel`.
    pub queue: String,
    /// `wait` or `bisect`.
    pub after_rollback: String,
    /// `alone` or `together`.
    pub unrevoke: String,
}

/// Whether Releases come by themselves.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Promote {
    /// As soon as it is their turn.
    Automatic,
    /// Only when a person asks.
    Manual,
    /// At certain times.
    Scheduled {
        /// As cron has it.
        cron: String,
        /// An IANA time zone.
        timezone: String,
    },
}

/// The search for the Release that broke something.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Bisection {
    /// The newest version that is known to run well.
    pub good: String,
    /// Those that may have broken it, oldest first. The last one is known to fail.
    pub suspects: Vec<Suspect>,
    /// Why that went back.
    pub reason: String,
    /// Since when it is looked for.
    #[schema(value_type = String, format = DateTime)]
    pub since: jiff::Timestamp,
}

/// A Release that may have broken something.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Suspect {
    /// The manifest's digest.
    pub release: String,
    /// Its version.
    pub version: String,
}
