//! Mends what is surely meant, in place: `towpath lint --fix`.

use crate::diagnostic::{Diagnostic, Edit};

/// How often a file is read again: mending one key can bring another to light.
const MAX_ROUNDS: usize = 16;

/// Applies the edits of diagnostics of one file. Of edits that overlap, the first wins. `None` where there are none.
#[must_use]
pub fn apply(text: &str, diagnostics: &[Diagnostic]) -> Option<String> {
    let mut groups: Vec<&[Edit]> = diagnostics.iter().map(|found| found.edits.as_slice()).collect();
    groups.retain(|edits| !edits.is_empty());
    groups.sort_by_key(|edits| edits.iter().map(|edit| edit.span.start).min());
    let mut kept: Vec<&Edit> = Vec::new();
    for group in groups {
        let fits = |edit: &Edit| text.get(edit.span.clone()).is_some();
        let apart = |edit: &Edit| {
            kept.iter().all(|known| edit.span.end <= known.span.start || edit.span.start >= known.span.end)
        };
        if group.iter().all(|edit| fits(edit) && apart(edit)) {
            kept.extend(group);
        }
    }
    if kept.is_empty() {
        return None;
    }
    let kept: Vec<Edit> = kept.into_iter().cloned().collect();
    Some(write(text, &kept))
}

/// Writes edits that do not overlap.
#[must_use]
pub fn write(text: &str, edits: &[Edit]) -> String {
    let mut edits: Vec<&Edit> = edits.iter().collect();
    edits.sort_by_key(|edit| edit.span.start);
    let mut mended = String::with_capacity(text.len());
    let mut at = 0;
    for Edit { span, text: new } in edits {
        // One that lies within what was written already comes too late.
        if let Some(between) = text.get(at..span.start) {
            mended.push_str(between);
            mended.push_str(new);
            at = span.end;
        }
    }
    mended.push_str(&text[at..]);
    mended
}

/// Mends a file as far as it goes. `read` says what is wrong with a text of it.
#[must_use]
pub fn mend(text: &str, read: impl Fn(&str) -> Vec<Diagnostic>) -> String {
    let mut text = text.to_owned();
    for _ in 0..MAX_ROUNDS {
        match apply(&text, &read(&text)) {
            Some(mended) if mended != text => text = mended,
            _ => break,
        }
    }
    text
}
