//! Takes a mistake in a pipeline file, as it was drawn for a terminal, apart again.
//!
//! A Run keeps its diagnostics as people read them in a terminal. What does not have the expected form
//! is shown as it is.

use towpath_ui::view::{Diagnostic, SnippetLine};

/// Reads one diagnostic.
pub(super) fn parse(text: &str) -> Diagnostic {
    let mut lines = text.lines();
    let title = lines.next().unwrap_or_default();
    let (level, message) = title.split_once(": ").unwrap_or(("error", title));
    let mut diagnostic = Diagnostic {
        error: !level.starts_with("warning"),
        file: "towpath.yaml".to_owned(),
        line: 1,
        column: 1,
        message: message.to_owned(),
        hint: None,
        snippet: Vec::new(),
    };
    for line in lines {
        take(&mut diagnostic, line);
    }
    diagnostic
}

fn take(diagnostic: &mut Diagnostic, line: &str) {
    if let Some(place) = line.trim_start().strip_prefix("--> ") {
        let mut parts = place.rsplitn(3, ':');
        let (column, row) = (parts.next(), parts.next());
        if let (Some(Ok(column)), Some(Ok(row)), Some(file)) =
            (column.map(str::parse), row.map(str::parse), parts.next())
        {
            (diagnostic.column, diagnostic.line) = (column, row);
            file.clone_into(&mut diagnostic.file);
        } else {
            place.clone_into(&mut diagnostic.file);
        }
        return;
    }
    if let Some((_, hint)) = line.split_once("= help: ") {
        diagnostic.hint = Some(match diagnostic.hint.take() {
            Some(before) => format!("{before}; {hint}"),
            None => hint.to_owned(),
        });
        return;
    }
    let Some((number, text)) = line.split_once('|') else { return };
    let text = text.strip_prefix(' ').unwrap_or(text);
    match number.trim().parse() {
        Ok(number) => diagnostic.snippet.push(SnippetLine { number, text: text.to_owned(), mark: None }),
        Err(_) => mark(diagnostic, text),
    }
}

/// The line of carets under the marked text.
fn mark(diagnostic: &mut Diagnostic, text: &str) {
    let start = text.chars().take_while(|c| *c == ' ').count();
    let length = text.chars().skip(start).take_while(|c| *c == '^').count();
    if let Some(last) = diagnostic.snippet.last_mut().filter(|_| length > 0) {
        last.mark = Some((start, start + length));
    }
}

#[cfg(test)]
mod tests {
    use towpath_config::{Colour, diagnostic, parse_pipeline};

    use super::parse;

    #[test]
    fn what_the_checker_draws_comes_back_in_parts() {
        let (_, found) = parse_pipeline("towpath.yaml", "name: shop\njobs:\n  test:\n    stepz: []\n");
        assert!(!found.is_empty());
        for original in &found {
            let place = original.place.as_ref().unwrap();
            let parsed = parse(&diagnostic::render(original, Colour::No));
            assert_eq!(parsed.message, original.message);
            assert_eq!((parsed.file.as_str(), parsed.line as usize), ("towpath.yaml", place.line));
            assert_eq!(parsed.column as usize, place.column);
            let line = &parsed.snippet[0];
            assert_eq!(line.number as usize, place.line);
            let (start, end) = line.mark.unwrap();
            assert_eq!(line.text[start..end], place.excerpt[place.mark.clone()]);
            assert_eq!(parsed.hint, (!original.hints.is_empty()).then(|| original.hints.join("; ")));
        }
    }

    #[test]
    fn other_text_is_shown_as_it_is() {
        let parsed = parse("the file is not UTF-8");
        assert!(parsed.error && parsed.snippet.is_empty());
        assert_eq!(parsed.message, "the file is not UTF-8");
    }
}
