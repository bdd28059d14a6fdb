//! Runs.

use jiff::{SignedDuration, Timestamp};
use sqlx::Row as _;
use towpath_model::run::Run;
use towpath_model::{ProjectName, RunId};

use super::{Connection, decode, encode, parse};
use crate::time::to_micros;

/// The number of the next Run of a Project.
///
/// # Errors
/// When the database refuses.
pub async fn next_number(db: &mut Connection, project: &ProjectName) -> sqlx::Result<u64> {
    let row = sqlx::query("SELECT coalesce(max(number), 0) + 1 FROM runs WHERE project = $1")
        .bind(project.as_str())
        .fetch_one(db)
        .await?;
    Ok(row.try_get::<i64, _>(0)?.unsigned_abs())
}

/// Writes a Run, new or changed.
///
/// # Errors
/// When the database refuses.
pub async fn put(db: &mut Connection, run: &Run) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO runs (id, project, number, state, reference, commit_sha, created_at, finished_at, body) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) \
         ON CONFLICT (id) DO UPDATE SET state = excluded.state, finished_at = excluded.finished_at, body = excluded.body",
    )
    .bind(run.id.to_string())
    .bind(run.project.as_str())
    .bind(run.number.cast_signed())
    .bind(run.state.word())
    .bind(&run.cause.reference)
    .bind(&run.cause.commit)
    .bind(to_micros(run.created_at))
    .bind(run.finished_at.map(to_micros))
    .bind(encode(run)?)
    .execute(db)
    .await?;
    Ok(())
}

/// How long the Runs of a Project took that began between two moments and have ended; the newest 5,000 at most.
///
/// # Errors
/// When the database refuses.
pub async fn durations(
    db: &mut Connection,
    project: &ProjectName,
    (from, to): (Timestamp, Timestamp),
) -> sqlx::Result<Vec<SignedDuration>> {
    let rows = sqlx::query(
        "SELECT finished_at - created_at AS took FROM runs WHERE project = $1 AND created_at >= $2 AND created_at < $3 \
         AND finished_at IS NOT NULL ORDER BY number DESC LIMIT 5000",
    )
    .bind(project.as_str())
    .bind(to_micros(from))
    .bind(to_micros(to))
    .fetch_all(db)
    .await?;
    rows.iter().map(|row| Ok(SignedDuration::from_micros(row.try_get("took")?))).collect()
}

/// Finds a Run by identity.
///
/// # Errors
/// When the database refuses.
pub async fn find(db: &mut Connection, id: RunId) -> sqlx::Result<Option<Run>> {
    let row =
        sqlx::query("SELECT body FROM runs WHERE id = $1").bind(id.to_string()).fetch_optional(db).await?;
    row.map(|row| decode(row.try_get("body")?)).transpose()
}

/// Finds a Run by its number.
///
/// # Errors
/// When the database refuses.
pub async fn by_number(db: &mut Connection, project: &ProjectName, number: u64) -> sqlx::Result<Option<Run>> {
    let row = sqlx::query("SELECT body FROM runs WHERE project = $1 AND number = $2")
        .bind(project.as_str())
        .bind(number.cast_signed())
        .fetch_optional(db)
        .await?;
    row.map(|row| decode(row.try_get("body")?)).transpose()
}

/// What people call a Run: its Project and its number there.
///
/// # Errors
/// When the database refuses.
pub async fn title(db: &mut Connection, id: RunId) -> sqlx::Result<Option<(String, u64)>> {
    let row = sqlx::query("SELECT project, number FROM runs WHERE id = $1")
        .bind(id.to_string())
        .fetch_optional(db)
        .await?;
    row.map(|row| Ok((row.try_get("project")?, row.try_get::<i64, _>("number")?.unsigned_abs()))).transpose()
}

/// Up to `limit` Runs of a Project (of all where there is none) with a number below `below`, newest first.
///
/// # Errors
/// When the database refuses.
pub async fn page(
    db: &mut Connection,
    project: Option<&ProjectName>,
    below: Option<u64>,
    limit: u32,
) -> sqlx::Result<Vec<Run>> {
    let rows = sqlx::query(
        "SELECT body FROM runs WHERE ($1 IS NULL OR project = $1) AND ($2 IS NULL OR number < $2) \
         ORDER BY created_at DESC, number DESC LIMIT $3",
    )
    .bind(project.map(ProjectName::as_str))
    .bind(below.map(u64::cast_signed))
    .bind(i64::from(limit))
    .fetch_all(db)
    .await?;
    rows.iter().map(|row| decode(row.try_get("body")?)).collect()
}

/// Identities of the Runs of a Project that have not ended.
///
/// # Errors
/// When the database refuses.
pub async fn unfinished(db: &mut Connection, project: &ProjectName) -> sqlx::Result<Vec<RunId>> {
    let rows = sqlx::query("SELECT id FROM runs WHERE project = $1 AND finished_at IS NULL ORDER BY number")
        .bind(project.as_str())
        .fetch_all(db)
        .await?;
    rows.iter().map(|row| parse(row.try_get("id")?)).collect()
}
