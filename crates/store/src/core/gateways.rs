//! Gateways as they were last seen.

use jiff::{SignedDuration, Timestamp};
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
        "INSERT INTO gateways (name, version, seen_at) VALUES ($1, $2, $3) \
         ON CONFLICT (name) DO UPDATE SET version = excluded.version, seen_at = excluded.seen_at",
    )
    .bind(&gateway.name)
    .bind(&gateway.version)
    .bind(to_micros(gateway.seen_at))
    .execute(db)
    .await?;
    Ok(())
}

/// How long a session that says nothing is remembered. A gateway does not repeat itself after that.
const SESSION_KEPT: SignedDuration = SignedDuration::from_hours(24);

/// Takes note of a measurement's number within a session. Says whether it is new.
///
/// # Errors
/// When the database refuses.
pub async fn take_in(
    db: &mut Connection,
    name: &str,
    session: &str,
    sequence: u64,
    now: Timestamp,
) -> sqlx::Result<bool> {
    let done = sqlx::query(
        "INSERT INTO gateway_sessions (gateway, session, sequence, taken_at) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (gateway, session) DO UPDATE SET sequence = excluded.sequence, taken_at = excluded.taken_at \
         WHERE gateway_sessions.sequence < excluded.sequence",
    )
    .bind(name)
    .bind(session)
    .bind(sequence.cast_signed())
    .bind(to_micros(now))
    .execute(&mut *db)
    .await?;
    sqlx::query("DELETE FROM gateway_sessions WHERE gateway = $1 AND taken_at < $2")
        .bind(name)
        .bind(to_micros(now - SESSION_KEPT))
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
