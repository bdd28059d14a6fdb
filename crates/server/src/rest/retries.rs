//! How the retries of a Project went.

use axum::Json;
use axum::extract::{Path, Query, State};
use serde::Deserialize;
use towpath_api::rest::{JobRetries, RetryBudget, RetryInsights};
use towpath_model::ProjectName;
use towpath_model::retry::Spending;
use towpath_store::core::retries;

use crate::app::App;
use crate::auth::{Action, Principal};
use crate::problem::Problem;

#[derive(Debug, Deserialize, utoipa::IntoParams)]
pub(super) struct Asked {
    /// Of the last days, 1 to 365; 30 if absent.
    days: Option<u32>,
    /// How many classes and Jobs, 1 to 500; 100 if absent.
    limit: Option<u32>,
}

/// Says how the retries of a Project went: by class and Job how many there were, helped, were in vain and were refused, and each class's budget.
#[utoipa::path(get, path = "/api/v1/projects/{project}/retries", params(("project" = String, Path), Asked), responses((status = 200, body = RetryInsights)))]
pub(super) async fn show(
    State(app): State<App>,
    principal: Principal,
    Path(project): Path<ProjectName>,
    Query(Asked { days, limit }): Query<Asked>,
) -> Result<Json<RetryInsights>, Problem> {
    let _permit = principal.may(Action::View, Some(&project))?;
    let (days, limit) = (days.unwrap_or(30).clamp(1, 365), limit.unwrap_or(100).clamp(1, 500));
    insights(&app, &project, days, limit).await.map(Json)
}

/// The same, for the page.
pub(crate) async fn insights(
    app: &App,
    project: &ProjectName,
    days: u32,
    limit: u32,
) -> Result<RetryInsights, Problem> {
    let found = app.engine.retries(project, days, limit).await?;
    let budget = |Spending { class, spent, budget }| RetryBudget { class, spent, budget };
    let jobs = found.jobs.into_iter().map(wire);
    Ok(RetryInsights {
        days,
        budgets: found.spending.into_iter().map(budget).collect(),
        jobs: jobs.collect(),
    })
}

fn wire(found: retries::JobRetries) -> JobRetries {
    let retries::JobRetries { class, job, retries, helped, in_vain, refused, last_run, last_at, last_why } =
        found;
    JobRetries { class, job, retries, helped, in_vain, refused, last_run, last_at, last_why }
}
