//! Draws diagnostics for a terminal, with or without colour.

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};

use super::{Diagnostic, Severity};

/// Whether the reader's terminal shows colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    /// ANSI escapes.
    Yes,
    /// Plain text.
    No,
}

/// Draws one diagnostic: message, place, marked text, hints.
#[must_use]
pub fn render(diagnostic: &Diagnostic, colour: Colour) -> String {
    let Diagnostic { severity, code, message, file, place, hints, edits: _ } = diagnostic;
    let level = match severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let mut group = Group::with_title(level.primary_title(message.as_str()).id(code.as_str()));
    group = match place {
        Some(place) => {
            let mark = AnnotationKind::Primary.span(place.mark.clone());
            let mark = if place.label.is_empty() { mark } else { mark.label(place.label.as_str()) };
            let snippet = Snippet::source(place.excerpt.as_str()).line_start(place.line).path(file.as_str());
            group.element(snippet.annotation(mark))
        }
        None => group.element(Origin::path(file.as_str())),
    };
    for hint in hints {
        group = group.element(Level::HELP.message(hint.as_str()));
    }
    let renderer = match colour {
        Colour::Yes => Renderer::styled(),
        Colour::No => Renderer::plain(),
    };
    renderer.render(&[group])
}

/// Draws them all, one after the other, with an empty line between.
#[must_use]
pub fn render_all(diagnostics: &[Diagnostic], colour: Colour) -> String {
    let mut text = String::new();
    for diagnostic in diagnostics {
        text.push_str(render(diagnostic, colour).trim_end());
        text.push_str("\n\n");
    }
    text
}

/// Counts them for the last line of a report: `2 errors, 1 warning`.
#[must_use]
pub fn summary(diagnostics: &[Diagnostic]) -> String {
    let errors = diagnostics.iter().filter(|diagnostic| diagnostic.severity == Severity::Error).count();
    let warnings = diagnostics.len() - errors;
    let count = |number: usize, noun: &str| match number {
        1 => format!("1 {noun}"),
        _ => format!("{number} {noun}s"),
    };
    match (errors, warnings) {
        (0, 0) => "no mistakes".to_owned(),
        (_, 0) => count(errors, "error"),
        (0, _) => count(warnings, "warning"),
        (_, _) => format!("{}, {}", count(errors, "error"), count(warnings, "warning")),
    }
}
