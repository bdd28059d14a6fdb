//! One-time links by which people choose the password of a user that an admin made for them.

use towpath_api::rest::{Invitation, NewInvitation};
use towpath_model::{Login, UserId};
use towpath_store::people::users::{NewUser, User};
use towpath_store::people::{By, grants, invitations, users};
use towpath_ui::routes;
use uuid::Uuid;

use super::secret::Secret;
use super::{Action, Principal, password};
use crate::app::App;
use crate::problem::Problem;
use crate::rest::parse_grant;

/// Makes a link for somebody, for an admin; an older one of theirs dies.
///
/// # Errors
/// When the caller is no admin, or somebody signs in by that login already or is kept from it.
pub async fn invite(app: &App, principal: &Principal, new: NewInvitation) -> Result<Invitation, Problem> {
    let _permit = principal.may(Action::ManageUsers, None)?;
    let NewInvitation { login, display_name, email, roles } = new;
    let login: Login =
        login.parse().map_err(|error: towpath_model::InvalidName| Problem::invalid(error.to_string()))?;
    let roles = roles.into_iter().map(parse_grant).collect::<Result<Vec<_>, _>>()?;
    let (actor, at) = (principal.actor(), app.now());
    let by = By { actor: &actor, at };
    let secret = Secret::draw("");
    let mut tx = app.db.begin_write().await?;
    let user = match users::with_password(&mut tx, login.as_str()).await? {
        Some((user, password)) => {
            check(&user, password.is_some())?;
            user
        }
        None => {
            let id = UserId(Uuid::now_v7());
            let display_name = if display_name.is_empty() { login.to_string() } else { display_name };
            let new = NewUser { id, login, display_name, email, password: None };
            users::create(&mut tx, new, by).await.map_err(|error| Problem::internal(&error))?
        }
    };
    for grant in &roles {
        grants::give(&mut tx, &user, grant, by).await?;
    }
    let expires_at = invitations::replace(&mut tx, &user, secret.hash(), by).await?;
    tx.commit().await?;
    let url = app.public_url.join(&routes::setup(secret.reveal()));
    let url = url.map_err(|error| Problem::internal(&error))?.to_string();
    Ok(Invitation { login: user.login.into(), url, expires_at })
}

/// A link that came into wrong hands must not take over somebody who is here already.
fn check(user: &User, has_password: bool) -> Result<(), Problem> {
    let login = &user.login;
    if user.disabled {
        return Err(Problem::conflict(format!("`{login}` is kept from signing in"))
            .hint(format!("`towpath user enable {login}` lets them again")));
    }
    if has_password {
        return Err(Problem::conflict(format!("`{login}` has a password already")).hint(format!(
            "`towpath user grant {login} ROLE` gives a role; `towpath user password {login}` sets another password"
        )));
    }
    Ok(())
}

/// Uses the link up and gives the user that it is for the chosen password.
///
/// # Errors
/// When the link does not work any more, or the password will not do: then the link stays.
pub async fn accept(app: &App, link: &str, user: &User, chosen: String) -> Result<(), Problem> {
    let password = password::hash(chosen).await.map_err(|error| Problem::invalid(error.to_string()))?;
    let at = app.now();
    let actor = format!("user:{}", user.login);
    let mut tx = app.db.begin_write().await?;
    if !invitations::consume(&mut tx, user, Secret::received(link).hash(), at).await? {
        return Err(super::setup::dead_link());
    }
    users::set_password(&mut tx, user, &password, By { actor: &actor, at }).await?;
    Ok(tx.commit().await?)
}
