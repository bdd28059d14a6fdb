//! What is kept from one Attempt for later ones: listed, followed, revoked, and opened by people.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use http::StatusCode;
use jiff::Timestamp;
use serde::Deserialize;
use towpath_api::rest::{CacheEntry, CacheReach, Comment, Page, ResumeJob, Reused, Run, Workspace};
use towpath_engine::kept::{self, Reached};
use towpath_model::{Digest, ProjectName};
use towpath_store::core::kept::KeptEntry;

use super::page_of::Paging;
use super::places::{JobAt, RunAt};
use crate::agent_api::reuse;
use crate::app::App;
use crate::auth::{Action, Principal};
use crate::problem::Problem;

/// An entry of a Project.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct EntryAt {
    /// The Project.
    #[param(value_type = String)]
    project: ProjectName,
    /// The entry's id.
    id: String,
}

/// Lists caches, outputs of Steps and workspaces, the newest first.
#[utoipa::path(get, path = "/api/v1/projects/{project}/caches", params(Paging), responses((status = 200, body = Page<CacheEntry>)))]
pub(super) async fn list(
    State(app): State<App>,
    principal: Principal,
    Path(project): Path<ProjectName>,
    Query(paging): Query<Paging>,
) -> Result<Json<Page<CacheEntry>>, Problem> {
    let _permit = principal.may(Action::View, Some(&project))?;
    let before: Option<Timestamp> = paging.cursor().parse().ok();
    let entries = app.engine.kept_entries(&project, before, paging.limit() + 1).await?;
    let entries = entries.iter().map(wire).collect();
    Ok(Json(paging.page(entries, |entry: &CacheEntry| entry.created_at.to_string())))
}

/// Shows an entry, what was made from it, and the Runs and Releases that it reached.
#[utoipa::path(get, path = "/api/v1/projects/{project}/caches/{id}", params(EntryAt), responses((status = 200, body = CacheReach)))]
pub(super) async fn show(
    State(app): State<App>,
    principal: Principal,
    Path(EntryAt { project, id }): Path<EntryAt>,
) -> Result<Json<CacheReach>, Problem> {
    let _permit = principal.may(Action::View, Some(&project))?;
    Ok(Json(wire_reach(&app.engine.kept_reach(&project, &id).await?)))
}

/// Revokes an entry and all that was made from it. None of them is given to anybody again.
#[utoipa::path(post, path = "/api/v1/projects/{project}/caches/{id}/revoke", params(EntryAt), request_body = Comment, responses((status = 200, body = CacheReach)))]
pub(super) async fn revoke(
    State(app): State<App>,
    principal: Principal,
    Path(EntryAt { project, id }): Path<EntryAt>,
    Json(why): Json<Comment>,
) -> Result<Json<CacheReach>, Problem> {
    let _permit = principal.may(Action::ControlRun, Some(&project))?;
    let person = principal.person(Some(&project));
    app.engine.kept_revoke(&project, &id, &why.comment, &person).await?;
    Ok(Json(wire_reach(&app.engine.kept_reach(&project, &id).await?)))
}

/// Says what the Attempts of a Run reused, and why they missed what they missed.
#[utoipa::path(get, path = "/api/v1/projects/{project}/runs/{number}/reuse", params(RunAt), responses((status = 200, body = Vec<Reused>)))]
pub(super) async fn reused(
    State(app): State<App>,
    principal: Principal,
    Path(RunAt { project, number }): Path<RunAt>,
) -> Result<Json<Vec<Reused>>, Problem> {
    let _permit = principal.may(Action::View, Some(&project))?;
    let run = app.engine.find_run(&project, number).await?;
    let uses = app.engine.kept_uses(&project, run.id).await?;
    let wire = |(used, entry): &(towpath_store::core::kept::KeptUse, Option<KeptEntry>)| Reused {
        job: used.job.clone(),
        attempt: used.attempt.to_string(),
        step: used.step,
        outcome: used.outcome.clone(),
        entry: used.entry.clone(),
        text: kept::words(used, entry.as_ref().map(kept::writer).as_deref()),
    };
    Ok(Json(uses.iter().map(wire).collect()))
}

