//! The last value of each git ref that the engine was told of.

use jiff::Timestamp;
use sqlx::Row as _;

use crate::db::{Reader, WriteTx};
use crate::time::to_micros;

/// Lists the handled refs of a Project as (name, commit).
///
/// # Errors
/// When the database refuses.
pub async fn of_project(reader: &mut Reader, project: &str) -> sqlx::Result<Vec<(String, String)>> {
    let rows = sqlx::query("SELECT name, commit_sha FROM git_refs WHERE project = $1 ORDER BY name")
        .bind(project)
        .fetch_all(&mut **reader)
        .await?;
    rows.iter().map(|row| Ok((row.try_get("name")?, row.try_get("commit_sha")?))).collect()
}

/// The last value of a ref that the engine knows of.
///
/// # Errors
/// When the database refuses.
pub async fn find(tx: &mut WriteTx, project: &str, name: &str) -> sqlx::Result<Option<String>> {
    let row = sqlx::query("SELECT commit_sha FROM git_refs WHERE project = $1 AND name = $2")
        .bind(project)
        .bind(name)
        .fetch_optional(&mut **tx)
        .await?;
    row.map(|row| row.try_get("commit_sha")).transpose()
}

/// Notes that the engine knows of `commit`; `None` where the ref is gone.
///
/// # Errors
/// When the database refuses.
pub async fn handled(
    tx: &mut WriteTx,
    project: &str,
    name: &str,
    commit: Option<&str>,
    now: Timestamp,
) -> sqlx::Result<()> {
    let query = match commit {
        Some(commit) => sqlx::query(
            "INSERT INTO git_refs (project, name, commit_sha, handled_at) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (project, name) DO UPDATE SET commit_sha = excluded.commit_sha, \
             handled_at = excluded.handled_at",
        )
        .bind(project)
        .bind(name)
        .bind(commit)
        .bind(to_micros(now)),
        None => sqlx::query("DELETE FROM git_refs WHERE project = $1 AND name = $2").bind(project).bind(name),
    };
    query.execute(&mut **tx).await.map(drop)
}
