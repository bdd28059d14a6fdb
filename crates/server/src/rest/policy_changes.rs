//! Documents that loosen a policy: what waits, and who signs it.

use axum::Json;
use axum::extract::{Path, State};
use serde::Deserialize;
use towpath_api::rest::{Decision, PolicyChange};
use towpath_engine::PolicyBallot;
use towpath_model::policy_change::Word;
use towpath_model::{EnvironmentKey, EnvironmentName, ProjectName};
use utoipa::IntoParams;

use super::places::EnvironmentAt;
use super::promotions::parse_binding;
use crate::app::App;
use crate::auth::{Action, Principal};
use crate::problem::Problem;

/// A policy change of an Environment.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct ChangeAt {
    /// The Project.
    #[param(value_type = String)]
    project: ProjectName,
    /// The Environment.
    #[param(value_type = String)]
    environment: EnvironmentName,
    /// Its number there.
    number: u64,
}

/// Lists the policy changes of an Environment, newest first: those that wait and those that ended.
#[utoipa::path(get, path = "/api/v1/projects/{project}/environments/{environment}/policy-changes", params(EnvironmentAt), responses((status = 200, body = Vec<PolicyChange>)))]
pub(super) async fn list(
    State(app): State<App>,
    principal: Principal,
    Path(at): Path<EnvironmentAt>,
) -> Result<Json<Vec<PolicyChange>>, Problem> {
    let _permit = principal.may(Action::View, Some(&at.project))?;
    let key = at.key();
    let changes = app.engine.policy_changes(&key).await?;
    let policy = app.engine.environment(&key).await?.environment.policy;
    Ok(Json(changes.iter().map(|change| PolicyChange::new(change, &policy)).collect()))
}

/// Signs a policy change. The last signature that it needs puts the document in force.
#[utoipa::path(post, path = "/api/v1/projects/{project}/environments/{environment}/policy-changes/{number}/approve", params(ChangeAt), request_body = Decision, responses((status = 200, body = PolicyChange)))]
pub(super) async fn approve(
    State(app): State<App>,
    principal: Principal,
    Path(at): Path<ChangeAt>,
    Json(decision): Json<Decision>,
) -> Result<Json<PolicyChange>, Problem> {
    let _permit = principal.may(Action::Decide, Some(&at.project))?;
    vote(&app, &principal, at, Word::Yes, decision).await
}

/// Rejects a policy change; whoever applied the document takes it back so.
#[utoipa::path(post, path = "/api/v1/projects/{project}/environments/{environment}/policy-changes/{number}/reject", params(ChangeAt), request_body = Decision, responses((status = 200, body = PolicyChange)))]
pub(super) async fn reject(
    State(app): State<App>,
    principal: Principal,
    Path(at): Path<ChangeAt>,
    Json(decision): Json<Decision>,
) -> Result<Json<PolicyChange>, Problem> {
    // Whoever may apply a document may take it back; the engine asks whose it is.
    if principal.may(Action::ApplyPolicy, Some(&at.project)).is_err() {
        let _permit = principal.may(Action::Decide, Some(&at.project))?;
    }
    vote(&app, &principal, at, Word::No, decision).await
}

async fn vote(
    app: &App,
    principal: &Principal,
    ChangeAt { project, environment, number }: ChangeAt,
    word: Word,
    Decision { comment, binding }: Decision,
) -> Result<Json<PolicyChange>, Problem> {
    let person = principal.person(Some(&project));
    let environment = EnvironmentKey { project, environment };
    let binding = parse_binding(binding)?;
    let ballot = PolicyBallot { environment: environment.clone(), number, word, comment, binding };
    let change = app.engine.vote_on_policy(ballot, &person).await?;
    let policy = app.engine.environment(&environment).await?.environment.policy;
    Ok(Json(PolicyChange::new(&change, &policy)))
}
