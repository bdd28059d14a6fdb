//! Documents that wait for signatures because they loosen a policy, and what became of earlier ones.

use jiff::Timestamp;
use sqlx::Row as _;
use towpath_model::EnvironmentKey;
use towpath_model::policy_change::PolicyChange;

use super::{Connection, decode, encode};
use crate::time::{from_micros, to_micros};

/// Writes a change, new or changed.
///
/// # Errors
/// When the database refuses.
pub async fn put(db: &mut Connection, change: &PolicyChange) -> sqlx::Result<()> {
    let expires_at = change.is_open().then(|| to_micros(change.expires_at));
    sqlx::query(
        "INSERT INTO policy_changes (project, environment, number, expires_at, body) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (project, environment, number) DO UPDATE SET expires_at = excluded.expires_at, body = excluded.body",
    )
    .bind(change.environment.project.as_str())
    .bind(change.environment.environment.as_str())
    .bind(change.number.cast_signed())
    .bind(expires_at)
    .bind(encode(change)?)
    .execute(db)
    .await?;
    Ok(())
}

/// Finds a change by its number.
///
/// # Errors
/// When the database refuses.
pub async fn find(
    db: &mut Connection,
    key: &EnvironmentKey,
    number: u64,
) -> sqlx::Result<Option<PolicyChange>> {
    let row = sqlx::query(
        "SELECT body FROM policy_changes WHERE project = $1 AND environment = $2 AND number = $3",
    )
    .bind(key.project.as_str())
    .bind(key.environment.as_str())
    .bind(number.cast_signed())
    .fetch_optional(db)
    .await?;
    row.map(|row| decode(row.try_get("body")?)).transpose()
}

/// The changes of an Environment, newest first, `limit` at most.
///
/// # Errors
/// When the database refuses.
pub async fn newest(
    db: &mut Connection,
    key: &EnvironmentKey,
    limit: u32,
) -> sqlx::Result<Vec<PolicyChange>> {
    let rows = sqlx::query(
        "SELECT body FROM policy_changes WHERE project = $1 AND environment = $2 ORDER BY number DESC LIMIT $3",
    )
    .bind(key.project.as_str())
    .bind(key.environment.as_str())
    .bind(i64::from(limit))
    .fetch_all(db)
    .await?;
    rows.iter().map(|row| decode(row.try_get("body")?)).collect()
}

/// The change of an Environment that waits. There is one at most.
///
/// # Errors
/// When the database refuses.
pub async fn open(db: &mut Connection, key: &EnvironmentKey) -> sqlx::Result<Option<PolicyChange>> {
    Ok(newest(db, key, 1).await?.into_iter().find(PolicyChange::is_open))
}

/// Up to 1000 changes that wait in any Environment, those that end soonest first; with `until`, only those that end by then.
///
/// # Errors
/// When the database refuses.
pub async fn waiting(db: &mut Connection, until: Option<Timestamp>) -> sqlx::Result<Vec<PolicyChange>> {
    let rows = sqlx::query(
        "SELECT body FROM policy_changes WHERE expires_at IS NOT NULL AND ($1 IS NULL OR expires_at <= $1) \
         ORDER BY expires_at LIMIT 1000",
    )
    .bind(until.map(to_micros))
    .fetch_all(db)
    .await?;
    rows.iter().map(|row| decode(row.try_get("body")?)).collect()
}

/// When the next change expires.
///
/// # Errors
/// When the database refuses.
pub async fn next_expiry(db: &mut Connection) -> sqlx::Result<Option<Timestamp>> {
    let row = sqlx::query("SELECT min(expires_at) FROM policy_changes").fetch_one(db).await?;
    Ok(row.try_get::<Option<i64>, _>(0)?.map(from_micros))
}
