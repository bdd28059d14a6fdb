//! Collects the mistakes of one file while it is read.

use std::cell::RefCell;
use std::ops::Range;

use super::{Diagnostic, Edit, Place, Severity};

/// The most diagnostics kept of one file: nobody reads more, and a hostile file must not make more.
const MAX_DIAGNOSTICS: usize = 100;

/// The most lines of an excerpt.
const MAX_EXCERPT_LINES: usize = 5;

/// The most bytes of a line that is shown whole; of a longer one, only the part around the mark.
const MAX_EXCERPT_LINE: usize = 240;

/// A mistake on its way into a [`Report`].
#[derive(Debug)]
pub(crate) struct Problem {
    severity: Severity,
    code: &'static str,
    message: String,
    label: String,
    hints: Vec<String>,
    edits: Vec<Edit>,
}

impl Problem {
    /// A mistake that makes the file unusable.
    pub(crate) fn error(code: &'static str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self {
            severity: Severity::Error,
            code,
            message,
            label: String::new(),
            hints: Vec::new(),
            edits: Vec::new(),
        }
    }

    /// Something that is probably not meant.
    pub(crate) fn warning(code: &'static str, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, message) }
    }

    /// Words under the mark.
    pub(crate) fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// Advice.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Edits that mend it.
    pub(crate) fn edits(mut self, edits: impl IntoIterator<Item = Edit>) -> Self {
        self.edits.extend(edits);
        self
    }

    /// Advice, where there is some.
    pub(crate) fn maybe_hint(self, hint: Option<String>) -> Self {
        match hint {
            Some(hint) => self.hint(hint),
            None => self,
        }
    }
}

/// The mistakes of one file so far.
pub(crate) struct Report<'a> {
    /// Where each file begins in the text, and its name.
    files: Vec<(usize, &'a str)>,
    text: &'a str,
    /// Each with the place in the whole text that it is sorted by.
    diagnostics: RefCell<Vec<(Option<usize>, Diagnostic)>>,
}

impl<'a> Report<'a> {
    pub(crate) fn new(file: &'a str, text: &'a str) -> Self {
        Self { files: vec![(0, file)], text, diagnostics: RefCell::new(Vec::new()) }
    }

    /// Several files, one after the other in one text.
    pub(crate) fn of(files: &'a [(usize, String)], text: &'a str) -> Self {
        let files = files.iter().map(|(start, name)| (*start, name.as_str())).collect();
        Self { files, text, diagnostics: RefCell::new(Vec::new()) }
    }

    /// The file that an offset is in: its name, where it begins and where it ends.
    fn file_of(&self, offset: usize) -> (&'a str, Range<usize>) {
        let index = self.files.iter().rposition(|(start, _)| *start <= offset).unwrap_or(0);
        let end = self.files.get(index + 1).map_or(self.text.len(), |(next, _)| next - 1);
        let (start, name) = self.files[index];
        (name, start..end)
    }

    /// The file's text.
    pub(crate) fn text(&self) -> &'a str {
        self.text
    }

    /// Records a mistake at a place.
    pub(crate) fn at(&self, span: &Range<usize>, problem: Problem) {
        let (file, bounds) = self.file_of(span.start);
        let text = &self.text[bounds.clone()];
        let within = |span: &Range<usize>| {
            span.start.saturating_sub(bounds.start)
                ..span.end.saturating_sub(bounds.start).max(span.start - bounds.start)
        };
        let Problem { severity, code, message, label, hints, edits } = problem;
        let edits = edits.into_iter().map(|edit| Edit { span: within(&edit.span), text: edit.text });
        let place = Some(place(text, &within(span), label));
        let (code, file) = (code.to_owned(), file.to_owned());
        let diagnostic = Diagnostic { severity, code, message, file, place, hints, edits: edits.collect() };
        self.push(Some(span.start), diagnostic);
    }

    /// Records a mistake of the file as a whole.
    pub(crate) fn file_wide(&self, problem: Problem) {
        let Problem { severity, code, message, label: _, hints, edits } = problem;
        let (code, file) = (code.to_owned(), self.file_of(0).0.to_owned());
        self.push(None, Diagnostic { severity, code, message, file, place: None, hints, edits });
    }

    /// How many mistakes so far make the file unusable.
    pub(crate) fn errors(&self) -> usize {
        let diagnostics = self.diagnostics.borrow();
        diagnostics.iter().filter(|(_, diagnostic)| diagnostic.severity == Severity::Error).count()
    }

    /// Whether a mistake so far makes the file unusable.
    pub(crate) fn has_errors(&self) -> bool {
        self.errors() > 0
    }

    /// The mistakes in the order of the files, each once.
    pub(crate) fn finish(self) -> Vec<Diagnostic> {
        let mut diagnostics = self.diagnostics.into_inner();
        diagnostics.sort_by_key(|(offset, _)| *offset);
        let mut diagnostics: Vec<Diagnostic> =
            diagnostics.into_iter().map(|(_, diagnostic)| diagnostic).collect();
        diagnostics.dedup();
        diagnostics
    }

    fn push(&self, offset: Option<usize>, diagnostic: Diagnostic) {
        let mut diagnostics = self.diagnostics.borrow_mut();
        if diagnostics.len() < MAX_DIAGNOSTICS {
            diagnostics.push((offset, diagnostic));
        }
    }
}

