//! Headings in logs, as the tools of other systems print them.
//!
//! `::group::NAME` and `::endgroup::` of GitHub, `##[group]` and `##[endgroup]` of Azure, `section_start:…` and
//! `section_end:…` of GitLab, and `---`, `+++`, `~~~` and `^^^ +++` of Buildkite.

use crate::plain;

/// The longest title, in characters.
const MAX_TITLE: usize = 200;

/// Whose words a mark is in: what one dialect opened, only that dialect closes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dialect {
    /// GitHub and Azure: one at a time.
    Command,
    /// GitLab: by name, one within the other.
    Section(String),
    /// Buildkite: each ends with the next.
    Heading,
}

/// What a line says of groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mark {
    /// A group begins, and this line is its heading.
    Open {
        /// In whose words.
        dialect: Dialect,
        /// What it is called, without control characters.
        title: String,
        /// Whether it is to be shown folded.
        folded: bool,
    },
    /// A group ends with this line.
    Close(Dialect),
    /// The group that this line is in is to be shown unfolded.
    Unfold,
}

/// What a line of a log says of groups: mostly nothing, sometimes that one ends and another begins.
#[must_use]
pub fn marks(line: &str) -> Vec<Mark> {
    let mut marks = Vec::new();
    let mut rest = bare(line);
    match rest.as_bytes().first() {
        Some(b':' | b'#') => marks.extend(command(rest)),
        Some(b'-' | b'+' | b'~' | b'^') => marks.extend(heading(rest)),
        Some(b's') => {
            // The end of one and the beginning of the next often share a line.
            while let Some((mark, after)) = section(rest) {
                let ends = matches!(mark, Mark::Open { .. });
                marks.push(mark);
                if ends || marks.len() == 2 {
                    break;
                }
                rest = bare(after);
            }
        }
        _ => {}
    }
    marks
}

/// The title of the group that begins with a line, if one does.
#[must_use]
pub fn heading_of(line: &str) -> Option<String> {
    marks(line).into_iter().find_map(|mark| match mark {
        Mark::Open { title, .. } => Some(title),
        Mark::Close(_) | Mark::Unfold => None,
    })
}

/// Whether a line says nothing but something of groups, so that people need not see it.
#[must_use]
pub fn is_silent(line: &str) -> bool {
    let marks = marks(line);
    !marks.is_empty() && !marks.iter().any(|mark| matches!(mark, Mark::Open { .. }))
}

/// A line without colours and the like before its first character.
fn bare(line: &str) -> &str {
    let mut rest = line;
    while let Some(sequence) = rest.strip_prefix("\u{1b}[") {
        let end = sequence.find(|c: char| !matches!(c, ' '..='?'));
        let Some(end) = end.filter(|end| sequence.as_bytes()[*end].is_ascii_alphabetic()) else { break };
        rest = &sequence[end + 1..];
    }
    rest
}

fn title(text: &str, otherwise: &str) -> String {
    let text: String = plain(text).trim().chars().take(MAX_TITLE).collect();
    if text.is_empty() { otherwise.to_owned() } else { text }
}

fn command(line: &str) -> Option<Mark> {
    if line.starts_with("::endgroup::") || line.starts_with("##[endgroup]") {
        return Some(Mark::Close(Dialect::Command));
    }
    let name = line.strip_prefix("::group::").or_else(|| line.strip_prefix("##[group]"))?;
    Some(Mark::Open { dialect: Dialect::Command, title: title(name, "group"), folded: true })
}

fn heading(line: &str) -> Option<Mark> {
    if line.trim_end() == "^^^ +++" {
        return Some(Mark::Unfold);
    }
    let (sign, name) = line.split_at_checked(4)?;
    let folded = match sign {
        "--- " | "~~~ " => true,
        "+++ " => false,
        _ => return None,
    };
    // A diff and the results of Go's tests begin so too; a rule drawn around a word ends so.
    let path = |name: &str| {
        let path = name.split('\t').next().unwrap_or(name);
        name.contains('\t') || path == "/dev/null" || path.starts_with("a/") || path.starts_with("b/")
    };
    let result = ["FAIL:", "PASS:", "SKIP:"].iter().any(|word| name.starts_with(word));
    let rule = name.trim_end().ends_with(&sign[..3]);
    if path(name) || result || rule || name.trim().is_empty() {
        return None;
    }
    Some(Mark::Open { dialect: Dialect::Heading, title: title(name, "group"), folded })
}

