//! API tokens: what programs sign in with.

use jiff::Timestamp;
use serde_json::json;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;
use towpath_model::UserId;
use uuid::Uuid;

use super::users::{self, User, decode};
use super::{By, SecretHash, record};
use crate::db::{Reader, WriteTx};
use crate::time::{from_micros, to_micros};

/// A token, without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Its identity, by which it is listed and revoked.
    pub id: Uuid,
    /// What it is for, for people.
    pub name: String,
    /// What it may be used for, such as `read` or `write`.
    pub scopes: Vec<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends; `None` for never.
    pub expires_at: Option<Timestamp>,
    /// When it was last used, to within a few minutes.
    pub last_used_at: Option<Timestamp>,
}

/// Stores a token for `user`.
///
/// # Errors
/// When the database refuses.
pub async fn create(
    tx: &mut WriteTx,
    user: &User,
    token: &Token,
    secret: SecretHash,
    by: By<'_>,
) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO api_tokens (id, user_id, name, secret_hash, scopes, created_at, expires_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(token.id.to_string())
    .bind(user.id.to_string())
    .bind(&token.name)
    .bind(secret.as_slice())
    .bind(token.scopes.join(" "))
    .bind(to_micros(token.created_at))
    .bind(token.expires_at.map(to_micros))
    .execute(&mut **tx)
    .await?;
    let facts =
        json!({"token": token.id, "name": token.name, "scopes": token.scopes, "expires": token.expires_at});
    record(tx, by, None, "token-created", &format!("user:{}", user.login), &facts).await
}

/// Finds a token that is valid at `now`, and its user.
///
/// # Errors
/// When the database refuses.
pub async fn find(
    reader: &mut Reader,
    secret: SecretHash,
    now: Timestamp,
) -> sqlx::Result<Option<(User, Token)>> {
    let row = sqlx::query(
        "SELECT users.id, login, display_name, email, disabled, users.created_at, \
         api_tokens.id AS token_id, name, scopes, api_tokens.created_at AS token_created_at, \
         expires_at, last_used_at FROM api_tokens JOIN users ON users.id = api_tokens.user_id \
         WHERE secret_hash = $1 AND (expires_at IS NULL OR expires_at > $2) AND NOT disabled",
    )
    .bind(secret.as_slice())
    .bind(to_micros(now))
    .fetch_optional(&mut **reader)
    .await?;
    row.map(|row| Ok((users::read(&row)?, read(&row)?))).transpose()
}

/// Notes that a token was used.
///
/// # Errors
/// When the database refuses.
pub async fn touch(tx: &mut WriteTx, id: Uuid, now: Timestamp) -> sqlx::Result<()> {
    sqlx::query("UPDATE api_tokens SET last_used_at = $2 WHERE id = $1")
        .bind(id.to_string())
        .bind(to_micros(now))
        .execute(&mut **tx)
        .await
        .map(drop)
}

/// Lists a user's tokens, newest first, up to 1000.
///
/// # Errors
/// When the database refuses.
pub async fn of_user(reader: &mut Reader, user: UserId) -> sqlx::Result<Vec<Token>> {
    let rows = sqlx::query(
        "SELECT id AS token_id, name, scopes, created_at AS token_created_at, expires_at, last_used_at \
         FROM api_tokens WHERE user_id = $1 ORDER BY created_at DESC LIMIT 1000",
    )
    .bind(user.to_string())
    .fetch_all(&mut **reader)
    .await?;
    rows.iter().map(read).collect()
}

/// Ends a token of `user`; returns whether there was one.
///
/// # Errors
/// When the database refuses.
pub async fn revoke(tx: &mut WriteTx, user: &User, id: Uuid, by: By<'_>) -> sqlx::Result<bool> {
    let done = sqlx::query("DELETE FROM api_tokens WHERE id = $1 AND user_id = $2")
        .bind(id.to_string())
        .bind(user.id.to_string())
        .execute(&mut **tx)
        .await?;
    if done.rows_affected() == 0 {
        return Ok(false);
    }
    record(tx, by, None, "token-revoked", &format!("user:{}", user.login), &json!({"token": id})).await?;
    Ok(true)
}

fn read(row: &SqliteRow) -> sqlx::Result<Token> {
    let scopes: &str = row.try_get("scopes")?;
    let expires_at: Option<i64> = row.try_get("expires_at")?;
    let last_used_at: Option<i64> = row.try_get("last_used_at")?;
    Ok(Token {
        id: decode(row.try_get("token_id")?)?,
        name: row.try_get("name")?,
        scopes: scopes.split_whitespace().map(str::to_owned).collect(),
        created_at: from_micros(row.try_get("token_created_at")?),
        expires_at: expires_at.map(from_micros),
        last_used_at: last_used_at.map(from_micros),
    })
}
