//! Runs and their logs.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse as _, Response};
use http::header::CONTENT_TYPE;
use http::{HeaderName, StatusCode};
use serde::Deserialize;
use tokio::time::{Duration, Instant};
use towpath_api::rest::{Comment, NewRun, Page, Run};
use towpath_engine::LogPage;
use towpath_model::ProjectName;

use super::page_of::Paging;
use super::places::{JobAt, RunAt};
use crate::app::App;
use crate::auth::{Action, Principal};
use crate::problem::Problem;

/// The most bytes of a log in one answer.
const MAX_LOG: usize = 1 << 20;

/// The longest wait for news, in seconds.
const MAX_WAIT: u64 = 20;

/// Lists Runs, newest first.
#[utoipa::path(get, path = "/api/v1/projects/{project}/runs", params(Paging), responses((status = 200, body = Page<Run>)))]
pub(super) async fn list(
    State(app): State<App>,
    principal: Principal,
    Path(project): Path<ProjectName>,
    Query(paging): Query<Paging>,
) -> Result<Json<Page<Run>>, Problem> {
    let _permit = principal.may(Action::View, Some(&project))?;
    let below = paging.cursor().parse().ok();
    let runs = app.engine.runs(Some(&project), below, paging.limit() + 1).await?;
    let runs = runs.iter().map(Run::from).collect();
    Ok(Json(paging.page(runs, |run: &Run| run.number.to_string())))
}

/// Shows a Run with its Jobs and their Attempts.
#[utoipa::path(get, path = "/api/v1/projects/{project}/runs/{number}", params(RunAt), responses((status = 200, body = Run)))]
pub(super) async fn show(
    State(app): State<App>,
    principal: Principal,
    Path(RunAt { project, number }): Path<RunAt>,
) -> Result<Json<Run>, Problem> {
    let _permit = principal.may(Action::View, Some(&project))?;
    Ok(Json((&app.engine.find_run(&project, number).await?).into()))
}

/// Starts a Run by hand.
#[utoipa::path(post, path = "/api/v1/projects/{project}/runs", request_body = NewRun, responses((status = 201, body = Run)))]
pub(super) async fn start(
    State(app): State<App>,
    principal: Principal,
    Path(project): Path<ProjectName>,
    Json(new): Json<NewRun>,
) -> Result<(StatusCode, Json<Run>), Problem> {
    let _permit = principal.may(Action::ControlRun, Some(&project))?;
    let NewRun { reference, inputs } = new;
    let inputs = inputs.into_iter().map(|(name, value)| (name, value.to_string())).collect();
    let person = principal.person(Some(&project));
    let run = app.engine.start_run(&project, &reference, &inputs, &person).await?;
    Ok((StatusCode::CREATED, Json((&run).into())))
}

/// Cancels a Run.
#[utoipa::path(post, path = "/api/v1/projects/{project}/runs/{number}/cancel", params(RunAt), request_body = Comment, responses((status = 200, body = Run)))]
pub(super) async fn cancel(
    State(app): State<App>,
    principal: Principal,
    Path(RunAt { project, number }): Path<RunAt>,
    Json(why): Json<Comment>,
) -> Result<Json<Run>, Problem> {
    let _permit = principal.may(Action::ControlRun, Some(&project))?;
    let person = principal.person(Some(&project));
    Ok(Json((&app.engine.cancel_run(&project, number, &why.comment, &person).await?).into()))
}

/// Lets a Run of a fork go on.
#[utoipa::path(post, path = "/api/v1/projects/{project}/runs/{number}/allow", params(RunAt), request_body = Comment, responses((status = 200, body = Run)))]
pub(super) async fn allow(
    State(app): State<App>,
    principal: Principal,
    Path(RunAt { project, number }): Path<RunAt>,
    Json(_why): Json<Comment>,
) -> Result<Json<Run>, Problem> {
    let _permit = principal.may(Action::ControlRun, Some(&project))?;
    let person = principal.person(Some(&project));
    Ok(Json((&app.engine.allow_run(&project, number, &person).await?).into()))
}

