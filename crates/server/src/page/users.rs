//! People and their roles.

use axum::extract::{Path, State};
use axum::response::Response;
use serde::Deserialize;
use towpath_api::rest::{Invitation, NewInvitation, RoleGrant};
use towpath_store::people::{By, grants, sessions, users};
use towpath_ui::view::{Grant, InvitationView, Notice, Shell, UserRow, UsersView};
use towpath_ui::{page, routes};

use super::act;
use super::shell::{Reader, Said, html, or_error, shell};
use crate::app::App;
use crate::auth::csrf::CheckedForm;
use crate::auth::{Action, Principal, Role, invitation};
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
pub(super) async fn show(State(app): State<App>, Reader(principal): Reader, Said(said): Said) -> Response {
    let shown = said.is_some();
    let page = or_error(&app, &principal, table(&app, &principal, said, None).await);
    act::forget(&app, shown, page)
}

async fn table(
    app: &App,
    principal: &Principal,
    notice: Option<Notice>,
    invitation: Option<Invitation>,
) -> Result<Response, Problem> {
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
    let invitation = invitation.map(|Invitation { login, url, expires_at }| InvitationView {
        login,
        url,
        ends: expires_at,
    });
    let view = UsersView {
        shell: Shell { notice, ..shell(app, Some(principal), None) },
        users: rows,
        invitation,
        projects: app.git.projects().await?.into_iter().map(Into::into).collect(),
        roles: Role::ALL.map(|role| role.name().to_owned()).to_vec(),
    };
    Ok(html(page::users(&view)))
}

pub(super) fn grant(held: grants::Grant) -> Grant {
    Grant { project: held.project.map(Into::into), role: held.role.into() }
}

/// Gives a role to somebody by login.
pub(super) async fn give(State(app): State<App>, form: CheckedForm<Fields>) -> Response {
    let CheckedForm { principal, fields } = form;
    let done = async {
        let _permit = principal.may(Action::ManageUsers, None)?;
        let user = require_user(&app, &fields.login).await.map_err(|problem| {
            problem.hint("`towpath user invite LOGIN`, or the form beside this one, invites them")
        })?;
        let (actor, at) = (principal.actor(), app.now());
        let role = role(&fields)?;
        let mut tx = app.db.begin_write().await?;
        grants::give(&mut tx, &user, &role, By { actor: &actor, at }).await?;
        tx.commit().await?;
        let place = role.project.map_or_else(|| "all projects".to_owned(), |project| project.to_string());
        Ok(format!("{} is {} in {place}.", user.login, role.role))
    };
    back(&app, &principal, done.await).await
}

/// Makes a user and a link by which they choose their password, and shows it this once.
pub(super) async fn invite(State(app): State<App>, form: CheckedForm<Fields>) -> Response {
    let CheckedForm { principal, fields } = form;
    let Fields { login, project, role } = fields;
    let grant = RoleGrant { role, project: (!project.is_empty()).then_some(project) };
    let new = NewInvitation { login, display_name: String::new(), email: String::new(), roles: vec![grant] };
    match invitation::invite(&app, &principal, new).await {
        Ok(made) => or_error(&app, &principal, table(&app, &principal, None, Some(made)).await),
        Err(problem) => back(&app, &principal, Err(problem)).await,
    }
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
        tx.commit().await?;
        Ok(match verb.as_str() {
            "grant" => format!("{login} has the role now."),
            "revoke" => format!("{login} has lost the role."),
            "disable" => format!("{login} may not sign in any more; their sessions and tokens are refused."),
            _ => format!("{login} may sign in again."),
        })
    };
    back(&app, &principal, done.await).await
}

fn role(fields: &Fields) -> Result<grants::Grant, Problem> {
    let project = (!fields.project.is_empty()).then(|| fields.project.clone());
    parse_grant(RoleGrant { role: fields.role.clone(), project })
}

/// Shows the users again, with what was done or why it was not.
async fn back(app: &App, principal: &Principal, done: Result<String, Problem>) -> Response {
    match done {
        Ok(said) => act::done(app, routes::USERS, &said),
        Err(problem) => {
            let page = table(app, principal, act::not_done(problem.text()), None).await;
            act::with_status(app, principal, problem.status(), page)
        }
    }
}
