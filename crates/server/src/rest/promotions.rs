//! Promotions: what they are, and who says yes or no.

use axum::Json;
use axum::extract::{Path, State};
use serde_json::Value;
use towpath_api::rest::{Comment, Decision};
use towpath_model::digest::InvalidDigest;
use towpath_model::{Digest, PromotionId};

use super::value;
use crate::app::App;
use crate::auth::{Action, Principal};
use crate::problem::Problem;

/// Shows a Promotion with its Gates and its Rollout.
#[utoipa::path(get, path = "/api/v1/promotions/{promotion}", responses((status = 200, body = Value)))]
pub(super) async fn show(
    State(app): State<App>,
    principal: Principal,
    Path(id): Path<PromotionId>,
) -> Result<Json<Value>, Problem> {
    let promotion = app.engine.promotion(id).await?;
    let _permit = principal.may(Action::View, Some(&promotion.environment.project))?;
    value(&promotion).map(Json)
}

/// Approves a Promotion.
#[utoipa::path(post, path = "/api/v1/promotions/{promotion}/approve", request_body = Decision, responses((status = 200, body = Value)))]
pub(super) async fn approve(
    State(app): State<App>,
    principal: Principal,
    Path(id): Path<PromotionId>,
    Json(decision): Json<Decision>,
) -> Result<Json<Value>, Problem> {
    vote(&app, &principal, id, true, decision).await
}

/// Rejects a Promotion.
#[utoipa::path(post, path = "/api/v1/promotions/{promotion}/reject", request_body = Decision, responses((status = 200, body = Value)))]
pub(super) async fn reject(
    State(app): State<App>,
    principal: Principal,
    Path(id): Path<PromotionId>,
    Json(decision): Json<Decision>,
) -> Result<Json<Value>, Problem> {
    vote(&app, &principal, id, false, decision).await
}

async fn vote(
    app: &App,
    principal: &Principal,
    id: PromotionId,
    approve: bool,
    decision: Decision,
) -> Result<Json<Value>, Problem> {
    let project = app.engine.environment_of(id).await?.project;
    let _permit = principal.may(Action::Decide, Some(&project))?;
    let Decision { comment, binding } = decision;
    let binding: Option<Digest> = binding
        .map(|binding| binding.parse())
        .transpose()
        .map_err(|error: InvalidDigest| Problem::invalid(error.to_string()))?;
    let person = principal.person(Some(&project));
    value(&app.engine.vote(id, approve, &comment, binding, &person).await?).map(Json)
}

/// Takes a Promotion back before its Rollout starts.
#[utoipa::path(post, path = "/api/v1/promotions/{promotion}/withdraw", request_body = Comment, responses((status = 200, body = Value)))]
pub(super) async fn withdraw(
    State(app): State<App>,
    principal: Principal,
    Path(id): Path<PromotionId>,
    Json(why): Json<Comment>,
) -> Result<Json<Value>, Problem> {
    let project = app.engine.environment_of(id).await?.project;
    let _permit = principal.may(Action::Promote, Some(&project))?;
    let person = principal.person(Some(&project));
    value(&app.engine.withdraw(id, &why.comment, &person).await?).map(Json)
}
