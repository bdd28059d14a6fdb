//! Agents.

use axum::Json;
use axum::extract::State;
use towpath_api::rest::Agent;

use crate::app::App;
use crate::auth::{Action, Principal};
use crate::problem::Problem;

/// Lists agents.
#[utoipa::path(get, path = "/api/v1/agents", responses((status = 200, body = Vec<Agent>)))]
pub(super) async fn list(State(app): State<App>, principal: Principal) -> Result<Json<Vec<Agent>>, Problem> {
    let _permit = principal.may(Action::ManageAgents, None)?;
    let wire = |(agent, online): (towpath_store::core::agents::Agent, bool)| Agent {
        id: agent.id.to_string(),
        hostname: agent.hostname,
        labels: agent.labels,
        runner: agent.runner,
        deployer: agent.deployer,
        version: agent.version,
        seen_at: agent.seen_at,
        online,
    };
    Ok(Json(app.engine.agents().await?.into_iter().map(wire).collect()))
}
