//! Who of a Project is told of what, and the button that tries a channel.

use axum::extract::{Path, State};
use axum::response::Response;
use serde::Deserialize;
use towpath_model::notify::{AlertRule, NotificationDocument, OnAlert, Route};
use towpath_store::core::notifications::Delivery;
use towpath_ui::view::{ChannelRow, DeliveryRow, Notice, NotificationsView, State as Look};
use towpath_ui::{page, routes};

use super::act::{self, Refusal};
use super::shell::{Reader, Said, frame, html, live, or_error};
use crate::app::App;
use crate::auth::csrf::CheckedForm;
use crate::auth::{Action, Principal};
use crate::problem::Problem;
use crate::rest::wire_delivery;

/// What the button sends besides its token: nothing.
#[derive(Debug, Deserialize)]
pub(super) struct Nothing {}

/// Shows the channels of a Project and what they were told.
pub(super) async fn show(
    State(app): State<App>,
    Reader(principal): Reader,
    Path(project): Path<String>,
    Said(said): Said,
) -> Response {
    let shown = said.is_some();
    let page = render(&app, &principal, &project, said).await;
    act::forget(&app, shown, or_error(&app, &principal, page))
}

async fn render(
    app: &App,
    principal: &Principal,
    project: &str,
    notice: Option<Notice>,
) -> Result<Response, Problem> {
    let project = act::project(principal, project)?;
    let found = app.engine.notifications(&project).await?;
    let told = app.engine.deliveries(&project).await?;
    let document = found.as_ref().map(|(_, kept)| {
        format!("Version {} of the notification document, applied by {}.", kept.version, kept.applied_by)
    });
    let (channels, alerts) =
        found.map_or_else(Default::default, |(document, _)| (channels(&document), alerts(&document)));
    let view = NotificationsView {
        shell: frame(app, principal, live(Some(&project)), notice).await?,
        document,
        channels,
        refused: act::refused(principal, Action::ApplyPolicy, &project),
        alerts,
        told: told.into_iter().map(row).collect(),
        project: project.to_string(),
    };
    Ok(html(page::notifications(&view)))
}

fn channels(document: &NotificationDocument) -> Vec<ChannelRow> {
    let row = |(name, channel): (&String, &towpath_model::notify::Channel)| {
        let routes = document.routes.iter().filter(|route| route.to.contains(name));
        ChannelRow {
            name: name.clone(),
            kind: channel.word().to_owned(),
            told_of: routes.map(words).collect(),
        }
    };
    document.channels.iter().map(row).collect()
}

fn words(route: &Route) -> String {
    let Route { on, environments, to: _ } = route;
    let events: Vec<&str> = on.iter().map(|event| event.word()).collect();
    let places: Vec<&str> = environments.iter().map(|name| name.as_str()).collect();
    let places = if places.is_empty() { String::new() } else { format!(" in {}", places.join(", ")) };
    format!("{}{places}", events.join(", "))
}

fn alerts(document: &NotificationDocument) -> Vec<String> {
    let rules = document.alerts.iter().flat_map(|alerts| &alerts.rules);
    rules.map(rule).collect()
}

fn rule(rule: &AlertRule) -> String {
    let AlertRule { environments, labels, then } = rule;
    let labels: Vec<String> = labels.iter().map(|(name, value)| format!("`{name}={value}`")).collect();
    let which = if labels.is_empty() {
        "Any alert".to_owned()
    } else {
        format!("An alert with {}", labels.join(", "))
    };
    let places: Vec<&str> = environments.iter().map(|name| name.as_str()).collect();
    let places = places.join(", ");
    match then {
        OnAlert::Rollback => format!("{which} takes a rollout in {places} back."),
        OnAlert::Hold => format!("{which} holds a rollout in {places} for a person."),
    }
}

fn row(delivery: Delivery) -> DeliveryRow {
    let wire = wire_delivery(delivery);
    let state = match wire.state.as_str() {
        "sent" => Look::Passed,
        "failed" => Look::Failed,
        _ => Look::Waiting,
    };
    DeliveryRow {
        at: wire.created_at,
        whom: wire.whom(),
        state,
        word: wire.state,
        title: wire.title,
        promotion: wire.promotion,
        error: wire.error,
    }
}

/// Sends a test to a channel.
pub(super) async fn test(
    State(app): State<App>,
    Path((project, channel)): Path<(String, String)>,
    form: CheckedForm<Nothing>,
) -> Response {
    let principal = &form.principal;
    let Nothing {} = form.fields;
    let done = async {
        let project = act::project(principal, &project)?;
        let _permit = principal.may(Action::ApplyPolicy, Some(&project))?;
        app.engine.test_channel(&project, &channel, &act::person(principal, &project)).await?;
        Ok(())
    };
    match done.await {
        Ok(()) => act::done(&app, &routes::notifications(&project), &format!("{channel} took the test.")),
        Err(Refusal::Instead(problem)) => or_error(&app, principal, Err(problem)),
        Err(Refusal::OnPage(reason)) => {
            let page = render(&app, principal, &project, act::not_done(reason)).await;
            act::conflict(&app, principal, page)
        }
    }
}
