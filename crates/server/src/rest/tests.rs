//! Tests of a Project, their quarantine, and what the reports of a Run say.

use axum::Json;
use axum::extract::{Path, Query, State};
use http::StatusCode;
use serde::Deserialize;
use towpath_api::rest::{NamedTest, NewQuarantine, RunEvidence, Test, Tests};
use towpath_model::ProjectName;
use towpath_store::core::tests::Order;

use super::places::RunAt;
use crate::app::App;
use crate::auth::{Action, Principal};
use crate::problem::Problem;

/// Which tests are asked for.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
pub(super) struct Asked {
    /// Only tests whose name contains this.
    #[serde(default)]
    like: String,
    /// `health` (flaky and failing ones first), `slowest` or `name`; `health` if absent.
    #[serde(default)]
    order: String,
    /// How many to pass over.
    #[serde(default)]
    offset: u32,
    /// How many to send, 1 to 1000; 50 if absent.
    limit: Option<u32>,
}

/// In which order a word asks for tests.
pub(crate) fn order(word: &str) -> Option<Order> {
    match word {
        "" | "health" => Some(Order::Health),
        "slowest" => Some(Order::Slowest),
        "name" => Some(Order::Name),
        _ => None,
    }
}

/// Says what the reports of a Run say: tests, coverage, findings, load, contracts, with the change against the last Release.
#[utoipa::path(get, path = "/api/v1/projects/{project}/runs/{number}/evidence", params(RunAt), responses((status = 200, body = RunEvidence)))]
pub(super) async fn evidence(
    State(app): State<App>,
    principal: Principal,
    Path(RunAt { project, number }): Path<RunAt>,
) -> Result<Json<RunEvidence>, Problem> {
    let _permit = principal.may(Action::View, Some(&project))?;
    Ok(Json(app.engine.evidence(&project, number).await?))
}

/// Lists the tests of a Project with their history, and every quarantine.
#[utoipa::path(get, path = "/api/v1/projects/{project}/tests", params(Asked), responses((status = 200, body = Tests)))]
pub(super) async fn list(
    State(app): State<App>,
    principal: Principal,
    Path(project): Path<ProjectName>,
    Query(asked): Query<Asked>,
) -> Result<Json<Tests>, Problem> {
    let _permit = principal.may(Action::View, Some(&project))?;
    let Asked { like, order: word, offset, limit } = asked;
    let order = order(&word)
        .ok_or_else(|| Problem::invalid(format!("`order` is health, slowest or name, not `{word}`")))?;
    let limit = limit.unwrap_or(50).clamp(1, 1000);
    Ok(Json(app.engine.tests(&project, &like, order, offset, limit).await?))
}

/// Shows one test with its last failures.
#[utoipa::path(post, path = "/api/v1/projects/{project}/tests/show", request_body = NamedTest, responses((status = 200, body = Test)))]
pub(super) async fn show(
    State(app): State<App>,
    principal: Principal,
    Path(project): Path<ProjectName>,
    Json(named): Json<NamedTest>,
) -> Result<Json<Test>, Problem> {
    let _permit = principal.may(Action::View, Some(&project))?;
    Ok(Json(app.engine.test(&project, &named.test).await?))
}

/// Puts a test into quarantine, or changes how it is there.
#[utoipa::path(post, path = "/api/v1/projects/{project}/tests/quarantine", request_body = NewQuarantine, responses((status = 204)))]
pub(super) async fn quarantine(
    State(app): State<App>,
    principal: Principal,
    Path(project): Path<ProjectName>,
    Json(new): Json<NewQuarantine>,
) -> Result<StatusCode, Problem> {
    let _permit = principal.may(Action::Quarantine, Some(&project))?;
    app.engine.quarantine_test(&project, new, &principal.person(Some(&project))).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Takes a test out of quarantine.
#[utoipa::path(post, path = "/api/v1/projects/{project}/tests/release", request_body = NamedTest, responses((status = 204)))]
pub(super) async fn release(
    State(app): State<App>,
    principal: Principal,
    Path(project): Path<ProjectName>,
    Json(named): Json<NamedTest>,
) -> Result<StatusCode, Problem> {
    let _permit = principal.may(Action::Quarantine, Some(&project))?;
    app.engine.release_test(&project, &named.test, &principal.person(Some(&project))).await?;
    Ok(StatusCode::NO_CONTENT)
}
