//! What Steps say of places in the source: JSON lines, and the commands that tools print for GitHub.
//!
//! An object without `message` and with `source` says who speaks in the lines after it.

use serde::Deserialize;

use crate::findings::MAX_FINDINGS;
use crate::xml::text_of;
use crate::{Finding, Findings, Level, ReportError, clip};

/// The longest message, file and title, in bytes.
const MAX_MESSAGE: usize = 2000;
const MAX_FILE: usize = 500;
const MAX_TITLE: usize = 200;

/// A line as tools write it.
#[derive(Deserialize)]
struct Line {
    message: Option<String>,
    #[serde(default, alias = "path")]
    file: Option<String>,
    #[serde(default)]
    line: Option<u32>,
    #[serde(default, alias = "severity")]
    level: Option<String>,
    #[serde(default)]
    title: Option<String>,
    #[serde(default)]
    source: Option<String>,
}

/// Reads annotations, one a line.
pub(crate) fn read(bytes: &[u8]) -> Result<Findings, ReportError> {
    let mut findings = Findings::default();
    let mut source = String::new();
    let (mut lines, mut broken) = (0_usize, Vec::new());
    for (index, line) in text_of(bytes).lines().enumerate() {
        let line = line.trim();
        if line.is_empty() {
            continue;
        }
        lines += 1;
        let found = match command(line) {
            Some(finding) => Ok(Some(finding)),
            None => object(line, &mut source),
        };
        match found {
            Ok(Some(mut finding)) => {
                finding.tool.clone_from(&source);
                findings.note(finding);
            }
            Ok(None) => {}
            Err(why) => broken.push((index + 1, why)),
        }
    }
    if let Some((number, why)) = broken.first() {
        if broken.len() == lines {
            return Err(ReportError::unknown(
                "JSON lines or `::error …::` commands",
                format!("line {number}: {why}"),
            ));
        }
        findings.problem =
            Some(format!("{} lines say nothing, the first is line {number}: {why}", broken.len()));
    }
    findings.list.sort_by_key(|finding| finding.level);
    findings.list.truncate(MAX_FINDINGS);
    Ok(findings)
}

/// Whether a line of a log may be an annotation: cheap enough to be asked of each.
#[must_use]
pub fn may_annotate(line: &str) -> bool {
    line.starts_with("::") && command(line).is_some()
}

fn object(line: &str, source: &mut String) -> Result<Option<Finding>, String> {
    let Line { message, file, line, level, title, source: speaker } =
        serde_json::from_str(line).map_err(|error| clip(&error.to_string(), MAX_TITLE))?;
    let Some(message) = message else {
        *source = clip(&speaker.ok_or("it has no `message`")?, MAX_TITLE);
        return Ok(None);
    };
    let level = match level.as_deref() {
        None | Some("error") => Level::Error,
        Some("warning") => Level::Warning,
        Some("note" | "notice" | "info") => Level::Note,
        Some(other) => return Err(format!("`{}` is no level: error, warning or note", clip(other, 40))),
    };
    Ok(Some(finding(level, file, line, title, &message)))
}

fn finding(
    level: Level,
    file: Option<String>,
    line: Option<u32>,
    title: Option<String>,
    message: &str,
) -> Finding {
    let file = file.map(|file| clip(file.trim(), MAX_FILE)).filter(|file| !file.is_empty());
    Finding {
        level,
        tool: String::new(),
        rule: clip(title.as_deref().unwrap_or_default().trim(), MAX_TITLE),
        message: clip(message.trim(), MAX_MESSAGE),
        line: line.filter(|line| *line > 0 && file.is_some()),
        file,
    }
}

/// `::error file=app.js,line=10,title=Lint::Missing semicolon`, as GitHub defines it.
fn command(line: &str) -> Option<Finding> {
    let (head, message) = line.strip_prefix("::")?.split_once("::")?;
    let (name, properties) = head.split_once(' ').unwrap_or((head, ""));
    let level = match name {
        "error" => Level::Error,
        "warning" => Level::Warning,
        "notice" => Level::Note,
        _ => return None,
    };
    let property = |wanted: &str| {
        let pairs = properties.split(',').filter_map(|pair| pair.split_once('='));
        let found = pairs.map(|(key, value)| (key.trim(), value)).find(|(key, _)| *key == wanted);
        found.map(|(_, value)| unescape(value))
    };
    let number = property("line").and_then(|line| line.trim().parse().ok());
    Some(finding(level, property("file"), number, property("title"), &unescape(message)))
}

