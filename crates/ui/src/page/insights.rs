//! How a Project delivers: the four DORA metrics, rework, waiting, and what failed.

use maud::{Markup, html};

use crate::part::action::{button, buttons};
use crate::part::frame::{Page, frame};
use crate::part::small::{prose, time};
use crate::routes;
use crate::view::{InsightsView, Tone};

/// Renders the insights.
#[must_use]
pub fn insights(view: &InsightsView) -> Markup {
    let InsightsView { shell, project, scope, metrics, incidents, actions } = view;
    let body = html! {
        div.title { h1 { "Insights" } (buttons(shell, "report", actions)) }
        p.lead { (scope) }
        section.card #metrics data-region {
            div.scroll { table {
                thead { tr { th { "Metric" } th { "Value" } th { "Band" } th { "How it is counted" } } }
                tbody { @for metric in metrics {
                    tr { td { strong { (metric.name) } } td.num { (metric.value) } td { @if let Some(band) = &metric.band { (band) } } td.wide { (metric.meaning) } }
                } }
            } }
        }
        section.card #incidents data-region {
            h2 { "What failed" }
            @if incidents.is_empty() { p.muted { "Nothing that users met was taken back, and nobody reported an incident." } } @else {
                div.scroll { table {
                    thead { tr { th { "Version" } th { "Environment" } th { "Noticed" } th { "Restored" } th { "Caught by" } } }
                    tbody { @for (index, incident) in incidents.iter().enumerate() {
                        tr {
                            td { @if incident.version.is_empty() { "unknown" } @else { a href=(routes::release(project, &incident.version)) { (incident.version) } } }
                            td { a href=(routes::environment(project, &incident.environment)) { (incident.environment) } }
                            td { (time(incident.opened, shell.now)) }
                            td {
                                @match incident.closed { Some(closed) => (time(closed, shell.now)), None => "not yet" }
                                @if let Some(close) = &incident.close { " " (button(shell, &format!("close-{index}"), close)) }
                            }
                            td.wide { (prose(&incident.caught_by)) }
                        }
                    } }
                } }
            }
        }
    };
    let crumbs =
        vec![("Projects".into(), routes::OVERVIEW.into()), (project.clone(), routes::project(project))];
    frame(shell, &Page { title: "Insights", crumbs, tone: Tone::Calm, body })
}
