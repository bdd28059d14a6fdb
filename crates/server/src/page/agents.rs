//! The agents, and what each of them does.

use std::collections::BTreeMap;

use axum::extract::{Path, State};
use axum::response::Response;
use serde::Deserialize;
use towpath_api::rest::{AgentPool, NewJoinToken};
use towpath_model::AgentId;
use towpath_model::environment::Environment;
use towpath_store::core::agents::Agent;
use towpath_store::core::attempts::{self, Owner};
use towpath_store::core::{environments, runs};
use towpath_store::identity;
use towpath_ui::page;
use towpath_ui::view::{AgentRow, AgentsView, PoolRow, State as Health};

use super::shell::{Reader, frame, html, live, or_error};
use crate::app::App;
use crate::auth::csrf::CheckedForm;
use crate::auth::{Action, Principal};
use crate::problem::Problem;
use crate::rest::{all_pools, held_words, make_join_token};

/// What the form about another host sends besides its token: nothing.
#[derive(Deserialize)]
pub(super) struct Nothing {}

/// Shows the agents.
pub(super) async fn show(State(app): State<App>, Reader(principal): Reader) -> Response {
    or_error(&app, &principal, render(&app, &principal, None).await)
}

async fn render(app: &App, principal: &Principal, join: Option<String>) -> Result<Response, Problem> {
    let _permit = principal.may(Action::ManageAgents, None)?;
    let busy = busy(app).await?;
    let agents = app.engine.agents().await?;
    let known = identity::all(&mut *app.db.reader().await?).await?;
    let certificate =
        |id: AgentId| known.iter().find(|known| known.id == id).map(|known| known.certificate_ends);
    let agents = agents
        .iter()
        .map(|(agent, connected)| AgentRow {
            certificate: certificate(agent.id),
            ..row(agent, *connected, &busy)
        })
        .collect();
    let shell = frame(app, principal, live(None), None).await?;
    let may_join = app.agents_url.is_some();
    let pools = all_pools(app, principal)?.into_iter().map(pool).collect();
    Ok(html(page::agents(&AgentsView { shell, agents, join, may_join, pools })))
}

fn pool(pool: AgentPool) -> PoolRow {
    let AgentPool { name, driver, labels, minimum, maximum, wanted, why, members, looked_at: _ } = pool;
    PoolRow {
        name,
        driver,
        labels: labels.iter().map(|(name, value)| format!("{name}={value}")).collect(),
        there: members.len(),
        wanted,
        bounds: (minimum, maximum),
        why,
        members: members.into_iter().map(|member| (member.name, member.doing)).collect(),
    }
}

/// `POST /agents/join`: makes a join token, and shows once the command that uses it.
pub(super) async fn join(State(app): State<App>, form: CheckedForm<Nothing>) -> Response {
    let CheckedForm { principal, fields: Nothing {} } = form;
    let page = async {
        let new = NewJoinToken {
            labels: BTreeMap::new(),
            runner: true,
            deployer: true,
            expires_in: None,
            url: None,
        };
        let created = make_join_token(&app, &principal, new).await?;
        render(&app, &principal, Some(created.command)).await
    };
    or_error(&app, &principal, page.await)
}

/// `POST /agents/{id}/drain` and `undrain`.
pub(super) async fn hold(
    State(app): State<App>,
    Path((id, verb)): Path<(AgentId, String)>,
    form: CheckedForm<Nothing>,
) -> Response {
    let CheckedForm { principal, fields: Nothing {} } = form;
    let page = async {
        let _permit = principal.may(Action::ManageAgents, None)?;
        match verb.as_str() {
            "drain" => drop(app.engine.drain_agent(id, "", &principal.person(None)).await?),
            "undrain" => drop(app.engine.undrain_agent(id, &principal.person(None)).await?),
            _ => return Err(Problem::not_found("agents are drained or undrained")),
        }
        render(&app, &principal, None).await
    };
    or_error(&app, &principal, page.await)
}

/// What each agent does, in words.
async fn busy(app: &App) -> Result<BTreeMap<AgentId, Vec<String>>, Problem> {
    let mut reader = app.db.reader().await?;
    let mut busy: BTreeMap<AgentId, Vec<String>> = BTreeMap::new();
    for attempt in attempts::leased(&mut reader).await? {
        let Some(agent) = attempt.agent else { continue };
        let what = match attempt.owner {
            Owner::Run(id) => match runs::find(&mut reader, id).await? {
                Some(run) => {
                    let job = run.attempt(attempt.id).map(|(job, _)| format!(" {}", job.name));
                    format!("{}{}", run.title(), job.unwrap_or_default())
                }
                None => format!("a job of {}", attempt.project),
            },
            Owner::Environment(name) => format!("a check of {}/{name}", attempt.project),
        };
        busy.entry(agent).or_default().push(what);
    }
    for (agent, words) in instances(&environments::all(&mut reader, None).await?) {
        busy.entry(agent).or_default().push(words);
    }
    Ok(busy)
}

/// How many Instances each agent runs, by Environment.
fn instances(environments: &[Environment]) -> Vec<(AgentId, String)> {
    let mut counts: BTreeMap<(AgentId, String), usize> = BTreeMap::new();
    for environment in environments {
        for instance in environment.fleet.instances.iter().filter(|instance| instance.wanted) {
            *counts.entry((instance.host, environment.key.to_string())).or_default() += 1;
        }
    }
    let words = |((agent, key), count): ((AgentId, String), usize)| {
        let noun = if count == 1 { "instance" } else { "instances" };
        (agent, format!("{count} {noun} of {key}"))
    };
    counts.into_iter().map(words).collect()
}

fn row(agent: &Agent, connected: bool, busy: &BTreeMap<AgentId, Vec<String>>) -> AgentRow {
    let roles = [("runner", agent.runner), ("deploy", agent.deployer)];
    AgentRow {
        id: agent.id.to_string(),
        hostname: agent.hostname.clone(),
        version: agent.version.clone(),
        address: agent.address.clone(),
        labels: agent.labels.iter().map(|(name, value)| format!("{name}={value}")).collect(),
        roles: roles.iter().filter(|(_, held)| *held).map(|(name, _)| (*name).to_owned()).collect(),
        state: if connected { Health::Healthy } else { Health::Lost },
        held: held_words(agent),
        can_undrain: agent.hold.is_some(),
        seen: agent.seen_at,
        busy: busy.get(&agent.id).cloned().unwrap_or_default(),
        certificate: None,
    }
}
