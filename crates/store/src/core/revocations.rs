//! Releases that were taken back.

use std::collections::BTreeMap;

use sqlx::Row as _;
use towpath_model::revocation::Revocation;
use towpath_model::{Digest, ProjectName};

use super::{Connection, decode, encode, parse};
use crate::time::to_micros;

/// How many Releases of a Project may be revoked at a time.
pub const MOST: i64 = 1000;

/// Writes a revocation, new or changed.
///
/// # Errors
/// When the database refuses.
pub async fn put(
    db: &mut Connection,
    project: &ProjectName,
    release: Digest,
    revocation: &Revocation,
) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO revocations (release, project, at, body) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (release) DO UPDATE SET body = excluded.body",
    )
    .bind(release.to_string())
    .bind(project.as_str())
    .bind(to_micros(revocation.at))
    .bind(encode(revocation)?)
    .execute(db)
    .await?;
    Ok(())
}

/// Forgets a revocation.
///
/// # Errors
/// When the database refuses.
pub async fn remove(db: &mut Connection, release: Digest) -> sqlx::Result<()> {
    sqlx::query("DELETE FROM revocations WHERE release = $1").bind(release.to_string()).execute(db).await?;
    Ok(())
}

/// Finds the revocation of a Release.
///
/// # Errors
/// When the database refuses.
pub async fn find(db: &mut Connection, release: Digest) -> sqlx::Result<Option<Revocation>> {
    let row = sqlx::query("SELECT body FROM revocations WHERE release = $1")
        .bind(release.to_string())
        .fetch_optional(db)
        .await?;
    row.map(|row| decode(row.try_get("body")?)).transpose()
}

/// The revoked Releases of a Project, newest revocation first.
///
/// # Errors
/// When the database refuses.
pub async fn of_project(
    db: &mut Connection,
    project: &ProjectName,
) -> sqlx::Result<BTreeMap<Digest, Revocation>> {
    let rows =
        sqlx::query("SELECT release, body FROM revocations WHERE project = $1 ORDER BY at DESC LIMIT $2")
            .bind(project.as_str())
            .bind(MOST)
            .fetch_all(db)
            .await?;
    rows.iter().map(|row| Ok((parse(row.try_get("release")?)?, decode(row.try_get("body")?)?))).collect()
}
