//! Incidents that people reported.

use jiff::Timestamp;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;
use towpath_model::ProjectName;
use towpath_model::incident::Reported;

use super::{Connection, decode, encode};
use crate::time::to_micros;

/// The number of a Project's next incident.
///
/// # Errors
/// When the database refuses.
pub async fn next_number(db: &mut Connection, project: &ProjectName) -> sqlx::Result<u64> {
    let row = sqlx::query("SELECT COALESCE(MAX(number), 0) + 1 FROM incidents WHERE project = $1")
        .bind(project.as_str())
        .fetch_one(db)
        .await?;
    Ok(row.try_get::<i64, _>(0)?.cast_unsigned())
}

/// Writes an incident, new or changed.
///
/// # Errors
/// When the database refuses.
pub async fn put(db: &mut Connection, project: &ProjectName, incident: &Reported) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO incidents (project, number, environment, opened_at, closed_at, body) \
         VALUES ($1, $2, $3, $4, $5, $6) \
         ON CONFLICT (project, number) DO UPDATE SET closed_at = excluded.closed_at, body = excluded.body",
    )
    .bind(project.as_str())
    .bind(incident.number.cast_signed())
    .bind(incident.environment.as_str())
    .bind(to_micros(incident.opened_at))
    .bind(incident.closed_at.map(to_micros))
    .bind(encode(incident)?)
    .execute(db)
    .await?;
    Ok(())
}

/// Finds an incident.
///
/// # Errors
/// When the database refuses.
pub async fn find(db: &mut Connection, project: &ProjectName, number: u64) -> sqlx::Result<Option<Reported>> {
    let row = sqlx::query("SELECT body FROM incidents WHERE project = $1 AND number = $2")
        .bind(project.as_str())
        .bind(number.cast_signed())
        .fetch_optional(db)
        .await?;
    row.as_ref().map(read).transpose()
}

/// The incidents of a Project that began since a moment, and those that last, oldest first; the newest 1,000 at most.
///
/// # Errors
/// When the database refuses.
pub async fn since(
    db: &mut Connection,
    project: &ProjectName,
    since: Timestamp,
) -> sqlx::Result<Vec<Reported>> {
    let rows = sqlx::query(
        "SELECT body FROM incidents WHERE project = $1 AND (opened_at >= $2 OR closed_at IS NULL) \
         ORDER BY opened_at DESC, number DESC LIMIT 1000",
    )
    .bind(project.as_str())
    .bind(to_micros(since))
    .fetch_all(db)
    .await?;
    rows.iter().rev().map(read).collect()
}

/// How many incidents last, by Project; of 1,000 Projects at most.
///
/// # Errors
/// When the database refuses.
pub async fn open(db: &mut Connection) -> sqlx::Result<Vec<(String, u64)>> {
    let rows = sqlx::query(
        "SELECT project, count(*) FROM incidents WHERE closed_at IS NULL GROUP BY project ORDER BY project LIMIT 1000",
    )
    .fetch_all(db)
    .await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get::<i64, _>(1)?.cast_unsigned()))).collect()
}

fn read(row: &SqliteRow) -> sqlx::Result<Reported> {
    decode(row.try_get("body")?)
}
