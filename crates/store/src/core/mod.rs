//! The rows behind Runs, Environments, Releases and agents.
//!
//! Each function takes a connection, so that it serves readers and the writer alike. What must
//! change together is written through one [`WriteTx`](crate::WriteTx).

pub mod agents;
pub mod attempts;
pub mod counters;
pub mod documents;
pub mod durations;
pub mod environments;
pub mod evidence;
pub mod failures;
pub mod figures;
pub mod gateways;
pub mod imported;
pub mod incidents;
pub mod kept;
pub mod measurements;
pub mod notifications;
pub mod outbox;
pub mod policy_changes;
pub mod pool_members;
pub mod projects;
pub mod promotions;
pub mod releases;
pub mod retries;
pub mod revocations;
pub mod runs;
pub mod secrets;
pub mod sources;
pub mod splits;
pub mod standing;
pub mod statuses;
pub mod tests;
pub mod verdicts;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// A connection that reads, or a transaction that writes.
pub type Connection = sqlx::SqliteConnection;

/// Writes a body.
pub(crate) fn encode<T: Serialize>(body: &T) -> sqlx::Result<String> {
    serde_json::to_string(body).map_err(|error| sqlx::Error::Encode(Box::new(error)))
}

/// Reads a body.
pub(crate) fn decode<T: DeserializeOwned>(body: &str) -> sqlx::Result<T> {
    serde_json::from_str(body).map_err(|error| sqlx::Error::Decode(Box::new(error)))
}

/// Reads a name or an identity.
pub(crate) fn parse<T>(text: &str) -> sqlx::Result<T>
where
    T: std::str::FromStr,
    T::Err: std::error::Error + Send + Sync + 'static,
{
    text.parse().map_err(|error| sqlx::Error::Decode(Box::new(error)))
}
