//! Searching logs, and failures that come again.

use axum::Json;
use axum::extract::{Path, Query, State};
use serde::Deserialize;
use towpath_api::rest::{Failure, LogHit, LogSearch, RecurringFailure};
use towpath_model::ProjectName;
use towpath_store::core::failures;

use crate::app::App;
use crate::auth::{Action, Principal};
use crate::problem::Problem;

/// The most lines in one answer.
const MOST: usize = 200;

#[derive(Debug, Deserialize, utoipa::IntoParams)]
pub(super) struct Wanted {
    /// What to look for, whatever its case; at most 1000 bytes.
    text: String,
    /// Only in Runs below this number: the `below` of the answer before.
    below: Option<u64>,
    /// How many lines, 1 to 200; 50 if absent.
    limit: Option<usize>,
}

/// Looks for a text in the logs of a Project, newest Run first. An answer ends after two seconds and says where to go on.
#[utoipa::path(get, path = "/api/v1/projects/{project}/logs", params(("project" = String, Path), Wanted), responses((status = 200, body = LogSearch)))]
pub(super) async fn search(
    State(app): State<App>,
    principal: Principal,
    Path(project): Path<ProjectName>,
    Query(wanted): Query<Wanted>,
) -> Result<Json<LogSearch>, Problem> {
    let _permit = principal.may(Action::View, Some(&project))?;
    let limit = wanted.limit.unwrap_or(50).clamp(1, MOST);
    let found = app.engine.search_logs(&project, &wanted.text, wanted.below, limit).await?;
    let hits = found.hits.into_iter().map(|hit| LogHit {
        run: hit.run,
        job: hit.job,
        attempt: hit.attempt,
        line: hit.line,
        text: hit.text,
    });
    Ok(Json(LogSearch { hits: hits.collect(), logs: found.logs, below: found.below }))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
pub(super) struct Days {
    /// Of the last days, 1 to 365; 30 if absent.
    days: Option<u32>,
    /// How many, 1 to 100; 20 if absent.
    limit: Option<u32>,
}

/// Lists what failed in a Project, the most frequent first.
#[utoipa::path(get, path = "/api/v1/projects/{project}/failures", params(("project" = String, Path), Days), responses((status = 200, body = Vec<RecurringFailure>)))]
pub(super) async fn failures(
    State(app): State<App>,
    principal: Principal,
    Path(project): Path<ProjectName>,
    Query(Days { days, limit }): Query<Days>,
) -> Result<Json<Vec<RecurringFailure>>, Problem> {
    let _permit = principal.may(Action::View, Some(&project))?;
    let (days, limit) = (days.unwrap_or(30).clamp(1, 365), limit.unwrap_or(20).clamp(1, 100));
    let found = app.engine.frequent_failures(&project, days, limit).await?;
    Ok(Json(found.into_iter().map(recurring).collect()))
}

fn recurring(found: failures::Recurring) -> RecurringFailure {
    RecurringFailure {
        signature: found.last.signature.clone(),
        count: found.count,
        commits: found.commits,
        first: failure(found.first),
        last: failure(found.last),
    }
}

fn failure(failure: failures::Failure) -> Failure {
    let failures::Failure { run, job, number, step, words, line, agent, commit, at, .. } = failure;
    Failure { run, job, attempt: number, step, words, line, agent, commit, at }
}