/// Runs the same commit again.
#[utoipa::path(post, path = "/api/v1/projects/{project}/runs/{number}/rerun", params(RunAt), responses((status = 201, body = Run)))]
pub(super) async fn rerun(
    State(app): State<App>,
    principal: Principal,
    Path(RunAt { project, number }): Path<RunAt>,
) -> Result<(StatusCode, Json<Run>), Problem> {
    let _permit = principal.may(Action::ControlRun, Some(&project))?;
    let run = app.engine.rerun(&project, number, &principal.person(Some(&project))).await?;
    Ok((StatusCode::CREATED, Json((&run).into())))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
pub(super) struct Piece {
    /// Which Attempt, by number; the newest if absent.
    attempt: Option<u32>,
    /// Where to begin, in bytes.
    offset: Option<u64>,
    /// How many seconds to wait for news before the answer is empty; 20 at most.
    #[serde(default)]
    wait: u64,
}

/// Sends a part of a Job's log. `x-towpath-next` is where the next part begins, `x-towpath-open` says whether
/// more may come, `x-towpath-attempt` of which Attempt it is.
#[utoipa::path(get, path = "/api/v1/projects/{project}/runs/{number}/jobs/{job}/log", params(JobAt, Piece), responses((status = 200, body = String)))]
pub(super) async fn log(
    State(app): State<App>,
    principal: Principal,
    Path(JobAt { project, number, job }): Path<JobAt>,
    Query(piece): Query<Piece>,
) -> Result<Response, Problem> {
    let _permit = principal.may(Action::View, Some(&project))?;
    let deadline = Instant::now() + Duration::from_secs(piece.wait.min(MAX_WAIT));
    let (mut logs, mut timeline) = (app.engine.signals().logs(), app.engine.signals().timeline());
    loop {
        // Marked as seen before the look, so that what is written during it ends the wait.
        logs.borrow_and_update();
        timeline.borrow_and_update();
        let (attempt, page) = look(&app, &project, number, &job, &piece).await?;
        if !page.bytes.is_empty() || !page.open || Instant::now() >= deadline {
            return Ok(answer(attempt, page));
        }
        tokio::select! {
            _ = logs.changed() => {}
            _ = timeline.changed() => {}
            () = tokio::time::sleep_until(deadline) => {}
            () = app.stopping.cancelled() => return Err(Problem::unavailable("the server is stopping")),
        }
    }
}

/// Reads what there is; a Job that has no Attempt yet has an empty log.
async fn look(
    app: &App,
    project: &ProjectName,
    number: u64,
    job: &str,
    piece: &Piece,
) -> Result<(Option<u32>, LogPage), Problem> {
    let run = app.engine.find_run(project, number).await?;
    let found = run.jobs.iter().find(|found| found.name.as_str() == job);
    let found = found.ok_or_else(|| Problem::not_found(format!("run {number} has no job `{job}`")))?;
    let attempt = match piece.attempt {
        Some(wanted) => found.attempts.iter().find(|attempt| attempt.number == wanted),
        None => found.attempts.last(),
    };
    let offset = piece.offset.unwrap_or(0);
    match attempt {
        Some(attempt) => Ok((Some(attempt.number), app.engine.log(attempt.id, offset, MAX_LOG).await?)),
        None if piece.attempt.is_none() && !found.state.is_final() => {
            Ok((None, LogPage { bytes: Vec::new(), next: offset, open: true }))
        }
        None => Err(Problem::not_found(format!("job `{job}` has no such attempt: {}", found.reason))),
    }
}

fn answer(attempt: Option<u32>, page: LogPage) -> Response {
    let LogPage { bytes, next, open } = page;
    let headers = [
        (CONTENT_TYPE, "text/plain; charset=utf-8".to_owned()),
        (HeaderName::from_static("x-towpath-next"), next.to_string()),
        (HeaderName::from_static("x-towpath-open"), open.to_string()),
        (
            HeaderName::from_static("x-towpath-attempt"),
            attempt.map_or_else(String::new, |number| number.to_string()),
        ),
    ];
    (headers, bytes).into_response()
}
