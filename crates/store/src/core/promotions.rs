//! Promotions, for lists and for the archive.

use jiff::Timestamp;
use sqlx::Row as _;
use towpath_model::environment::Promotion;
use towpath_model::{Digest, EnvironmentKey, ProjectName, PromotionId};

use super::{Connection, decode, encode};
use crate::time::{from_micros, to_micros};

/// Writes a Promotion, new or changed.
///
/// # Errors
/// When the database refuses.
pub async fn put(db: &mut Connection, promotion: &Promotion) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO promotions (id, project, environment, release, revision, state, requested_at, finished_at, body) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) \
         ON CONFLICT (id) DO UPDATE SET state = excluded.state, finished_at = excluded.finished_at, body = excluded.body",
    )
    .bind(promotion.id.to_string())
    .bind(promotion.environment.project.as_str())
    .bind(promotion.environment.environment.as_str())
    .bind(promotion.revision.release.to_string())
    .bind(promotion.revision.digest.to_string())
    .bind(promotion.state_word())
    .bind(to_micros(promotion.requested_at))
    .bind(promotion.finished_at.map(to_micros))
    .bind(encode(promotion)?)
    .execute(db)
    .await?;
    Ok(())
}

/// Finds a Promotion.
///
/// # Errors
/// When the database refuses.
pub async fn find(db: &mut Connection, id: PromotionId) -> sqlx::Result<Option<Promotion>> {
    let row = sqlx::query("SELECT body FROM promotions WHERE id = $1")
        .bind(id.to_string())
        .fetch_optional(db)
        .await?;
    row.map(|row| decode(row.try_get("body")?)).transpose()
}

/// Up to `limit` Promotions into an Environment, newest first.
///
/// # Errors
/// When the database refuses.
pub async fn of_environment(
    db: &mut Connection,
    key: &EnvironmentKey,
    limit: u32,
) -> sqlx::Result<Vec<Promotion>> {
    let rows = sqlx::query(
        "SELECT body FROM promotions WHERE project = $1 AND environment = $2 ORDER BY requested_at DESC, id DESC LIMIT $3",
    )
    .bind(key.project.as_str())
    .bind(key.environment.as_str())
    .bind(i64::from(limit))
    .fetch_all(db)
    .await?;
    rows.iter().map(|row| decode(row.try_get("body")?)).collect()
}

/// Every Promotion of a Release, oldest first, 1,000 at most.
///
/// # Errors
/// When the database refuses.
pub async fn of_release(db: &mut Connection, release: Digest) -> sqlx::Result<Vec<Promotion>> {
    let rows =
        sqlx::query("SELECT body FROM promotions WHERE release = $1 ORDER BY requested_at, id LIMIT 1000")
            .bind(release.to_string())
            .fetch_all(db)
            .await?;
    rows.iter().map(|row| decode(row.try_get("body")?)).collect()
}

/// The Promotions of a Project since a moment, oldest first, each with when the commit of its Release was pushed; the newest
/// 5,000 at most.
///
/// # Errors
/// When the database refuses.
pub async fn shipped(
    db: &mut Connection,
    project: &ProjectName,
    since: Timestamp,
) -> sqlx::Result<Vec<(Promotion, Option<Timestamp>)>> {
    let rows = sqlx::query(
        "SELECT promotions.body, runs.created_at AS pushed_at FROM promotions \
         LEFT JOIN releases ON releases.digest = promotions.release LEFT JOIN runs ON runs.id = releases.run_id \
         WHERE promotions.project = $1 AND promotions.requested_at >= $2 \
         ORDER BY promotions.requested_at DESC, promotions.id DESC LIMIT 5000",
    )
    .bind(project.as_str())
    .bind(to_micros(since))
    .fetch_all(db)
    .await?;
    let read = |row: &sqlx::sqlite::SqliteRow| -> sqlx::Result<(Promotion, Option<Timestamp>)> {
        let pushed_at: Option<i64> = row.try_get("pushed_at")?;
        Ok((decode(row.try_get("body")?)?, pushed_at.map(from_micros)))
    };
    rows.iter().rev().map(read).collect()
}

/// Every Promotion that has not ended, oldest first.
///
/// # Errors
/// When the database refuses.
pub async fn open(db: &mut Connection) -> sqlx::Result<Vec<Promotion>> {
    let rows = sqlx::query(
        "SELECT body FROM promotions WHERE finished_at IS NULL ORDER BY requested_at, id LIMIT 1000",
    )
    .fetch_all(db)
    .await?;
    rows.iter().map(|row| decode(row.try_get("body")?)).collect()
}
