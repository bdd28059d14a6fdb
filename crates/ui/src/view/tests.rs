//! The tests of a Project, and one of them.

use jiff::Timestamp;

use super::{Shell, Tone};

/// What the reports of a Run say.
#[derive(Debug, Clone, Default)]
pub struct ReportsView {
    /// `Tests`, `Coverage` …, how it is, and what is said of it.
    pub lines: Vec<(String, Tone, String)>,
    /// Places that something was said of, the worst first.
    pub annotations: Vec<AnnotationRow>,
    /// How many more there are.
    pub more: usize,
}

/// Something that was said of a place.
#[derive(Debug, Clone)]
pub struct AnnotationRow {
    /// How bad it is.
    pub tone: Tone,
    /// `error`, `warning`, `note`.
    pub level: String,
    /// `src/cart.rs:7`.
    pub place: Option<String>,
    /// What was said.
    pub message: String,
    /// Who said it: a test or a tool, and of which Job.
    pub source: String,
}

/// The tests of a Project.
#[derive(Debug, Clone)]
pub struct TestsView {
    /// The frame.
    pub shell: Shell,
    /// The Project.
    pub project: String,
    /// What is looked for; empty for nothing.
    pub like: String,
    /// `health`, `slowest` or `name`.
    pub order: String,
    /// How many are stable, failing, flaky, skipped.
    pub counts: [u64; 4],
    /// Those of this part.
    pub tests: Vec<TestRow>,
    /// Where the next part begins.
    pub next: Option<u32>,
    /// Every quarantine.
    pub quarantined: Vec<HushedRow>,
}

/// A test.
#[derive(Debug, Clone)]
pub struct TestRow {
    /// Its identity.
    pub id: String,
    /// The last Job that ran it.
    pub job: String,
    /// `stable`, `failing`, `flaky`, `skipped`.
    pub health: String,
    /// How often it was run.
    pub runs: u64,
    /// How often it failed.
    pub failures: u64,
    /// How often it passed on retry.
    pub retried: u64,
    /// How long it takes, in milliseconds.
    pub millis: Option<u64>,
    /// Its last results, oldest first: `p`, `r`, `f`, `s`.
    pub recent: String,
    /// Whether it is in quarantine now.
    pub hushed: bool,
}

/// A test in quarantine.
#[derive(Debug, Clone)]
pub struct HushedRow {
    /// It.
    pub test: String,
    /// Who sees to it.
    pub owner: String,
    /// Why.
    pub reason: String,
    /// Until when.
    pub until: Timestamp,
    /// Whether that time is over.
    pub expired: bool,
}

/// One test.
#[derive(Debug, Clone)]
pub struct TestView {
    /// The frame.
    pub shell: Shell,
    /// The Project.
    pub project: String,
    /// It.
    pub test: TestRow,
    /// The file that it stands in.
    pub file: Option<String>,
    /// Its quarantine.
    pub quarantine: Option<HushedRow>,
    /// Its last failures, newest first.
    pub failures: Vec<TestFailureRow>,
}

/// A failure of a test.
#[derive(Debug, Clone)]
pub struct TestFailureRow {
    /// The Run's number.
    pub run: u64,
    /// The Job.
    pub job: String,
    /// Which Attempt.
    pub attempt: u32,
    /// When.
    pub at: Timestamp,
    /// Whether it passed when it was tried again.
    pub retried: bool,
    /// In one line.
    pub message: String,
    /// Its text.
    pub detail: String,
}
