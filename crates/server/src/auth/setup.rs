//! The first admin, made through a one-time link that the first start prints.

use towpath_model::{Login, UserId};
use towpath_store::Db;
use towpath_store::people::grants::Grant;
use towpath_store::people::users::{CreateUserError, NewUser, User};
use towpath_store::people::{By, grants, setup, users};
use uuid::Uuid;

use super::password;
use super::secret::Secret;
use crate::app::App;
use crate::problem::Problem;

/// Draws a new link if there is no user yet; links of earlier starts die.
///
/// # Errors
/// When the database refuses.
pub async fn offer(db: &Db, now: jiff::Timestamp) -> Result<Option<Secret>, towpath_store::StoreError> {
    if users::any(&mut db.reader().await?).await? {
        return Ok(None);
    }
    let secret = Secret::draw("");
    let mut tx = db.begin_write().await?;
    setup::replace(&mut tx, secret.hash(), now).await?;
    tx.commit().await?;
    Ok(Some(secret))
}

/// Uses the link up and makes the first admin.
///
/// # Errors
/// When the link does not work (any more), or the password will not do: then the link stays.
pub async fn accept(app: &App, link: &str, login: Login, chosen: String) -> Result<User, Problem> {
    let password = password::hash(chosen).await.map_err(|error| Problem::invalid(error.to_string()))?;
    let now = app.now();
    let actor = format!("user:{login}");
    let by = By { actor: &actor, at: now };
    let mut tx = app.db.begin_write().await?;
    if !setup::consume(&mut tx, Secret::received(link).hash(), now).await? {
        return Err(dead_link());
    }
    let user = NewUser {
        id: UserId(Uuid::now_v7()),
        display_name: login.to_string(),
        login,
        email: String::new(),
        password: Some(password),
    };
    let user = users::create(&mut tx, user, by).await.map_err(|error| match error {
        CreateUserError::LoginTaken(_) => Problem::conflict(error.to_string()),
        CreateUserError::Store(error) => error.into(),
    })?;
    let admin = Grant { project: None, role: "admin".parse().expect("`admin` is a name") };
    grants::give(&mut tx, &user, &admin, by).await?;
    tx.commit().await?;
    Ok(user)
}

/// What a link that does not work (any more) answers.
#[must_use]
pub fn dead_link() -> Problem {
    Problem::not_found("this link was used, has expired, or never was one")
        .hint("ask an admin for another; while there is no user at all, each start of the server prints one")
}
