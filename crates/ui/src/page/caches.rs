//! What is kept for later Runs, what was made from an entry, and the button that revokes it.

use maud::{Markup, html};

use crate::part::action::button;
use crate::part::frame::{Page, frame};
use crate::part::small::{command, time};
use crate::view::{CacheReached, CacheRow, CachesView, Tone};
use crate::{format, routes};

/// Renders the entries.
#[must_use]
pub fn caches(view: &CachesView) -> Markup {
    let CachesView { shell, project, entries, older, reached } = view;
    let body = html! {
        div.title { h1 { "Caches" } }
        p.lead { "Caches, outputs of steps and workspaces that later runs may go on from." }
        @if let Some(reached) = reached { (entry(view, reached)) }
        section.card #entries data-region {
            @if entries.is_empty() { p { "Nothing is kept: a job names what to keep with `cache`." } } @else {
                div.scroll { table {
                    thead { tr { th { "Key" } th { "Kind" } th { "Trust" } th { "Size" } th { "Written by" } th { "Last read" } } }
                    tbody { @for row in entries { (line(view, row)) } }
                } }
                @if let Some(older) = older { a.button href=(routes::caches_before(project, older)) { "Older" } }
            }
        }
    };
    let crumbs =
        vec![("Projects".into(), routes::OVERVIEW.into()), (project.clone(), routes::project(project))];
    frame(shell, &Page { title: "Caches", crumbs, tone: Tone::Calm, body })
}

fn line(view: &CachesView, row: &CacheRow) -> Markup {
    html! {
        tr data-filter=(row.key) {
            td.wide { a href=(routes::cache(&view.project, &row.id)) { code { (row.key) } } (ended(row)) }
            td { (row.kind) }
            td { (row.scope) }
            td.num { (format::bytes(row.bytes)) div.reason { (format::count(row.files)) " files" } }
            td { a href=(routes::run(&view.project, row.run)) { "#" (row.run) } " " (row.job) div.reason { (time(row.created, view.shell.now)) } }
            td { (time(row.used, view.shell.now)) }
        }
    }
}

fn ended(row: &CacheRow) -> Markup {
    html! { @if row.state != "live" { div.reason { strong { (row.state) } @if !row.ended.is_empty() { ": " (row.ended) } } } }
}

fn entry(view: &CachesView, reached: &CacheReached) -> Markup {
    let CacheReached { entry, entries, runs, releases, revoke } = reached;
    html! {
        section.card #entry data-region {
            div.title { h2 { code { (entry.key) } } @if let Some(revoke) = revoke { (button(&view.shell, "revoke", revoke)) } }
            (ended(entry))
            dl.facts {
                div { dt { "Written by" } dd { a href=(routes::run(&view.project, entry.run)) { "#" (entry.run) } " " (entry.job) } }
                div { dt { "Trust" } dd { (entry.scope) } }
                div { dt { "Size" } dd { (format::bytes(entry.bytes)) ", " (format::count(entry.files)) " files" } }
                div { dt { "Made from it" } dd { (entries) " other entries" } }
                div { dt { "Read by" } dd { @if runs.is_empty() { "no run" } @else { (runs.join(", ")) } } }
                div { dt { "Sealed with it" } dd {
                    @if releases.is_empty() { "no release" }
                    @for release in releases { a href=(routes::release(&view.project, release)) { (release) } " " }
                } }
            }
            (command(&format!("towpath cache show {} {}", view.project, entry.id)))
        }
    }
}
