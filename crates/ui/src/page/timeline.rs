//! Who did what.

use maud::{Markup, html};

use crate::part::frame::{Page, frame};
use crate::part::small::{dot, time};
use crate::routes;
use crate::view::{TimelineEntry, TimelineView, Tone};

/// Renders the timeline.
#[must_use]
pub fn timeline(view: &TimelineView) -> Markup {
    let filter = &view.filter;
    let body = html! {
        div.title { h1 { "Timeline" } }
        form.filters method="get" action=(routes::TIMELINE) {
            (choice("project", "Project", &filter.project, &view.projects))
            (choice("environment", "Environment", &filter.environment, &view.environments))
            (choice("actor", "Who", &filter.actor, &view.actors))
            button.button type="submit" { "Show" }
            @if routes::timeline(&filter.project, &filter.environment, &filter.actor, None) != routes::TIMELINE { a href=(routes::TIMELINE) { "Show all" } }
        }
        section.card #entries data-region {
            @if view.entries.is_empty() { p.muted { "Nothing has happened here." } }
            ol.timeline { @for entry in &view.entries { (self::entry(view, entry)) } }
            @if let Some(before) = view.older {
                a.button href=(routes::timeline(&filter.project, &filter.environment, &filter.actor, Some(before))) { "Older" }
            }
        }
    };
    frame(&view.shell, &Page { title: "Timeline", crumbs: Vec::new(), tone: Tone::Calm, body })
}

fn choice(name: &str, label: &str, chosen: &str, all: &[String]) -> Markup {
    html! {
        label { (label)
            select name=(name) {
                option value="" { "all" }
                @for value in all { option value=(value) selected[value == chosen] { (value) } }
            }
        }
    }
}

fn entry(view: &TimelineView, entry: &TimelineEntry) -> Markup {
    let TimelineEntry { sequence, at, actor, state, text, comment, project, environment, href } = entry;
    html! {
        li data-filter={ (actor) " " (text) } {
            (dot(*state))
            div {
                p { strong { (actor) } " " @match href { Some(href) => a href=(href) { (text) }, None => (text) } }
                @if let Some(comment) = comment { blockquote { (comment) } }
                p.muted {
                    (time(*at, view.shell.now))
                    @if let Some(project) = project {
                        " · " a href=(routes::project(project)) { (project) }
                        @if let Some(environment) = environment { " / " a href=(routes::environment(project, environment)) { (environment) } }
                    }
                    " · " span.num title="Sequence number; there are no gaps" { "№ " (sequence) }
                }
            }
        }
    }
}
