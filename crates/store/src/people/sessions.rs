//! Sessions of the web page: only a hash of the cookie's secret is kept.

use jiff::{SignedDuration, Timestamp};
use towpath_model::UserId;

use super::SecretHash;
use super::users::{self, User};
use crate::db::{Reader, WriteTx};
use crate::time::{from_micros, to_micros};

/// A session that nobody used for this long is over.
pub const IDLE: SignedDuration = SignedDuration::from_hours(12);

/// A session is over after this long, used or not.
pub const LIFE: SignedDuration = SignedDuration::from_hours(7 * 24);

/// How stale "last seen" may get: not every click shall cost a write.
const TOUCH_EVERY: SignedDuration = SignedDuration::from_mins(5);

/// Starts a session, and forgets those that are over.
///
/// # Errors
/// When the database refuses.
pub async fn start(tx: &mut WriteTx, secret: SecretHash, user: UserId, now: Timestamp) -> sqlx::Result<()> {
    sqlx::query("DELETE FROM sessions WHERE expires_at <= $1 OR last_seen_at <= $2")
        .bind(to_micros(now))
        .bind(to_micros(now - IDLE))
        .execute(&mut **tx)
        .await?;
    sqlx::query(
        "INSERT INTO sessions (secret_hash, user_id, created_at, last_seen_at, expires_at) \
         VALUES ($1, $2, $3, $3, $4)",
    )
    .bind(secret.as_slice())
    .bind(user.to_string())
    .bind(to_micros(now))
    .bind(to_micros(now + LIFE))
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// A session that is alive.
#[derive(Debug, Clone)]
pub struct Live {
    /// Whose.
    pub user: User,
    /// Whether [`touch`] is due.
    pub stale: bool,
}

/// Finds the session, if it is alive at `now` and its user is not disabled.
///
/// # Errors
/// When the database refuses.
pub async fn find(reader: &mut Reader, secret: SecretHash, now: Timestamp) -> sqlx::Result<Option<Live>> {
    let row = sqlx::query(
        "SELECT users.id, login, display_name, email, disabled, users.created_at, \
         last_seen_at <= $4 AS stale FROM sessions JOIN users ON users.id = sessions.user_id \
         WHERE secret_hash = $1 AND expires_at > $2 AND last_seen_at > $3 AND NOT disabled",
    )
    .bind(secret.as_slice())
    .bind(to_micros(now))
    .bind(to_micros(now - IDLE))
    .bind(to_micros(now - TOUCH_EVERY))
    .fetch_optional(&mut **reader)
    .await?;
    let live = |row: sqlx::sqlite::SqliteRow| {
        Ok(Live { user: users::read(&row)?, stale: sqlx::Row::try_get(&row, "stale")? })
    };
    row.map(live).transpose()
}

/// Notes that a session was used.
///
/// # Errors
/// When the database refuses.
pub async fn touch(tx: &mut WriteTx, secret: SecretHash, now: Timestamp) -> sqlx::Result<()> {
    sqlx::query("UPDATE sessions SET last_seen_at = $2 WHERE secret_hash = $1")
        .bind(secret.as_slice())
        .bind(to_micros(now))
        .execute(&mut **tx)
        .await
        .map(drop)
}

/// Says when a user was last here, as far as their sessions that are still known tell.
///
/// # Errors
/// When the database refuses.
pub async fn last_seen(reader: &mut Reader, user: UserId) -> sqlx::Result<Option<Timestamp>> {
    let sql = "SELECT MAX(last_seen_at) FROM sessions WHERE user_id = $1";
    let seen: Option<i64> = sqlx::query_scalar(sql).bind(user.to_string()).fetch_one(&mut **reader).await?;
    Ok(seen.map(from_micros))
}

/// Ends one session.
///
/// # Errors
/// When the database refuses.
pub async fn end(tx: &mut WriteTx, secret: SecretHash) -> sqlx::Result<()> {
    let sql = "DELETE FROM sessions WHERE secret_hash = $1";
    sqlx::query(sql).bind(secret.as_slice()).execute(&mut **tx).await.map(drop)
}

/// Ends every session of a user.
///
/// # Errors
/// When the database refuses.
pub async fn end_all(tx: &mut WriteTx, user: UserId) -> sqlx::Result<()> {
    let sql = "DELETE FROM sessions WHERE user_id = $1";
    sqlx::query(sql).bind(user.to_string()).execute(&mut **tx).await.map(drop)
}
