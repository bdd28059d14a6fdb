//! The page for what went wrong.

use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use http::header::ACCEPT;
use towpath_ui::page;
use towpath_ui::view::ErrorView;

use super::shell::{html, shell};
use crate::app::App;
use crate::auth::Principal;
use crate::problem::Problem;

/// Shows a problem as a page.
pub(super) fn show(app: &App, principal: Option<&Principal>, problem: &Problem) -> Response {
    let view = ErrorView {
        shell: shell(app, principal, None),
        status: problem.status().as_u16(),
        detail: Some(problem.text()),
        request: None,
    };
    let mut response = html(page::error(&view));
    *response.status_mut() = problem.status();
    response
}

/// Answers for every address that does not exist: a page to browsers, a problem to programs.
pub(crate) async fn missing(State(app): State<App>, request: Request) -> Response {
    let problem = Problem::not_found(format!("there is nothing at {}", request.uri().path()));
    let browser = request
        .headers()
        .get(ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.contains("text/html"));
    if browser { show(&app, None, &problem) } else { problem.into_response() }
}
