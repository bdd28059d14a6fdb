//! The tests of a Project, and the page of one of them.

use maud::{Markup, html};

use crate::part::frame::{Page, frame};
use crate::part::small::{command, prose, time};
use crate::view::{HushedRow, TestFailureRow, TestRow, TestView, TestsView, Tone};
use crate::{format, routes};

/// Renders the list.
#[must_use]
pub fn tests(view: &TestsView) -> Markup {
    let TestsView { shell, project, like, order, counts, tests, next, quarantined } = view;
    let [stable, failing, flaky, skipped] = counts.map(format::count);
    let body = html! {
        div.title { h1 { "Tests" } }
        p.lead { (flaky) " flaky, " (failing) " failing, " (stable) " stable, " (skipped) " always left out" }
        form.filters method="get" action=(routes::tests(project)) role="search" {
            label { "Name" input type="search" name="like" value=(like) maxlength="1000" size="32"; }
            label { "Order" select name="order" {
                @for (value, label) in [("health", "flaky and failing first"), ("slowest", "slowest first"), ("name", "by name")] {
                    option value=(value) selected[value == order] { (label) }
                }
            } }
            button.button.primary type="submit" { "Show" }
        }
        section.card #tests data-region {
            @if tests.is_empty() {
                p { @if like.is_empty() { (prose("No report has named a test yet: a job names its files with `reports: { junit: … }`.")) } @else { "No test is called like that." } }
            } @else {
                div.scroll { table {
                    thead { tr { th { "Test" } th { "Health" } th { "Failed" } th { "On retry" } th { "Takes" } th { "Last results" } } }
                    tbody { @for test in tests { (row(project, test)) } }
                } }
                @if let Some(next) = next { a.button href=(routes::tests_from(project, like, order, *next)) { "More" } }
            }
        }
        @if !quarantined.is_empty() {
            section.card #quarantined data-region {
                h2 { "In quarantine" }
                div.scroll { table {
                    thead { tr { th { "Test" } th { "Owner" } th { "Until" } th { "Why" } } }
                    tbody { @for entry in quarantined {
                        tr {
                            td.wide { a href=(routes::test(project, &entry.test)) { (entry.test) } }
                            td { (entry.owner) }
                            td { (time(entry.until, shell.now)) @if entry.expired { div.bad-text { "over: its failures count again" } } }
                            td.wide { (entry.reason) }
                        }
                    } }
                } }
            }
        }
    };
    frame(shell, &Page { title: "Tests", crumbs: crumbs(project), tone: Tone::Calm, body })
}

fn crumbs(project: &str) -> Vec<(String, String)> {
    vec![("Projects".into(), routes::OVERVIEW.into()), (project.to_owned(), routes::project(project))]
}

fn row(project: &str, test: &TestRow) -> Markup {
    html! {
        tr data-filter=(test.id) {
            td.wide { a href=(routes::test(project, &test.id)) { (test.id) } div.reason { "job " (test.job) } }
            td { (health(test)) }
            td.num { (format::count(test.failures)) " of " (format::count(test.runs)) }
            td.num { (format::count(test.retried)) }
            td.num { (takes(test)) }
            td { (recent(&test.recent, 20)) }
        }
    }
}

fn health(test: &TestRow) -> Markup {
    let tone = match test.health.as_str() {
        "flaky" => "warn",
        "failing" => "bad",
        "stable" => "good",
        _ => "calm",
    };
    html! { span class={ "badge " (tone) } { (test.health) } @if test.hushed { div.reason { "in quarantine" } } }
}

fn takes(test: &TestRow) -> String {
    test.millis.map_or_else(|| "–".to_owned(), |ms| format!("{}.{:02} s", ms / 1000, ms % 1000 / 10))
}

/// Its last results as marks, with words for those who do not see them.
fn recent(results: &str, most: usize) -> Markup {
    let skipped = results.chars().count().saturating_sub(most);
    html! {
        span.results {
            @for result in results.chars().skip(skipped) {
                @let (class, mark, word) = match result {
                    'p' => ("good", "✓", "passed"),
                    'r' => ("warn", "↻", "passed on retry"),
                    'f' => ("bad", "✗", "failed"),
                    _ => ("calm", "–", "left out"),
                };
                span class=(class) title=(word) { (mark) span.sr { " " (word) " " } }
            }
        }
    }
}

/// Renders one test.
#[must_use]
pub fn test(view: &TestView) -> Markup {
    let TestView { shell, project, test, file, quarantine, failures } = view;
    let body = html! {
        div.title { h1.long { (test.id) } (health(test)) }
        @if let Some(entry) = quarantine { (hushed(view, entry)) }
        dl.facts {
            div { dt { "Failed" } dd { (format::count(test.failures)) " of " (format::count(test.runs)) } }
            div { dt { "Passed on retry" } dd { (format::count(test.retried)) } }
            div { dt { "Takes" } dd { (takes(test)) } }
            div { dt { "Last job" } dd { (test.job) } }
            @if let Some(file) = file { div { dt { "File" } dd { code { (file) } } } }
        }
        section.card { h2 { "Last results" } p { (recent(&test.recent, 100)) } p.muted { "The newest is on the right." } }
        section.card #failures data-region {
            h2 { "Last failures" }
            @if failures.is_empty() { p { "None is remembered." } }
            @for failure in failures { (failed(view, failure)) }
        }
        @if quarantine.is_none() {
            details.card { summary { "Quarantine it" }
                p { "Until then its failures are shown and fail no job." }
                (command(&format!("towpath test quarantine {project} {} --owner ME --until 14d --reason WHY", quoted(&test.id))))
            }
        }
    };
    let mut crumbs = crumbs(project);
    crumbs.push(("Tests".into(), routes::tests(project)));
    frame(shell, &Page { title: &test.id, crumbs, tone: Tone::Calm, body })
}

fn hushed(view: &TestView, entry: &HushedRow) -> Markup {
    let HushedRow { test, owner, reason, until, expired } = entry;
    html! {
        div.banner.warn {
            p {
                "In quarantine " @if *expired { strong.bad-text { "no more: " } "its failures count again since " } @else { "until " }
                (time(*until, view.shell.now)) ": " (prose(reason)) span.muted { " · " (owner) " sees to it" }
            }
            (command(&format!("towpath test release {} {}", view.project, quoted(test))))
        }
    }
}

fn failed(view: &TestView, failure: &TestFailureRow) -> Markup {
    let TestFailureRow { run, job, attempt, at, retried, message, detail } = failure;
    html! {
        article.diagnostic.bad {
            p { strong { a href=(routes::attempt(&view.project, *run, job, *attempt)) { "#" (run) " " (job) } } " " (message) }
            p.muted { (time(*at, view.shell.now)) @if *retried { ", and it passed when it was tried again" } }
            @if !detail.is_empty() { pre.snippet { code { (detail) } } }
        }
    }
}

/// A word for a shell, whatever is in it.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}
