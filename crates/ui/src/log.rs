//! The lines of an Attempt's log as fragments of HTML.
//!
//! A stored line is `<RFC 3339 with microseconds, 27 characters> <two-digit step><o|e|s> <text>`:
//! standard output, standard error, or a word from Towpath itself.
//!
//! `GET` [`crate::routes::log`]`?from=N&limit=500` answers with [`lines`] of the lines N, N + 1, … (from 1; a
//! negative N counts from the end) and the headers `X-Log-First` (number of the first line in the answer),
//! `X-Log-Total` (lines so far) and `X-Log-Open` (`true` while more may come). The page asks for what it shows and for no more,
//! so a log of a million lines costs it no more than a log of a thousand. Where headings are and how far they reach tells
//! [`crate::groups`]; what is folded is never fetched.

use maud::{Markup, html};
use towpath_terminal::group::{heading_of, is_silent};

use crate::ansi::ansi_to_html;

/// The most characters of one line that are shown; the download has the rest.
const MAX_LINE: usize = 10_000;

/// A stored line, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Line<'a> {
    time: &'a str,
    pub(crate) step: &'a str,
    pub(crate) stream: char,
    pub(crate) text: &'a str,
}

impl<'a> Line<'a> {
    /// Takes a line apart; one of another form is shown as it is.
    pub(crate) fn parse(raw: &'a str) -> Self {
        let parsed = || {
            let time = raw.get(..27).filter(|time| time.ends_with('Z') && time.is_ascii())?;
            let step = raw.get(28..30).filter(|step| step.bytes().all(|byte| byte.is_ascii_digit()))?;
            let stream =
                raw.get(30..31)?.chars().next().filter(|stream| matches!(stream, 'o' | 'e' | 's'))?;
            Some(Self { time, step, stream, text: raw.get(32..).unwrap_or("") })
        };
        parsed().unwrap_or(Self { time: "", step: "", stream: 'o', text: raw })
    }
}

/// Renders stored lines; `first` is the number of the first, from 1.
pub fn lines<'a>(first: u64, raw: impl IntoIterator<Item = &'a str>) -> Markup {
    html! {
        @for (number, raw) in (first..).zip(raw) {
            @let line = Line::parse(raw);
            @let shown = line.text.char_indices().nth(MAX_LINE).map_or(line.text, |(end, _)| &line.text[..end]);
            @let heading = if line.stream == 's' { None } else { heading_of(line.text) };
            @let silent = heading.is_none() && line.stream != 's' && is_silent(line.text);
            div.ln.heading[heading.is_some()].silent[silent] id={ "L" (number) } data-stream=(line.stream) data-step=(line.step) {
                a.no href={ "#L" (number) } { (number) }
                time datetime=(line.time) { (line.time.get(11..23).unwrap_or("")) }
                @if let Some(heading) = heading {
                    button.tx type="button" data-group=(number) aria-expanded="true" { (heading) }
                } @else {
                    span.tx {
                        (ansi_to_html(shown))
                        @if shown.len() < line.text.len() { em { " … line cut, download the log for all of it" } }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: [&str; 4] = [
        "2026-11-21T14:03:07.000001Z 00o compiling <b>",
        "2026-11-21T14:03:07.100000Z 01o test a ... ok",
        "2026-11-21T14:03:08.100000Z 01e \u{1b}[31merror:\u{1b}[0m two",
        "2026-11-21T14:03:09.100000Z 01s exit code 1",
    ];

    #[test]
    fn takes_a_line_apart_and_escapes_its_text() {
        let html = lines(7, LOG).0;
        assert!(html.contains("id=\"L7\" data-stream=\"o\" data-step=\"00\""), "{html}");
        assert!(html.contains(">14:03:07.000<") && html.contains("compiling &lt;b&gt;"), "{html}");
        assert!(html.contains("id=\"L10\""), "{html}");
    }

    #[test]
    fn headings_are_buttons_and_their_ends_are_not_shown() {
        let html = lines(
            1,
            [
                "2026-11-21T14:03:07.000001Z 00o ::group::a <b>",
                "2026-11-21T14:03:07.000001Z 00o ::endgroup::",
            ],
        )
        .0;
        assert!(html.contains("aria-expanded=\"true\">a &lt;b&gt;</button>"), "{html}");
        assert!(html.contains("class=\"ln silent\" id=\"L2\""), "{html}");
    }

    #[test]
    fn shows_a_foreign_line_as_it_is_and_cuts_a_long_one() {
        assert!(lines(1, ["<i>"]).0.contains("&lt;i&gt;"));
        assert!(lines(1, ["ééééééééééééééééééééééééééééééééé"]).0.contains("ééé"));
        let long = "x".repeat(MAX_LINE * 3);
        let html = lines(1, [long.as_str()]).0;
        assert!(html.len() < MAX_LINE * 2 && html.contains("line cut"));
    }
}
