//! One Run: the graph of its Jobs, and the chosen Job with its Steps and its log.

use jiff::Timestamp;
use maud::{Markup, html};

use crate::part::action::buttons;
use crate::part::frame::{Page, frame};
use crate::part::reports::reports;
use crate::part::small::{badge, command, commit, digest, dot, prose, time, took};
use crate::part::{graph, icon, matrix};
use crate::view::{
    AttemptView, Diagnostic, ImportedView, JobView, LogAt, RunView, SnippetLine, State, StepView, TestCounts,
};
use crate::{format, routes};

/// Renders a Run.
#[must_use]
pub fn run(view: &RunView) -> Markup {
    let job = chosen(view);
    let body = html! {
        (header(view))
        @if !view.diagnostics.is_empty() {
            section.card #diagnostics data-region {
                h2 { "What is wrong with the pipeline file" }
                @for diagnostic in &view.diagnostics { (self::diagnostic(diagnostic)) }
            }
        }
        @if let Some(job) = job {
            section.card #graph data-region aria-label="Jobs" { (graph::jobs(view, &job.name)) (matrix::cells(view, &job.name)) }
            (panel(view, job))
            (reports(&view.reports))
        }
    };
    let number = match &view.imported {
        None => format!("#{}", view.number),
        Some(_) => format!("imported {}", view.number),
    };
    let title = format!("{} {number} {}", view.project, view.state.label());
    let crumbs = vec![
        ("Projects".into(), routes::OVERVIEW.into()),
        (view.project.clone(), routes::project(&view.project)),
    ];
    frame(&view.shell, &Page { title: &title, crumbs, tone: view.state.tone(), body })
}

/// The Job asked for, else the one that needs a look.
fn chosen(view: &RunView) -> Option<&JobView> {
    let asked = view.jobs.iter().find(|job| Some(&job.name) == view.selected.as_ref());
    let with = |state: State| view.jobs.iter().find(|job| job.state == state);
    asked.or_else(|| with(State::Failed)).or_else(|| with(State::Running)).or_else(|| view.jobs.first())
}

fn header(view: &RunView) -> Markup {
    let now = view.shell.now;
    html! {
        div #head data-region {
            div.title {
                h1 { @match &view.imported { None => { "Run #" (view.number) }, Some(_) => { "Imported run " (view.number) } } } (badge(view.state))
                (buttons(&view.shell, "run", &view.actions))
            }
            p.lead { (commit(&view.commit)) span.muted { " by " (view.commit.author) } }
            @if let Some(reason) = &view.reason { p.why { (prose(reason)) } }
            @if let Some(imported) = &view.imported { (origin(imported, now)) }
            dl.facts {
                div { dt { "Ref" } dd { span.ref { (icon::branch()) (view.reference) } } }
                div { dt { "Trigger" } dd { (view.trigger) } }
                div { dt { "Trust" } dd { (view.trust) } }
                div { dt { "Came" } dd { (time(view.created, now)) } }
                div { dt { "Took" } dd { (took(view.started, view.finished, now)) } }
                @if let Some(file) = &view.file {
                    div { dt { "As a file" } dd { a href=(file) download { "Download" } } }
                }
                @if let Some(version) = &view.release {
                    div { dt { "Release" } dd { a.strong href=(routes::release(&view.project, version)) { (version) } } }
                }
            }
        }
    }
}

/// That nothing of this server made it, and who says what it was.
fn origin(imported: &ImportedView, now: Timestamp) -> Markup {
    let ImportedView { instance, title, exported_by, exported, by, at, digest: file, release, left_out } =
        imported;
    html! {
        div.banner.warn #imported {
            div {
                p {
                    "This is " strong { (title) } " of " strong { (instance) } ", exported by " (exported_by) " " (time(*exported, now))
                    " and imported by " (by) " " (time(*at, now)) ". Every byte was checked against the file; that the file tells the truth is "
                    "for you to judge. It cannot be deployed or run again, and no statistic counts it."
                }
                p { "SHA-256 of the file: " (digest(file)) }
                @if let Some(release) = release { p { "There it sealed " (release) "; the bytes of that did not come along." } }
                @for left_out in left_out { p.muted { "Left out: " (left_out) } }
            }
        }
    }
}

fn diagnostic(diagnostic: &Diagnostic) -> Markup {
    let Diagnostic { error, file, line, column, message, hint, snippet } = diagnostic;
    html! {
        article class={ "diagnostic " (if *error { "bad" } else { "warn" }) } {
            p { strong { (if *error { "error" } else { "warning" }) ": " } (prose(message)) }
            p.muted { code { (file) ":" (line) ":" (column) } }
            pre.snippet { code { @for line in snippet { (snippet_line(line)) } } }
            @if let Some(hint) = hint { p.hint { strong { "hint: " } (prose(hint)) } }
        }
    }
}

fn snippet_line(line: &SnippetLine) -> Markup {
    let SnippetLine { number, text, mark } = line;
    let (start, end) = mark.unwrap_or((0, 0));
    let part = |skip: usize, take: usize| text.chars().skip(skip).take(take).collect::<String>();
    html! {
        span.code-line {
            span.no { (number) }
            @if mark.is_some() { (part(0, start)) mark { (part(start, end.saturating_sub(start))) } (part(end.max(start), usize::MAX)) }
            @else { (text) }
            "\n"
        }
    }
}

