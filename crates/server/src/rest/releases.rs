//! Releases and their journeys.

use axum::Json;
use axum::extract::{Path, Query, State};
use towpath_api::rest::{JourneyStep, Page, Release};
use towpath_model::ProjectName;
use towpath_store::core::releases::Release as Sealed;

use super::page_of::Paging;
use super::places::ReleaseAt;
use crate::app::App;
use crate::auth::{Action, Principal};
use crate::problem::Problem;

/// Lists Releases, newest first.
#[utoipa::path(get, path = "/api/v1/projects/{project}/releases", params(Paging), responses((status = 200, body = Page<Release>)))]
pub(super) async fn list(
    State(app): State<App>,
    principal: Principal,
    Path(project): Path<ProjectName>,
    Query(paging): Query<Paging>,
) -> Result<Json<Page<Release>>, Problem> {
    let _permit = principal.may(Action::View, Some(&project))?;
    let before = paging.cursor().parse().ok();
    let found = app.engine.releases(&project, before, paging.limit() + 1).await?;
    let mut items = Vec::new();
    for release in found {
        items.push(wire(&app, release).await?);
    }
    Ok(Json(paging.page(items, |release: &Release| release.created_at.to_string())))
}

/// Shows one Release as it was sealed.
#[utoipa::path(get, path = "/api/v1/projects/{project}/releases/{version}/sealed", params(ReleaseAt), responses((status = 200, body = Release)))]
pub(super) async fn sealed(
    State(app): State<App>,
    principal: Principal,
    Path(ReleaseAt { project, version }): Path<ReleaseAt>,
) -> Result<Json<Release>, Problem> {
    let _permit = principal.may(Action::View, Some(&project))?;
    let release = app.engine.release(&project, &version).await?;
    Ok(Json(wire(&app, release).await?))
}

/// A Release with what its manifest names.
async fn wire(app: &App, release: Sealed) -> Result<Release, Problem> {
    let manifest = app.engine.manifest(release.digest).await?;
    let artifacts = manifest.artifacts.iter();
    let executors = release.route.executors.into_iter().map(|(job, how)| (job.to_string(), how)).collect();
    Ok(Release {
        version: release.version,
        digest: release.digest.to_string(),
        commit: release.commit,
        created_at: release.created_at,
        executors,
        artifacts: artifacts.map(|(name, digest)| (name.to_string(), digest.to_string())).collect(),
    })
}

/// Shows where a Release is on its way, and what it waits for.
#[utoipa::path(get, path = "/api/v1/projects/{project}/releases/{version}", params(ReleaseAt), responses((status = 200, body = Vec<JourneyStep>)))]
pub(super) async fn show(
    State(app): State<App>,
    principal: Principal,
    Path(ReleaseAt { project, version }): Path<ReleaseAt>,
) -> Result<Json<Vec<JourneyStep>>, Problem> {
    let _permit = principal.may(Action::View, Some(&project))?;
    let journey = app.engine.journey(&project, &version).await?;
    let mut steps = Vec::new();
    for step in journey.steps {
        steps.push(JourneyStep {
            stage: step.stage,
            environment: step.environment.environment.to_string(),
            promotion: step.promotion.as_ref().map(Into::into),
            waits: step.waits,
            serves: step.serves,
        });
    }
    Ok(Json(steps))
}
