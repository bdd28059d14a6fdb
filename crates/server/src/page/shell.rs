//! The frame of every page, and who may see it.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::response::{IntoResponse as _, Redirect, Response};
use http::StatusCode;
use http::request::Parts;
use towpath_model::ProjectName;
use towpath_ui::Markup;
use towpath_ui::routes;
use towpath_ui::view::{Notice, Shell, Tone, Viewer};

use super::{act, approvals, error, policy};
use crate::app::App;
use crate::auth::{Action, Principal, Proof};
use crate::problem::Problem;

/// Somebody who looks at a page; whoever is not signed in is sent to do that.
pub(super) struct Reader(pub(super) Principal);

impl FromRequestParts<App> for Reader {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Response> {
        match Principal::authenticate(parts, app).await {
            Ok(principal) => Ok(Self(principal)),
            Err(problem) if problem.status() == StatusCode::UNAUTHORIZED => {
                let next = parts.uri.path_and_query().map_or("/", |path| path.as_str());
                let next: String = url::form_urlencoded::byte_serialize(next.as_bytes()).collect();
                Err(Redirect::to(&format!("{}?next={next}", routes::LOGIN)).into_response())
            }
            Err(problem) => Err(error::show(app, None, &problem)),
        }
    }
}

/// What a form has just said, for the page that follows it.
pub(super) struct Said(pub(super) Option<Notice>);

impl FromRequestParts<App> for Said {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Infallible> {
        Ok(Self(act::said(&parts.headers)))
    }
}

/// The frame for `principal`, with news from `live`.
pub(super) fn shell(app: &App, principal: Option<&Principal>, live: Option<String>) -> Shell {
    let csrf = principal.and_then(|principal| match &principal.proof {
        Proof::Session { csrf } => Some(csrf.clone()),
        Proof::Token { .. } | Proof::Password | Proof::Local => None,
    });
    let viewer = |principal: &Principal| Viewer {
        login: principal.user.login.to_string(),
        admin: principal.may(Action::ManageUsers, None).is_ok(),
    };
    Shell {
        user: principal.map(viewer),
        csrf: csrf.unwrap_or_default(),
        now: app.now(),
        instance: app.public_url.host_str().unwrap_or("towpath").to_owned(),
        approvals_waiting: 0,
        live,
        notice: None,
    }
}

/// The frame of a page about the work: with how much waits for this person, and what a form has just said.
pub(super) async fn frame(
    app: &App,
    principal: &Principal,
    live: Option<String>,
    notice: Option<Notice>,
) -> Result<Shell, Problem> {
    let waiting =
        approvals::pending(app, principal).await?.len() + policy::pending(app, principal).await?.len();
    let approvals_waiting = u32::try_from(waiting).unwrap_or(u32::MAX);
    Ok(Shell { approvals_waiting, notice, ..shell(app, Some(principal), live) })
}

/// The stream that says when a page about a Project, or about all, has to look again.
pub(super) fn live(project: Option<&ProjectName>) -> Option<String> {
    let narrowed = project.map(|project| format!("&project={project}")).unwrap_or_default();
    Some(format!("/api/v1/events?changes=true{narrowed}"))
}

/// Says how a form went, at the top of the page.
pub(super) fn notice(tone: Tone, text: impl Into<String>) -> Option<Notice> {
    Some(Notice { tone, text: text.into() })
}

/// Makes an answer of a page. Pages are about one person at one moment; nobody stores them.
pub(super) fn html(markup: Markup) -> Response {
    let headers =
        [(http::header::CONTENT_TYPE, "text/html; charset=utf-8"), (http::header::CACHE_CONTROL, "no-store")];
    (headers, markup.into_string()).into_response()
}

/// Shows the page, or why there is none.
pub(super) fn or_error(app: &App, principal: &Principal, result: Result<Response, Problem>) -> Response {
    result.unwrap_or_else(|problem| error::show(app, Some(principal), &problem))
}
