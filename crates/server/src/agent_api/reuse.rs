//! What agents ask for and leave of caches, outputs of Steps and workspaces.

use std::io::{self, Write as _};

use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures_util::TryStreamExt as _;
use http::StatusCode;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use serde::Deserialize;
use tokio_util::io::{ReaderStream, StreamReader, SyncIoBridge};
use towpath_api::reuse::{Find, Found, Missing, NewEntry, Offer, Saved, Verified};
use towpath_artifact::snapshot::MAX_MANIFEST;
use towpath_engine::EngineError;
use towpath_model::{AttemptId, Digest};

use super::Caller;
use crate::app::App;
use crate::problem::Problem;

/// The largest body of a call: ten thousand digests, or a key with its parts.
const MAX_BODY: usize = 1 << 20;

pub(super) fn router() -> Router<App> {
    let blobs = get(download).put(upload).layer(DefaultBodyLimit::disable());
    Router::new()
        .route("/agent/v1/attempts/{attempt}/reuse/find", post(find))
        .route("/agent/v1/attempts/{attempt}/reuse/missing", post(missing))
        .route("/agent/v1/attempts/{attempt}/reuse/save", post(save))
        .route("/agent/v1/attempts/{attempt}/reuse/verified", post(verified))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .route("/agent/v1/attempts/{attempt}/reuse/blobs/{digest}", blobs)
}

async fn find(
    State(app): State<App>,
    caller: Caller,
    Path(attempt): Path<AttemptId>,
    Json(wanted): Json<Find>,
) -> Result<Json<Found>, Problem> {
    Ok(Json(app.engine.reuse_find(caller.agent(), attempt, &wanted).await?))
}

async fn missing(
    State(app): State<App>,
    caller: Caller,
    Path(attempt): Path<AttemptId>,
    Json(offer): Json<Offer>,
) -> Result<Json<Missing>, Problem> {
    Ok(Json(app.engine.reuse_missing(caller.agent(), attempt, &offer).await?))
}

async fn save(
    State(app): State<App>,
    caller: Caller,
    Path(attempt): Path<AttemptId>,
    Json(new): Json<NewEntry>,
) -> Result<Json<Saved>, Problem> {
    Ok(Json(app.engine.reuse_save(caller.agent(), attempt, new).await?))
}

async fn verified(
    State(app): State<App>,
    caller: Caller,
    Path(attempt): Path<AttemptId>,
    Json(verified): Json<Verified>,
) -> Result<StatusCode, Problem> {
    app.engine.reuse_verified(caller.agent(), attempt, &verified).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Debug, Deserialize)]
struct Fence {
    fence: u64,
}

async fn download(
    State(app): State<App>,
    caller: Caller,
    Path((attempt, digest)): Path<(AttemptId, Digest)>,
    Query(Fence { fence }): Query<Fence>,
) -> Result<Response, Problem> {
    app.engine.reuse_may_read(caller.agent(), attempt, fence, digest).await?;
    blob(&app, digest).await
}

/// Sends a kept blob; the receiver checks its digest.
pub(crate) async fn blob(app: &App, digest: Digest) -> Result<Response, Problem> {
    let path = app.engine.kept_store().path(digest);
    let file = tokio::fs::File::open(path).await;
    let file = file.map_err(|_gone| Problem::not_found(format!("blob {digest} was evicted")))?;
    let size = file.metadata().await.map_err(|error| Problem::internal(&error))?.len();
    let headers = [(CONTENT_LENGTH, size.to_string()), (CONTENT_TYPE, "application/octet-stream".to_owned())];
    Ok((headers, Body::from_stream(ReaderStream::with_capacity(file, 64 << 10))).into_response())
}

async fn upload(
    State(app): State<App>,
    caller: Caller,
    Path((attempt, digest)): Path<(AttemptId, Digest)>,
    Query(Fence { fence }): Query<Fence>,
    body: Body,
) -> Result<StatusCode, Problem> {
    let store = app.engine.kept_store().clone();
    let stream = StreamReader::new(body.into_data_stream().map_err(io::Error::other));
    let mut reader = SyncIoBridge::new(Box::pin(stream));
    let written = tokio::task::spawn_blocking(move || {
        let mut writer = store.writer(MAX_MANIFEST)?;
        io::copy(&mut reader, &mut writer).and_then(|_| writer.flush())?;
        Ok::<_, io::Error>(writer)
    });
    let written = written.await.map_err(|error| Problem::internal(&error))?;
    let written = written.map_err(|error| Problem::invalid(format!("the upload broke off: {error}")))?;
    match app.engine.reuse_put(caller.agent(), attempt, fence, digest, written).await {
        Ok(()) => Ok(StatusCode::CREATED),
        Err(EngineError::Content(error @ towpath_artifact::ContentError::Mismatch { .. })) => {
            Err(Problem::invalid(error.to_string()))
        }
        Err(error) => Err(error.into()),
    }
}
