//! What waits for agents, and why.

use axum::Json;
use axum::extract::{Path, State};
use towpath_api::rest::{Agent, Drain, Queue, Running, Waiting};
use towpath_engine::{QueueEntry, QueueView};
use towpath_model::queue::{Busy, Standing};
use towpath_model::{AgentId, ProjectName};

use super::agents;
use crate::app::App;
use crate::auth::{Action, Principal};
use crate::problem::Problem;

/// The most that are listed.
const MOST: usize = 1000;

/// Shows what waits for agents, why and until when, and what runs.
#[utoipa::path(get, path = "/api/v1/queue", responses((status = 200, body = Queue)))]
pub(super) async fn show(State(app): State<App>, principal: Principal) -> Result<Json<Queue>, Problem> {
    seen(&app, &principal).await.map(Json)
}

/// The queue as `principal` may see it.
pub(crate) async fn seen(app: &App, principal: &Principal) -> Result<Queue, Problem> {
    let QueueView { waiting, running, runners } = app.engine.queue().await?;
    let ready = runners.iter().filter(|runner| runner.standing == Standing::Ready);
    let free = ready.clone().map(|runner| u64::from(runner.free)).sum();
    let agents = ready.count() as u64;
    let waiting_in_all = waiting.len() as u64;
    let sees = |project: &ProjectName| principal.may(Action::View, Some(project)).is_ok();
    let waiting = waiting.into_iter().filter(|entry| sees(&entry.waiting.project)).take(MOST);
    let running = running.into_iter().filter(|busy| sees(&busy.project)).take(MOST);
    Ok(Queue {
        waiting: waiting.map(wire).collect(),
        waiting_in_all,
        running: running.map(wire_running).collect(),
        agents,
        free,
    })
}

fn wire(entry: QueueEntry) -> Waiting {
    let QueueEntry { waiting, reason, words, eta } = entry;
    let code = reason.and_then(|reason| serde_json::to_value(reason).ok());
    Waiting {
        attempt: waiting.attempt.to_string(),
        title: waiting.title,
        project: waiting.project.to_string(),
        run: waiting.run,
        priority: waiting.priority,
        reason: words,
        code: code.and_then(|code| code["type"].as_str().map(str::to_owned)),
        queued_at: waiting.queued_at,
        eta,
    }
}

fn wire_running(busy: Busy) -> Running {
    Running {
        title: busy.title,
        project: busy.project.to_string(),
        agent: busy.agent.to_string(),
        started_at: busy.started_at,
        usually: busy.estimate.map(|estimate| estimate.as_secs().unsigned_abs()),
    }
}

/// Lets an agent finish what it has, and gives it no more Attempts.
#[utoipa::path(post, path = "/api/v1/agents/{id}/drain", request_body = Drain, responses((status = 200, body = Agent)))]
pub(super) async fn drain(
    State(app): State<App>,
    principal: Principal,
    Path(id): Path<AgentId>,
    Json(Drain { reason }): Json<Drain>,
) -> Result<Json<Agent>, Problem> {
    let _permit = principal.may(Action::ManageAgents, None)?;
    let reason: String = reason.chars().take(500).collect();
    app.engine.drain_agent(id, &reason, &principal.person(None)).await?;
    agents::one(&app, &principal, id).await.map(Json)
}

/// Gives an agent Attempts again that was drained, or held because it was cloned.
#[utoipa::path(post, path = "/api/v1/agents/{id}/undrain", responses((status = 200, body = Agent)))]
pub(super) async fn undrain(
    State(app): State<App>,
    principal: Principal,
    Path(id): Path<AgentId>,
) -> Result<Json<Agent>, Problem> {
    let _permit = principal.may(Action::ManageAgents, None)?;
    app.engine.undrain_agent(id, &principal.person(None)).await?;
    agents::one(&app, &principal, id).await.map(Json)
}
