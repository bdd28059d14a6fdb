//! Searching the logs of a Project, and what fails in it.

use maud::{Markup, html};

use crate::ansi::ansi_to_html;
use crate::part::frame::{Page, frame};
use crate::part::small::time;
use crate::view::{FailureRow, LogHit, LogsView, RetryRow, Tone};
use crate::{format, routes};

/// Renders a search.
#[must_use]
pub fn logs(view: &LogsView) -> Markup {
    let body = html! {
        div.title { h1 { "Logs" } }
        form.filters method="get" action=(routes::logs(&view.project, "", None)) role="search" {
            label { "Text" input type="search" name="text" value=(view.text) maxlength="1000" autofocus size="40"; }
            button.button.primary type="submit" { "Search" }
        }
        @if view.text.is_empty() { (failures(view)) (retries(view)) } @else { (found(view)) }
    };
    let crumbs = vec![
        ("Projects".into(), routes::OVERVIEW.into()),
        (view.project.clone(), routes::project(&view.project)),
    ];
    frame(&view.shell, &Page { title: "Logs", crumbs, tone: Tone::Calm, body })
}

fn found(view: &LogsView) -> Markup {
    let (hits, logs) = (view.hits.len(), view.logs);
    html! {
        section.card {
            p.muted {
                (format::count(hits as u64)) @if hits == 1 { " line" } @else { " lines" } " in "
                (format::count(logs as u64)) @if logs == 1 { " log" } @else { " logs" } ", newest first"
            }
            @for hits in view.hits.chunk_by(|one, other| place(one) == place(other)) { (of_one_log(view, hits)) }
            @if let Some(below) = view.below {
                a.button href=(routes::logs(&view.project, &view.text, Some(below))) { "Search older runs" }
            }
        }
    }
}

fn place(hit: &LogHit) -> (u64, &str, u32) {
    (hit.run, &hit.job, hit.attempt)
}

fn of_one_log(view: &LogsView, hits: &[LogHit]) -> Markup {
    html! {
        @if let Some(first) = hits.first() {
            h3 { a href=(routes::run(&view.project, first.run)) { "#" (first.run) } " " (first.job) @if first.attempt > 1 { span.muted { " attempt " (first.attempt) } } }
            div.log { div.log-lines.short {
                @for hit in hits {
                    div.ln { a.no href=(line(view, hit)) { (hit.line) } span.tx { (ansi_to_html(&hit.text)) } }
                }
            } }
        }
    }
}

/// Where a line stands in its log.
fn line(view: &LogsView, hit: &LogHit) -> String {
    routes::log_line(&view.project, hit.run, &hit.job, hit.attempt, hit.line)
}

fn failures(view: &LogsView) -> Markup {
    html! {
        section.card {
            h2 { "What fails" }
            @if view.failures.is_empty() { p.muted { "No step failed in the last 30 days." } } @else {
                p.muted { "In the last 30 days, the most frequent first. Numbers, ids and hashes do not count as a difference." }
                div.scroll { table {
                    thead { tr { th { "Times" } th { "Says" } th { "Commits" } th { "Since" } th { "Last" } } }
                    tbody { @for row in &view.failures { (failure(view, row)) } }
                } }
            }
        }
    }
}

fn retries(view: &LogsView) -> Markup {
    html! {
        section.card #retries {
            h2 { "Retries" }
            @if view.retries.is_empty() { p.muted { "No job was tried again in the last 30 days." } } @else {
                p.muted { "In the last 30 days. A retry that helps still hides something: a class that has used its budget of the week is not retried." }
                @for (class, spent, budget) in &view.budgets {
                    p { code { (class) } " " (spent) " of " (budget) " this week" @if spent >= budget { " " span.chip.bad { "used up" } } }
                }
                div.scroll { table {
                    thead { tr { th { "Class" } th { "Job" } th { "Retries" } th { "Helped" } th { "In vain" } th { "Refused" } th { "Last" } } }
                    tbody { @for row in &view.retries { (retried(view, row)) } }
                } }
            }
        }
    }
}

fn retried(view: &LogsView, row: &RetryRow) -> Markup {
    let RetryRow { class, job, retries, helped, in_vain, refused, last_run, last_at, last_why } = row;
    html! {
        tr data-filter=(job) {
            td { code { (class) } }
            td { (job) }
            td.num { (retries) }
            td.num { (helped) }
            td.num { (in_vain) }
            td.num { (refused) }
            td.wide { a href=(routes::run(&view.project, *last_run)) { "#" (last_run) } " " (time(*last_at, view.shell.now)) div.reason { (last_why) } }
        }
    }
}

fn failure(view: &LogsView, row: &FailureRow) -> Markup {
    let FailureRow { words, count, commits, since, first, last, at } = row;
    html! {
        tr data-filter=(words) {
            td.num { (format::count(*count)) }
            td.wide { a href=(line(view, at)) { code { (words) } } div.reason { "job " (at.job) } }
            td.num { (format::count(*commits)) }
            td { code { (since) } div.reason { (time(*first, view.shell.now)) } }
            td { a href=(routes::run(&view.project, at.run)) { "#" (at.run) } div.reason { (time(*last, view.shell.now)) } }
        }
    }
}
