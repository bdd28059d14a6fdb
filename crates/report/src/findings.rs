//! Findings of scanners and linters, in SARIF 2.1.0.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::json::{count, parse, text};
use crate::{ReportError, clip};

/// The most findings that are kept; all of them count.
pub(crate) const MAX_FINDINGS: usize = 5000;

/// What scanners found.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Findings {
    /// The tools, each once.
    pub tools: Vec<String>,
    /// Findings that are errors, warnings, notes.
    pub errors: u64,
    /// See above.
    pub warnings: u64,
    /// See above.
    pub notes: u64,
    /// Findings that somebody accepted, in the source or in the tool; they count nowhere else.
    pub suppressed: u64,
    /// The findings, the worst first.
    pub list: Vec<Finding>,
    /// What is wrong with the report, for people.
    #[serde(default)]
    pub problem: Option<String>,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// How bad it is.
    pub level: Level,
    /// The tool.
    pub tool: String,
    /// The rule.
    pub rule: String,
    /// What it says.
    pub message: String,
    /// The file.
    pub file: Option<String>,
    /// The line.
    pub line: Option<u32>,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// It must be mended.
    Error,
    /// It should be looked at.
    Warning,
    /// It is said.
    Note,
}

impl Level {
    /// The word for people.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

/// Reads a SARIF log.
pub(crate) fn read(bytes: &[u8]) -> Result<Findings, ReportError> {
    let document = parse(bytes)?;
    let Some(runs) = document.get("runs").and_then(Value::as_array) else {
        return Err(ReportError::unknown("SARIF 2.1.0", "JSON without `runs`".to_owned()));
    };
    let version = text(&document, "/version").unwrap_or("no version");
    if version != "2.1.0" {
        return Err(ReportError::unknown("SARIF 2.1.0", format!("SARIF of {}", clip(version, 40))));
    }
    let mut findings = Findings::default();
    for run in runs {
        let tool = clip(text(run, "/tool/driver/name").unwrap_or("an unnamed tool"), 100);
        let failed = run.get("invocations").and_then(Value::as_array).is_some_and(|invocations| {
            invocations.iter().any(|one| one.get("executionSuccessful") == Some(&Value::Bool(false)))
        });
        if failed {
            // A scanner that broke and found nothing must not read as one that found nothing.
            findings.problem = Some(format!("{tool} says that it did not run to its end"));
        }
        let rules = run.pointer("/tool/driver/rules").and_then(Value::as_array);
        for result in run.get("results").and_then(Value::as_array).into_iter().flatten() {
            findings.add(&tool, result, rules.map_or(&[], Vec::as_slice));
        }
        if !findings.tools.contains(&tool) && findings.tools.len() < 50 {
            findings.tools.push(tool);
        }
    }
    findings.list.sort_by_key(|finding| finding.level);
    findings.list.truncate(MAX_FINDINGS);
    Ok(findings)
}

impl Findings {
    /// Puts the reports of several Jobs or files together.
    #[must_use]
    pub fn together(reports: impl IntoIterator<Item = Self>) -> Option<Self> {
        reports.into_iter().reduce(|mut whole, more| {
            let Self { tools, errors, warnings, notes, suppressed, mut list, problem } = more;
            whole.errors += errors;
            whole.warnings += warnings;
            whole.notes += notes;
            whole.suppressed += suppressed;
            whole.list.append(&mut list);
            whole.list.sort_by_key(|finding| finding.level);
            whole.list.truncate(MAX_FINDINGS);
            for tool in tools {
                if !whole.tools.contains(&tool) {
                    whole.tools.push(tool);
                }
            }
            whole.problem = whole.problem.take().or(problem);
            whole
        })
    }

    fn add(&mut self, tool: &str, result: &Value, rules: &[Value]) {
        let accepted = |one: &Value| !matches!(text(one, "/status"), Some("underReview" | "rejected"));
        let suppressed = result.get("suppressions").and_then(Value::as_array);
        if suppressed.is_some_and(|list| list.iter().any(accepted)) {
            self.suppressed += 1;
            return;
        }
        // `pass`, `open`, `notApplicable` are words about a rule, not findings.
        if text(result, "/kind").is_some_and(|kind| kind != "fail")
            || text(result, "/baselineState") == Some("absent")
        {
            return;
        }
        let index = result.get("ruleIndex").or(result.pointer("/rule/index")).and_then(count);
        let rule = index.and_then(|index| rules.get(usize::try_from(index).ok()?));
        let id =
            text(result, "/ruleId").or(text(result, "/rule/id")).or(rule.and_then(|rule| text(rule, "/id")));
        let rule = rule.or_else(|| rules.iter().find(|rule| id.is_some() && text(rule, "/id") == id));
        let level =
            text(result, "/level").or(rule.and_then(|rule| text(rule, "/defaultConfiguration/level")));
        let level = match level {
            Some("none") => return,
            Some("error") => Level::Error,
            Some("note") => Level::Note,
            // The standard's default.
            _ => Level::Warning,
        };
        match level {
            Level::Error => self.errors += 1,
            Level::Warning => self.warnings += 1,
            Level::Note => self.notes += 1,
        }
        // Errors must not be pushed out by a flood of notes before them.
        if self.list.len() >= MAX_FINDINGS * 2 {
            self.list.sort_by_key(|finding| finding.level);
            self.list.truncate(MAX_FINDINGS);
        }
        let place = "/locations/0/physicalLocation";
        let message = text(result, "/message/text").or(text(result, "/message/markdown"));
        let message = message.or(rule.and_then(|rule| text(rule, "/shortDescription/text")));
        let line = result.pointer(&format!("{place}/region/startLine")).and_then(count);
        self.list.push(Finding {
            level,
            tool: tool.to_owned(),
            rule: clip(id.unwrap_or_default(), 200),
            message: clip(message.unwrap_or_default().trim(), 1000),
            file: text(result, &format!("{place}/artifactLocation/uri")).map(path),
            line: line.and_then(|line| u32::try_from(line).ok()).filter(|line| *line > 0),
        });
    }
}

/// A path from a URI reference: `%SRCROOT%` and `file://` say nothing to people, and `%20` is a space.
fn path(uri: &str) -> String {
    let uri = uri.strip_prefix("file://").unwrap_or(uri);
    let mut bytes = Vec::with_capacity(uri.len());
    let mut rest = uri.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let code = (*first == b'%').then(|| after.get(..2)).flatten();
        let code = code.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        match code {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    clip(&String::from_utf8_lossy(&bytes), 500)
}
