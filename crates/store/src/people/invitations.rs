//! One-time links by which people choose the password of a user that an admin made for them.
//!
//! A user has at most one. It ends when it is used, when its time is over, when their password is set in another way, and
//! when they are kept from signing in.

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::users::{self, User};
use super::{By, SecretHash, record};
use crate::db::{Reader, WriteTx};
use crate::time::to_micros;

/// How long an invitation works.
pub const LIFE: SignedDuration = SignedDuration::from_hours(24);

/// Makes `secret` the only invitation of `user` that works; returns when it ends.
///
/// # Errors
/// When the database refuses.
pub async fn replace(
    tx: &mut WriteTx,
    user: &User,
    secret: SecretHash,
    by: By<'_>,
) -> sqlx::Result<Timestamp> {
    let ends = by.at + LIFE;
    sqlx::query(
        "INSERT INTO invitations (user_id, secret_hash, expires_at) VALUES ($1, $2, $3) \
         ON CONFLICT (user_id) DO UPDATE SET secret_hash = excluded.secret_hash, expires_at = excluded.expires_at",
    )
    .bind(user.id.to_string())
    .bind(secret.as_slice())
    .bind(to_micros(ends))
    .execute(&mut **tx)
    .await?;
    let facts = json!({"expires_at": ends.to_string()});
    record(tx, by, None, "user-invited", &format!("user:{}", user.login), &facts).await?;
    Ok(ends)
}

/// Whom an invitation is for, if it works at `now`.
///
/// # Errors
/// When the database refuses.
pub async fn find(reader: &mut Reader, secret: SecretHash, now: Timestamp) -> sqlx::Result<Option<User>> {
    let row = sqlx::query(
        "SELECT id, login, display_name, email, disabled, created_at FROM users \
         JOIN invitations ON user_id = id WHERE secret_hash = $1 AND expires_at > $2 AND NOT disabled",
    )
    .bind(secret.as_slice())
    .bind(to_micros(now))
    .fetch_optional(&mut **reader)
    .await?;
    row.as_ref().map(users::read).transpose()
}

/// Uses the invitation of `user` up; returns whether it worked. Of two who try at once, one gets `true`.
///
/// # Errors
/// When the database refuses.
pub async fn consume(
    tx: &mut WriteTx,
    user: &User,
    secret: SecretHash,
    now: Timestamp,
) -> sqlx::Result<bool> {
    let done =
        sqlx::query("DELETE FROM invitations WHERE user_id = $1 AND secret_hash = $2 AND expires_at > $3")
            .bind(user.id.to_string())
            .bind(secret.as_slice())
            .bind(to_micros(now))
            .execute(&mut **tx)
            .await?;
    Ok(done.rows_affected() == 1)
}

/// Ends the invitation of `user`, if there is one.
pub(super) async fn end(tx: &mut WriteTx, user: &User) -> sqlx::Result<()> {
    let delete = sqlx::query("DELETE FROM invitations WHERE user_id = $1").bind(user.id.to_string());
    delete.execute(&mut **tx).await.map(drop)
}
