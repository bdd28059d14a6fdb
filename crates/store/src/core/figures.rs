//! How much there is of everything that does not stay, for whoever watches the server.

use jiff::Timestamp;
use sqlx::Row as _;

use super::Connection;
use super::outbox::NOTIFY;
use crate::time::from_micros;

/// Numbers of one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Figures {
    /// Attempts that wait for an agent.
    pub queued: u64,
    /// Since when the oldest of them does.
    pub queued_since: Option<Timestamp>,
    /// Attempts that agents hold.
    pub leased: u64,
    /// Runs that have not ended, by state.
    pub runs: Vec<(String, u64)>,
    /// Promotions that have not ended, by state.
    pub promotions: Vec<(String, u64)>,
    /// Effects that are still to be performed, without messages.
    pub effects: u64,
    /// Messages that channels have not taken yet.
    pub messages: u64,
}

/// Counts everything.
///
/// # Errors
/// When the database refuses.
pub async fn count(db: &mut Connection) -> sqlx::Result<Figures> {
    let row = sqlx::query(
        "SELECT (SELECT count(*) FROM attempts WHERE state = 'queued') AS queued, \
         (SELECT min(queued_at) FROM attempts WHERE state = 'queued') AS queued_since, \
         (SELECT count(*) FROM attempts WHERE state = 'leased') AS leased, \
         (SELECT count(*) FROM outbox WHERE kind <> $1) AS effects, \
         (SELECT count(*) FROM outbox WHERE kind = $1) AS messages",
    )
    .bind(NOTIFY)
    .fetch_one(&mut *db)
    .await?;
    Ok(Figures {
        queued: number(&row, "queued")?,
        queued_since: row.try_get::<Option<i64>, _>("queued_since")?.map(from_micros),
        leased: number(&row, "leased")?,
        effects: number(&row, "effects")?,
        messages: number(&row, "messages")?,
        runs: by_state(
            &mut *db,
            "SELECT state, count(*) AS n FROM runs WHERE finished_at IS NULL GROUP BY state",
        )
        .await?,
        promotions: by_state(
            db,
            "SELECT state, count(*) AS n FROM promotions WHERE finished_at IS NULL GROUP BY state",
        )
        .await?,
    })
}

async fn by_state(db: &mut Connection, query: &'static str) -> sqlx::Result<Vec<(String, u64)>> {
    let rows = sqlx::query(query).fetch_all(db).await?;
    rows.iter().map(|row| Ok((row.try_get("state")?, number(row, "n")?))).collect()
}

fn number(row: &sqlx::sqlite::SqliteRow, column: &str) -> sqlx::Result<u64> {
    Ok(row.try_get::<i64, _>(column)?.cast_unsigned())
}
