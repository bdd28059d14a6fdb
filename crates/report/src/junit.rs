//! JUnit XML, in the dialects that are in the wild.
//!
//! Nobody owns the format. What every dialect shares are `<testcase>` elements with `<failure>`, `<error>` or
//! `<skipped>` in them; so those are read wherever they stand (suites may be nested, or missing), and the
//! counts that suites claim are not looked at. Repetitions come in three forms: `<flakyFailure>` and
//! `<flakyError>` (failed, then passed: Surefire, nextest, Gradle), `<rerunFailure>` and `<rerunError>` (failed
//! again), and, by pytest's plug-in, a second entry of the same test.

use crate::tests::{Repeated, TestReport};
use crate::xml::{Element, Visitor, text_of, walk};
use crate::{Failure, Outcome, ReportError, TestCase, clip, place};

/// The most tests of one report.
const MAX_CASES: usize = 200_000;

/// The longest identity of a test, and the longest message.
const MAX_NAME: usize = 1000;
const MAX_MESSAGE: usize = 1000;

/// How much of a failure's text is kept.
const MAX_DETAIL: usize = 8 << 10;

/// How many failures of one test are kept.
pub(crate) const MAX_FAILURES: usize = 5;

/// Reads a report.
pub(crate) fn read(bytes: &[u8]) -> Result<TestReport, ReportError> {
    const EXPECTED: &str = "the dialects of JUnit XML";
    let text = text_of(bytes);
    let mut junit = Junit::default();
    let mut problem = walk(&text, &mut junit).err();
    let Some(root) = junit.root.take() else {
        let found = if text.trim().is_empty() { "empty" } else { "something that is no XML" };
        return Err(ReportError::unknown(EXPECTED, found.to_owned()));
    };
    if !matches!(root.as_str(), "testsuites" | "testsuite" | "testcase") {
        return Err(ReportError::unknown(EXPECTED, format!("XML whose root is <{root}>")));
    }
    // Cut off within a test: what it was going to say of it is not known, so it did not pass.
    if let (Some(case), Some(_)) = (junit.case.take(), &problem) {
        junit.cases.push(unfinished(case));
    }
    if junit.beyond > 0 {
        problem = Some(format!("{} tests beyond the first {MAX_CASES} were left out", junit.beyond));
    }
    let repeated = if junit.pytest { Repeated::Retries } else { Repeated::Unknown };
    Ok(TestReport::merged(junit.cases, repeated, problem))
}

fn unfinished(mut case: TestCase) -> TestCase {
    if case.outcome == Outcome::Passed {
        case.outcome = Outcome::Errored;
        let message = "the report breaks off within this test".to_owned();
        case.failures.push(Failure { message, ..Failure::default() });
    }
    case
}

#[derive(Debug, Default)]
struct Junit {
    root: Option<String>,
    pytest: bool,
    /// The file that the suites around name, innermost last.
    files: Vec<Option<String>>,
    case: Option<TestCase>,
    /// The failure whose text is being read, and what it means.
    failure: Option<(Failure, Means)>,
    /// How deep within something of the failure that is not its text.
    aside: usize,
    cases: Vec<TestCase>,
    beyond: usize,
}

/// What an element within a test means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Means {
    Failed,
    Errored,
    /// It failed and passed when tried again.
    Flaky,
    /// It failed when tried again.
    FailedAgain,
}

fn means(name: &str) -> Option<Means> {
    match name {
        "failure" => Some(Means::Failed),
        "error" => Some(Means::Errored),
        "flakyfailure" | "flakyerror" => Some(Means::Flaky),
        "rerunfailure" | "rerunerror" => Some(Means::FailedAgain),
        _ => None,
    }
}

impl Visitor for Junit {
    fn open(&mut self, element: &Element) {
        let name = element.name.as_str();
        if self.root.is_none() {
            self.root = Some(name.to_owned());
        }
        match name {
            "testsuites" | "testsuite" if self.case.is_none() => {
                let suite = element.get("name").unwrap_or_default();
                self.pytest |= suite == "pytest" || suite == "pytest tests";
                self.files.push(element.get("file").or(element.get("filepath")).map(str::to_owned));
            }
            "testcase" => {
                let suite_file = self.files.iter().rev().find_map(Clone::clone);
                self.case = Some(case(element, suite_file));
            }
            _ => self.within(element),
        }
    }

    fn text(&mut self, text: &str) {
        if let Some((failure, _)) = self.failure.as_mut().filter(|_| self.aside == 0) {
            let room = MAX_DETAIL.saturating_sub(failure.detail.len());
            failure.detail.push_str(crate::xml::cut(text, room));
        }
    }

