//! Users: people and machine accounts.

use jiff::Timestamp;
use serde_json::json;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;
use towpath_model::{Login, UserId};

use super::{By, record};
use crate::db::{Reader, WriteTx};
use crate::time::{from_micros, to_micros};

/// A person or a machine account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Its identity; survives a change of the login.
    pub id: UserId,
    /// The name by which it signs in.
    pub login: Login,
    /// For people.
    pub display_name: String,
    /// Compared with commit authors to tell who approves their own work.
    pub email: String,
    /// Whether it is kept from signing in.
    pub disabled: bool,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A user to be made.
#[derive(Debug, Clone)]
pub struct NewUser {
    /// Its identity.
    pub id: UserId,
    /// The name by which it signs in.
    pub login: Login,
    /// For people.
    pub display_name: String,
    /// Its e-mail address.
    pub email: String,
    /// The argon2id hash as a PHC string; `None` for an account that uses tokens only.
    pub password: Option<String>,
}

/// Why a user was not made.
#[derive(Debug, thiserror::Error)]
pub enum CreateUserError {
    /// The login belongs to somebody.
    #[error("the login `{0}` is taken")]
    LoginTaken(Login),
    /// The database refused.
    #[error("failed to store the user")]
    Store(#[from] sqlx::Error),
}

/// Makes a user.
///
/// # Errors
/// When the login is taken or the database refuses.
pub async fn create(tx: &mut WriteTx, user: NewUser, by: By<'_>) -> Result<User, CreateUserError> {
    let done = sqlx::query(
        "INSERT INTO users (id, login, display_name, email, password, disabled, created_at) \
         VALUES ($1, $2, $3, $4, $5, FALSE, $6) ON CONFLICT (login) DO NOTHING",
    )
    .bind(user.id.to_string())
    .bind(user.login.as_str())
    .bind(&user.display_name)
    .bind(&user.email)
    .bind(&user.password)
    .bind(to_micros(by.at))
    .execute(&mut **tx)
    .await?;
    if done.rows_affected() == 0 {
        return Err(CreateUserError::LoginTaken(user.login));
    }
    let facts = json!({"display_name": user.display_name, "email": user.email});
    record(tx, by, None, "user-created", &format!("user:{}", user.login), &facts).await?;
    let NewUser { id, login, display_name, email, password: _ } = user;
    Ok(User { id, login, display_name, email, disabled: false, created_at: by.at })
}

/// Finds a user and the hash of its password.
///
/// # Errors
/// When the database refuses.
pub async fn with_password(
    db: &mut crate::core::Connection,
    login: &str,
) -> sqlx::Result<Option<(User, Option<String>)>> {
    let row = sqlx::query(
        "SELECT id, login, display_name, email, disabled, created_at, password FROM users WHERE login = $1",
    )
    .bind(login)
    .fetch_optional(db)
    .await?;
    row.map(|row| Ok((read(&row)?, row.try_get("password")?))).transpose()
}

/// Finds a user by its identity.
///
/// # Errors
/// When the database refuses.
pub async fn by_id(db: &mut crate::core::Connection, id: UserId) -> sqlx::Result<Option<User>> {
    let sql = "SELECT id, login, display_name, email, disabled, created_at FROM users WHERE id = $1";
    let row = sqlx::query(sql).bind(id.to_string()).fetch_optional(db).await?;
    row.as_ref().map(read).transpose()
}

/// Logins of the users with a mail address, whatever its case.
///
/// # Errors
/// When the database refuses.
pub async fn logins_of_mail(db: &mut crate::core::Connection, mail: &str) -> sqlx::Result<Vec<String>> {
    let rows = sqlx::query("SELECT login FROM users WHERE lower(email) = lower($1) ORDER BY login LIMIT 100")
        .bind(mail)
        .fetch_all(db)
        .await?;
    rows.iter().map(|row| row.try_get("login")).collect()
}

/// Lists up to `limit` users whose login comes after `after`, by login.
///
/// # Errors
/// When the database refuses.
pub async fn list(reader: &mut Reader, after: &str, limit: u32) -> sqlx::Result<Vec<User>> {
    let rows = sqlx::query(
        "SELECT id, login, display_name, email, disabled, created_at FROM users WHERE login > $1 \
         ORDER BY login LIMIT $2",
    )
    .bind(after)
    .bind(i64::from(limit))
    .fetch_all(&mut **reader)
    .await?;
    rows.iter().map(read).collect()
}

/// Finds a user by login.
///
/// # Errors
/// When the database refuses.
pub async fn by_login(db: &mut crate::core::Connection, login: &str) -> sqlx::Result<Option<User>> {
    let sql = "SELECT id, login, display_name, email, disabled, created_at FROM users WHERE login = $1";
    let row = sqlx::query(sql).bind(login).fetch_optional(db).await?;
    row.as_ref().map(read).transpose()
}

/// Whether there is any user yet.
///
/// # Errors
/// When the database refuses.
pub async fn any(reader: &mut Reader) -> sqlx::Result<bool> {
    let row = sqlx::query("SELECT EXISTS (SELECT 1 FROM users)").fetch_one(&mut **reader).await?;
    row.try_get(0)
}

/// Changes the password and ends every session of the user, and their invitation.
///
/// # Errors
/// When the database refuses.
pub async fn set_password(tx: &mut WriteTx, user: &User, password: &str, by: By<'_>) -> sqlx::Result<()> {
    sqlx::query("UPDATE users SET password = $2 WHERE id = $1")
        .bind(user.id.to_string())
        .bind(password)
        .execute(&mut **tx)
        .await?;
    super::sessions::end_all(tx, user.id).await?;
    super::invitations::end(tx, user).await?;
    record(tx, by, None, "password-changed", &format!("user:{}", user.login), &json!({})).await
}

/// Keeps a user from signing in, or lets it again. Sessions and an invitation end at once; tokens stop working.
///
/// # Errors
/// When the database refuses.
pub async fn set_disabled(tx: &mut WriteTx, user: &User, disabled: bool, by: By<'_>) -> sqlx::Result<()> {
    sqlx::query("UPDATE users SET disabled = $2 WHERE id = $1")
        .bind(user.id.to_string())
        .bind(disabled)
        .execute(&mut **tx)
        .await?;
    if disabled {
        super::sessions::end_all(tx, user.id).await?;
        super::invitations::end(tx, user).await?;
    }
    let kind = if disabled { "user-disabled" } else { "user-enabled" };
    record(tx, by, None, kind, &format!("user:{}", user.login), &json!({})).await
}

/// Reads the columns of a user from a row of any query that names them.
pub(super) fn read(row: &SqliteRow) -> sqlx::Result<User> {
    Ok(User {
        id: decode(row.try_get("id")?)?,
        login: decode(row.try_get("login")?)?,
        display_name: row.try_get("display_name")?,
        email: row.try_get("email")?,
        disabled: row.try_get("disabled")?,
        created_at: from_micros(row.try_get("created_at")?),
    })
}

/// Parses a text column; what does not parse was not written by Towpath.
pub(super) fn decode<T>(text: &str) -> sqlx::Result<T>
where
    T: std::str::FromStr<Err: std::error::Error + Send + Sync + 'static>,
{
    text.parse().map_err(|error| sqlx::Error::Decode(Box::new(error)))
}
