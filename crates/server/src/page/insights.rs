//! How a Project delivers, in numbers of the last days.

use std::collections::BTreeSet;

use axum::extract::{Path, Query, State};
use axum::response::Response;
use jiff::SignedDuration;
use serde::Deserialize;
use towpath_api::rest::{DeliveryInsights, Incident};
use towpath_engine::NewIncident;
use towpath_model::ProjectName;
use towpath_ui::view::{Action, ActionKind, IncidentRow, InsightsView, MetricRow, Notice};
use towpath_ui::{page, routes};

use super::act::{self, Comment, Refusal};
use super::shell::{Reader, Said, frame, html, live, or_error};
use crate::app::App;
use crate::auth::csrf::CheckedForm;
use crate::auth::{Action as Deed, Principal};
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
    Said(said): Said,
) -> Response {
    let shown = said.is_some();
    let page = render(&app, &principal, &project, wanted, said).await;
    act::forget(&app, shown, or_error(&app, &principal, page))
}

async fn render(
    app: &App,
    principal: &Principal,
    project: &str,
    wanted: Wanted,
    notice: Option<Notice>,
) -> Result<Response, Problem> {
    let project = act::project(principal, project)?;
    let days = wanted.days.unwrap_or(30).clamp(1, 365);
    let environment = wanted.environment.and_then(|name| name.parse().ok());
    let found =
        delivery_insights(app, &project, days, environment.into_iter().collect::<BTreeSet<_>>()).await?;
    let refused = act::refused(principal, Deed::Report, &project);
    let view = InsightsView {
        shell: frame(app, principal, live(Some(&project)), notice).await?,
        project: project.to_string(),
        scope: format!("Into {}, the last {days} days.", found.environments.join(", ")),
        metrics: metrics(&found),
        actions: found.environments.iter().map(|name| report(&project, name, refused.clone())).collect(),
        incidents: found
            .incidents
            .into_iter()
            .map(|found| incident(&project, found, refused.clone()))
            .collect(),
    };
    Ok(html(page::insights(&view)))
}

fn report(project: &ProjectName, environment: &str, refused: Option<String>) -> Action {
    let consequence = format!(
        "Opens an incident of what runs in `{environment}`, as of now. It counts as a failed change of that version, and the time \
         to restore runs until it is closed. Say what users meet."
    );
    let label = format!("Report an incident in {environment}");
    Action::on(&routes::insights(project.as_str()), ActionKind::Open, label, consequence)
        .sending("environment", environment)
        .unless(refused)
}

/// What the form of a new incident sends.
#[derive(Deserialize)]
pub(super) struct NewReport {
    environment: String,
    comment: String,
}

/// Opens an incident.
pub(super) async fn open(
    State(app): State<App>,
    Path(project): Path<String>,
    CheckedForm { principal, fields: NewReport { environment, comment } }: CheckedForm<NewReport>,
) -> Response {
    let principal = &principal;
    let done = async {
        let environment = act::environment(principal, &project, &environment)?;
        let _permit = principal.may(Deed::Report, Some(&environment.project))?;
        let person = act::person(principal, &environment.project);
        let new = NewIncident { environment, version: None, title: comment, opened_at: None };
        let opened = app.engine.open_incident(new, &person).await?;
        Ok(format!("Incident {} is open.", opened.number))
    };
    let done = done.await;
    after(&app, principal, &project, done).await
}

/// Closes an incident.
pub(super) async fn close(
    State(app): State<App>,
    Path((project, number)): Path<(String, u64)>,
    form: CheckedForm<Comment>,
) -> Response {
    let principal = &form.principal;
    let done = async {
        let project = act::project(principal, &project)?;
        let _permit = principal.may(Deed::Report, Some(&project))?;
        let person = act::person(principal, &project);
        app.engine.close_incident(&project, number, &form.fields.comment, None, &person).await?;
        Ok(format!("Incident {number} is closed."))
    };
    let done = done.await;
    after(&app, principal, &project, done).await
}

async fn after(app: &App, principal: &Principal, project: &str, done: Result<String, Refusal>) -> Response {
    match done {
        Ok(said) => act::done(app, &routes::insights(project), &said),
        Err(Refusal::Instead(problem)) => or_error(app, principal, Err(problem)),
        Err(Refusal::OnPage(reason)) => {
            let page = render(app, principal, project, Wanted::default(), act::not_done(reason)).await;
            act::conflict(app, principal, page)
        }
    }
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
            "Taken back by a guard or a person, or with an incident that somebody reported; below 5 % is elite, 10 % high, 15 % medium.",
        ),
        row(
            "Time to restore",
            time(found.restore_seconds),
            found.restore.as_ref(),
            "Median from noticing until what ran before ran again or somebody closed the incident; below 1 h is elite, a day high, a week medium.",
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

fn incident(project: &ProjectName, incident: Incident, refused: Option<String>) -> IncidentRow {
    let Incident { environment, version, caught_by, opened_at, closed_at, number } = incident;
    let close = number.filter(|_| closed_at.is_none()).map(|number| {
        let page = routes::incident(project.as_str(), number);
        let consequence = format!("Says that incident {number} is over, as of now.");
        Action::on(&page, ActionKind::Close, "Close", consequence).unless(refused)
    });
    IncidentRow { environment, version, caught_by, opened: opened_at, closed: closed_at, close }
}
