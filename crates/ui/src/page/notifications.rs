//! Who of a Project is told of what: channels with a button that tries each, and what was told lately.

use maud::{Markup, html};

use crate::part::action::token;
use crate::part::frame::{Page, frame};
use crate::part::small::{command, dot, prose, time};
use crate::routes;
use crate::view::{ChannelRow, DeliveryRow, NotificationsView, Tone};

/// Renders the notifications.
#[must_use]
pub fn notifications(view: &NotificationsView) -> Markup {
    let NotificationsView { shell, project, document, channels, refused: _, alerts, told } = view;
    let body = html! {
        div.title { h1 { "Notifications" } }
        p.lead { @match document { Some(words) => (words), None => "Nobody is told of anything: this project has no notification document." } }
        section.card #channels data-region {
            h2 { "Channels" }
            @if channels.is_empty() { (command(&format!("towpath notify apply {project} notifications.yaml"))) } @else {
                div.scroll { table {
                    thead { tr { th { "Channel" } th { "Kind" } th { "Is told of" } th { "Try it" } } }
                    tbody { @for channel in channels { (row(view, channel)) } }
                } }
            }
        }
        @if !alerts.is_empty() {
            section.card #alerts data-region { h2 { "Alerts" } ul { @for words in alerts { li { (prose(words)) } } } }
        }
        section.card #told data-region {
            h2 { "What was told" }
            @if told.is_empty() { p.muted { "Nothing in the last 30 days." } } @else {
                div.scroll { table {
                    thead { tr { th { "When" } th { "To" } th { "What" } th { "State" } } }
                    tbody { @for delivery in told { (line(view, delivery)) } }
                } }
            }
        }
    };
    let crumbs =
        vec![("Projects".into(), routes::OVERVIEW.into()), (project.clone(), routes::project(project))];
    frame(shell, &Page { title: "Notifications", crumbs, tone: Tone::Calm, body })
}

fn row(view: &NotificationsView, channel: &ChannelRow) -> Markup {
    let ChannelRow { name, kind, told_of } = channel;
    html! {
        tr {
            td { strong { (name) } }
            td { (kind) }
            td.wide { @if told_of.is_empty() { span.muted { "nothing: no route leads to it" } } @for words in told_of { div { (words) } } }
            td { @match &view.refused {
                Some(refused) => span.refused title=(refused) { button.button.plain type="button" disabled { "Test" } span.sr { (refused) } },
                None => form method="post" action=(routes::test_channel(&view.project, name)) {
                    (token(&view.shell)) button.button.plain type="submit" { "Test" }
                },
            } }
        }
    }
}

fn line(view: &NotificationsView, delivery: &DeliveryRow) -> Markup {
    let DeliveryRow { at, whom, state, word, title, promotion, error } = delivery;
    html! {
        tr data-filter=(title) {
            td { (time(*at, view.shell.now)) }
            td { (whom) }
            td.wide { @match promotion { Some(id) => a href=(routes::promotion(id)) { (title) }, None => (title) } }
            td { (dot(*state)) " " (word) @if !error.is_empty() { div.reason { (prose(error)) } } }
        }
    }
}
