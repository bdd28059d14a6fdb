//! What forges shall be told of commits, and what they were told.

use jiff::Timestamp;
use sqlx::Row as _;
use towpath_model::{ProjectName, RunId};

use super::Connection;
use crate::time::{from_micros, to_micros};

/// Something that a forge does not know yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsent {
    /// Its name at the forge.
    pub context: String,
    /// What it is, as JSON.
    pub wanted: String,
    /// When it was first wanted.
    pub since: Timestamp,
    /// What the forge calls it, where it told; else empty.
    pub remote: String,
}

/// Writes what a forge shall know. Says whether that is new.
///
/// # Errors
/// When the database refuses.
pub async fn want(
    db: &mut Connection,
    project: &ProjectName,
    run: RunId,
    context: &str,
    wanted: &str,
    now: Timestamp,
) -> sqlx::Result<bool> {
    let done = sqlx::query(
        "INSERT INTO commit_statuses (run_id, context, project, wanted, since) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (run_id, context) DO UPDATE SET wanted = excluded.wanted, since = excluded.since \
         WHERE commit_statuses.wanted <> excluded.wanted",
    )
    .bind(run.to_string())
    .bind(context)
    .bind(project.as_str())
    .bind(wanted)
    .bind(to_micros(now))
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// What of a Run was not sent; 200 at most.
///
/// # Errors
/// When the database refuses.
pub async fn unsent(db: &mut Connection, run: RunId) -> sqlx::Result<Vec<Unsent>> {
    let rows = sqlx::query(
        "SELECT context, wanted, since, remote FROM commit_statuses WHERE run_id = $1 AND wanted <> sent \
         ORDER BY context LIMIT 200",
    )
    .bind(run.to_string())
    .fetch_all(db)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(Unsent {
                context: row.try_get("context")?,
                wanted: row.try_get("wanted")?,
                since: from_micros(row.try_get("since")?),
                remote: row.try_get("remote")?,
            })
        })
        .collect()
}

/// Notes what was sent; an error is what was given up on.
///
/// # Errors
/// When the database refuses.
pub async fn sent(
    db: &mut Connection,
    run: RunId,
    context: &str,
    sent: &str,
    error: &str,
) -> sqlx::Result<()> {
    sqlx::query("UPDATE commit_statuses SET sent = $3, error = $4 WHERE run_id = $1 AND context = $2")
        .bind(run.to_string())
        .bind(context)
        .bind(sent)
        .bind(error)
        .execute(db)
        .await?;
    Ok(())
}

/// Notes what the forge calls something.
///
/// # Errors
/// When the database refuses.
pub async fn known_as(db: &mut Connection, run: RunId, context: &str, remote: &str) -> sqlx::Result<()> {
    sqlx::query("UPDATE commit_statuses SET remote = $3 WHERE run_id = $1 AND context = $2")
        .bind(run.to_string())
        .bind(context)
        .bind(remote)
        .execute(db)
        .await?;
    Ok(())
}

/// Notes why something could not be sent yet.
///
/// # Errors
/// When the database refuses.
pub async fn failed(db: &mut Connection, run: RunId, context: &str, error: &str) -> sqlx::Result<()> {
    sqlx::query("UPDATE commit_statuses SET error = $3 WHERE run_id = $1 AND context = $2")
        .bind(run.to_string())
        .bind(context)
        .bind(error)
        .execute(db)
        .await?;
    Ok(())
}

/// The newest failure of a Project, in words.
///
/// # Errors
/// When the database refuses.
pub async fn newest_failure(db: &mut Connection, project: &ProjectName) -> sqlx::Result<Option<String>> {
    let row = sqlx::query(
        "SELECT context, error FROM commit_statuses WHERE project = $1 AND error <> '' ORDER BY since DESC LIMIT 1",
    )
    .bind(project.as_str())
    .fetch_optional(db)
    .await?;
    let words = |row: sqlx::sqlite::SqliteRow| -> sqlx::Result<String> {
        Ok(format!("{}: {}", row.try_get::<&str, _>("context")?, row.try_get::<&str, _>("error")?))
    };
    row.map(words).transpose()
}
