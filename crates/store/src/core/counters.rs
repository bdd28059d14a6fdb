//! Numbers that only grow.

use sqlx::Row as _;

use super::Connection;

/// The generation of all routes together.
pub const ROUTES: &str = "routes";

/// Adds one and returns the new value.
///
/// # Errors
/// When the database refuses.
pub async fn grow(db: &mut Connection, name: &str) -> sqlx::Result<u64> {
    let row = sqlx::query(
        "INSERT INTO counters (name, value) VALUES ($1, 1) \
         ON CONFLICT (name) DO UPDATE SET value = counters.value + 1 RETURNING value",
    )
    .bind(name)
    .fetch_one(db)
    .await?;
    Ok(row.try_get::<i64, _>("value")?.unsigned_abs())
}

/// The value, 0 for a counter that never grew.
///
/// # Errors
/// When the database refuses.
pub async fn value(db: &mut Connection, name: &str) -> sqlx::Result<u64> {
    let row = sqlx::query("SELECT value FROM counters WHERE name = $1").bind(name).fetch_optional(db).await?;
    Ok(row.map(|row| row.try_get::<i64, _>("value")).transpose()?.unwrap_or(0).unsigned_abs())
}
