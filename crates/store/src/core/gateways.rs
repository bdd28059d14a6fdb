//! Gateways as they were last seen.

use jiff::Timestamp;
use sqlx::Row as _;

use super::Connection;
use crate::time::{from_micros, to_micros};

/// A gateway as it was last seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gateway {
    /// Its name.
    pub name: String,
    /// Its version of Towpath.
    pub version: String,
    /// When it last called.
    pub seen_at: Timestamp,
}

/// Notes that a gateway called.
///
/// # Errors
/// When the database refuses.
pub async fn seen(db: &mut Connection, gateway: &Gateway) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO gateways (name, version, session, sequence, seen_at) VALUES ($1, $2, '', 0, $3) \
         ON CONFLICT (name) DO UPDATE SET version = excluded.version, seen_at = excluded.seen_at",
    )
    .bind(&gateway.name)
    .bind(&gateway.version)
    .bind(to_micros(gateway.seen_at))
    .execute(db)
    .await?;
    Ok(())
}

/// Takes note of a measurement's number. Says whether it is new.
///
/// # Errors
/// When the database refuses.
pub async fn take_in(db: &mut Connection, name: &str, session: &str, sequence: u64) -> sqlx::Result<bool> {
    let done = sqlx::query(
        "UPDATE gateways SET session = $2, sequence = $3 WHERE name = $1 AND (session <> $2 OR sequence < $3)",
    )
    .bind(name)
    .bind(session)
    .bind(sequence.cast_signed())
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Every gateway, by name.
///
/// # Errors
/// When the database refuses.
pub async fn all(db: &mut Connection) -> sqlx::Result<Vec<Gateway>> {
    let rows = sqlx::query("SELECT name, version, seen_at FROM gateways ORDER BY name LIMIT 1000")
        .fetch_all(db)
        .await?;
    rows.iter()
        .map(|row| {
            Ok(Gateway {
                name: row.try_get("name")?,
                version: row.try_get("version")?,
                seen_at: from_micros(row.try_get("seen_at")?),
            })
        })
        .collect()
}