/// What GitHub escapes in commands.
fn unescape(text: &str) -> String {
    let pairs = [("%0D", "\r"), ("%0A", "\n"), ("%3A", ":"), ("%2C", ",")];
    let text = pairs.iter().fold(text.to_owned(), |text, (code, meant)| text.replace(code, meant));
    text.replace("%25", "%")
}

impl Findings {
    /// Adds one; of a flood those stay that matter most.
    fn note(&mut self, finding: Finding) {
        match finding.level {
            Level::Error => self.errors += 1,
            Level::Warning => self.warnings += 1,
            Level::Note => self.notes += 1,
        }
        if self.list.len() >= MAX_FINDINGS * 2 {
            self.list.sort_by_key(|finding| finding.level);
            self.list.truncate(MAX_FINDINGS);
        }
        self.list.push(finding);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Result<Vec<String>, String> {
        let findings = read(text.as_bytes()).map_err(|error| error.to_string())?;
        let line = |finding: &Finding| {
            let Finding { level, tool, rule, message, file, line } = finding;
            let place = file.as_deref().map(|file| format!("{file}:{}", line.unwrap_or(0)));
            format!("{} {} [{tool}|{rule}] {message}", level.word(), place.unwrap_or_default())
        };
        Ok(findings.list.iter().map(line).chain(findings.problem).collect())
    }

    #[test]
    fn reads_objects_and_commands() {
        let text = concat!(
            "{\"source\":\"lint\"}\n",
            "{\"file\":\"src/a.rs\",\"line\":7,\"level\":\"warning\",\"title\":\"W1\",\"message\":\"unused\"}\n\n",
            "{\"message\":\"no place\"}\n",
            "::error file=src/b.rs,line=3,endLine=4,title=E%2C2::50%25 of%0Ait\n",
            "::notice::look here\n",
            "{\"source\":\"test\"}\n",
            "{\"path\":\"c.py\",\"severity\":\"note\",\"message\":\"\\u001b[31mred\"}\n",
        );
        let expected = [
            "error  [lint|] no place",
            "error src/b.rs:3 [lint|E,2] 50% of\nit",
            "warning src/a.rs:7 [lint|W1] unused",
            "note  [lint|] look here",
            "note c.py:0 [test|] [31mred",
        ];
        assert_eq!(shown(text).unwrap(), expected);
    }

    #[test]
    fn says_what_is_no_annotation() {
        let some = shown("{\"message\":\"a\"}\nhello\n{\"message\":\"b\",\"level\":\"fatal\"}").unwrap();
        assert_eq!(some.len(), 2);
        assert!(some[1].starts_with("2 lines say nothing, the first is line 2: expected value"), "{some:?}");
        let none = shown("hello\n::debug::x").unwrap_err();
        assert!(none.contains("none of JSON lines or `::error …::` commands, but line 1"), "{none}");
        assert!(shown("{\"line\":1}").unwrap_err().contains("it has no `message`"));
        assert_eq!(shown(""), Ok(Vec::new()));
    }

    #[test]
    fn a_flood_is_bounded_and_keeps_what_matters() {
        let flood = "::notice::n\n".repeat(20_000) + "::error::e\n" + &"::notice::n\n".repeat(20_000);
        let findings = read(flood.as_bytes()).unwrap();
        assert_eq!((findings.errors, findings.notes, findings.list.len()), (1, 40_000, MAX_FINDINGS));
        assert_eq!(findings.list[0].message, "e");
    }

    #[test]
    fn only_commands_of_a_log_annotate() {
        assert!(may_annotate("::warning file=a,line=1::m") && may_annotate("::error::m"));
        for line in ["error: x", "::group::build", "::error", "::set-output name=a::b", " ::"] {
            assert!(!may_annotate(line), "{line}");
        }
    }
}
