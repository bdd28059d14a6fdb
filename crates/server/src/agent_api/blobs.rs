//! Bytes by digest, up and down, checked wherever they arrive.

use std::io::{self, Write as _};

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use futures_util::TryStreamExt as _;
use http::StatusCode;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use tokio_util::io::{ReaderStream, StreamReader, SyncIoBridge};
use towpath_artifact::ContentError;
use towpath_engine::EngineError;
use towpath_model::Digest;

use super::Caller;
use crate::app::App;
use crate::problem::Problem;

/// The largest blob: above any Artifact that a host should unpack.
const MAX_BLOB: u64 = 8 << 30;

pub(super) fn router() -> Router<App> {
    Router::new()
        .route("/agent/v1/blobs/{digest}", get(download).head(describe).put(upload))
        .layer(DefaultBodyLimit::disable())
}

async fn describe(
    State(app): State<App>,
    _: Caller,
    Path(digest): Path<Digest>,
) -> Result<Response, Problem> {
    let size = size(&app, digest)?;
    Ok((StatusCode::OK, [(CONTENT_LENGTH, size.to_string())]).into_response())
}

async fn download(
    State(app): State<App>,
    _: Caller,
    Path(digest): Path<Digest>,
) -> Result<Response, Problem> {
    let size = size(&app, digest)?;
    let file = tokio::fs::File::open(app.engine.content().path(digest))
        .await
        .map_err(|error| Problem::internal(&error))?;
    // The agent checks the digest as the bytes arrive; checking here too would read them twice.
    let headers = [(CONTENT_LENGTH, size.to_string()), (CONTENT_TYPE, "application/octet-stream".to_owned())];
    Ok((headers, Body::from_stream(ReaderStream::with_capacity(file, 64 << 10))).into_response())
}

fn size(app: &App, digest: Digest) -> Result<u64, Problem> {
    let size = app.engine.content().size(digest).map_err(EngineError::from)?;
    size.ok_or_else(|| Problem::not_found(format!("blob {digest} is not in the content store")))
}

async fn upload(
    State(app): State<App>,
    _: Caller,
    Path(digest): Path<Digest>,
    body: Body,
) -> Result<StatusCode, Problem> {
    let content = app.engine.content().clone();
    if content.contains(digest) {
        return Ok(StatusCode::NO_CONTENT);
    }
    let stream = StreamReader::new(body.into_data_stream().map_err(io::Error::other));
    let mut reader = SyncIoBridge::new(Box::pin(stream));
    let stored = tokio::task::spawn_blocking(move || {
        let mut writer = content.writer(MAX_BLOB)?;
        match io::copy(&mut reader, &mut writer).and_then(|_| writer.flush()) {
            Ok(()) => writer.finish(Some(digest)).map(|_| ()).map_err(Refused::Content),
            Err(error) => Err(Refused::Broken(error)),
        }
    })
    .await
    .map_err(|error| Problem::internal(&error))?;
    match stored {
        Ok(()) => Ok(StatusCode::CREATED),
        Err(Refused::Content(error @ ContentError::Mismatch { .. })) => {
            Err(Problem::invalid(error.to_string()))
        }
        Err(Refused::Content(error)) => Err(EngineError::from(error).into()),
        Err(Refused::Broken(error)) => Err(Problem::invalid(format!("the upload broke off: {error}"))),
    }
}

/// Why an upload was not stored.
enum Refused {
    /// The content store says no.
    Content(ContentError),
    /// The bytes stopped coming.
    Broken(io::Error),
}

impl From<ContentError> for Refused {
    fn from(error: ContentError) -> Self {
        Self::Content(error)
    }
}
