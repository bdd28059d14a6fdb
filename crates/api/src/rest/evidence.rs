//! What is known of a Run from the reports of its Jobs: tests, coverage, findings, load, contracts.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What the reports of a Run say, over all its Jobs.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
pub struct RunEvidence {
    /// The Run's number.
    pub run: u64,
    /// What it is compared with, where there is something: the Run that sealed the newest Release before it.
    pub baseline: Option<Baseline>,
    /// Its tests.
    pub tests: Option<TestsSummary>,
    /// Its coverage.
    pub coverage: Option<CoverageSummary>,
    /// What scanners and linters found.
    pub findings: Option<FindingsSummary>,
    /// Load tests.
    pub load: Vec<LoadSummary>,
    /// Contract tests.
    pub contracts: Vec<ContractSummary>,
    /// The failures of its tests.
    pub failures: Vec<TestFailure>,
    /// Places in the source that something was said of, the worst first.
    pub annotations: Vec<Annotation>,
    /// The reports themselves.
    pub reports: Vec<ReportRow>,
}

/// The Run that another one is compared with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Baseline {
    /// Its number.
    pub run: u64,
    /// For people: `Release 1.4.0`, `main`.
    pub what: String,
}

/// What JUnit files say.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct TestsSummary {
    /// Tests that passed, those that passed on retry among them.
    pub passed: u32,
    /// Tests that failed, those in quarantine among them.
    pub failed: u32,
    /// Tests that were left out.
    pub skipped: u32,
    /// Tests that failed, and passed when they were tried again.
    pub retried: u32,
    /// Tests that failed and are in quarantine.
    pub quarantined: u32,
    /// The time of all of them together, in milliseconds.
    pub millis: u64,
    /// The slowest, at most 20.
    pub slowest: Vec<TestTime>,
    /// Which passed on retry, at most 200.
    pub retried_tests: Vec<String>,
    /// What is wrong with the reports.
    pub problem: Option<String>,
}

/// A test and its time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TestTime {
    /// Its identity.
    pub test: String,
    /// In milliseconds.
    pub millis: u64,
}

/// One failure of a test.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TestFailure {
    /// The test.
    pub test: String,
    /// The Run's number.
    pub run: u64,
    /// The Job.
    pub job: String,
    /// The number of the Attempt.
    pub attempt: u32,
    /// When it was taken in.
    #[schema(value_type = String, format = DateTime)]
    pub at: jiff::Timestamp,
    /// Whether the test was in quarantine.
    pub quarantined: bool,
    /// Whether it passed when it was tried again.
    pub retried: bool,
    /// What it says, where it happened.
    #[serde(flatten)]
    pub said: FailureText,
}

/// What a failure says.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct FailureText {
    /// In one line.
    pub message: String,
    /// The beginning of its text.
    pub detail: String,
    /// The file, relative to the Project's directory where that can be told.
    pub file: Option<String>,
    /// The line.
    pub line: Option<u32>,
}

/// Coverage over all reports of a Run.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct CoverageSummary {
    /// `lcov`, `cobertura`, `jacoco` or `several`.
    pub format: String,
    /// Lines gone through, and all.
    pub lines: [u64; 2],
    /// Branches gone through, and all.
    pub branches: Option<[u64; 2]>,
    /// Covered lines in hundredths of a percent.
    pub basis_points: u64,
    /// The change against the baseline, in hundredths of a percent.
    pub change: Option<i64>,
    /// Files whose share changed against the baseline, the largest loss first; at most 50.
    pub changed: Vec<FileChange>,
    /// What is wrong with the reports.
    pub problem: Option<String>,
}

/// How the coverage of a file changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FileChange {
    /// The file.
    pub path: String,
    /// Its share now, in hundredths of a percent.
    pub basis_points: u64,
    /// Its share before.
    pub before: u64,
}

/// What scanners and linters found.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct FindingsSummary {
    /// The tools.
    pub tools: Vec<String>,
    /// How many are errors.
    pub errors: u64,
    /// How many are warnings.
    pub warnings: u64,
    /// How many are notes.
    pub notes: u64,
    /// How many were accepted, and count nowhere else.
    pub suppressed: u64,
    /// The change of errors against the baseline.
    pub errors_change: Option<i64>,
    /// What is wrong with the reports.
    pub problem: Option<String>,
}