/// Lists the kept workspaces of a Job, one for each Step, the newest Attempt first. Who may control Runs may open them.
#[utoipa::path(get, path = "/api/v1/projects/{project}/runs/{number}/jobs/{job}/workspaces", params(JobAt), responses((status = 200, body = Vec<Workspace>)))]
pub(super) async fn workspaces(
    State(app): State<App>,
    principal: Principal,
    Path(JobAt { project, number, job }): Path<JobAt>,
) -> Result<Json<Vec<Workspace>>, Problem> {
    let _permit = principal.may(Action::ControlRun, Some(&project))?;
    let kept = app.engine.kept_workspaces(&project, number, &job).await?;
    let wire = |kept: kept::KeptWorkspace| Workspace {
        attempt: kept.attempt,
        step: kept.step,
        step_name: kept.step_name,
        snapshot: kept.snapshot.to_string(),
        directory: kept.directory,
        env: kept.env,
        secrets: kept.secrets,
        scripts: kept.scripts,
    };
    Ok(Json(kept.into_iter().map(wire).collect()))
}

/// Tries a Job again from a Step on, in the workspace that the Step before it left, with an edited command if wanted.
#[utoipa::path(post, path = "/api/v1/projects/{project}/runs/{number}/jobs/{job}/resume", params(JobAt), request_body = ResumeJob, responses((status = 201, body = Run)))]
pub(super) async fn resume(
    State(app): State<App>,
    principal: Principal,
    Path(JobAt { project, number, job }): Path<JobAt>,
    Json(ResumeJob { from, run }): Json<ResumeJob>,
) -> Result<(StatusCode, Json<Run>), Problem> {
    let _permit = principal.may(Action::ControlRun, Some(&project))?;
    let person = principal.person(Some(&project));
    let run = app.engine.resume_job(&project, number, &job, from, run, &person).await?;
    Ok((StatusCode::CREATED, Json((&run).into())))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct BlobAt {
    /// The Project.
    #[param(value_type = String)]
    project: ProjectName,
    /// The blob: the manifest of a workspace, or one of its packs.
    #[param(value_type = String)]
    digest: Digest,
}

/// Sends a blob of a kept workspace.
#[utoipa::path(get, path = "/api/v1/projects/{project}/kept/{digest}", params(BlobAt), responses((status = 200, body = Vec<u8>)))]
pub(super) async fn blob(
    State(app): State<App>,
    principal: Principal,
    Path(BlobAt { project, digest }): Path<BlobAt>,
) -> Result<Response, Problem> {
    let _permit = principal.may(Action::ControlRun, Some(&project))?;
    app.engine.kept_may_read(&project, digest).await?;
    reuse::blob(&app, digest).await
}

fn wire(entry: &KeptEntry) -> CacheEntry {
    CacheEntry {
        id: entry.id.clone(),
        kind: entry.kind,
        scope: entry.scope.clone(),
        key: entry.key.clone(),
        parts: entry.body.parts.clone(),
        snapshot: entry.snapshot.to_string(),
        files: entry.files,
        bytes: entry.bytes,
        stored: entry.stored,
        run: entry.run_number,
        job: entry.job.clone(),
        step: entry.step,
        commit: entry.commit.clone(),
        created_at: entry.created_at,
        used_at: entry.used_at,
        state: entry.state.word().to_owned(),
        ended: entry.ended.clone(),
    }
}

fn wire_reach(reached: &Reached) -> CacheReach {
    CacheReach {
        entries: reached.entries.iter().map(wire).collect(),
        runs: reached.runs.values().cloned().collect(),
        releases: reached.releases.iter().map(|release| release.version.clone()).collect(),
    }
}
