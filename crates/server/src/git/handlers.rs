//! The addresses that git calls.

use std::sync::atomic::Ordering;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Query, Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use http::StatusCode;
use http::header::{CONTENT_TYPE, WWW_AUTHENTICATE};
use serde::Deserialize;
use towpath_model::ProjectName;

use super::fetch::{self, Service};
use super::host::GitError;
use super::push;
use crate::app::App;
use crate::auth::{Action, Principal};
use crate::problem::Problem;

/// The routes under `/git`.
pub fn router() -> Router<App> {
    Router::new()
        .route("/git/{repository}/info/refs", get(info_refs))
        .route("/git/{repository}/{service}", post(rpc))
}

#[derive(Deserialize)]
struct Wanted {
    service: Option<String>,
}

async fn info_refs(
    State(app): State<App>,
    Path(repository): Path<String>,
    Query(wanted): Query<Wanted>,
    request: Request,
) -> Response {
    let service = wanted.service.as_deref().and_then(Service::named);
    let Some(service) = service else {
        return plain(Problem::forbidden("only git's smart HTTP protocol is spoken here"));
    };
    let result = async {
        let (mut parts, _) = request.into_parts();
        let (project, _) = admit(&app, &mut parts, &repository, service).await?;
        fetch::advertise(&app.git, &project, service, &parts.headers).await
    };
    result.await.unwrap_or_else(plain)
}

async fn rpc(
    State(app): State<App>,
    Path((repository, service)): Path<(String, String)>,
    request: Request,
) -> Response {
    let Some(service) = Service::named(&service) else {
        return plain(Problem::not_found("git asks for git-upload-pack or git-receive-pack"));
    };
    let result = async {
        let (mut parts, body): (_, Body) = request.into_parts();
        let (project, principal) = admit(&app, &mut parts, &repository, service).await?;
        match service {
            Service::UploadPack => {
                app.metrics.fetches.fetch_add(1, Ordering::Relaxed);
                fetch::upload_pack(&app.git, &project, &parts.headers, body).await
            }
            Service::ReceivePack => {
                app.metrics.pushes.fetch_add(1, Ordering::Relaxed);
                push::receive_pack(&app.git, &project, principal.as_actor(), &parts.headers, body).await
            }
        }
    };
    result.await.unwrap_or_else(plain)
}

async fn admit(
    app: &App,
    parts: &mut http::request::Parts,
    repository: &str,
    service: Service,
) -> Result<(ProjectName, Principal), Problem> {
    // The page's cookie opens no repository: only what git itself sends counts here.
    parts.headers.remove(http::header::COOKIE);
    let principal = Principal::authenticate(parts, app).await?;
    let name = repository.strip_suffix(".git").unwrap_or(repository);
    let missing = || {
        Problem::not_found(format!("there is no project `{name}` that you can see"))
            .hint("`towpath project list` shows yours, `towpath project create` makes one")
    };
    let project: ProjectName = name.parse().map_err(|_| missing())?;
    let action = match service {
        Service::UploadPack => Action::View,
        Service::ReceivePack => Action::Push,
    };
    let _permit = principal.may(action, Some(&project))?;
    if !app.git.exists(&project) {
        return Err(missing());
    }
    if let (Service::ReceivePack, Some(watched)) = (service, app.engine.source(&project).await?) {
        let url = watched.source.url;
        return Err(Problem::forbidden(format!(
            "{project} mirrors {url}; push there, and Towpath fetches it"
        )));
    }
    Ok((project, principal))
}

/// Git shows the body of an error only if it is plain text.
fn plain(problem: Problem) -> Response {
    let status = problem.status();
    let mut response =
        (status, [(CONTENT_TYPE, "text/plain; charset=utf-8")], format!("towpath: {}\n", problem.text()))
            .into_response();
    if status == StatusCode::UNAUTHORIZED {
        let realm = http::HeaderValue::from_static("Basic realm=\"towpath\"");
        response.headers_mut().insert(WWW_AUTHENTICATE, realm);
    }
    response
}

impl From<GitError> for Problem {
    fn from(error: GitError) -> Self {
        match &error {
            GitError::Exists(_) => Self::conflict(error.to_string()),
            GitError::Start(_) => Self::unavailable(error.to_string()),
            GitError::Failed { .. } | GitError::TimedOut { .. } | GitError::Io { .. } => {
                Self::internal(&error)
            }
        }
    }
}
