//! Effects that are still to be performed.
//!
//! They are written in the transaction that decided them, performed at least once, and removed in
//! the transaction that takes in their result.

use jiff::Timestamp;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::Connection;
use crate::time::{from_micros, to_micros};

/// An effect to perform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// Its place; also its idempotency key.
    pub id: i64,
    /// What decided it: `run` or `environment`.
    pub kind: String,
    /// The Project.
    pub project: String,
    /// Which Run or Environment.
    pub owner: String,
    /// The effect as JSON.
    pub body: String,
    /// How often it was tried.
    pub tries: u32,
}

/// Adds an effect that is performed at a moment, not before.
///
/// # Errors
/// When the database refuses.
pub async fn push(
    db: &mut Connection,
    kind: &str,
    project: &str,
    owner: &str,
    body: &str,
    due_at: Timestamp,
) -> sqlx::Result<i64> {
    let row = sqlx::query(
        "INSERT INTO outbox (kind, project, owner, body, tries, due_at) VALUES ($1, $2, $3, $4, 0, $5) RETURNING id",
    )
    .bind(kind)
    .bind(project)
    .bind(owner)
    .bind(body)
    .bind(to_micros(due_at))
    .fetch_one(db)
    .await?;
    row.try_get("id")
}

/// The kind of effects that tell a channel something: its owner is the channel.
pub const NOTIFY: &str = "notify";

/// Up to 100 effects that are due, oldest first; without those that tell channels something.
///
/// # Errors
/// When the database refuses.
pub async fn due(db: &mut Connection, now: Timestamp) -> sqlx::Result<Vec<Pending>> {
    let rows = sqlx::query(
        "SELECT id, kind, project, owner, body, tries FROM outbox WHERE due_at <= $1 AND kind <> $2 \
         ORDER BY id LIMIT 100",
    )
    .bind(to_micros(now))
    .bind(NOTIFY)
    .fetch_all(db)
    .await?;
    rows.iter().map(pending).collect()
}

/// Of each channel that is to be told something now what came first; of up to 100 channels, those that waited longest.
///
/// # Errors
/// When the database refuses.
pub async fn due_by_channel(db: &mut Connection, now: Timestamp) -> sqlx::Result<Vec<Pending>> {
    let rows = sqlx::query(
        "SELECT id, kind, project, owner, body, tries FROM outbox WHERE id IN \
         (SELECT MIN(id) FROM outbox WHERE kind = $2 AND due_at <= $1 GROUP BY project, owner) \
         ORDER BY due_at, id LIMIT 100",
    )
    .bind(to_micros(now))
    .bind(NOTIFY)
    .fetch_all(db)
    .await?;
    rows.iter().map(pending).collect()
}

fn pending(row: &SqliteRow) -> sqlx::Result<Pending> {
    Ok(Pending {
        id: row.try_get("id")?,
        kind: row.try_get("kind")?,
        project: row.try_get("project")?,
        owner: row.try_get("owner")?,
        body: row.try_get("body")?,
        tries: u32::try_from(row.try_get::<i64, _>("tries")?).unwrap_or(u32::MAX),
    })
}

/// When the next effect is due after a moment.
///
/// # Errors
/// When the database refuses.
pub async fn next_due(db: &mut Connection, now: Timestamp) -> sqlx::Result<Option<Timestamp>> {
    let row = sqlx::query("SELECT MIN(due_at) AS due_at FROM outbox WHERE due_at > $1")
        .bind(to_micros(now))
        .fetch_one(db)
        .await?;
    Ok(row.try_get::<Option<i64>, _>("due_at")?.map(from_micros))
}

/// Whether an effect of a kind waits for an owner.
///
/// # Errors
/// When the database refuses.
pub async fn has(db: &mut Connection, kind: &str, owner: &str) -> sqlx::Result<bool> {
    let row = sqlx::query("SELECT 1 FROM outbox WHERE kind = $1 AND owner = $2 LIMIT 1")
        .bind(kind)
        .bind(owner)
        .fetch_optional(db)
        .await?;
    Ok(row.is_some())
}

/// Puts an effect off after a failed try.
///
/// # Errors
/// When the database refuses.
pub async fn retry(db: &mut Connection, id: i64, due_at: Timestamp) -> sqlx::Result<()> {
    sqlx::query("UPDATE outbox SET tries = tries + 1, due_at = $2 WHERE id = $1")
        .bind(id)
        .bind(to_micros(due_at))
        .execute(db)
        .await?;
    Ok(())
}

/// Removes an effect whose result was taken in.
///
/// # Errors
/// When the database refuses.
pub async fn remove(db: &mut Connection, id: i64) -> sqlx::Result<()> {
    sqlx::query("DELETE FROM outbox WHERE id = $1").bind(id).execute(db).await?;
    Ok(())
}
