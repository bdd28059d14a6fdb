//! Agents that were started for pools.

use jiff::Timestamp;
use uuid::Uuid;

use super::{Connection, parse};
use crate::time::to_micros;

/// Writes down that somebody is started, by the join token that was made for it.
///
/// # Errors
/// When the database refuses.
pub async fn insert(db: &mut Connection, token: Uuid, pool: &str, at: Timestamp) -> sqlx::Result<()> {
    sqlx::query("INSERT INTO pool_members (token, pool, at) VALUES ($1, $2, $3)")
        .bind(token.to_string())
        .bind(pool)
        .bind(to_micros(at))
        .execute(db)
        .await?;
    Ok(())
}

/// The tokens of those who were started before a time.
///
/// # Errors
/// When the database refuses.
pub async fn started_before(db: &mut Connection, pool: &str, at: Timestamp) -> sqlx::Result<Vec<Uuid>> {
    let rows: Vec<String> = sqlx::query_scalar("SELECT token FROM pool_members WHERE pool = $1 AND at < $2")
        .bind(pool)
        .bind(to_micros(at))
        .fetch_all(db)
        .await?;
    rows.iter().map(|token| parse(token)).collect()
}

/// Forgets somebody.
///
/// # Errors
/// When the database refuses.
pub async fn remove(db: &mut Connection, token: Uuid) -> sqlx::Result<()> {
    sqlx::query("DELETE FROM pool_members WHERE token = $1").bind(token.to_string()).execute(db).await?;
    Ok(())
}
