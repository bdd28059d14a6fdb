//! Environments: how they are, and what people ask of them.

use axum::Json;
use axum::extract::{Path, State};
use towpath_api::rest::{
    AppliedDocument, Apply, Comment, Environment, EnvironmentDocument, EnvironmentStatus, NewPromotion,
    PendingDocument, Promotion, RevisionTotal, Rollback,
};
use towpath_engine::PromoteRequest;
use towpath_model::ProjectName;
use towpath_store::core::documents::Document;
use towpath_store::core::measurements::Total;

use super::places::EnvironmentAt;
use crate::app::App;
use crate::auth::{Action, Principal};
use crate::problem::Problem;

/// How many Promotions the history shows.
const HISTORY: u32 = 100;

fn wire(status: towpath_engine::EnvironmentStatus) -> EnvironmentStatus {
    EnvironmentStatus { environment: (&status.environment).into(), waits: status.waits, offer: None }
}

/// Lists a Project's Environments.
#[utoipa::path(get, path = "/api/v1/projects/{project}/environments", responses((status = 200, body = Vec<EnvironmentStatus>)))]
pub(super) async fn list(
    State(app): State<App>,
    principal: Principal,
    Path(project): Path<ProjectName>,
) -> Result<Json<Vec<EnvironmentStatus>>, Problem> {
    let _permit = principal.may(Action::View, Some(&project))?;
    let found = app.engine.environments(Some(&project)).await?;
    Ok(Json(found.into_iter().map(wire).collect()))
}

/// Shows an Environment.
#[utoipa::path(get, path = "/api/v1/projects/{project}/environments/{environment}", params(EnvironmentAt), responses((status = 200, body = EnvironmentStatus)))]
pub(super) async fn show(
    State(app): State<App>,
    principal: Principal,
    Path(at): Path<EnvironmentAt>,
) -> Result<Json<EnvironmentStatus>, Problem> {
    let _permit = principal.may(Action::View, Some(&at.project))?;
    let status = app.engine.environment(&at.key()).await?;
    let offer = app.engine.offered(&status.environment).await?;
    Ok(Json(EnvironmentStatus { offer, ..wire(status) }))
}

/// Lists the Promotions of an Environment, newest first.
#[utoipa::path(get, path = "/api/v1/projects/{project}/environments/{environment}/history", params(EnvironmentAt), responses((status = 200, body = Vec<Promotion>)))]
pub(super) async fn history(
    State(app): State<App>,
    principal: Principal,
    Path(at): Path<EnvironmentAt>,
) -> Result<Json<Vec<Promotion>>, Problem> {
    let _permit = principal.may(Action::View, Some(&at.project))?;
    let found = app.engine.promotions_of(&at.key(), HISTORY).await?;
    Ok(Json(found.iter().map(Promotion::from).collect()))
}

/// Counts what each Revision answered, as far back as measurements are kept (7 days).
#[utoipa::path(get, path = "/api/v1/projects/{project}/environments/{environment}/totals", params(EnvironmentAt), responses((status = 200, body = Vec<RevisionTotal>)))]
pub(super) async fn totals(
    State(app): State<App>,
    principal: Principal,
    Path(at): Path<EnvironmentAt>,
) -> Result<Json<Vec<RevisionTotal>>, Problem> {
    let _permit = principal.may(Action::View, Some(&at.project))?;
    let key = at.key();
    app.engine.environment(&key).await?;
    let versions = app.engine.versions_in(&key).await?;
    let wire = |total: Total| RevisionTotal {
        revision: total.revision.to_string(),
        version: versions.get(&total.revision).cloned(),
        way: total.way,
        requests: total.requests,
        errors: total.errors,
        gateway_errors: total.gateway_errors,
    };
    Ok(Json(app.engine.totals(&key).await?.into_iter().map(wire).collect()))
}

/// Lists the versions of an Environment's document, newest first.
#[utoipa::path(get, path = "/api/v1/projects/{project}/environments/{environment}/documents", params(EnvironmentAt), responses((status = 200, body = Vec<EnvironmentDocument>)))]
pub(super) async fn documents(
    State(app): State<App>,
    principal: Principal,
    Path(at): Path<EnvironmentAt>,
) -> Result<Json<Vec<EnvironmentDocument>>, Problem> {
    let _permit = principal.may(Action::View, Some(&at.project))?;
    let key = at.key();
    app.engine.environment(&key).await?;
    let wire = |Document { version, source, applied_by, applied_at }| EnvironmentDocument {
        version,
        source,
        applied_by,
        applied_at,
    };
    Ok(Json(app.engine.documents(&key).await?.into_iter().map(wire).collect()))
}

