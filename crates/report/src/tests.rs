//! What a run of tests says, whatever tool wrote it down.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The tests of one report.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TestReport {
    /// The tests, each once, in the order of the file.
    pub cases: Vec<TestCase>,
    /// What is wrong with the report, for people; what could be read is in `cases`.
    pub problem: Option<String>,
}

/// One test.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestCase {
    /// `class::name`, or the name alone where the report gives no class, or repeats the name as one.
    pub id: String,
    /// How it ended, its repetitions counted in.
    pub outcome: Outcome,
    /// The file that it stands in, as the report names it.
    pub file: Option<String>,
    /// The line there.
    pub line: Option<u32>,
    /// How long it took, in milliseconds.
    pub millis: Option<u64>,
    /// Its failures: the one that counts first, then those of earlier tries.
    pub failures: Vec<Failure>,
}

/// How a test ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It passed at once.
    Passed,
    /// It failed, and then passed when its runner tried it again: the same tree gave both answers.
    Flaky,
    /// It failed.
    Failed,
    /// It could not be run, or broke outside of what it checks.
    Errored,
    /// It was left out.
    Skipped,
}

impl Outcome {
    /// Whether it counts as a failure.
    #[must_use]
    pub const fn is_failure(self) -> bool {
        match self {
            Self::Failed | Self::Errored => true,
            Self::Passed | Self::Flaky | Self::Skipped => false,
        }
    }
}

/// One failure of a test.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Failure {
    /// What it says in one line.
    pub message: String,
    /// The sort of failure, as the tool names it: `AssertionError`.
    pub kind: String,
    /// Its text, cut at its bound.
    pub detail: String,
}

/// How many tests ended how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counts {
    /// Passed, those after a repetition included.
    pub passed: u32,
    /// Failed or errored.
    pub failed: u32,
    /// Left out.
    pub skipped: u32,
    /// Of those that passed: only when tried again.
    pub flaky: u32,
}

impl Counts {
    /// Counts tests.
    #[must_use]
    pub fn of<'a>(cases: impl IntoIterator<Item = &'a TestCase>) -> Self {
        let mut counts = Self::default();
        for case in cases {
            match case.outcome {
                Outcome::Passed => counts.passed += 1,
                Outcome::Flaky => {
                    counts.passed += 1;
                    counts.flaky += 1;
                }
                Outcome::Failed | Outcome::Errored => counts.failed += 1,
                Outcome::Skipped => counts.skipped += 1,
            }
        }
        counts
    }
}

/// What two entries of one test in one report mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeated {
    /// The runner tried it again: the last entry counts.
    Retries,
    /// Nobody knows; it may be two tests of one name. A failure counts.
    Unknown,
}

impl TestReport {
    /// Puts entries of the same test together.
    pub(crate) fn merged(cases: Vec<TestCase>, repeated: Repeated, problem: Option<String>) -> Self {
        let mut places: BTreeMap<String, usize> = BTreeMap::new();
        let mut merged: Vec<TestCase> = Vec::with_capacity(cases.len());
        for case in cases {
            match places.get(&case.id) {
                Some(place) => merged[*place].join(case, repeated),
                None => {
                    places.insert(case.id.clone(), merged.len());
                    merged.push(case);
                }
            }
        }
        Self { cases: merged, problem }
    }
}

impl TestCase {
    fn join(&mut self, later: Self, repeated: Repeated) {
        let Self { id: _, outcome, file, line, millis, mut failures } = later;
        self.millis = match (self.millis, millis) {
            (Some(first), Some(second)) => Some(first.saturating_add(second)),
            (first, second) => second.or(first),
        };
        self.file = self.file.take().or(file);
        self.line = self.line.or(line);
        self.outcome = match repeated {
            // An earlier entry without a word about its end is one that a plug-in tried again, since it had failed.
            Repeated::Retries if outcome == Outcome::Passed => Outcome::Flaky,
            Repeated::Retries => outcome,
            Repeated::Unknown => worse(self.outcome, outcome),
        };
        failures.append(&mut self.failures);
        failures.truncate(crate::junit::MAX_FAILURES);
        self.failures = failures;
    }
}

const fn worse(one: Outcome, other: Outcome) -> Outcome {
    const fn rank(outcome: Outcome) -> u8 {
        match outcome {
            Outcome::Skipped => 0,
            Outcome::Passed => 1,
            Outcome::Flaky => 2,
            Outcome::Failed => 3,
            Outcome::Errored => 4,
        }
    }
    if rank(one) >= rank(other) { one } else { other }
}
