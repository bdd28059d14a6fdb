//! What waits for agents, why and until when.

use maud::{Markup, html};

use crate::part::frame::{Page, frame};
use crate::part::small::time;
use crate::routes;
use crate::view::{QueueView, RunningRow, Tone, WaitingRow};

/// Renders the queue.
#[must_use]
pub fn queue(view: &QueueView) -> Markup {
    let QueueView { shell, waiting, waiting_in_all, running, agents, free } = view;
    let hidden = waiting_in_all.saturating_sub(waiting.len() as u64);
    let body = html! {
        div.title { h1 { "Queue" } }
        section.card #queue data-region {
            p.muted { (agents) " agents take jobs, with room for " (free) " more." }
            @if waiting.is_empty() { p { "Nothing waits for an agent." } }
            @else { div.scroll { table {
                thead { tr { th { "Job" } th { "Waits because" } th { "Since" } th { "May begin" } th { "Priority" } } }
                tbody { @for row in waiting { (waits(view, row)) } }
            } } }
            @if hidden > 0 { p.muted { (hidden) " more wait, in other projects or further back." } }
        }
        section.card #running data-region {
            h2 { "Running" }
            @if running.is_empty() { p.muted { "Nothing runs." } }
            @else { div.scroll { table {
                thead { tr { th { "Job" } th { "Since" } th { "Usually takes" } } }
                tbody { @for row in running { (runs(view, row)) } }
            } } }
        }
    };
    frame(shell, &Page { title: "Queue", crumbs: Vec::new(), tone: Tone::Calm, body })
}

fn waits(view: &QueueView, row: &WaitingRow) -> Markup {
    let WaitingRow { title, project, run, reason, since, eta, priority } = row;
    html! {
        tr data-filter=(title) {
            td { @if *run > 0 { a href=(routes::run(project, *run)) { (title) } } @else { (title) } }
            td.wide { (reason) }
            td { (time(*since, view.shell.now)) }
            td { @match eta { Some(at) => (time(*at, view.shell.now)), None => span.muted { "not known" } } }
            td { (priority) }
        }
    }
}

fn runs(view: &QueueView, row: &RunningRow) -> Markup {
    let RunningRow { title, since, usually } = row;
    html! {
        tr {
            td { (title) }
            td { (time(*since, view.shell.now)) }
            td { @match usually { Some(seconds) => { (seconds) " s" }, None => span.muted { "not known yet" } } }
        }
    }
}