/// The outcome of a load test. Times are in microseconds.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct LoadSummary {
    /// The file that it comes from.
    pub name: String,
    /// The tool.
    pub tool: String,
    /// Requests in all.
    pub requests: u64,
    /// Requests that failed.
    pub failed: u64,
    /// Requests a second, times 1,000.
    pub rate_millis: u64,
    /// The median.
    pub p50: Option<u64>,
    /// The 95th percentile.
    pub p95: Option<u64>,
    /// The 99th percentile.
    pub p99: Option<u64>,
    /// The change of the 99th percentile (of the 95th where there is none) against the baseline, in hundredths of a percent.
    pub latency_change: Option<i64>,
    /// The change of the rate against the baseline, in hundredths of a percent.
    pub rate_change: Option<i64>,
}

/// What the verification of a contract says.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct ContractSummary {
    /// The file that it comes from.
    pub name: String,
    /// Who relies on it.
    pub consumer: Option<String>,
    /// Who has to keep it.
    pub provider: Option<String>,
    /// Whether anything was verified.
    pub verified: bool,
    /// Whether it passed.
    pub passed: bool,
    /// How many interactions were looked at.
    pub interactions: u64,
    /// Those that failed, with why.
    pub failed: Vec<String>,
}

/// A place in the source that something was said of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Annotation {
    /// `error`, `warning` or `note`.
    pub level: String,
    /// The file, relative to the Project's directory where that can be told; none where it is said of the whole.
    pub file: Option<String>,
    /// The line.
    pub line: Option<u32>,
    /// What was said.
    pub message: String,
    /// Who said it: a test, a tool with its rule, the title that a Step gave, or the Step.
    pub source: String,
    /// The Job.
    pub job: String,
}

impl Annotation {
    /// `src/cart.rs:7`, as far as it is known.
    #[must_use]
    pub fn place(&self) -> Option<String> {
        let file = self.file.as_ref()?;
        Some(self.line.map_or_else(|| file.clone(), |line| format!("{file}:{line}")))
    }
}

/// A report as it was left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReportRow {
    /// The Job.
    pub job: String,
    /// The number of the Attempt.
    pub attempt: u32,
    /// `junit`, `coverage`, `sarif`, `load`, `contract` or `annotations`.
    pub kind: String,
    /// Its path.
    pub name: String,
    /// Its digest; the bytes are in the content store.
    pub digest: String,
    /// How many.
    pub bytes: u64,
    /// Why it says nothing, or less than it might.
    pub problem: Option<String>,
}

/// A test with its history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Test {
    /// Its identity within the Project.
    pub id: String,
    /// The last Job that ran it.
    pub job: String,
    /// The file that it stands in.
    pub file: Option<String>,
    /// The number of the last Run that had it.
    pub run: u64,
    /// `stable`, `failing`, `flaky` or `skipped`.
    pub health: String,
    /// How often it was run, over all time.
    pub runs: u64,
    /// How often it failed.
    pub failures: u64,
    /// How often it passed on retry.
    pub retried: u64,
    /// Of a thousand of the last results, how many failed.
    pub failures_per_mille: u32,
    /// How often the last results changed without a change of the source.
    pub flips: u32,
    /// How long it is expected to take, in milliseconds.
    pub millis: Option<u64>,
    /// Its last results, oldest first: `p` passed, `r` passed on retry, `f` failed, `s` left out.
    pub recent: String,
    /// Its quarantine.
    pub quarantine: Option<Quarantine>,
    /// Its last failures, newest first; only where one test is asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub last_failures: Vec<TestFailure>,
}

/// A test whose failures fail nothing for a while.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Quarantine {
    /// The test.
    pub test: String,
    /// Who sees to it.
    pub owner: String,
    /// Why.
    pub reason: String,
    /// Who put it there.
    pub by: String,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    pub since: jiff::Timestamp,
    /// Until when. Afterwards its failures count again.
    #[schema(value_type = String, format = DateTime)]
    pub until: jiff::Timestamp,
    /// Whether that time is over.
    #[serde(default)]
    pub expired: bool,
}

/// Puts a test into quarantine.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct NewQuarantine {
    /// The test.
    pub test: String,
    /// Who sees to it.
    pub owner: String,
    /// Why.
    pub reason: String,
    /// Until when; at most 90 days from now.
    #[schema(value_type = String, format = DateTime)]
    pub until: jiff::Timestamp,
}

/// Names a test.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct NamedTest {
    /// It.
    pub test: String,
}

/// The tests of a Project.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct Tests {
    /// How many are stable.
    pub stable: u64,
    /// How many failed the last time.
    pub failing: u64,
    /// How many are flaky.
    pub flaky: u64,
    /// How many were left out.
    pub skipped: u64,
    /// Those that were asked for.
    pub tests: Vec<Test>,
    /// Every quarantine.
    pub quarantined: Vec<Quarantine>,
    /// Whether there are more.
    pub more: bool,
}
