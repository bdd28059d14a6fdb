//! Promotions: what they are, and who says yes or no.

use axum::Json;
use axum::extract::{Path, State};
use towpath_api::rest::{Comment, Decision, Environment, Lift, Promotion};
use towpath_model::digest::InvalidDigest;
use towpath_model::{Digest, PromotionId};

use crate::app::App;
use crate::auth::{Action, Principal};
use crate::problem::Problem;

/// Lists the Promotions that have not ended and that the caller may see, oldest first.
#[utoipa::path(get, path = "/api/v1/promotions", responses((status = 200, body = Vec<Promotion>)))]
pub(super) async fn open(
    State(app): State<App>,
    principal: Principal,
) -> Result<Json<Vec<Promotion>>, Problem> {
    let seen = |promotion: &towpath_model::environment::Promotion| {
        principal.may(Action::View, Some(promotion.project())).is_ok()
    };
    let found = app.engine.open_promotions().await?;
    Ok(Json(found.iter().filter(|promotion| seen(promotion)).map(Promotion::from).collect()))
}

/// Shows a Promotion with its Gates and its Rollout.
#[utoipa::path(get, path = "/api/v1/promotions/{promotion}", responses((status = 200, body = Promotion)))]
pub(super) async fn show(
    State(app): State<App>,
    principal: Principal,
    Path(id): Path<PromotionId>,
) -> Result<Json<Promotion>, Problem> {
    let promotion = app.engine.promotion(id).await?;
    let _permit = principal.may(Action::View, Some(&promotion.environment.project))?;
    Ok(Json((&promotion).into()))
}

/// Approves a Promotion.
#[utoipa::path(post, path = "/api/v1/promotions/{promotion}/approve", request_body = Decision, responses((status = 200, body = Environment)))]
pub(super) async fn approve(
    State(app): State<App>,
    principal: Principal,
    Path(id): Path<PromotionId>,
    Json(decision): Json<Decision>,
) -> Result<Json<Environment>, Problem> {
    vote(&app, &principal, id, true, decision).await
}

/// Rejects a Promotion.
#[utoipa::path(post, path = "/api/v1/promotions/{promotion}/reject", request_body = Decision, responses((status = 200, body = Environment)))]
pub(super) async fn reject(
    State(app): State<App>,
    principal: Principal,
    Path(id): Path<PromotionId>,
    Json(decision): Json<Decision>,
) -> Result<Json<Environment>, Problem> {
    vote(&app, &principal, id, false, decision).await
}

async fn vote(
    app: &App,
    principal: &Principal,
    id: PromotionId,
    approve: bool,
    decision: Decision,
) -> Result<Json<Environment>, Problem> {
    let project = app.engine.environment_of(id).await?.project;
    let _permit = principal.may(Action::Decide, Some(&project))?;
    let Decision { comment, binding } = decision;
    let binding = parse_binding(binding)?;
    let person = principal.person(Some(&project));
    Ok(Json((&app.engine.vote(id, approve, &comment, binding, &person).await?).into()))
}

/// What somebody says that they looked at.
pub(super) fn parse_binding(binding: Option<String>) -> Result<Option<Digest>, Problem> {
    let parsed = binding.map(|binding| binding.parse()).transpose();
    parsed.map_err(|error: InvalidDigest| Problem::invalid(error.to_string()))
}

/// Lifts the holds of a Promotion: the one that is named, or every one that the caller may lift.
#[utoipa::path(post, path = "/api/v1/promotions/{promotion}/lift", request_body = Lift, responses((status = 200, body = Environment)))]
pub(super) async fn lift(
    State(app): State<App>,
    principal: Principal,
    Path(id): Path<PromotionId>,
    Json(lift): Json<Lift>,
) -> Result<Json<Environment>, Problem> {
    let project = app.engine.environment_of(id).await?.project;
    // Whom it takes, the Gate says.
    let _permit = principal.may(Action::View, Some(&project))?;
    let person = principal.person(Some(&project));
    let Lift { name, comment } = lift;
    Ok(Json((&app.engine.lift(id, name.as_deref(), &comment, &person).await?).into()))
}

/// Takes a Promotion back before its Rollout starts.
#[utoipa::path(post, path = "/api/v1/promotions/{promotion}/withdraw", request_body = Comment, responses((status = 200, body = Environment)))]
pub(super) async fn withdraw(
    State(app): State<App>,
    principal: Principal,
    Path(id): Path<PromotionId>,
    Json(why): Json<Comment>,
) -> Result<Json<Environment>, Problem> {
    let project = app.engine.environment_of(id).await?.project;
    let _permit = principal.may(Action::Promote, Some(&project))?;
    let person = principal.person(Some(&project));
    Ok(Json((&app.engine.withdraw(id, &why.comment, &person).await?).into()))
}

/// Says who was told that a Promotion waits for people, one sentence each.
#[utoipa::path(get, path = "/api/v1/promotions/{promotion}/told", responses((status = 200, body = Vec<String>)))]
pub(super) async fn told(
    State(app): State<App>,
    principal: Principal,
    Path(id): Path<PromotionId>,
) -> Result<Json<Vec<String>>, Problem> {
    let promotion = app.engine.promotion(id).await?;
    let _permit = principal.may(Action::View, Some(&promotion.environment.project))?;
    Ok(Json(super::told_of(&app, &promotion).await?))
}
