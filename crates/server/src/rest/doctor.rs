//! What is wrong with this server, and what to do about it.

use axum::Json;
use axum::extract::State;
use towpath_api::rest::Finding;

use crate::app::App;
use crate::auth::{Action, Principal};
use crate::doctor;
use crate::problem::Problem;

/// Examines the server.
#[utoipa::path(get, path = "/api/v1/doctor", responses((status = 200, body = Vec<Finding>)))]
pub(super) async fn doctor(
    State(app): State<App>,
    principal: Principal,
) -> Result<Json<Vec<Finding>>, Problem> {
    let _permit = principal.may(Action::Operate, None)?;
    Ok(Json(doctor::examine(&app).await?))
}
