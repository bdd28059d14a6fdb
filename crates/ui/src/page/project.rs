//! One Project: its route, Runs and Releases, and how to push when there are none.

use maud::{Markup, html};

use crate::part::action::button;
use crate::part::frame::{Page, frame};
use crate::part::route::strip;
use crate::part::small::{badge, command, commit, digest, dot, prose, runs, time};
use crate::part::triggers::triggers;
use crate::routes;
use crate::view::{ProjectView, State, Tone};

/// Renders a Project.
#[must_use]
pub fn project(view: &ProjectView) -> Markup {
    let now = view.shell.now;
    let body = html! {
        div.title {
            h1 { (view.name) }
            a.button.plain href=(routes::tests(&view.name)) { "Tests" }
            a.button.plain href=(routes::insights(&view.name)) { "Insights" }
            a.button.plain href=(routes::notifications(&view.name)) { "Notifications" }
            a.button.plain href=(routes::caches(&view.name)) { "Caches" }
            a.button.plain href=(routes::logs(&view.name, "", None)) { "Logs" }
            a.button.plain href=(routes::timeline(&view.name, "", "", None)) { "Timeline" }
        }
        section #route.large data-region aria-label="Environments" {
            @if !view.route.is_empty() { (strip(&view.name, &view.route, now)) }
        }
        (stops(view))
        section.card #runs data-region {
            h2 { "Runs" }
            @if view.runs.is_empty() { (first_push(view)) } @else { (runs(&view.name, &view.runs, now)) }
        }
        (releases(view))
        (triggers(&view.shell, &view.triggers))
        @if !view.runs.is_empty() {
            details.card { summary { "Clone and push" } (first_push(view)) }
        }
    };
    let moving = view.runs.iter().any(|run| run.state == State::Running);
    let tone = if moving { Tone::Live } else { Tone::Calm };
    frame(
        &view.shell,
        &Page { title: &view.name, crumbs: vec![("Projects".into(), routes::OVERVIEW.into())], tone, body },
    )
}

fn first_push(view: &ProjectView) -> Markup {
    html! {
        div.steps-to-do {
            p { "Towpath hosts this repository. Pushing to " code { (view.branch) } " starts a Run, and what it seals goes on its way." }
            (command(&format!("git remote add towpath {}", view.clone_url)))
            (command(&format!("git push towpath {}", view.branch)))
            p.muted { "Or start from what is here:" }
            (command(&format!("git clone {}", view.clone_url)))
        }
    }
}

/// Holds and quarantines: what a person has to lift.
fn stops(view: &ProjectView) -> Markup {
    let now = view.shell.now;
    html! {
        section #stops data-region {
            @for (index, hold) in view.holds.iter().enumerate() {
                div.banner.warn {
                    (badge(State::Held))
                    p {
                        a href=(routes::environment(&view.name, &hold.environment)) { (hold.environment) }
                        " takes no new promotion by itself: " (prose(&hold.reason))
                        span.muted { " · " (hold.by) ", " (time(hold.since, now)) }
                    }
                    @if let Some(action) = &hold.resume { (button(&view.shell, &format!("hold-{index}"), action)) }
                }
            }
            @for (index, row) in view.quarantined.iter().enumerate() {
                div.banner.warn {
                    (badge(State::Quarantined))
                    p {
                        a href=(routes::release(&view.name, &row.version)) { (row.version) }
                        " may not enter " (row.environment) ": " (prose(&row.reason))
                        span.muted { " · " (time(row.since, now)) " " } (digest(&row.digest))
                    }
                    @if let Some(action) = &row.release { (button(&view.shell, &format!("quarantine-{index}"), action)) }
                }
            }
        }
    }
}

fn releases(view: &ProjectView) -> Markup {
    html! {
        section.card #releases data-region {
            h2 { "Releases" }
            @if view.releases.is_empty() { p.muted { "None sealed yet. A Run on a protected branch seals one when every job has passed." } }
            @else { div.scroll { table {
                thead { tr { th { "Version" } th { "Reached" } th { "Commit" } th { "Digest" } th { "Sealed" } } }
                tbody {
                    @for row in &view.releases {
                        tr {
                            td { a.strong href=(routes::release(&view.name, &row.version)) { (row.version) } }
                            td { span.reached { @for (environment, state) in &row.reached { span { (dot(*state)) (environment) } } } }
                            td.wide { (commit(&row.commit)) }
                            td { (digest(&row.digest)) }
                            td { (time(row.sealed, view.shell.now)) }
                        }
                    }
                }
            } } }
        }
    }
}