fn place(text: &str, span: &Range<usize>, label: String) -> Place {
    let span = visible(text, span);
    let (line, column) = line_and_column(text, span.start);
    let (excerpt, mark) = excerpt(text, &span);
    Place { line, column, span, excerpt, mark, label }
}

/// Line and column, both from 1, the column in characters.
fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let before = &text[..offset];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

/// Fits a span to the text: on character boundaries, never empty unless the text ends, without trailing white space.
fn visible(text: &str, span: &Range<usize>) -> Range<usize> {
    let start = text.floor_char_boundary(span.start.min(text.len()));
    let end = text.ceil_char_boundary(span.end.clamp(start, text.len()));
    let marked = text[start..end].trim_end();
    if !marked.is_empty() {
        return start..start + marked.len();
    }
    let rest_of_line = text[start..].split('\n').next().unwrap_or_default().trim_end();
    start..start + rest_of_line.len()
}

/// The lines around a span, and the span within them.
fn excerpt(text: &str, span: &Range<usize>) -> (String, Range<usize>) {
    let line_start = text[..span.start].rfind('\n').map_or(0, |newline| newline + 1);
    let mut end = text[span.start..].find('\n').map_or(text.len(), |newline| span.start + newline);
    for _ in 1..MAX_EXCERPT_LINES {
        if end >= span.end {
            break;
        }
        end = text[end + 1..].find('\n').map_or(text.len(), |newline| end + 1 + newline);
    }
    let first = text.ceil_char_boundary(line_start.max(span.start.saturating_sub(MAX_EXCERPT_LINE)));
    let room = span.start + MAX_EXCERPT_LINE * MAX_EXCERPT_LINES;
    let last = text.floor_char_boundary(end.min(room));
    let mark = span.start - first..span.end.min(last).max(span.start) - first;
    (text[first..last].to_owned(), mark)
}

/// Text of the user's as it may stand in a message: short, on one line, without control characters.
pub(crate) fn quote(text: &str) -> String {
    const MAX: usize = 60;
    let mut shown: String = text.chars().take(MAX).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(MAX).is_some() {
        shown.push('…');
    }
    shown
}

/// The known word that is most like an unknown one, if one is like it at all.
#[must_use]
pub fn closest<'n>(word: &str, known: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let lower = word.to_lowercase();
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&lower, &name.to_lowercase()), name))
        .filter(|(distance, name)| *distance <= (name.chars().count().max(word.chars().count()) / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggests_what_is_like_it_and_nothing_else() {
        assert_eq!(closest("biuld", ["build", "test"]), Some("build"));
        assert_eq!(closest("step", ["steps", "env"]), Some("steps"));
        assert_eq!(closest("zebra", ["build", "test"]), None);
    }

    #[test]
    fn marks_on_character_boundaries() {
        let text = "name: démo\n";
        for start in 0..=text.len() {
            for end in start..=text.len() + 2 {
                let span = visible(text, &(start..end));
                assert!(text.get(span.clone()).is_some(), "{span:?}");
            }
        }
        assert_eq!(line_and_column("a\nbé c", 6), (2, 4));
    }
}
