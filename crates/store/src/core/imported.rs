//! Runs that other servers exported.

use jiff::Timestamp;
use sqlx::Row as _;
use towpath_model::{Digest, ProjectName};

use super::{Connection, parse};
use crate::time::{from_micros, to_micros};

/// A Run that was taken in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// The Project that it was taken into.
    pub project: ProjectName,
    /// 1, 2, 3 … among the imported ones of the Project; never given twice.
    pub number: u64,
    /// The SHA-256 of its file, which is in the content store.
    pub digest: Digest,
    /// The length of its file.
    pub bytes: u64,
    /// When it was taken in.
    pub at: Timestamp,
    /// Who did it.
    pub by: String,
    /// What a list shows of it, as JSON.
    pub body: String,
}

/// Writes down a Run that was taken in.
///
/// # Errors
/// When the database refuses, also where the same file is there already.
pub async fn insert(db: &mut Connection, imported: &Imported) -> sqlx::Result<()> {
    let Imported { project, number, digest, bytes, at, by, body } = imported;
    sqlx::query(
        "INSERT INTO imported_runs (project, number, digest, bytes, at, by_whom, body) \
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(project.as_str())
    .bind(number.cast_signed())
    .bind(digest.to_string())
    .bind(bytes.cast_signed())
    .bind(to_micros(*at))
    .bind(by)
    .bind(body)
    .execute(db)
    .await?;
    Ok(())
}

/// Those of a Project, newest first, `limit` at most; with `below`, only those with a smaller number.
///
/// # Errors
/// When the database refuses.
pub async fn page(
    db: &mut Connection,
    project: &ProjectName,
    below: Option<u64>,
    limit: u32,
) -> sqlx::Result<Vec<Imported>> {
    let below = below.map_or(i64::MAX, |below| i64::try_from(below).unwrap_or(i64::MAX));
    let rows = sqlx::query(
        "SELECT * FROM imported_runs WHERE project = $1 AND number < $2 ORDER BY number DESC LIMIT $3",
    )
    .bind(project.as_str())
    .bind(below)
    .bind(i64::from(limit))
    .fetch_all(db)
    .await?;
    rows.iter().map(imported).collect()
}

/// One of them.
///
/// # Errors
/// When the database refuses.
pub async fn find(db: &mut Connection, project: &ProjectName, number: u64) -> sqlx::Result<Option<Imported>> {
    let row = sqlx::query("SELECT * FROM imported_runs WHERE project = $1 AND number = $2")
        .bind(project.as_str())
        .bind(number.cast_signed())
        .fetch_optional(db)
        .await?;
    row.as_ref().map(imported).transpose()
}

/// The one that came from a file.
///
/// # Errors
/// When the database refuses.
pub async fn of_file(
    db: &mut Connection,
    project: &ProjectName,
    digest: Digest,
) -> sqlx::Result<Option<Imported>> {
    let row = sqlx::query("SELECT * FROM imported_runs WHERE project = $1 AND digest = $2")
        .bind(project.as_str())
        .bind(digest.to_string())
        .fetch_optional(db)
        .await?;
    row.as_ref().map(imported).transpose()
}

/// How many a Project has, and how many bytes all of their files have.
///
/// # Errors
/// When the database refuses.
pub async fn held(db: &mut Connection, project: &ProjectName) -> sqlx::Result<(u64, u64)> {
    let row = sqlx::query("SELECT count(*), coalesce(sum(bytes), 0) FROM imported_runs WHERE project = $1")
        .bind(project.as_str())
        .fetch_one(db)
        .await?;
    Ok((row.try_get::<i64, _>(0)?.unsigned_abs(), row.try_get::<i64, _>(1)?.unsigned_abs()))
}

/// Forgets one. Says whether its file belongs to no other Project's any more.
///
/// # Errors
/// When the database refuses.
pub async fn remove(db: &mut Connection, imported: &Imported) -> sqlx::Result<bool> {
    sqlx::query("DELETE FROM imported_runs WHERE project = $1 AND number = $2")
        .bind(imported.project.as_str())
        .bind(imported.number.cast_signed())
        .execute(&mut *db)
        .await?;
    let others: i64 = sqlx::query_scalar("SELECT count(*) FROM imported_runs WHERE digest = $1")
        .bind(imported.digest.to_string())
        .fetch_one(db)
        .await?;
    Ok(others == 0)
}

fn imported(row: &sqlx::sqlite::SqliteRow) -> sqlx::Result<Imported> {
    Ok(Imported {
        project: parse(row.try_get("project")?)?,
        number: row.try_get::<i64, _>("number")?.unsigned_abs(),
        digest: parse(row.try_get("digest")?)?,
        bytes: row.try_get::<i64, _>("bytes")?.unsigned_abs(),
        at: from_micros(row.try_get("at")?),
        by: row.try_get("by_whom")?,
        body: row.try_get("body")?,
    })
}
