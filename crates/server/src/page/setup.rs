//! The form behind the one-time link.

use axum::Form;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use serde::Deserialize;
use towpath_store::people::setup as store;
use towpath_ui::view::SetupView;
use towpath_ui::{page, routes};

use super::error;
use super::shell::{html, shell};
use crate::app::App;
use crate::auth::{Secret, setup, sign_in};
use crate::problem::Problem;

#[derive(Deserialize)]
pub(super) struct Chosen {
    login: String,
    password: String,
    password_again: String,
}

/// Shows the form, if the link still works.
pub(super) async fn show(State(app): State<App>, Path(token): Path<String>) -> Response {
    match valid(&app, &token).await {
        Ok(true) => form(&app, token, String::new(), None),
        Ok(false) => error::show(&app, None, &setup::dead_link()),
        Err(problem) => error::show(&app, None, &problem),
    }
}

async fn valid(app: &App, token: &str) -> Result<bool, Problem> {
    let mut reader = app.db.reader().await?;
    Ok(store::valid(&mut reader, Secret::received(token).hash(), app.now()).await?)
}

/// Makes the first admin and signs them in.
pub(super) async fn submit(
    State(app): State<App>,
    Path(token): Path<String>,
    Form(chosen): Form<Chosen>,
) -> Response {
    let Chosen { login, password, password_again } = chosen;
    // Checked before any hashing: without the link nobody makes the server work.
    match valid(&app, &token).await {
        Ok(true) => {}
        Ok(false) => return error::show(&app, None, &setup::dead_link()),
        Err(problem) => return error::show(&app, None, &problem),
    }
    if password != password_again {
        return form(&app, token, login, Some("the two passwords differ".to_owned()));
    }
    let name = match login.parse() {
        Ok(name) => name,
        Err(error) => {
            let error: towpath_model::InvalidName = error;
            return form(&app, token, login, Some(error.to_string()));
        }
    };
    let done = async {
        let user = setup::accept(&app, &token, name, password).await?;
        sign_in::start(&app, &user).await
    };
    match done.await {
        Ok(headers) => (headers, Redirect::to(routes::OVERVIEW)).into_response(),
        Err(problem) => form(&app, token, login, Some(problem.text())),
    }
}

fn form(app: &App, token: String, login: String, error: Option<String>) -> Response {
    html(page::setup(&SetupView { shell: shell(app, None, None), token, login, invited: false, error }))
}
