//! Secrets, sealed. What is in them never leaves through here in the clear.

use jiff::Timestamp;
use sqlx::Row as _;
use towpath_model::ProjectName;
use towpath_model::pipeline::SecretName;

use super::{Connection, parse};
use crate::time::{from_micros, to_micros};

/// One version of a secret, without its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretVersion {
    /// The Environment it belongs to; empty for the Jobs of the Project.
    pub environment: String,
    /// Its name.
    pub name: SecretName,
    /// 1, 2, 3 …
    pub version: u64,
    /// The login of who set it.
    pub created_by: String,
    /// When.
    pub created_at: Timestamp,
}

/// The number that the next version will have.
///
/// It is never given again, not even after the secret was removed: a configuration names values by their version, and
/// another value under an old number would look like what ran before.
///
/// # Errors
/// When the database refuses.
pub async fn next_version(
    db: &mut Connection,
    project: &ProjectName,
    environment: &str,
    name: &SecretName,
) -> sqlx::Result<u64> {
    super::counters::grow(db, &format!("secret/{project}/{environment}/{name}")).await
}

/// Adds a version.
///
/// # Errors
/// When the database refuses.
pub async fn insert(
    db: &mut Connection,
    project: &ProjectName,
    secret: &SecretVersion,
    sealed: &[u8],
) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO secrets (project, environment, name, version, sealed, created_by, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(project.as_str())
    .bind(&secret.environment)
    .bind(secret.name.as_str())
    .bind(secret.version.cast_signed())
    .bind(sealed)
    .bind(&secret.created_by)
    .bind(to_micros(secret.created_at))
    .execute(db)
    .await?;
    Ok(())
}

/// Deletes every version of a secret. Says how many there were.
///
/// # Errors
/// When the database refuses.
pub async fn remove(
    db: &mut Connection,
    project: &ProjectName,
    environment: &str,
    name: &SecretName,
) -> sqlx::Result<u64> {
    let done = sqlx::query("DELETE FROM secrets WHERE project = $1 AND environment = $2 AND name = $3")
        .bind(project.as_str())
        .bind(environment)
        .bind(name.as_str())
        .execute(db)
        .await?;
    Ok(done.rows_affected())
}

/// The newest version of each secret of a Project, by Environment and name.
///
/// # Errors
/// When the database refuses.
pub async fn newest(db: &mut Connection, project: &ProjectName) -> sqlx::Result<Vec<SecretVersion>> {
    let rows = sqlx::query(
        "SELECT environment, name, version, created_by, created_at FROM secrets AS s WHERE project = $1 \
         AND version = (SELECT max(version) FROM secrets WHERE project = s.project AND environment = s.environment \
         AND name = s.name) ORDER BY environment, name LIMIT 10000",
    )
    .bind(project.as_str())
    .fetch_all(db)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(SecretVersion {
                environment: row.try_get("environment")?,
                name: parse(row.try_get("name")?)?,
                version: row.try_get::<i64, _>("version")?.unsigned_abs(),
                created_by: row.try_get("created_by")?,
                created_at: from_micros(row.try_get("created_at")?),
            })
        })
        .collect()
}

/// The sealed bytes of one version.
///
/// # Errors
/// When the database refuses.
pub async fn sealed(
    db: &mut Connection,
    project: &ProjectName,
    environment: &str,
    name: &SecretName,
    version: u64,
) -> sqlx::Result<Option<Vec<u8>>> {
    let row = sqlx::query(
        "SELECT sealed FROM secrets WHERE project = $1 AND environment = $2 AND name = $3 AND version = $4",
    )
    .bind(project.as_str())
    .bind(environment)
    .bind(name.as_str())
    .bind(version.cast_signed())
    .fetch_optional(db)
    .await?;
    row.map(|row| row.try_get("sealed")).transpose()
}
