//! Runs and their logs.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use http::header::CONTENT_TYPE;
use serde::Deserialize;
use serde_json::Value;
use towpath_api::rest::{Comment, NewRun, Page};
use towpath_model::ProjectName;

use super::page_of::Paging;
use super::places::{JobAt, RunAt};
use super::value;
use crate::app::App;
use crate::auth::{Action, Principal};
use crate::problem::Problem;

/// The most bytes of a log in one answer.
const MAX_LOG: usize = 1 << 20;

/// Lists Runs, newest first.
#[utoipa::path(get, path = "/api/v1/projects/{project}/runs", params(Paging), responses((status = 200, body = Page<Value>)))]
pub(super) async fn list(
    State(app): State<App>,
    principal: Principal,
    Path(project): Path<ProjectName>,
    Query(paging): Query<Paging>,
) -> Result<Json<Page<Value>>, Problem> {
    let _permit = principal.may(Action::View, Some(&project))?;
    let below = paging.cursor().parse().ok();
    let runs = app.engine.runs(Some(&project), below, paging.limit() + 1).await?;
    let page = paging.page(runs, |run| run.number.to_string());
    let items = page.items.iter().map(value).collect::<Result<_, _>>()?;
    Ok(Json(Page { items, next: page.next }))
}

/// Shows a Run with its Jobs and their Attempts.
#[utoipa::path(get, path = "/api/v1/projects/{project}/runs/{number}", params(RunAt), responses((status = 200, body = Value)))]
pub(super) async fn show(
    State(app): State<App>,
    principal: Principal,
    Path(RunAt { project, number }): Path<RunAt>,
) -> Result<Json<Value>, Problem> {
    let _permit = principal.may(Action::View, Some(&project))?;
    value(&app.engine.find_run(&project, number).await?).map(Json)
}

/// Starts a Run by hand.
#[utoipa::path(post, path = "/api/v1/projects/{project}/runs", request_body = NewRun, responses((status = 201, body = Value)))]
pub(super) async fn start(
    State(app): State<App>,
    principal: Principal,
    Path(project): Path<ProjectName>,
    Json(new): Json<NewRun>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let _permit = principal.may(Action::ControlRun, Some(&project))?;
    let run = app.engine.start_run(&project, &new.reference, &principal.person(Some(&project))).await?;
    Ok((StatusCode::CREATED, Json(value(&run)?)))
}

/// Cancels a Run.
#[utoipa::path(post, path = "/api/v1/projects/{project}/runs/{number}/cancel", params(RunAt), request_body = Comment, responses((status = 200, body = Value)))]
pub(super) async fn cancel(
    State(app): State<App>,
    principal: Principal,
    Path(RunAt { project, number }): Path<RunAt>,
    Json(why): Json<Comment>,
) -> Result<Json<Value>, Problem> {
    let _permit = principal.may(Action::ControlRun, Some(&project))?;
    let person = principal.person(Some(&project));
    value(&app.engine.cancel_run(&project, number, &why.comment, &person).await?).map(Json)
}

/// Runs the same commit again.
#[utoipa::path(post, path = "/api/v1/projects/{project}/runs/{number}/rerun", params(RunAt), responses((status = 201, body = Value)))]
pub(super) async fn rerun(
    State(app): State<App>,
    principal: Principal,
    Path(RunAt { project, number }): Path<RunAt>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let _permit = principal.may(Action::ControlRun, Some(&project))?;
    let run = app.engine.rerun(&project, number, &principal.person(Some(&project))).await?;
    Ok((StatusCode::CREATED, Json(value(&run)?)))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
pub(super) struct Piece {
    /// Which Attempt, by number; the newest if absent.
    attempt: Option<u32>,
    /// Where to begin, in bytes.
    offset: Option<u64>,
}

/// Sends a part of a Job's log. `x-towpath-next` is where the next part begins, `x-towpath-open` says whether
/// more may come.
#[utoipa::path(get, path = "/api/v1/projects/{project}/runs/{number}/jobs/{job}/log", params(JobAt, Piece), responses((status = 200, body = String)))]
pub(super) async fn log(
    State(app): State<App>,
    principal: Principal,
    Path(JobAt { project, number, job }): Path<JobAt>,
    Query(piece): Query<Piece>,
) -> Result<Response, Problem> {
    let _permit = principal.may(Action::View, Some(&project))?;
    let run = app.engine.find_run(&project, number).await?;
    let found = run.jobs.iter().find(|found| found.name.as_str() == job);
    let found = found.ok_or_else(|| Problem::not_found(format!("run {number} has no job `{job}`")))?;
    let attempt = match piece.attempt {
        Some(wanted) => found.attempts.iter().find(|attempt| attempt.number == wanted),
        None => found.attempts.last(),
    };
    let attempt =
        attempt.ok_or_else(|| Problem::not_found(format!("job `{job}` has no such attempt yet")))?;
    let page = app.engine.log(attempt.id, piece.offset.unwrap_or(0), MAX_LOG).await?;
    let headers = [
        (CONTENT_TYPE, "text/plain; charset=utf-8".to_owned()),
        (http::HeaderName::from_static("x-towpath-next"), page.next.to_string()),
        (http::HeaderName::from_static("x-towpath-open"), page.open.to_string()),
    ];
    Ok((headers, page.bytes).into_response())
}
