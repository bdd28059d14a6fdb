//! One Environment: what it runs, what it ran, and by which rules.

use maud::{Markup, html};

use crate::part::action::{button, buttons};
use crate::part::frame::{Page, frame};
use crate::part::icon;
use crate::part::policy_change::policy_change;
use crate::part::small::{badge, digest, prose, revision, time, weight_bar};
use crate::view::{EnvironmentView, HistoryRow, InstanceRow, State, Tone};
use crate::{format, routes};

/// Renders an Environment.
#[must_use]
pub fn environment(view: &EnvironmentView) -> Markup {
    let body = html! {
        (header(view))
        (traffic(view))
        div #policies data-region {
            @for (index, card) in view.policies.iter().enumerate() { (policy_change(&view.shell, &format!("policy-{index}"), card)) }
        }
        (instances(view))
        (history(view))
        div.columns { (policy(view)) (configuration(view)) }
    };
    let title = format!("{} {}", view.project, view.name);
    let crumbs = vec![
        ("Projects".into(), routes::OVERVIEW.into()),
        (view.project.clone(), routes::project(&view.project)),
    ];
    let tone = if view.rollout.is_some() && view.health.tone() == Tone::Good {
        Tone::Live
    } else {
        view.health.tone()
    };
    frame(&view.shell, &Page { title: &title, crumbs, tone, body })
}

fn header(view: &EnvironmentView) -> Markup {
    html! {
        div #head data-region {
            div.title { h1 { (view.name) } (badge(view.health)) (buttons(&view.shell, "environment", &view.actions)) }
            @if let Some(hold) = &view.hold { p.why { (icon::state(State::Held)) " Held: " (hold) } }
            dl.facts {
                @match &view.current {
                    Some(current) => {
                        div { dt { "Runs" } dd.strong { (revision(&view.project, &current.revision)) } }
                        div { dt { "Revision" } dd { (digest(&current.revision.digest)) } }
                        div { dt { "Since" } dd { (time(current.since, view.shell.now)) } }
                        div { dt { "Ready" } dd { (current.ready) " of " (current.desired) } }
                    }
                    None => div { dt { "Runs" } dd { "nothing yet" } },
                }
                div { dt { "Target" } dd { (view.target) } }
                @if let Some(url) = &view.url { div { dt { "Address" } dd { a href=(url) rel="noreferrer" { (url) } } } }
            }
        }
    }
}

fn traffic(view: &EnvironmentView) -> Markup {
    html! {
        section #traffic data-region {
            @if let Some(rollout) = &view.rollout {
                div.banner.live {
                    (badge(rollout.state))
                    p { a.strong href=(routes::promotion(&rollout.promotion)) { (rollout.version) } " is on its way: " (rollout.phase) ", " (format::share(rollout.weight)) " of the traffic"
                        (weight_bar(rollout.weight, "Share of the candidate")) }
                }
            }
            @for promotion in &view.waiting {
                div.banner.wait {
                    (badge(State::Waiting))
                    p { a.strong href=(routes::promotion(&promotion.promotion)) { (promotion.version) } " waits: " (prose(&promotion.reason)) }
                }
            }
        }
    }
}

fn instances(view: &EnvironmentView) -> Markup {
    html! {
        section.card #instances data-region {
            h2 { "Instances" }
            @if view.instances.is_empty() { p.muted { "None run." } }
            @else { div.scroll { table {
                thead { tr { th { "State" } th { "Version" } th { "Agent" } th { "Address" } th { "Restarts" } th { "Since" } th { "Instance" } } }
                tbody { @for row in &view.instances {
                    @let InstanceRow { id, agent, address, version, state, note, restarts, since } = row;
                    tr {
                        td { (badge(*state)) @if let Some(note) = note { div.reason { (prose(note)) } } }
                        td.strong { (version) }
                        td { (agent) }
                        td { @if let Some(address) = address { code { (address) } } @else { "–" } }
                        td.num { (restarts) }
                        td { (time(*since, view.shell.now)) }
                        td { code.muted title=(id) { (format::short(id)) } }
                    }
                } }
            } } }
        }
    }
}

fn history(view: &EnvironmentView) -> Markup {
    html! {
        section.card #history data-region {
            h2 { "History" }
            @if view.history.is_empty() { p.muted { "Nothing was ever deployed here." } }
            @else { div.scroll { table {
                thead { tr { th { "Revision" } th { "Outcome" } th { "By" } th { "When" } th { "Digest" } th { span.sr { "Action" } } } }
                tbody { @for (index, row) in view.history.iter().enumerate() { (past(view, index, row)) } }
            } } }
        }
    }
}

fn past(view: &EnvironmentView, index: usize, row: &HistoryRow) -> Markup {
    let HistoryRow { revision: name, promotion, state, reason, by, at, rollback } = row;
    html! {
        tr {
            td.strong { (revision(&view.project, name)) }
            td.wide { a.quiet href=(routes::promotion(promotion)) { (badge(*state)) } @if let Some(reason) = reason { div.reason { (prose(reason)) } } }
            td { (by) }
            td { (time(*at, view.shell.now)) }
            td { (digest(&name.digest)) }
            td { @if let Some(action) = rollback { (button(&view.shell, &format!("history-{index}"), action)) } }
        }
    }
}

fn policy(view: &EnvironmentView) -> Markup {
    let policy = &view.policy;
    html! {
        section.card #policy data-region {
            h2 { "Policy " span.muted { "version " (policy.version) } }
            h3 { "Gates" }
            @if policy.gates.is_empty() { p.muted { "None: what the stage before has passed comes in." } }
            ul.plain { @for gate in &policy.gates { li { (icon::state(State::Waiting)) " " (gate) } } }
            h3 { "Refs that may enter" }
            @if policy.refs.is_empty() { p.muted { "Every protected ref." } }
            ul.plain { @for reference in &policy.refs { li { code { (reference) } } } }
            p.muted { "Applied by " (policy.applied_by) " " (time(policy.applied_at, view.shell.now)) ". Change it with " code { "towpath apply" } "." }
        }
    }
}

fn configuration(view: &EnvironmentView) -> Markup {
    html! {
        section.card #configuration data-region {
            h2 { "Configuration" }
            @if view.values.is_empty() { p.muted { "No values." } }
            dl.values { @for (name, value) in &view.values { dt { code { (name) } } dd { code { (value) } } } }
            h3 { "Secrets" }
            @if view.secrets.is_empty() { p.muted { "None." } }
            @else { div.scroll { table { tbody { @for secret in &view.secrets {
                tr {
                    td { code { (secret.name) } }
                    td { @match secret.version { Some(version) => { "version " (version) }, None => (badge(State::Empty)) } }
                    td { (secret.set_by) }
                    td { @if let Some(at) = secret.set_at { (time(at, view.shell.now)) } }
                }
            } } } }
            p.muted { "Towpath never shows a secret's value." } }
        }
    }
}
