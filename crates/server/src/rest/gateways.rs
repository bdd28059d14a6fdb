//! Gateways as they were last seen.

use axum::Json;
use axum::extract::State;
use towpath_api::rest::Gateway;

use crate::app::App;
use crate::auth::{Action, Principal};
use crate::problem::Problem;

/// Lists the gateways that ever called.
#[utoipa::path(get, path = "/api/v1/gateways", responses((status = 200, body = Vec<Gateway>)))]
pub(super) async fn list(
    State(app): State<App>,
    principal: Principal,
) -> Result<Json<Vec<Gateway>>, Problem> {
    let _permit = principal.may(Action::ManageAgents, None)?;
    let found = app.engine.gateways().await?;
    let wire = |towpath_store::core::gateways::Gateway { name, version, seen_at }| Gateway {
        name,
        version,
        seen_at,
    };
    Ok(Json(found.into_iter().map(wire).collect()))
}
