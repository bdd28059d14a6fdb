//! What starts the Runs of a Project: schedules, the repository elsewhere, and the form to start one.

use maud::{Markup, html};

use super::action::token;
use super::small::time;
use crate::view::{InputField, Shell, SourceRow, StandingRow, StartForm, TriggersView};

/// The cards of a Project's page.
pub fn triggers(shell: &Shell, view: &TriggersView) -> Markup {
    let TriggersView { standing, source, start } = view;
    html! {
        @if !standing.is_empty() || source.is_some() {
            section.card #triggers data-region {
                h2 { "Triggers" }
                @if let Some(source) = source { (mirrored(shell, source)) }
                @if !standing.is_empty() { (table(shell, standing)) }
            }
        }
        @if let Some(form) = start { details.card { summary { "Start a Run" } (started(shell, form)) } }
    }
}

fn mirrored(shell: &Shell, source: &SourceRow) -> Markup {
    let SourceRow { url, words, contact, hook, next, errors } = source;
    html! {
        @for error in errors { div.banner.bad role="alert" { p { (error) } } }
        p {
            "Mirrors " code { (url) } " · last contact "
            @match contact { Some(at) => (time(*at, shell.now)), None => "never" }
            " · last webhook "
            @match hook { Some(at) => (time(*at, shell.now)), None => "none" }
            @if let Some(at) = next { " · next look " (time(*at, shell.now)) }
        }
        @for line in words { p.muted { (line) } }
    }
}

fn table(shell: &Shell, rows: &[StandingRow]) -> Markup {
    html! {
        div.scroll { table {
            thead { tr { th { "Starts a Run" } th { "Next" } th { "Last" } } }
            tbody { @for row in rows { tr {
                td.wide { (row.what) }
                td { @match row.next { Some(at) => (time(at, shell.now)), None => span.muted { "–" } } }
                td.wide { @match &row.last { Some((at, what)) => { (what) " · " (time(*at, shell.now)) }, None => span.muted { "never" } } }
            } } }
        } }
    }
}

fn started(shell: &Shell, form: &StartForm) -> Markup {
    let StartForm { url, branch, inputs, refused } = form;
    html! {
        form method="post" action=(url) {
            (token(shell))
            label { "Branch" input name="ref" value=(branch) required maxlength="256"; }
            @for input in inputs { (field(input)) }
            @match refused {
                Some(why) => { button.button.primary type="submit" disabled title=(why) { "Start" } p.muted { (why) } }
                None => button.button.primary type="submit" { "Start" }
            }
        }
    }
}

fn field(input: &InputField) -> Markup {
    let InputField { name, description, kind, options, required, default } = input;
    let (label, field) = (if description.is_empty() { name } else { description }, format!("input.{name}"));
    let value = default.as_deref().unwrap_or_default();
    html! {
        label { (label) @if *required && default.is_none() { " (needed)" }
            @if options.is_empty() {
                input name=(field) value=(value) type=(if kind == "number" { "number" } else { "text" }) step="any" maxlength="4096" required[*required];
            } @else {
                select name=(field) required[*required] {
                    @if default.is_none() { option value="" { "" } }
                    @for option in options { option value=(option) selected[option == value] { (option) } }
                }
            }
        }
    }
}
