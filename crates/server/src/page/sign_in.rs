//! Signing in and out.

use axum::Form;
use axum::extract::{Query, Request, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use http::HeaderMap;
use serde::Deserialize;
use towpath_ui::view::SignInView;
use towpath_ui::{page, routes};

use super::error;
use super::shell::{html, shell};
use crate::app::App;
use crate::auth::csrf::{CheckedForm, cross_site};
use crate::auth::principal::{by_password, cookie, peer};
use crate::auth::sign_in;
use crate::problem::Problem;

#[derive(Deserialize)]
pub(super) struct Wanted {
    next: Option<String>,
}

#[derive(Deserialize)]
struct Credentials {
    login: String,
    password: String,
    #[serde(default)]
    next: String,
}

#[derive(Deserialize)]
pub(super) struct Nothing {}

/// Shows the form.
pub(super) async fn show(State(app): State<App>, Query(wanted): Query<Wanted>) -> Response {
    form(&app, String::new(), wanted.next.unwrap_or_default(), None)
}

/// Checks login and password.
pub(super) async fn submit(State(app): State<App>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    // Another site must not sign its visitor in as somebody of its choice.
    if cross_site(&parts.headers) {
        return error::show(
            &app,
            None,
            &Problem::forbidden("this form was not filled on a page of this server"),
        );
    }
    let address = peer(&parts);
    let request = Request::from_parts(parts, body);
    let form = <Form<Credentials> as axum::extract::FromRequest<App>>::from_request(request, &app).await;
    let Form(Credentials { login, password, next }) = match form {
        Ok(form) => form,
        Err(rejection) => return error::show(&app, None, &Problem::invalid(rejection.body_text())),
    };
    let entered = async {
        let user = by_password(&app, &login, &password, address).await?;
        sign_in::start(&app, &user).await
    };
    match entered.await {
        Ok(headers) => (headers, Redirect::to(local_path(&next))).into_response(),
        Err(problem) => {
            let mut response = self::form(&app, login, next, Some(problem.text()));
            *response.status_mut() = problem.status();
            response
        }
    }
}

/// Ends the session.
pub(super) async fn out(State(app): State<App>, headers: HeaderMap, form: CheckedForm<Nothing>) -> Response {
    let session = cookie(&headers, app.cookie_name()).unwrap_or_default();
    match sign_in::end(&app, session).await {
        Ok(headers) => (headers, Redirect::to(routes::LOGIN)).into_response(),
        Err(problem) => error::show(&app, Some(&form.principal), &problem),
    }
}

fn form(app: &App, login: String, next: String, error: Option<String>) -> Response {
    html(page::sign_in(&SignInView { shell: shell(app, None, None), login, next, error }))
}

/// Only a path of this server; `//host` and `/\host` are addresses elsewhere.
fn local_path(next: &str) -> &str {
    let rest = next.strip_prefix('/');
    match rest {
        Some(rest) if !rest.starts_with(['/', '\\']) && !next.contains(char::is_control) => next,
        _ => routes::OVERVIEW,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_leads_elsewhere() {
        assert_eq!(local_path("/p/shop?x=1"), "/p/shop?x=1");
        for bad in ["", "https://evil", "//evil", "/\\evil", "javascript:x", "/\n/evil"] {
            assert_eq!(local_path(bad), "/", "{bad}");
        }
    }
}
