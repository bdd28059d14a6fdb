//! Releases and their journeys.

use axum::Json;
use axum::extract::{Path, Query, State};
use jiff::Timestamp;
use towpath_api::rest::{Comment, JourneyStep, Page, Release, Revocation, Revoke, Revoked, RevokedPlace};
use towpath_model::ProjectName;
use towpath_model::revocation::OnRevocation;
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
        revoked: app
            .engine
            .revocation(release.digest)
            .await?
            .map(|known| Revocation::of(&known, Timestamp::now())),
    })
}

/// Revokes a Release: it starts nowhere any more, and what of it waits ends.
#[utoipa::path(post, path = "/api/v1/projects/{project}/releases/{version}/revoke", params(ReleaseAt), request_body = Revoke, responses((status = 200, body = Revoked)))]
pub(super) async fn revoke(
    State(app): State<App>,
    principal: Principal,
    Path(ReleaseAt { project, version }): Path<ReleaseAt>,
    Json(Revoke { reason, rollback }): Json<Revoke>,
) -> Result<Json<Revoked>, Problem> {
    let _permit = principal.may(Action::RollBack, Some(&project))?;
    let person = principal.person(Some(&project));
    let then = if rollback { OnRevocation::RollBack } else { OnRevocation::Hold };
    Ok(Json(told(app.engine.revoke(&project, &version, &reason, then, &person).await?)))
}

/// Lets a revoked Release start again. Where a document says `unrevoke: together`, the first caller asks, and a second agrees.
#[utoipa::path(post, path = "/api/v1/projects/{project}/releases/{version}/unrevoke", params(ReleaseAt), request_body = Comment, responses((status = 200, body = Revoked)))]
pub(super) async fn unrevoke(
    State(app): State<App>,
    principal: Principal,
    Path(ReleaseAt { project, version }): Path<ReleaseAt>,
    Json(Comment { comment }): Json<Comment>,
) -> Result<Json<Revoked>, Problem> {
    let _permit = principal.may(Action::Resume, Some(&project))?;
    let person = principal.person(Some(&project));
    Ok(Json(told(app.engine.unrevoke(&project, &version, &comment, &person).await?)))
}

fn told(revoked: towpath_engine::Revoked) -> Revoked {
    let towpath_engine::Revoked { release, revocation, places } = revoked;
    let place = |place: towpath_engine::RevokedPlace| RevokedPlace {
        environment: place.environment.environment.to_string(),
        text: place.text,
    };
    Revoked {
        release: release.to_string(),
        revocation: revocation.map(|known| Revocation::of(&known, Timestamp::now())),
        places: places.into_iter().map(place).collect(),
    }
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
