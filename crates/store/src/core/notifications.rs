//! Who of a Project is told of what, and what they were told.

use jiff::Timestamp;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;
use towpath_model::notify::NotificationDocument;
use towpath_model::notify::message::Message;
use towpath_model::{ProjectName, PromotionId};

use super::documents::Document;
use super::{Connection, decode, encode};
use crate::time::{from_micros, to_micros};

/// Adds a version of a Project's document.
///
/// # Errors
/// When the database refuses.
pub async fn insert(
    db: &mut Connection,
    document: &NotificationDocument,
    kept: &Document,
) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO notification_documents (project, version, source, body, applied_by, applied_at) \
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(document.project.as_str())
    .bind(kept.version.cast_signed())
    .bind(&kept.source)
    .bind(encode(document)?)
    .bind(&kept.applied_by)
    .bind(to_micros(kept.applied_at))
    .execute(db)
    .await?;
    Ok(())
}

/// The document in force, with its text.
///
/// # Errors
/// When the database refuses.
pub async fn newest(
    db: &mut Connection,
    project: &ProjectName,
) -> sqlx::Result<Option<(NotificationDocument, Document)>> {
    let row = sqlx::query(
        "SELECT version, source, body, applied_by, applied_at FROM notification_documents WHERE project = $1 \
         ORDER BY version DESC LIMIT 1",
    )
    .bind(project.as_str())
    .fetch_optional(db)
    .await?;
    let read = |row: SqliteRow| -> sqlx::Result<(NotificationDocument, Document)> {
        let kept = Document {
            version: row.try_get::<i64, _>("version")?.cast_unsigned(),
            source: row.try_get("source")?,
            applied_by: row.try_get("applied_by")?,
            applied_at: from_micros(row.try_get("applied_at")?),
        };
        Ok((decode(row.try_get("body")?)?, kept))
    };
    row.map(read).transpose()
}

/// A message on its way to a channel, or there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Its place.
    pub id: i64,
    /// Where to.
    pub channel: String,
    /// Of mail the address or the `@login`; else empty.
    pub recipient: String,
    /// What.
    pub message: Message,
    /// `waiting`, `sent` or `failed`.
    pub state: String,
    /// What went wrong with the last try.
    pub error: String,
    /// Since when.
    pub created_at: Timestamp,
    /// When it was sent, or given up.
    pub ended_at: Option<Timestamp>,
}

fn delivery(row: &SqliteRow) -> sqlx::Result<Delivery> {
    Ok(Delivery {
        id: row.try_get("id")?,
        channel: row.try_get("channel")?,
        recipient: row.try_get("recipient")?,
        message: decode(row.try_get("message")?)?,
        state: row.try_get("state")?,
        error: row.try_get("error")?,
        created_at: from_micros(row.try_get("created_at")?),
        ended_at: row.try_get::<Option<i64>, _>("ended_at")?.map(from_micros),
    })
}

/// Adds a message for a channel. Says its place.
///
/// # Errors
/// When the database refuses.
pub async fn add(
    db: &mut Connection,
    project: &ProjectName,
    (channel, recipient): (&str, &str),
    message: &Message,
    now: Timestamp,
) -> sqlx::Result<i64> {
    let row = sqlx::query(
        "INSERT INTO deliveries (project, channel, recipient, promotion, message, state, error, created_at) \
         VALUES ($1, $2, $3, $4, $5, 'waiting', '', $6) RETURNING id",
    )
    .bind(project.as_str())
    .bind(channel)
    .bind(recipient)
    .bind(&message.promotion)
    .bind(encode(message)?)
    .bind(to_micros(now))
    .fetch_one(db)
    .await?;
    row.try_get("id")
}

/// Finds a message.
///
/// # Errors
/// When the database refuses.
pub async fn find(db: &mut Connection, id: i64) -> sqlx::Result<Option<Delivery>> {
    let row = sqlx::query("SELECT * FROM deliveries WHERE id = $1").bind(id).fetch_optional(db).await?;
    row.as_ref().map(delivery).transpose()
}

/// Notes how a try went: what went wrong, and whether that was the last one.
///
/// # Errors
/// When the database refuses.
pub async fn tried(
    db: &mut Connection,
    id: i64,
    state: &str,
    error: &str,
    ended_at: Option<Timestamp>,
) -> sqlx::Result<()> {
    sqlx::query("UPDATE deliveries SET state = $2, error = $3, ended_at = $4 WHERE id = $1")
        .bind(id)
        .bind(state)
        .bind(error)
        .bind(ended_at.map(to_micros))
        .execute(db)
        .await?;
    Ok(())
}

/// The newest messages of a Project, newest first.
///
/// # Errors
/// When the database refuses.
pub async fn of_project(
    db: &mut Connection,
    project: &ProjectName,
    limit: u32,
) -> sqlx::Result<Vec<Delivery>> {
    let rows = sqlx::query("SELECT * FROM deliveries WHERE project = $1 ORDER BY id DESC LIMIT $2")
        .bind(project.as_str())
        .bind(i64::from(limit))
        .fetch_all(db)
        .await?;
    rows.iter().map(delivery).collect()
}

/// The messages about a Promotion, oldest first.
///
/// # Errors
/// When the database refuses.
pub async fn of_promotion(
    db: &mut Connection,
    promotion: PromotionId,
    limit: u32,
) -> sqlx::Result<Vec<Delivery>> {
    let rows = sqlx::query("SELECT * FROM deliveries WHERE promotion = $1 ORDER BY id LIMIT $2")
        .bind(promotion.to_string())
        .bind(i64::from(limit))
        .fetch_all(db)
        .await?;
    rows.iter().map(delivery).collect()
}

/// How many messages wait for a channel.
///
/// # Errors
/// When the database refuses.
pub async fn waiting(db: &mut Connection, project: &ProjectName, channel: &str) -> sqlx::Result<u64> {
    let row = sqlx::query(
        "SELECT count(*) FROM deliveries WHERE project = $1 AND channel = $2 AND state = 'waiting'",
    )
    .bind(project.as_str())
    .bind(channel)
    .fetch_one(db)
    .await?;
    Ok(row.try_get::<i64, _>(0)?.cast_unsigned())
}

/// Forgets what ended before a moment.
///
/// # Errors
/// When the database refuses.
pub async fn forget(db: &mut Connection, before: Timestamp) -> sqlx::Result<()> {
    sqlx::query("DELETE FROM deliveries WHERE ended_at < $1").bind(to_micros(before)).execute(db).await?;
    Ok(())
}
