//! What gateways call. They are processes of the server's own user and say so by the local token.

use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use http::StatusCode;
use towpath_api::gateway::{MeasurementReport, Poll, Routes};

use crate::agent_api::Caller;
use crate::app::App;
use crate::problem::Problem;

/// The routes under `/gateway/v1`.
pub(crate) fn router() -> Router<App> {
    Router::new().route("/gateway/v1/poll", post(poll)).route("/gateway/v1/measurements", post(measurements))
}

async fn poll(
    State(app): State<App>,
    caller: Caller,
    Json(poll): Json<Poll>,
) -> Result<Json<Routes>, Problem> {
    caller.must_be_local("a gateway")?;
    tokio::select! {
        routes = app.engine.gateway_poll(&poll) => Ok(Json(routes?)),
        () = app.stopping.cancelled() => Err(Problem::unavailable("the server is stopping")),
    }
}

async fn measurements(
    State(app): State<App>,
    caller: Caller,
    Json(report): Json<MeasurementReport>,
) -> Result<StatusCode, Problem> {
    caller.must_be_local("a gateway")?;
    app.engine.gateway_measured(&report).await?;
    Ok(StatusCode::NO_CONTENT)
}
