//! Agents.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, State};
use http::StatusCode;
use towpath_api::rest::Agent;
use towpath_engine::{OLDEST_AGENT, standing_of};
use towpath_model::AgentId;
use towpath_model::queue::Standing;
use towpath_model::standing::HoldKind;
use towpath_store::core::agents::Agent as Seen;
use towpath_store::identity::{self, AgentIdentity};
use towpath_store::people::By;

use crate::app::App;
use crate::auth::{Action, Principal};
use crate::problem::Problem;

/// Lists agents: those that have called, and those that have joined and not called yet.
#[utoipa::path(get, path = "/api/v1/agents", responses((status = 200, body = Vec<Agent>)))]
pub(super) async fn list(State(app): State<App>, principal: Principal) -> Result<Json<Vec<Agent>>, Problem> {
    all(&app, &principal).await.map(Json)
}

/// Every agent, for an admin.
pub(crate) async fn all(app: &App, principal: &Principal) -> Result<Vec<Agent>, Problem> {
    let _permit = principal.may(Action::ManageAgents, None)?;
    let joined = identity::all(&mut *app.db.reader().await?).await?;
    let mut joined: BTreeMap<AgentId, AgentIdentity> =
        joined.into_iter().map(|identity| (identity.id, identity)).collect();
    let mut agents: Vec<Agent> = app
        .engine
        .agents()
        .await?
        .into_iter()
        .map(|(agent, online)| {
            let identity = joined.remove(&agent.id);
            seen(agent, online, identity.as_ref())
        })
        .collect();
    // Who never called, or was forgotten, and will not: not worth a line.
    agents.extend(joined.into_values().filter(|identity| identity.revoked_at.is_none()).map(silent));
    Ok(agents)
}

/// One agent, after something was done with it.
pub(super) async fn one(app: &App, principal: &Principal, id: AgentId) -> Result<Agent, Problem> {
    let wanted = id.to_string();
    let found = all(app, principal).await?.into_iter().find(|agent| agent.id == wanted);
    found.ok_or_else(|| Problem::not_found(format!("agent {id} is not known here")))
}

/// Why an agent is given no Attempts.
pub(crate) fn held(agent: &Seen) -> Option<String> {
    match standing_of(agent) {
        Standing::Ready => None,
        Standing::TooOld => Some(format!("its version is older than {OLDEST_AGENT}")),
        Standing::Draining | Standing::Cloned => agent.hold.as_ref().map(|hold| {
            let why = if hold.reason.is_empty() { String::new() } else { format!(": {}", hold.reason) };
            match hold.kind {
                HoldKind::Draining => format!("drained by {}{why}", hold.by),
                HoldKind::Cloned => format!("cloned{why}"),
            }
        }),
    }
}

fn word(standing: Standing) -> &'static str {
    match standing {
        Standing::Ready => "ready",
        Standing::Draining => "draining",
        Standing::TooOld => "too-old",
        Standing::Cloned => "cloned",
    }
}

fn seen(agent: Seen, online: bool, identity: Option<&AgentIdentity>) -> Agent {
    let (held, standing) = (held(&agent), word(standing_of(&agent)).to_owned());
    let Seen {
        id,
        hostname,
        labels,
        runner,
        deployer,
        address,
        version,
        seen_at,
        generation: _,
        capacity,
        one_job,
        hold: _,
    } = agent;
    let revoked_at = identity.and_then(|identity| identity.revoked_at);
    Agent {
        id: id.to_string(),
        hostname,
        labels,
        runner,
        deployer,
        address: Some(address),
        version,
        seen_at,
        online: online && revoked_at.is_none(),
        capacity,
        one_job,
        standing,
        held,
        certificate_ends: identity.map(|identity| identity.certificate_ends),
        revoked_at,
    }
}

/// One that has joined and not called yet.
fn silent(identity: AgentIdentity) -> Agent {
    let AgentIdentity { id, hostname, labels, runner, deployer, enrolled_at, certificate_ends, revoked_at } =
        identity;
    Agent {
        id: id.to_string(),
        hostname,
        labels,
        runner,
        deployer,
        address: None,
        version: String::new(),
        seen_at: enrolled_at,
        online: false,
        capacity: 0,
        one_job: false,
        standing: word(Standing::Ready).to_owned(),
        held: None,
        certificate_ends: Some(certificate_ends),
        revoked_at,
    }
}

/// Lets an agent of another host in no more. What runs there goes on until somebody stops it on that host.
#[utoipa::path(delete, path = "/api/v1/agents/{id}", responses((status = 204)))]
pub(super) async fn revoke(
    State(app): State<App>,
    principal: Principal,
    Path(id): Path<AgentId>,
) -> Result<StatusCode, Problem> {
    let _permit = principal.may(Action::ManageAgents, None)?;
    let actor = principal.actor();
    let mut tx = app.db.begin_write().await?;
    if !identity::revoke(&mut tx, id, By { actor: &actor, at: app.now() }).await? {
        let found = identity::find(&mut tx, id).await?;
        let what = if found.is_some() { "was revoked before" } else { "never joined from another host" };
        return Err(Problem::not_found(format!("agent {id} {what}"))
            .hint("`towpath agent list` shows all; the agent of the server's own host is left out by `serve --no-agent`"));
    }
    tx.commit().await?;
    tracing::info!(agent = %id, "an agent was revoked");
    Ok(StatusCode::NO_CONTENT)
}
