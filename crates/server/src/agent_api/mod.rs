//! What agents call: joining, polls, reports, logs, blobs.

mod blobs;
mod caller;
mod enrol;
pub(crate) mod reuse;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::routing::{post, put};
use axum::{Json, Router};
use http::StatusCode;
use serde::Deserialize;
use towpath_api::agent::{AttemptReport, InstanceReport, LogAcknowledged, Orders, Poll};
use towpath_model::AttemptId;

pub(crate) use caller::Caller;

use crate::app::App;
use crate::problem::Problem;

/// The largest part of a log in one call.
const MAX_LOG_PART: usize = 8 << 20;

/// The largest report of an agent: a thousand Instances with their messages.
const MAX_REPORT: usize = 4 << 20;

/// The routes under `/agent/v1`.
pub(crate) fn router() -> Router<App> {
    let log = put(log).layer(DefaultBodyLimit::max(MAX_LOG_PART));
    Router::new()
        .route("/agent/v1/poll", post(poll))
        .route("/agent/v1/attempts/{attempt}/events", post(events))
        .route("/agent/v1/instances", post(instances))
        .layer(DefaultBodyLimit::max(MAX_REPORT))
        .route("/agent/v1/attempts/{attempt}/log", log)
        .merge(blobs::router())
        .merge(enrol::router())
        .merge(reuse::router())
}

async fn poll(
    State(app): State<App>,
    caller: Caller,
    Json(mut poll): Json<Poll>,
) -> Result<Json<Orders>, Problem> {
    caller.must_be(poll.agent)?;
    caller.correct(&mut poll);
    let orders = tokio::select! {
        orders = app.engine.agent_poll(&poll) => orders?,
        () = app.stopping.cancelled() => return Err(Problem::unavailable("the server is stopping")),
    };
    // A poll is held for long. What was leased meanwhile to an agent that is out now is given to another.
    caller.still_welcome(&app).await?;
    Ok(Json(orders))
}

async fn events(
    State(app): State<App>,
    caller: Caller,
    Path(attempt): Path<AttemptId>,
    Json(report): Json<AttemptReport>,
) -> Result<StatusCode, Problem> {
    app.engine.agent_report(caller.agent(), attempt, report).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Where a part of a log belongs.
#[derive(Debug, Deserialize)]
struct LogPlace {
    fence: u64,
    offset: u64,
}

async fn log(
    State(app): State<App>,
    caller: Caller,
    Path(attempt): Path<AttemptId>,
    Query(place): Query<LogPlace>,
    bytes: Bytes,
) -> Result<Json<LogAcknowledged>, Problem> {
    let length =
        app.engine.agent_log(caller.agent(), attempt, place.fence, place.offset, bytes.to_vec()).await?;
    Ok(Json(LogAcknowledged { length }))
}

async fn instances(
    State(app): State<App>,
    caller: Caller,
    Json(report): Json<InstanceReport>,
) -> Result<StatusCode, Problem> {
    caller.must_be(report.agent)?;
    app.engine.agent_instances(&report).await?;
    Ok(StatusCode::NO_CONTENT)
}
