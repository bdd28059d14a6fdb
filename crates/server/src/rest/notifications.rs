//! Notifications: the document of a Project, what was told, and tests of channels.

use axum::Json;
use axum::extract::{Path, State};
use http::StatusCode;
use serde::Deserialize;
use towpath_api::rest::{AppliedNotifications, Apply, Channel, Delivery, Notifications};
use towpath_model::ProjectName;
use towpath_model::environment::Promotion;
use towpath_model::notify::Event;
use utoipa::IntoParams;

use crate::app::App;
use crate::auth::{Action, Principal};
use crate::problem::Problem;

/// A channel of a Project.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct ChannelAt {
    /// The Project.
    #[param(value_type = String)]
    project: ProjectName,
    /// The channel's name.
    channel: String,
}

pub(crate) fn wire(delivery: towpath_store::core::notifications::Delivery) -> Delivery {
    let towpath_store::core::notifications::Delivery {
        id: _,
        channel,
        recipient,
        message,
        state,
        error,
        created_at,
        ended_at,
    } = delivery;
    Delivery {
        channel,
        recipient,
        event: message.event.word().to_owned(),
        title: message.title(),
        promotion: message.promotion,
        state,
        error,
        created_at,
        ended_at,
    }
}

/// Shows the notification document in force.
#[utoipa::path(get, path = "/api/v1/projects/{project}/notifications", responses((status = 200, body = Notifications)))]
pub(super) async fn show(
    State(app): State<App>,
    principal: Principal,
    Path(project): Path<ProjectName>,
) -> Result<Json<Notifications>, Problem> {
    let _permit = principal.may(Action::View, Some(&project))?;
    let found = app.engine.notifications(&project).await?;
    let (document, kept) = found.ok_or_else(|| {
        Problem::not_found(format!("{project} has no notification document"))
            .hint("`towpath notify apply` makes it")
    })?;
    let channels = document.channels.iter();
    let channels =
        channels.map(|(name, channel)| Channel { name: name.clone(), kind: channel.word().to_owned() });
    Ok(Json(Notifications {
        version: kept.version,
        text: kept.source,
        applied_by: kept.applied_by,
        applied_at: kept.applied_at,
        channels: channels.collect(),
    }))
}

/// Applies a notification document, or says what applying it would change.
#[utoipa::path(post, path = "/api/v1/projects/{project}/notifications", request_body = Apply, responses((status = 200, body = AppliedNotifications)))]
pub(super) async fn apply(
    State(app): State<App>,
    principal: Principal,
    Path(project): Path<ProjectName>,
    Json(apply): Json<Apply>,
) -> Result<Json<AppliedNotifications>, Problem> {
    let _permit = principal.may(Action::ApplyPolicy, Some(&project))?;
    let person = principal.person(Some(&project));
    let Apply { file, text, dry_run } = apply;
    let applied = app.engine.apply_notifications(&project, &file, &text, dry_run, &person).await?;
    let towpath_engine::notify::Applied { version, changes, unset, warnings } = applied;
    Ok(Json(AppliedNotifications { version, changes, unset, warnings }))
}

/// Lists what was told lately, newest first.
#[utoipa::path(get, path = "/api/v1/projects/{project}/notifications/deliveries", responses((status = 200, body = Vec<Delivery>)))]
pub(super) async fn deliveries(
    State(app): State<App>,
    principal: Principal,
    Path(project): Path<ProjectName>,
) -> Result<Json<Vec<Delivery>>, Problem> {
    let _permit = principal.may(Action::View, Some(&project))?;
    Ok(Json(app.engine.deliveries(&project).await?.into_iter().map(wire).collect()))
}

/// Sends a test to a channel; answers once it was taken.
#[utoipa::path(post, path = "/api/v1/projects/{project}/notifications/channels/{channel}/test", params(ChannelAt), responses((status = 204)))]
pub(super) async fn test(
    State(app): State<App>,
    principal: Principal,
    Path(ChannelAt { project, channel }): Path<ChannelAt>,
) -> Result<StatusCode, Problem> {
    let _permit = principal.may(Action::ApplyPolicy, Some(&project))?;
    app.engine.test_channel(&project, &channel, &principal.person(Some(&project))).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Who was told that a Promotion waits for people, one sentence each. That nobody was is said, too.
pub(crate) async fn told_of(app: &App, promotion: &Promotion) -> Result<Vec<String>, Problem> {
    let told = app.engine.told_of(promotion.id).await?;
    let asked = told.into_iter().filter(|delivery| delivery.message.event == Event::NeedsPeople);
    let words: Vec<String> = asked.map(|delivery| wire(delivery).words()).collect();
    let waits = promotion.called && promotion.outcome.is_none() && promotion.rollout.is_none();
    if words.is_empty() && waits {
        let nobody = "nobody was told: no route of the notifications has `needs-people` for this environment";
        return Ok(vec![nobody.to_owned()]);
    }
    Ok(words)
}
