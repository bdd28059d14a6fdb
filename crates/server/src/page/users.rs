//! People and their roles.

use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use serde::Deserialize;
use towpath_api::rest::RoleGrant;
use towpath_model::{InvalidName, Login, UserId};
use towpath_store::people::{By, grants, sessions, users};
use towpath_ui::view::{Grant, UserRow, UsersView};
use towpath_ui::{page, routes};
use uuid::Uuid;

use super::error;
use super::shell::{Reader, html, or_error, shell};
use crate::app::App;
use crate::auth::csrf::CheckedForm;
use crate::auth::{Action, Principal, Role};
use crate::problem::Problem;
use crate::rest::{parse_grant, require_user};

/// The most users on one page.
const LENGTH: u32 = 200;

#[derive(Deserialize)]
pub(super) struct Fields {
    #[serde(default)]
    login: String,
    #[serde(default)]
    project: String,
    #[serde(default)]
    role: String,
}

/// Shows all users.
pub(super) async fn show(State(app): State<App>, Reader(principal): Reader) -> Response {
    or_error(&app, &principal, table(&app, &principal).await)
}

async fn table(app: &App, principal: &Principal) -> Result<Response, Problem> {
    let _permit = principal.may(Action::ManageUsers, None)?;
    let mut reader = app.db.reader().await?;
    let mut rows = Vec::new();
    for user in users::list(&mut reader, "", LENGTH).await? {
        let held = grants::of_user(&mut reader, user.id).await?;
        let seen = sessions::last_seen(&mut reader, user.id).await?;
        rows.push(UserRow {
            login: user.login.into(),
            active: !user.disabled,
            grants: held.into_iter().map(grant).collect(),
            created: user.created_at,
            seen,
        });
    }
    drop(reader);
    let view = UsersView {
        shell: shell(app, Some(principal), None),
        users: rows,
        projects: app.git.projects().await?.into_iter().map(Into::into).collect(),
        roles: Role::ALL.map(|role| role.name().to_owned()).to_vec(),
    };
    Ok(html(page::users(&view)))
}

pub(super) fn grant(held: grants::Grant) -> Grant {
    Grant { project: held.project.map(Into::into), role: held.role.into() }
}

/// Makes a user without a password; an admin sets the first one with `towpath user password`.
pub(super) async fn create(State(app): State<App>, form: CheckedForm<Fields>) -> Response {
    let CheckedForm { principal, fields } = form;
    let done = async {
        let _permit = principal.may(Action::ManageUsers, None)?;
        let login: Login =
            fields.login.parse().map_err(|error: InvalidName| Problem::invalid(error.to_string()))?;
        let (actor, at) = (principal.actor(), app.now());
        let by = By { actor: &actor, at };
        let user = users::NewUser {
            id: UserId(Uuid::now_v7()),
            display_name: login.to_string(),
            login,
            email: String::new(),
            password: None,
        };
        let mut tx = app.db.begin_write().await?;
        let user = users::create(&mut tx, user, by).await.map_err(|error| match error {
            users::CreateUserError::LoginTaken(_) => Problem::conflict(error.to_string()),
            users::CreateUserError::Store(error) => error.into(),
        })?;
        if !fields.role.is_empty() {
            grants::give(&mut tx, &user, &role(&fields)?, by).await?;
        }
        tx.commit().await.map_err(Problem::from)
    };
    back(&app, &principal, done.await)
}

/// Gives or takes a role, disables or enables.
pub(super) async fn change(
    State(app): State<App>,
    Path((login, verb)): Path<(String, String)>,
    form: CheckedForm<Fields>,
) -> Response {
    let CheckedForm { principal, fields } = form;
    let done = async {
        let _permit = principal.may(Action::ManageUsers, None)?;
        let user = require_user(&app, &login).await?;
        let (actor, at) = (principal.actor(), app.now());
        let by = By { actor: &actor, at };
        let mut tx = app.db.begin_write().await?;
        match verb.as_str() {
            "grant" => grants::give(&mut tx, &user, &role(&fields)?, by).await?,
            "revoke" => drop(grants::take(&mut tx, &user, &role(&fields)?, by).await?),
            "disable" if user.id == principal.user.id => {
                return Err(Problem::conflict("you cannot disable yourself").hint("ask another admin"));
            }
            "disable" => users::set_disabled(&mut tx, &user, true, by).await?,
            "enable" => users::set_disabled(&mut tx, &user, false, by).await?,
            _ => return Err(Problem::not_found(format!("a user cannot be asked to `{verb}`"))),
        }
        tx.commit().await.map_err(Problem::from)
    };
    back(&app, &principal, done.await)
}

fn role(fields: &Fields) -> Result<grants::Grant, Problem> {
    let project = (!fields.project.is_empty()).then(|| fields.project.clone());
    parse_grant(RoleGrant { role: fields.role.clone(), project })
}

fn back(app: &App, principal: &Principal, done: Result<(), Problem>) -> Response {
    match done {
        Ok(()) => Redirect::to(routes::USERS).into_response(),
        Err(problem) => error::show(app, Some(principal), &problem),
    }
}