/// `section_start:1560896352:name[collapsed=true]\r\e[0KTitle`, and what comes after it.
fn section(line: &str) -> Option<(Mark, &str)> {
    let (opens, rest) = match line.strip_prefix("section_start:") {
        Some(rest) => (true, rest),
        None => (false, line.strip_prefix("section_end:")?),
    };
    let (time, rest) = rest.split_once(':')?;
    if time.is_empty() || !time.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || "_.-".contains(c))).unwrap_or(rest.len());
    let (name, rest) = rest.split_at(end);
    if name.is_empty() || name.len() > MAX_TITLE {
        return None;
    }
    let (options, rest) = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some(split) => split,
        None => ("", rest),
    };
    let rest = rest.trim_start_matches('\r');
    let dialect = Dialect::Section(name.to_owned());
    if !opens {
        return Some((Mark::Close(dialect), rest));
    }
    let folded = options.split(',').any(|option| option == "collapsed=true");
    let mark = Mark::Open { dialect, title: title(rest, &name.replace('_', " ")), folded };
    Some((mark, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(line: &str) -> String {
        let word = |mark: Mark| match mark {
            Mark::Open { dialect, title, folded } => {
                format!("{dialect:?} {title}{}", if folded { " folded" } else { "" })
            }
            Mark::Close(dialect) => format!("end {dialect:?}"),
            Mark::Unfold => "unfold".to_owned(),
        };
        marks(line).into_iter().map(word).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn each_dialect_is_understood() {
        let cases = [
            ("::group::Install \u{1b}[1mcrates\u{1b}[0m", "Command Install crates folded"),
            ("::group::", "Command group folded"),
            ("::endgroup::", "end Command"),
            ("##[group]Restore", "Command Restore folded"),
            ("##[endgroup]", "end Command"),
            ("--- :cargo: Build", "Heading :cargo: Build folded"),
            ("\u{1b}[33m~~~ Prepare", "Heading Prepare folded"),
            ("+++ Test", "Heading Test"),
            ("^^^ +++", "unfold"),
            (
                "section_start:1560896352:my_first\r\u{1b}[0KHeader of it",
                "Section(\"my_first\") Header of it",
            ),
            (
                "\u{1b}[0Ksection_start:1560896352:build_all[collapsed=true]\r\u{1b}[0K",
                "Section(\"build_all\") build all folded",
            ),
            ("section_end:1560896353:my_first\r\u{1b}[0K", "end Section(\"my_first\")"),
            (
                "section_end:1:a\r\u{1b}[0Ksection_start:1:b\r\u{1b}[0KB",
                "end Section(\"a\"); Section(\"b\") B",
            ),
        ];
        for (line, expected) in cases {
            assert_eq!(said(line), expected, "{line:?}");
        }
    }

    #[test]
    fn what_only_looks_like_a_mark_is_none() {
        let lines = [
            "",
            "plain",
            "::error::x",
            "::group",
            " ::group::x",
            "----- x",
            "---",
            "--- ",
            "--- a/src/lib.rs",
            "+++ b/src/lib.rs",
            "--- /dev/null",
            "--- old.txt\t2026-01-01 10:00:00",
            "--- FAIL: TestPay (0.00s)",
            "--- stdout ---",
            "+++",
            "-- x",
            "section_start:now:x",
            "section_start:1:",
            "sections",
            "^^^",
            "\u{1b}[",
            "--é x",
        ];
        for line in lines {
            assert_eq!(marks(line), [], "{line:?}");
        }
    }

    #[test]
    fn ends_alone_are_silent() {
        assert!(is_silent("::endgroup::") && is_silent("^^^ +++") && is_silent("section_end:1:a"));
        assert!(
            !is_silent("::group::a")
                && !is_silent("plain")
                && !is_silent("section_end:1:a\rsection_start:1:b")
        );
        assert_eq!(heading_of("--- Build"), Some("Build".to_owned()));
    }
}
