//! How a Project delivers, in numbers of the last days.

use std::collections::BTreeSet;

use axum::extract::{Path, Query, State};
use axum::response::Response;
use jiff::SignedDuration;
use serde::Deserialize;
use towpath_api::rest::{DeliveryInsights, Incident};
use towpath_ui::page;
use towpath_ui::view::{IncidentRow, InsightsView, MetricRow};

use super::act;
use super::shell::{Reader, frame, html, live, or_error};
use crate::app::App;
use crate::auth::Principal;
use crate::problem::Problem;
use crate::rest::delivery_insights;

#[derive(Default, Deserialize)]
pub(super) struct Wanted {
    days: Option<u32>,
    environment: Option<String>,
}

/// Shows the insights of a Project.
pub(super) async fn show(
    State(app): State<App>,
    Reader(principal): Reader,
    Path(project): Path<String>,
    Query(wanted): Query<Wanted>,
) -> Response {
    let page = render(&app, &principal, &project, wanted).await;
    or_error(&app, &principal, page)
}

async fn render(
    app: &App,
    principal: &Principal,
    project: &str,
    wanted: Wanted,
) -> Result<Response, Problem> {
    let project = act::project(principal, project)?;
    let days = wanted.days.unwrap_or(30).clamp(1, 365);
    let environment = wanted.environment.and_then(|name| name.parse().ok());
    let found =
        delivery_insights(app, &project, days, environment.into_iter().collect::<BTreeSet<_>>()).await?;
    let view = InsightsView {
        shell: frame(app, principal, live(None), None).await?,
        project: project.to_string(),
        scope: format!("Into {}, the last {days} days.", found.environments.join(", ")),
        metrics: metrics(&found),
        incidents: found.incidents.into_iter().map(incident).collect(),
    };
    Ok(html(page::insights(&view)))
}

fn metrics(found: &DeliveryInsights) -> Vec<MetricRow> {
    let row = |name: &str, value, band: Option<&String>, meaning| MetricRow {
        name: name.to_owned(),
        value,
        band: band.cloned(),
        meaning,
    };
    let runs = format!("{}, before {}", time(found.run_seconds), time(found.run_seconds_before));
    vec![
        row(
            "Deployment frequency",
            format!("{:.2} a day", found.per_day),
            Some(&found.frequency),
            "Rollouts that users met; more than daily is elite, weekly high, monthly medium.",
        ),
        row(
            "Lead time",
            time(found.lead_time_seconds),
            found.lead_time.as_ref(),
            "Median from the push of a commit until it ran; below 1 h is elite, a week high, a month medium.",
        ),
        row(
            "Failed changes",
            format!("{} of {} ({})", found.failures, found.deployments, share(found.failure_rate)),
            found.change_failure.as_ref(),
            "Taken back by a guard or a person; below 5 % is elite, 10 % high, 15 % medium.",
        ),
        row(
            "Time to restore",
            time(found.restore_seconds),
            found.restore.as_ref(),
            "Median from noticing until what ran before ran again; below 1 h is elite, a day high, a week medium.",
        ),
        row(
            "Rework",
            format!("{} ({})", found.rework, share(found.rework_rate)),
            None,
            "Deployments that followed a failure, to mend it.",
        ),
        row(
            "Waiting for gates",
            time(found.gate_wait_seconds),
            None,
            "Median from being asked for until the rollout began.",
        ),
        row(
            "Never started",
            found.never_started.to_string(),
            None,
            "Rejected, expired, superseded or withdrawn.",
        ),
        row("A run takes", runs, None, "Median, and that of as many days before."),
    ]
}

fn time(seconds: Option<i64>) -> String {
    seconds
        .map_or_else(|| "unknown".to_owned(), |seconds| format!("{:#}", SignedDuration::from_secs(seconds)))
}

fn share(share: Option<f64>) -> String {
    share.map_or_else(|| "unknown".to_owned(), |share| format!("{:.1} %", share * 100.0))
}

fn incident(incident: Incident) -> IncidentRow {
    let Incident { environment, version, caught_by, opened_at, closed_at } = incident;
    IncidentRow { environment, version, caught_by, opened: opened_at, closed: closed_at }
}