    fn close(&mut self, name: &str) {
        match name {
            "testsuites" | "testsuite" if self.case.is_none() => drop(self.files.pop()),
            "testcase" => {
                self.failure = None;
                self.aside = 0;
                match self.case.take() {
                    Some(case) if self.cases.len() < MAX_CASES => self.cases.push(case),
                    Some(_) => self.beyond += 1,
                    None => {}
                }
            }
            _ if self.aside > 0 => self.aside -= 1,
            _ if means(name).is_some() => self.failure_ended(),
            _ => {}
        }
    }
}

impl Junit {
    /// An element that is no suite and no test.
    fn within(&mut self, element: &Element) {
        let Some(case) = &mut self.case else { return };
        if self.failure.is_some() {
            // Surefire and nextest put the output of a repetition into its failure.
            self.aside += 1;
        } else if let Some(means) = means(&element.name) {
            let said = |name: &str, limit| clip(element.get(name).unwrap_or_default(), limit);
            let failure = Failure {
                message: said("message", MAX_MESSAGE),
                kind: said("type", 200),
                detail: String::new(),
            };
            self.failure = Some((failure, means));
        } else if matches!(element.name.as_str(), "skipped" | "ignored" | "disabled")
            && case.outcome == Outcome::Passed
        {
            case.outcome = Outcome::Skipped;
        }
    }

    fn failure_ended(&mut self) {
        let (Some((mut failure, means)), Some(case)) = (self.failure.take(), &mut self.case) else { return };
        failure.detail = clip(failure.detail.trim(), MAX_DETAIL);
        if failure.message.is_empty() {
            failure.message = first_line(&failure.detail);
        }
        case.outcome = match means {
            Means::Errored => Outcome::Errored,
            Means::Failed | Means::FailedAgain if case.outcome != Outcome::Errored => Outcome::Failed,
            Means::Failed | Means::FailedAgain => Outcome::Errored,
            // A flaky try beside a real failure does not excuse it.
            Means::Flaky if case.outcome.is_failure() => case.outcome,
            Means::Flaky => Outcome::Flaky,
        };
        if case.line.is_none()
            && let Some((file, line)) = place(&failure)
        {
            // The report may name the file, and only the text the line.
            let same =
                case.file.as_deref().is_none_or(|known| file.ends_with(known) || known.ends_with(&file));
            if same {
                (case.file, case.line) = (Some(file), Some(line));
            }
        }
        if case.failures.len() < MAX_FAILURES {
            case.failures.push(failure);
        }
    }
}

fn case(element: &Element, suite_file: Option<String>) -> TestCase {
    let name = element.get("name").unwrap_or_default().trim();
    let class = element.get("classname").or(element.get("class")).unwrap_or_default().trim();
    // jest repeats the name as the class; CTest and others leave the class out.
    let id = if class.is_empty() || class == name { name.to_owned() } else { format!("{class}::{name}") };
    let id = if id.is_empty() { "(a test without a name)".to_owned() } else { id };
    let left_out = |attribute: &str, words: &[&str]| {
        element.get(attribute).is_some_and(|value| words.iter().any(|word| value.eq_ignore_ascii_case(word)))
    };
    // GoogleTest writes `status="notrun"`, CTest `disabled`, both without an element.
    let skipped = left_out("status", &["notrun", "disabled", "skipped", "ignored"])
        || left_out("result", &["skipped", "suppressed"]);
    TestCase {
        id: clip(&id.replace(['\n', '\t'], " "), MAX_NAME),
        outcome: if skipped { Outcome::Skipped } else { Outcome::Passed },
        file: element.get("file").or(element.get("filepath")).map(str::to_owned).or(suite_file),
        line: element.number("line").and_then(|line| u32::try_from(line).ok()).filter(|line| *line > 0),
        millis: element.get("time").or(element.get("duration")).and_then(millis),
        failures: Vec::new(),
    }
}

/// Seconds as `0.005`, `1,234.5` (Surefire in some languages), or `0,005`.
fn millis(text: &str) -> Option<u64> {
    let text = text.trim();
    let plain = match (text.contains(','), text.contains('.')) {
        (true, true) => text.replace(',', ""),
        (true, false) => text.replace(',', "."),
        _ => text.to_owned(),
    };
    let seconds: f64 = plain.parse().ok()?;
    // A day is more than any Attempt may take; what is beyond is no time.
    (0.0..=86_400.0).contains(&seconds).then(|| (seconds * 1000.0).round() as u64)
}

fn first_line(text: &str) -> String {
    clip(text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default(), MAX_MESSAGE)
}
