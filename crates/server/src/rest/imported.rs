//! Runs that other servers exported.

use std::io;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse as _, Response};
use futures_util::TryStreamExt as _;
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE};
use serde::Deserialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_util::io::{ReaderStream, StreamReader};
use towpath_api::rest::{ImportedDetail, ImportedRun, Page};
use towpath_artifact::portable::MAX_FILE;
use towpath_engine::Taken;
use towpath_model::ProjectName;

use super::page_of::Paging;
use super::places::RunAt;
use crate::app::App;
use crate::auth::{Action, Principal};
use crate::problem::Problem;

/// How long a file may take to arrive.
const PATIENCE: Duration = Duration::from_secs(15 * 60);

/// Takes in a Run that another server exported: the file as it is. It is checked whole first; one that is here already is named.
#[utoipa::path(post, path = "/api/v1/projects/{project}/runs/import", request_body(content = Vec<u8>, content_type = "application/x-tar"), responses((status = 201, body = ImportedRun), (status = 200, body = ImportedRun, description = "It was here already.")))]
pub(super) async fn import(
    State(app): State<App>,
    principal: Principal,
    Path(project): Path<ProjectName>,
    body: Body,
) -> Result<(StatusCode, Json<ImportedRun>), Problem> {
    let _permit = principal.may(Action::ControlRun, Some(&project))?;
    let file = app.engine.import_spool()?;
    let file = tokio::time::timeout(PATIENCE, collect(body, file)).await.map_err(|_| {
        Problem::unavailable(format!("the file did not arrive within {} s", PATIENCE.as_secs()))
    })??;
    let person = principal.person(Some(&project));
    let Taken { run, known } = app.engine.import_run(&project, file, &person).await?;
    Ok((if known { StatusCode::OK } else { StatusCode::CREATED }, Json(run)))
}

/// Writes what is sent into a file.
async fn collect(body: Body, file: std::fs::File) -> Result<std::fs::File, Problem> {
    let stream = StreamReader::new(body.into_data_stream().map_err(io::Error::other));
    let mut file = tokio::fs::File::from_std(file);
    let broken = |error: io::Error| Problem::invalid(format!("the upload broke off: {error}"));
    let count = tokio::io::copy(&mut stream.take(MAX_FILE + 1), &mut file).await.map_err(broken)?;
    if count > MAX_FILE {
        return Err(Problem::too_large("the file", MAX_FILE));
    }
    file.flush().await.map_err(|error| Problem::internal(&error))?;
    Ok(file.into_std().await)
}

/// Lists imported Runs, newest first.
#[utoipa::path(get, path = "/api/v1/projects/{project}/imported", params(Paging), responses((status = 200, body = Page<ImportedRun>)))]
pub(super) async fn list(
    State(app): State<App>,
    principal: Principal,
    Path(project): Path<ProjectName>,
    Query(paging): Query<Paging>,
) -> Result<Json<Page<ImportedRun>>, Problem> {
    let _permit = principal.may(Action::View, Some(&project))?;
    let below = paging.cursor().parse().ok();
    let runs = app.engine.imported_runs(&project, below, paging.limit() + 1).await?;
    Ok(Json(paging.page(runs, |run: &ImportedRun| run.number.to_string())))
}

/// Shows an imported Run with all that its file says.
#[utoipa::path(get, path = "/api/v1/projects/{project}/imported/{number}", params(RunAt), responses((status = 200, body = ImportedDetail)))]
pub(super) async fn show(
    State(app): State<App>,
    principal: Principal,
    Path(RunAt { project, number }): Path<RunAt>,
) -> Result<Json<ImportedDetail>, Problem> {
    let _permit = principal.may(Action::View, Some(&project))?;
    Ok(Json(app.engine.imported_run(&project, number).await?))
}

/// Forgets an imported Run.
#[utoipa::path(delete, path = "/api/v1/projects/{project}/imported/{number}", params(RunAt), responses((status = 204)))]
pub(super) async fn remove(
    State(app): State<App>,
    principal: Principal,
    Path(RunAt { project, number }): Path<RunAt>,
) -> Result<StatusCode, Problem> {
    let _permit = principal.may(Action::ControlRun, Some(&project))?;
    app.engine.remove_imported(&project, number, &principal.person(Some(&project))).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Sends the file of an imported Run, byte for byte as it came.
#[utoipa::path(get, path = "/api/v1/projects/{project}/imported/{number}/file", params(RunAt), responses((status = 200, body = Vec<u8>, content_type = "application/x-tar")))]
pub(crate) async fn file(
    State(app): State<App>,
    principal: Principal,
    Path(RunAt { project, number }): Path<RunAt>,
) -> Result<Response, Problem> {
    let _permit = principal.may(Action::View, Some(&project))?;
    let file = app.engine.imported_file(&project, number).await?;
    let length = file.metadata().map_err(|error| Problem::internal(&error))?.len();
    let headers = [
        (CONTENT_TYPE, "application/x-tar".to_owned()),
        (CONTENT_LENGTH, length.to_string()),
        (CACHE_CONTROL, "no-store".to_owned()),
        (CONTENT_DISPOSITION, format!("attachment; filename=\"{project}-imported-{number}.run.tar\"")),
    ];
    let stream = ReaderStream::with_capacity(tokio::fs::File::from_std(file), 64 << 10);
    Ok((headers, Body::from_stream(stream)).into_response())
}

/// Which log.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
pub(crate) struct LogOf {
    /// The Job.
    pub(crate) job: String,
    /// The number of the Attempt.
    pub(crate) attempt: u32,
}

/// Sends a log of an imported Run.
#[utoipa::path(get, path = "/api/v1/projects/{project}/imported/{number}/log", params(RunAt, LogOf), responses((status = 200, body = String)))]
pub(crate) async fn log(
    State(app): State<App>,
    principal: Principal,
    Path(RunAt { project, number }): Path<RunAt>,
    Query(LogOf { job, attempt }): Query<LogOf>,
) -> Result<Response, Problem> {
    let _permit = principal.may(Action::View, Some(&project))?;
    let bytes = app.engine.imported_log(&project, number, &job, attempt).await?;
    let headers = [
        (CONTENT_TYPE, "text/plain; charset=utf-8".to_owned()),
        (CACHE_CONTROL, "no-store".to_owned()),
        (CONTENT_DISPOSITION, format!("attachment; filename=\"{project}-imported-{number}-{attempt}.log\"")),
    ];
    Ok((headers, bytes).into_response())
}