fn panel(view: &RunView, job: &JobView) -> Markup {
    let attempt =
        job.attempts.iter().find(|attempt| Some(attempt.number) == view.attempt).or(job.attempts.last());
    html! {
        section.card.job #job aria-label={ "Job " (job.name) } {
            div #job-head data-region {
                div.title { h2 { (job.name) } (badge(job.state)) @if let Some(tests) = job.tests { (counts(tests)) } }
                @if let Some(reason) = &job.reason { p.why { (prose(reason)) } }
                @if job.attempts.len() > 1 { (attempts(view, job, attempt)) }
                (artifacts(job))
                @for line in &job.commands { (command(line)) }
            }
            @match attempt {
                Some(attempt) => {
                    div.job-body {
                        div #steps data-region { (steps(view, job, attempt)) }
                        (log(attempt))
                    }
                }
                None => p.muted #steps data-region { "No agent has taken this job, so there is no log." },
            }
        }
    }
}

fn counts(tests: TestCounts) -> Markup {
    html! {
        span.tests {
            (format::count(tests.passed)) " tests passed"
            @if tests.failed > 0 { ", " strong.bad-text { (format::count(tests.failed)) " failed" } }
            @if tests.skipped > 0 { ", " (format::count(tests.skipped)) " skipped" }
        }
    }
}

fn attempts(view: &RunView, job: &JobView, shown: Option<&AttemptView>) -> Markup {
    html! {
        nav.tabs aria-label="Attempts" {
            @for attempt in &job.attempts {
                @let current = shown.is_some_and(|shown| shown.number == attempt.number);
                a href=(routes::attempt_on(&view.page, &job.name, attempt.number)) aria-current=[current.then_some("true")] {
                    (dot(attempt.state)) " Attempt " (attempt.number)
                }
            }
        }
    }
}

fn artifacts(job: &JobView) -> Markup {
    html! {
        @if !job.artifacts.is_empty() {
            ul.artifacts { @for artifact in &job.artifacts {
                li { strong { (artifact.name) } " " span.muted { (artifact.kind) ", " (format::bytes(artifact.bytes)) } " " (digest(&artifact.digest)) }
            } }
        }
    }
}

fn steps(view: &RunView, job: &JobView, attempt: &AttemptView) -> Markup {
    // The job's own reason, which stands above, is mostly that of its last attempt.
    let reason = attempt.reason.as_ref().filter(|reason| job.reason.as_ref() != Some(reason));
    html! {
        @if let Some(reason) = reason { p.why { (prose(reason)) } }
        @if let Some(seen) = &attempt.seen { p.why { (prose(seen)) " " a href=(routes::logs(&view.project, "", None)) { "What fails" } } }
        ol.steps start="0" {
            @for (index, step) in attempt.steps.iter().enumerate() {
                @let StepView { name, state, note, started, finished } = step;
                li {
                    button type="button" data-step=(format!("{index:02}")) title="Show this step in the log" {
                        (dot(*state)) span.name { (name) } (took(*started, *finished, view.shell.now))
                    }
                    @if let Some(note) = note { p.reason { (prose(note)) } }
                }
            }
        }
        @if !attempt.reuse.is_empty() {
            ul.reuse aria-label="Caches" { @for text in &attempt.reuse { li.reason { (prose(text)) } } }
        }
        p.muted {
            (took(attempt.started, attempt.finished, view.shell.now))
            @if let Some(agent) = &attempt.agent { " on " (agent) }
            @if let Some(isolation) = &attempt.isolation { " · " (isolation) }
        }
        @if !attempt.images.is_empty() {
            ul.artifacts aria-label="Images" { @for (role, reference, bytes) in &attempt.images {
                li { span.muted { (role) } " " strong { (reference) } " " (digest(bytes)) }
            } }
        }
    }
}

/// The frame of the log; `log.js` fills it. The lines are no region: they are its own.
fn log(attempt: &AttemptView) -> Markup {
    let Some(LogAt { lines, text, groups }) = &attempt.log else {
        return html! { p.muted { "The log of this attempt did not come along." } };
    };
    html! {
        div.log #log data-log=(lines) data-groups=(groups) {
            div.log-bar #log-bar role="toolbar" aria-label="Log" data-region {
                button.chip type="button" data-log-do="follow" aria-pressed="false" { "Follow" }
                button.chip type="button" data-log-do="times" aria-pressed="false" { "Times" }
                button.chip type="button" data-log-do="wrap" aria-pressed="true" { "Wrap" }
                button.chip type="button" data-log-do="fold" aria-pressed="false" { "Fold groups" }
                @if let Some(line) = attempt.failing_line { button.chip.bad type="button" data-log-do="failing" data-line=(line) { "Jump to the failing line" } }
                span.muted { (format::bytes(attempt.log_bytes)) }
                a.chip href=(text) download { (icon::download()) "Download" }
            }
            div.log-lines tabindex="0" role="log" aria-label="Log lines" aria-live="off" {
                noscript { p { "The log needs JavaScript; the download does not." } }
            }
        }
    }
}
