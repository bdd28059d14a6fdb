//! Incidents that people open and close.

use axum::Json;
use axum::extract::{Path, Query, State};
use http::StatusCode;
use serde::Deserialize;
use towpath_api::rest::{CloseIncident, OpenIncident, ReportedIncident};
use towpath_engine::NewIncident;
use towpath_model::incident::Reported;
use towpath_model::{EnvironmentKey, InvalidName, ProjectName};
use utoipa::IntoParams;

use crate::app::App;
use crate::auth::{Action, Principal};
use crate::problem::Problem;

#[derive(Debug, Deserialize, IntoParams)]
pub(super) struct Asked {
    /// Of the last days, 1 to 365; 30 if absent. Those that last are always there.
    days: Option<u32>,
}

/// An incident of a Project.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct IncidentAt {
    /// The Project.
    #[param(value_type = String)]
    project: ProjectName,
    /// The incident's number.
    number: u64,
}

fn wire(reported: Reported) -> ReportedIncident {
    let Reported { number, environment, version, title, opened_by, opened_at, closed_by, closed_at, comment } =
        reported;
    let environment = environment.to_string();
    ReportedIncident {
        number,
        environment,
        version,
        title,
        opened_by,
        opened_at,
        closed_by,
        closed_at,
        comment,
    }
}

/// Lists the incidents that people reported, newest first, 1,000 at most.
#[utoipa::path(get, path = "/api/v1/projects/{project}/incidents", params(("project" = String, Path), Asked), responses((status = 200, body = Vec<ReportedIncident>)))]
pub(super) async fn list(
    State(app): State<App>,
    principal: Principal,
    Path(project): Path<ProjectName>,
    Query(Asked { days }): Query<Asked>,
) -> Result<Json<Vec<ReportedIncident>>, Problem> {
    let _permit = principal.may(Action::View, Some(&project))?;
    let found = app.engine.incidents(&project, days.unwrap_or(30).clamp(1, 365)).await?;
    Ok(Json(found.into_iter().map(wire).collect()))
}

/// Opens an incident of the version that caused it.
#[utoipa::path(post, path = "/api/v1/projects/{project}/incidents", request_body = OpenIncident, responses((status = 201, body = ReportedIncident)))]
pub(super) async fn open(
    State(app): State<App>,
    principal: Principal,
    Path(project): Path<ProjectName>,
    Json(new): Json<OpenIncident>,
) -> Result<(StatusCode, Json<ReportedIncident>), Problem> {
    let _permit = principal.may(Action::Report, Some(&project))?;
    let person = principal.person(Some(&project));
    let OpenIncident { environment, title, version, opened_at } = new;
    let environment =
        environment.parse().map_err(|error: InvalidName| Problem::invalid(error.to_string()))?;
    let environment = EnvironmentKey { project, environment };
    let opened =
        app.engine.open_incident(NewIncident { environment, version, title, opened_at }, &person).await?;
    Ok((StatusCode::CREATED, Json(wire(opened))))
}

/// Closes an incident.
#[utoipa::path(post, path = "/api/v1/projects/{project}/incidents/{number}/close", params(IncidentAt), request_body = CloseIncident, responses((status = 200, body = ReportedIncident)))]
pub(super) async fn close(
    State(app): State<App>,
    principal: Principal,
    Path(IncidentAt { project, number }): Path<IncidentAt>,
    Json(close): Json<CloseIncident>,
) -> Result<Json<ReportedIncident>, Problem> {
    let _permit = principal.may(Action::Report, Some(&project))?;
    let person = principal.person(Some(&project));
    let CloseIncident { comment, closed_at } = close;
    Ok(Json(wire(app.engine.close_incident(&project, number, &comment, closed_at, &person).await?)))
}
