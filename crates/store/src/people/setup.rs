//! The one-time link by which the first admin is made.

use jiff::{SignedDuration, Timestamp};

use super::SecretHash;
use crate::db::{Reader, WriteTx};
use crate::time::to_micros;

/// How long the link works.
pub const LIFE: SignedDuration = SignedDuration::from_hours(24);

/// Makes `secret` the only link that works; older ones die.
///
/// # Errors
/// When the database refuses.
pub async fn replace(tx: &mut WriteTx, secret: SecretHash, now: Timestamp) -> sqlx::Result<()> {
    sqlx::query("DELETE FROM setup_links").execute(&mut **tx).await?;
    sqlx::query("INSERT INTO setup_links (secret_hash, expires_at) VALUES ($1, $2)")
        .bind(secret.as_slice())
        .bind(to_micros(now + LIFE))
        .execute(&mut **tx)
        .await
        .map(drop)
}

/// Whether the link works at `now`.
///
/// # Errors
/// When the database refuses.
pub async fn valid(reader: &mut Reader, secret: SecretHash, now: Timestamp) -> sqlx::Result<bool> {
    let row = sqlx::query("SELECT 1 FROM setup_links WHERE secret_hash = $1 AND expires_at > $2")
        .bind(secret.as_slice())
        .bind(to_micros(now))
        .fetch_optional(&mut **reader)
        .await?;
    Ok(row.is_some())
}

/// Uses the link up; returns whether it worked. Of two who try at once, one gets `true`.
///
/// # Errors
/// When the database refuses.
pub async fn consume(tx: &mut WriteTx, secret: SecretHash, now: Timestamp) -> sqlx::Result<bool> {
    let done = sqlx::query("DELETE FROM setup_links WHERE secret_hash = $1 AND expires_at > $2")
        .bind(secret.as_slice())
        .bind(to_micros(now))
        .execute(&mut **tx)
        .await?;
    Ok(done.rows_affected() == 1)
}
