//! Environment documents and configurations, every version of them.

use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::Row as _;
use towpath_model::{Digest, EnvironmentKey};

use super::{Connection, decode, encode};
use crate::time::{from_micros, to_micros};

/// One version of an environment document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// 1, 2, 3 …
    pub version: u64,
    /// The YAML as it was applied.
    pub source: String,
    /// The login of who applied it.
    pub applied_by: String,
    /// When.
    pub applied_at: Timestamp,
}

/// Adds a version.
///
/// # Errors
/// When the database refuses.
pub async fn insert(db: &mut Connection, key: &EnvironmentKey, document: &Document) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO documents (project, environment, version, source, applied_by, applied_at) \
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(key.project.as_str())
    .bind(key.environment.as_str())
    .bind(document.version.cast_signed())
    .bind(&document.source)
    .bind(&document.applied_by)
    .bind(to_micros(document.applied_at))
    .execute(db)
    .await?;
    Ok(())
}

/// Up to 100 versions, newest first.
///
/// # Errors
/// When the database refuses.
pub async fn history(db: &mut Connection, key: &EnvironmentKey) -> sqlx::Result<Vec<Document>> {
    let rows = sqlx::query(
        "SELECT version, source, applied_by, applied_at FROM documents WHERE project = $1 AND environment = $2 \
         ORDER BY version DESC LIMIT 100",
    )
    .bind(key.project.as_str())
    .bind(key.environment.as_str())
    .fetch_all(db)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(Document {
                version: row.try_get::<i64, _>("version")?.unsigned_abs(),
                source: row.try_get("source")?,
                applied_by: row.try_get("applied_by")?,
                applied_at: from_micros(row.try_get("applied_at")?),
            })
        })
        .collect()
}

/// Adds a configuration under its digest. Adding it again changes nothing.
///
/// # Errors
/// When the database refuses.
pub async fn put_config<T: Serialize>(
    db: &mut Connection,
    key: &EnvironmentKey,
    digest: Digest,
    config: &T,
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO configs (digest, project, environment, created_at, body) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (digest) DO NOTHING",
    )
    .bind(digest.to_string())
    .bind(key.project.as_str())
    .bind(key.environment.as_str())
    .bind(to_micros(now))
    .bind(encode(config)?)
    .execute(db)
    .await?;
    Ok(())
}

/// Finds a configuration by its digest.
///
/// # Errors
/// When the database refuses.
pub async fn config<T: DeserializeOwned>(db: &mut Connection, digest: Digest) -> sqlx::Result<Option<T>> {
    let row = sqlx::query("SELECT body FROM configs WHERE digest = $1")
        .bind(digest.to_string())
        .fetch_optional(db)
        .await?;
    row.map(|row| decode(row.try_get("body")?)).transpose()
}
