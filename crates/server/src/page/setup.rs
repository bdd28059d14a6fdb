//! The form behind one-time links: of the first admin, and of people who were invited.

use axum::Form;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use serde::Deserialize;
use towpath_store::people::users::User;
use towpath_store::people::{invitations, setup as first};
use towpath_ui::view::SetupView;
use towpath_ui::{page, routes};

use super::error;
use super::shell::{html, shell};
use crate::app::App;
use crate::auth::{Secret, invitation, setup, sign_in};
use crate::problem::Problem;

#[derive(Deserialize)]
pub(super) struct Chosen {
    login: String,
    password: String,
    password_again: String,
}

/// What a link is for.
enum Link {
    /// The first admin, who chooses a login too.
    FirstAdmin,
    /// Somebody whom an admin invited.
    Invitation(User),
}

/// Shows the form, if the link still works.
pub(super) async fn show(State(app): State<App>, Path(token): Path<String>) -> Response {
    match find(&app, &token).await {
        Ok(link) => form(&app, &link, token, String::new(), None),
        Err(problem) => error::show(&app, None, &problem),
    }
}

/// What the link is for, if it works.
async fn find(app: &App, token: &str) -> Result<Link, Problem> {
    let (secret, now) = (Secret::received(token).hash(), app.now());
    let mut reader = app.db.reader().await?;
    if first::valid(&mut reader, secret, now).await? {
        return Ok(Link::FirstAdmin);
    }
    let invited = invitations::find(&mut reader, secret, now).await?;
    invited.map(Link::Invitation).ok_or_else(setup::dead_link)
}

/// Makes the first admin, or gives the invited their password, and signs them in.
pub(super) async fn submit(
    State(app): State<App>,
    Path(token): Path<String>,
    Form(chosen): Form<Chosen>,
) -> Response {
    let Chosen { login, password, password_again } = chosen;
    // Looked for before any hashing: without a link nobody makes the server work.
    let link = match find(&app, &token).await {
        Ok(link) => link,
        Err(problem) => return error::show(&app, None, &problem),
    };
    if password != password_again {
        return form(&app, &link, token, login, Some("the two passwords differ".to_owned()));
    }
    let done = async {
        let user = match &link {
            Link::FirstAdmin => {
                let name = login
                    .parse()
                    .map_err(|error: towpath_model::InvalidName| Problem::invalid(error.to_string()))?;
                setup::accept(&app, &token, name, password).await?
            }
            // The login that the form sends is for password managers; the link decides.
            Link::Invitation(user) => {
                invitation::accept(&app, &token, user, password).await?;
                user.clone()
            }
        };
        sign_in::start(&app, &user).await
    };
    match done.await {
        Ok(headers) => (headers, Redirect::to(routes::OVERVIEW)).into_response(),
        Err(problem) => form(&app, &link, token, login, Some(problem.text())),
    }
}

fn form(app: &App, link: &Link, token: String, typed: String, error: Option<String>) -> Response {
    let (login, invited) = match link {
        Link::FirstAdmin => (typed, false),
        Link::Invitation(user) => (user.login.to_string(), true),
    };
    html(page::setup(&SetupView { shell: shell(app, None, None), token, login, invited, error }))
}
