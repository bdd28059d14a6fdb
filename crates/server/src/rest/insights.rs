//! How a Project delivers.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::{Path, Query, State};
use jiff::SignedDuration;
use serde::Deserialize;
use towpath_api::rest::{DeliveryInsights, Incident};
use towpath_model::delivery::{Band, Delivery};
use towpath_model::{EnvironmentName, ProjectName};

use crate::app::App;
use crate::auth::{Action, Principal};
use crate::problem::Problem;

#[derive(Debug, Deserialize, utoipa::IntoParams)]
pub(super) struct Asked {
    /// Of the last days, 1 to 365; 30 if absent.
    days: Option<u32>,
    /// The Environment that counts; those at the end of the route if absent.
    #[param(value_type = Option<String>)]
    environment: Option<EnvironmentName>,
}

/// Says how a Project delivers: the four DORA metrics, rework, waiting, and each failure with what caught it.
#[utoipa::path(get, path = "/api/v1/projects/{project}/insights/delivery", params(("project" = String, Path), Asked), responses((status = 200, body = DeliveryInsights)))]
pub(super) async fn delivery(
    State(app): State<App>,
    principal: Principal,
    Path(project): Path<ProjectName>,
    Query(Asked { days, environment }): Query<Asked>,
) -> Result<Json<DeliveryInsights>, Problem> {
    let _permit = principal.may(Action::View, Some(&project))?;
    let days = days.unwrap_or(30).clamp(1, 365);
    insights(&app, &project, days, environment.into_iter().collect()).await.map(Json)
}

/// The same, for the page.
pub(crate) async fn insights(
    app: &App,
    project: &ProjectName,
    days: u32,
    environments: BTreeSet<EnvironmentName>,
) -> Result<DeliveryInsights, Problem> {
    let found = app.engine.delivery_insights(project, days, environments).await?;
    let towpath_engine::DeliveryInsights { environments, since, delivery, run_time, run_time_before } = found;
    let Delivery {
        deployments,
        per_day,
        frequency,
        lead_time,
        lead_time_band,
        failures,
        failure_rate,
        failure_rate_band,
        restore,
        restore_band,
        rework,
        rework_rate,
        gate_wait,
        never_started,
        incidents,
    } = delivery;
    let seconds = |time: Option<SignedDuration>| time.map(|time| time.as_secs());
    let word = |band: Option<Band>| band.map(|band| band.word().to_owned());
    let incident = |incident: towpath_model::incident::Incident| {
        let towpath_model::incident::Incident {
            environment,
            version,
            caught_by,
            opened_at,
            closed_at,
            number,
        } = incident;
        Incident { environment: environment.to_string(), version, caught_by, opened_at, closed_at, number }
    };
    Ok(DeliveryInsights {
        days,
        since,
        environments: environments.iter().map(ToString::to_string).collect(),
        deployments: deployments as u64,
        per_day,
        frequency: frequency.word().to_owned(),
        lead_time_seconds: seconds(lead_time),
        lead_time: word(lead_time_band),
        failures: failures as u64,
        failure_rate,
        change_failure: word(failure_rate_band),
        restore_seconds: seconds(restore),
        restore: word(restore_band),
        rework: rework as u64,
        rework_rate,
        gate_wait_seconds: seconds(gate_wait),
        never_started: never_started as u64,
        run_seconds: seconds(run_time),
        run_seconds_before: seconds(run_time_before),
        incidents: incidents.into_iter().map(incident).collect(),
    })
}
