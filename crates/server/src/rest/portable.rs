//! Runs as files.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE};
use tokio_util::io::ReaderStream;

use super::places::RunAt;
use crate::app::App;
use crate::auth::{Action, Principal};
use crate::problem::Problem;

/// Sends a Run that has ended as one file (a tar): itself, what its reports say, its logs, its reports, each with its SHA-256.
#[utoipa::path(get, path = "/api/v1/projects/{project}/runs/{number}/export", params(RunAt), responses((status = 200, body = Vec<u8>, content_type = "application/x-tar")))]
pub(crate) async fn export(
    State(app): State<App>,
    principal: Principal,
    Path(RunAt { project, number }): Path<RunAt>,
) -> Result<Response, Problem> {
    let _permit = principal.may(Action::View, Some(&project))?;
    let person = principal.person(Some(&project));
    let file = app.engine.export_run(&project, number, &person).await?;
    let length = file.metadata().map_err(|error| Problem::internal(&error))?.len();
    let headers = [
        (CONTENT_TYPE, "application/x-tar".to_owned()),
        (CONTENT_LENGTH, length.to_string()),
        (CACHE_CONTROL, "no-store".to_owned()),
        (CONTENT_DISPOSITION, format!("attachment; filename=\"{project}-{number}.run.tar\"")),
    ];
    let stream = ReaderStream::with_capacity(tokio::fs::File::from_std(file), 64 << 10);
    Ok((headers, Body::from_stream(stream)).into_response())
}
