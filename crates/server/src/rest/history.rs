//! What happened to a Project, for those who plan a change of its pipeline file.

use axum::Json;
use axum::extract::{Path, Query, State};
use serde::Deserialize;
use towpath_api::rest::PastEvent;
use towpath_model::ProjectName;

use crate::app::App;
use crate::auth::{Action, Principal};
use crate::problem::Problem;

#[derive(Debug, Deserialize, utoipa::IntoParams)]
pub(super) struct Wanted {
    /// How many events, 1 to 100; 20 if absent.
    limit: Option<u32>,
}

/// Lists what happened to a Project and what came of it, newest first, with or without a Run.
#[utoipa::path(get, path = "/api/v1/projects/{project}/history", params(Wanted), responses((status = 200, body = Vec<PastEvent>)))]
pub(super) async fn list(
    State(app): State<App>,
    principal: Principal,
    Path(project): Path<ProjectName>,
    Query(wanted): Query<Wanted>,
) -> Result<Json<Vec<PastEvent>>, Problem> {
    let _permit = principal.may(Action::View, Some(&project))?;
    let events = app.engine.history(&project, wanted.limit.unwrap_or(20)).await?;
    Ok(Json(events.into_iter().map(PastEvent).collect()))
}
