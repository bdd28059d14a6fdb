//! Pools of agents that grow and shrink with the queue.

use axum::Json;
use axum::extract::State;
use towpath_api::rest::AgentPool;

use crate::app::App;
use crate::auth::{Action, Principal};
use crate::problem::Problem;

/// Lists pools of agents, with how large each is and should be, and why.
#[utoipa::path(get, path = "/api/v1/agents/pools", responses((status = 200, body = Vec<AgentPool>)))]
pub(super) async fn list(
    State(app): State<App>,
    principal: Principal,
) -> Result<Json<Vec<AgentPool>>, Problem> {
    all(&app, &principal).map(Json)
}

/// Every pool, for an admin.
pub(crate) fn all(app: &App, principal: &Principal) -> Result<Vec<AgentPool>, Problem> {
    let _permit = principal.may(Action::ManageAgents, None)?;
    Ok(app.pools.seen())
}
