//! What pages and forms have in common once they reach the engine: who acts, what is refused, what is said after it.

use axum::response::{IntoResponse as _, Redirect, Response};
use http::header::{COOKIE, SET_COOKIE};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Deserialize;
use towpath_engine::{EngineError, Person};
use towpath_model::{EnvironmentKey, ProjectName};
use towpath_ui::view::{Notice, Tone};

use super::error;
use super::shell::notice;
use crate::app::App;
use crate::auth::principal::cookie;
use crate::auth::{Action, Principal};
use crate::problem::Problem;

/// The cookie that carries a word from a form to the next page.
const SAID: &str = "towpath-said";

/// What every dialog sends.
#[derive(Debug, Deserialize)]
pub(super) struct Comment {
    #[serde(default)]
    pub(super) comment: String,
}

/// Somebody as the engine knows them, with their roles in one Project.
pub(super) fn person(principal: &Principal, project: &ProjectName) -> Person {
    let here = principal.grants.iter().filter(|grant| grant.covers(Some(project)));
    Person {
        id: principal.user.id,
        login: principal.user.login.to_string(),
        roles: here.map(|grant| grant.role.to_string()).collect(),
    }
}

/// Why somebody may not, as a disabled button says it.
pub(super) fn refused(principal: &Principal, action: Action, project: &ProjectName) -> Option<String> {
    principal.may(action, Some(project)).err().map(|problem| problem.text())
}

/// The Project of a page, which has to be visible.
pub(super) fn project(principal: &Principal, name: &str) -> Result<ProjectName, Problem> {
    let missing = || Problem::not_found(format!("there is no project `{name}` that you can see"));
    let project: ProjectName = name.parse().map_err(|_| missing())?;
    let _permit = principal.may(Action::View, Some(&project))?;
    Ok(project)
}

/// The Environment of a page, whose Project has to be visible.
pub(super) fn environment(
    principal: &Principal,
    project_name: &str,
    name: &str,
) -> Result<EnvironmentKey, Problem> {
    let project = project(principal, project_name)?;
    let missing = |_| Problem::not_found(format!("there is no environment `{name}` in {project}"));
    let environment = name.parse().map_err(missing)?;
    Ok(EnvironmentKey { project, environment })
}

/// Goes on to a page, which says once what was done.
pub(super) fn done(app: &App, page: &str, said: &str) -> Response {
    let text: String = url::form_urlencoded::byte_serialize(said.as_bytes()).collect();
    let mut response = Redirect::to(page).into_response();
    set(app, response.headers_mut(), &text, 60);
    response
}

fn set(app: &App, headers: &mut HeaderMap, value: &str, seconds: u32) {
    let secure = if app.tls { "; Secure" } else { "" };
    let header = format!("{SAID}={value}; Path=/; HttpOnly; SameSite=Strict; Max-Age={seconds}{secure}");
    if let Ok(header) = HeaderValue::from_str(&header) {
        headers.append(SET_COOKIE, header);
    }
}

/// What a form has said, for the next page that a person opens.
pub(super) fn said(headers: &HeaderMap) -> Option<Notice> {
    if headers.contains_key("x-towpath-live") || !headers.contains_key(COOKIE) {
        return None;
    }
    let text = cookie(headers, SAID).filter(|text| !text.is_empty())?;
    let pair = format!("said={text}");
    let (_, text) = url::form_urlencoded::parse(pair.as_bytes()).next()?;
    notice(Tone::Good, text.into_owned())
}

/// Forgets what a form has said, once a page shows it.
pub(super) fn forget(app: &App, shown: bool, mut response: Response) -> Response {
    if shown {
        set(app, response.headers_mut(), "", 0);
    }
    response
}

/// Why a form changed nothing: the page it belongs to says so where it is about the state of things, else an error page.
pub(super) enum Refusal {
    /// Shown on the page itself.
    OnPage(String),
    /// Shown instead of it.
    Instead(Problem),
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self::Instead(problem)
    }
}

impl From<EngineError> for Refusal {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Refused { reason } => Self::OnPage(reason),
            other => Self::Instead(other.into()),
        }
    }
}

/// The notice of a refusal.
pub(super) fn not_done(reason: String) -> Option<Notice> {
    notice(Tone::Bad, format!("Nothing was changed: {reason}"))
}

/// Gives a page that says a refusal the status that goes with it.
pub(super) fn conflict(app: &App, principal: &Principal, page: Result<Response, Problem>) -> Response {
    with_status(app, principal, StatusCode::CONFLICT, page)
}

/// Gives a page that says why nothing was done the status of the reason.
pub(super) fn with_status(
    app: &App,
    principal: &Principal,
    status: StatusCode,
    page: Result<Response, Problem>,
) -> Response {
    match page {
        Ok(mut response) => {
            *response.status_mut() = status;
            response
        }
        Err(problem) => error::show(app, Some(principal), &problem),
    }
}
