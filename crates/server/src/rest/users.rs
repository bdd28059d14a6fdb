//! Users and their roles.

use axum::Json;
use axum::extract::{Path, Query, State};
use http::StatusCode;
use towpath_api::rest::{NewUser, Page, RoleGrant, User, UserChange};
use towpath_model::{Login, UserId};
use towpath_store::people::By;
use towpath_store::people::grants::{self, Grant};
use towpath_store::people::users::{self, CreateUserError};
use uuid::Uuid;

use super::page_of::Paging;
use crate::app::App;
use crate::auth::{Action, Principal, password};
use crate::problem::Problem;

/// Converts to the wire.
pub(super) fn wire(user: users::User, grants: Vec<Grant>) -> User {
    let users::User { id: _, login, display_name, email, disabled, created_at } = user;
    let roles = grants.into_iter().map(wire_grant).collect();
    User { login: login.into(), display_name, email, disabled, created_at, roles }
}

fn wire_grant(Grant { project, role }: Grant) -> RoleGrant {
    RoleGrant { role: role.into(), project: project.map(Into::into) }
}

/// Reads a grant from the wire.
pub(crate) fn parse_grant(RoleGrant { role, project }: RoleGrant) -> Result<Grant, Problem> {
    let role =
        role.parse().map_err(|error: towpath_model::InvalidName| Problem::invalid(error.to_string()))?;
    let project = project.map(|project| project.parse()).transpose();
    let project = project.map_err(|error: towpath_model::InvalidName| Problem::invalid(error.to_string()))?;
    Ok(Grant { project, role })
}

/// Finds a user by login.
pub(crate) async fn require(app: &App, login: &str) -> Result<users::User, Problem> {
    let found = users::with_password(&mut *app.db.reader().await?, login).await?;
    found.map(|(user, _)| user).ok_or_else(|| Problem::not_found(format!("there is no user `{login}`")))
}

async fn load(app: &App, login: &str) -> Result<User, Problem> {
    let user = require(app, login).await?;
    let grants = grants::of_user(&mut *app.db.reader().await?, user.id).await?;
    Ok(wire(user, grants))
}

/// Lists users.
#[utoipa::path(get, path = "/api/v1/users", params(Paging), responses((status = 200, body = Page<User>)))]
pub(super) async fn list(
    State(app): State<App>,
    principal: Principal,
    Query(paging): Query<Paging>,
) -> Result<Json<Page<User>>, Problem> {
    let _permit = principal.may(Action::ManageUsers, None)?;
    let mut reader = app.db.reader().await?;
    let mut items = Vec::new();
    for user in users::list(&mut reader, paging.cursor(), paging.limit() + 1).await? {
        let grants = grants::of_user(&mut reader, user.id).await?;
        items.push(wire(user, grants));
    }
    Ok(Json(paging.page(items, |user| user.login.clone())))
}

/// Shows a user.
#[utoipa::path(get, path = "/api/v1/users/{login}", responses((status = 200, body = User)))]
pub(super) async fn show(
    State(app): State<App>,
    principal: Principal,
    Path(login): Path<String>,
) -> Result<Json<User>, Problem> {
    if principal.user.login.as_str() != login {
        let _permit = principal.may(Action::ManageUsers, None)?;
    }
    load(&app, &login).await.map(Json)
}

/// Makes a user.
#[utoipa::path(post, path = "/api/v1/users", request_body = NewUser, responses((status = 201, body = User)))]
pub(super) async fn create(
    State(app): State<App>,
    principal: Principal,
    Json(new): Json<NewUser>,
) -> Result<(StatusCode, Json<User>), Problem> {
    let _permit = principal.may(Action::ManageUsers, None)?;
    let NewUser { login, display_name, email, password, roles } = new;
    let login: Login =
        login.parse().map_err(|error: towpath_model::InvalidName| Problem::invalid(error.to_string()))?;
    let roles = roles.into_iter().map(parse_grant).collect::<Result<Vec<_>, _>>()?;
    let password = match password {
        Some(password) => Some(hash(password).await?),
        None => None,
    };
    let display_name = if display_name.is_empty() { login.to_string() } else { display_name };
    let (actor, at) = (principal.actor(), app.now());
    let by = By { actor: &actor, at };
    let mut tx = app.db.begin_write().await?;
    let id = UserId(Uuid::now_v7());
    let user = users::NewUser { id, login: login.clone(), display_name, email, password };
    let user = users::create(&mut tx, user, by).await.map_err(|error| match error {
        CreateUserError::LoginTaken(_) => Problem::conflict(error.to_string()),
        CreateUserError::Store(error) => error.into(),
    })?;
    for grant in &roles {
        grants::give(&mut tx, &user, grant, by).await?;
    }
    tx.commit().await?;
    Ok((StatusCode::CREATED, Json(load(&app, login.as_str()).await?)))
}

/// Changes a user.
#[utoipa::path(patch, path = "/api/v1/users/{login}", request_body = UserChange, responses((status = 200, body = User)))]
pub(super) async fn change(
    State(app): State<App>,
    principal: Principal,
    Path(login): Path<String>,
    Json(change): Json<UserChange>,
) -> Result<Json<User>, Problem> {
    let _permit = principal.may(Action::ManageUsers, None)?;
    let user = require(&app, &login).await?;
    let UserChange { disabled, password, give, take } = change;
    if disabled == Some(true) && user.id == principal.user.id {
        return Err(Problem::conflict("you cannot disable yourself").hint("ask another admin"));
    }
    let give = give.into_iter().map(parse_grant).collect::<Result<Vec<_>, _>>()?;
    let take = take.into_iter().map(parse_grant).collect::<Result<Vec<_>, _>>()?;
    let password = match password {
        Some(password) => Some(hash(password).await?),
        None => None,
    };
    let (actor, at) = (principal.actor(), app.now());
    let by = By { actor: &actor, at };
    let mut tx = app.db.begin_write().await?;
    if let Some(disabled) = disabled {
        users::set_disabled(&mut tx, &user, disabled, by).await?;
    }
    if let Some(password) = password {
        users::set_password(&mut tx, &user, &password, by).await?;
    }
    for grant in &give {
        grants::give(&mut tx, &user, grant, by).await?;
    }
    for grant in &take {
        if !grants::take(&mut tx, &user, grant, by).await? {
            return Err(Problem::conflict(format!(
                "`{login}` does not have the role `{}` there",
                grant.role
            )));
        }
    }
    tx.commit().await?;
    load(&app, &login).await.map(Json)
}

async fn hash(chosen: String) -> Result<String, Problem> {
    password::hash(chosen).await.map_err(|error| Problem::invalid(error.to_string()))
}