/// Promotes a Release into an Environment.
#[utoipa::path(post, path = "/api/v1/projects/{project}/environments/{environment}/promote", params(EnvironmentAt), request_body = NewPromotion, responses((status = 200, body = Environment)))]
pub(super) async fn promote(
    State(app): State<App>,
    principal: Principal,
    Path(at): Path<EnvironmentAt>,
    Json(new): Json<NewPromotion>,
) -> Result<Json<Environment>, Problem> {
    let _permit = principal.may(Action::Promote, Some(&at.project))?;
    let person = principal.person(Some(&at.project));
    let NewPromotion { version, comment, override_quarantine } = new;
    let environment = at.key();
    let request = PromoteRequest { environment, version, comment, override_quarantine };
    Ok(Json((&app.engine.promote(&request, &person).await?).into()))
}

/// Holds an Environment: nothing is promoted into it, and its Rollout stays where it is.
#[utoipa::path(post, path = "/api/v1/projects/{project}/environments/{environment}/hold", params(EnvironmentAt), request_body = Comment, responses((status = 200, body = Environment)))]
pub(super) async fn hold(
    State(app): State<App>,
    principal: Principal,
    Path(at): Path<EnvironmentAt>,
    Json(why): Json<Comment>,
) -> Result<Json<Environment>, Problem> {
    let _permit = principal.may(Action::Hold, Some(&at.project))?;
    let person = principal.person(Some(&at.project));
    Ok(Json((&app.engine.hold(&at.key(), &why.comment, &person).await?).into()))
}

/// Ends a hold.
#[utoipa::path(post, path = "/api/v1/projects/{project}/environments/{environment}/resume", params(EnvironmentAt), request_body = Comment, responses((status = 200, body = Environment)))]
pub(super) async fn resume(
    State(app): State<App>,
    principal: Principal,
    Path(at): Path<EnvironmentAt>,
    Json(why): Json<Comment>,
) -> Result<Json<Environment>, Problem> {
    let _permit = principal.may(Action::Resume, Some(&at.project))?;
    let person = principal.person(Some(&at.project));
    Ok(Json((&app.engine.resume(&at.key(), &why.comment, &person).await?).into()))
}

/// Goes back to an earlier Revision.
#[utoipa::path(post, path = "/api/v1/projects/{project}/environments/{environment}/rollback", params(EnvironmentAt), request_body = Rollback, responses((status = 200, body = Environment)))]
pub(super) async fn rollback(
    State(app): State<App>,
    principal: Principal,
    Path(at): Path<EnvironmentAt>,
    Json(back): Json<Rollback>,
) -> Result<Json<Environment>, Problem> {
    let _permit = principal.may(Action::RollBack, Some(&at.project))?;
    let person = principal.person(Some(&at.project));
    let Rollback { to, anyway, comment } = back;
    Ok(Json((&app.engine.rollback(&at.key(), to.as_deref(), anyway, &comment, &person).await?).into()))
}

/// Applies environment documents, or says what applying them would change.
#[utoipa::path(post, path = "/api/v1/projects/{project}/apply", request_body = Apply, responses((status = 200, body = Vec<AppliedDocument>)))]
pub(super) async fn apply(
    State(app): State<App>,
    principal: Principal,
    Path(project): Path<ProjectName>,
    Json(apply): Json<Apply>,
) -> Result<Json<Vec<AppliedDocument>>, Problem> {
    let _permit = principal.may(Action::ApplyPolicy, Some(&project))?;
    let person = principal.person(Some(&project));
    let Apply { file, text, dry_run } = apply;
    let report = app.engine.apply(&project, &file, &text, dry_run, &person).await?;
    let wire = |applied: towpath_engine::Applied| AppliedDocument {
        environment: applied.environment.environment.to_string(),
        version: applied.version,
        changes: applied.changes,
        loosens: applied.loosens,
        pending: applied.pending.map(|towpath_engine::Pending { number, needs, expires_at }| {
            PendingDocument { number, needs, expires_at }
        }),
        unpassable: applied.unpassable,
    };
    Ok(Json(report.documents.into_iter().map(wire).collect()))
}
