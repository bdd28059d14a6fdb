//! One Run.

use jiff::Timestamp;

use super::{Action, ArtifactRow, Commit, Shell, State};

/// A Run with its Jobs.
#[derive(Debug, Clone)]
pub struct RunView {
    /// The frame.
    pub shell: Shell,
    /// The Project.
    pub project: String,
    /// Its number within the Project.
    pub number: u64,
    /// What it runs at.
    pub commit: Commit,
    /// The branch or tag, short.
    pub reference: String,
    /// `push by mona`, `tag`, `cron`, `rerun of #3`.
    pub trigger: String,
    /// `protected`, `internal`, `fork`.
    pub trust: String,
    /// How it is.
    pub state: State,
    /// Why, if there is something to say.
    pub reason: Option<String>,
    /// When it came.
    pub created: Timestamp,
    /// When its first Job started.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub finished: Option<Timestamp>,
    /// The version that it sealed.
    pub release: Option<String>,
    /// Its Jobs, in the file's order.
    pub jobs: Vec<JobView>,
    /// The Job that `?job=` asks for; without it the page picks the one that needs a look.
    pub selected: Option<String>,
    /// The Attempt that `?attempt=` asks for, by number; without it the last.
    pub attempt: Option<u32>,
    /// What is wrong with the pipeline file.
    pub diagnostics: Vec<Diagnostic>,
    /// Cancel, rerun.
    pub actions: Vec<Action>,
    /// What its reports say.
    pub reports: super::ReportsView,
}

/// A Job.
#[derive(Debug, Clone)]
pub struct JobView {
    /// Its name.
    pub name: String,
    /// The matrix that it is a cell of.
    pub of: Option<String>,
    /// Its values there: `linux, 1.90`.
    pub label: Option<String>,
    /// What a person may type to go on from it.
    pub commands: Vec<String>,
    /// The Jobs that it needs.
    pub needs: Vec<String>,
    /// How it is.
    pub state: State,
    /// Why it waits, was skipped or failed.
    pub reason: Option<String>,
    /// Its tries, oldest first.
    pub attempts: Vec<AttemptView>,
    /// What its tests say.
    pub tests: Option<TestCounts>,
    /// What it made.
    pub artifacts: Vec<ArtifactRow>,
}

/// One try of a Job.
#[derive(Debug, Clone)]
pub struct AttemptView {
    /// Its id; the log's address is made of it.
    pub id: String,
    /// 1, 2, 3 …
    pub number: u32,
    /// How it is.
    pub state: State,
    /// Why.
    pub reason: Option<String>,
    /// The agent's host name.
    pub agent: Option<String>,
    /// `bubblewrap`, `landlock`, `host`.
    pub isolation: Option<String>,
    /// The images that it used: what for, the reference in the file, the digest that it meant.
    pub images: Vec<(String, String, String)>,
    /// When it started.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub finished: Option<Timestamp>,
    /// Its Steps.
    pub steps: Vec<StepView>,
    /// Bytes of log so far.
    pub log_bytes: u64,
    /// The line to jump to, counted from 1.
    pub failing_line: Option<u64>,
    /// What its caches did: hit, or why they missed.
    pub reuse: Vec<String>,
    /// How often it failed like that: `seen 14 times since 4f1c2ab, first on build-7`. Absent the first time.
    pub seen: Option<String>,
}

/// One Step.
#[derive(Debug, Clone)]
pub struct StepView {
    /// Its name.
    pub name: String,
    /// How it is.
    pub state: State,
    /// `exit code 1`, `killed by SIGKILL`, `timed out after 5m`.
    pub note: Option<String>,
    /// When it started.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub finished: Option<Timestamp>,
}

/// What JUnit files say.
#[derive(Debug, Clone, Copy)]
pub struct TestCounts {
    /// Tests that passed.
    pub passed: u64,
    /// Tests that failed.
    pub failed: u64,
    /// Tests that were left out.
    pub skipped: u64,
}

/// A mistake in a file, with the text marked.
#[derive(Debug, Clone)]
pub struct Diagnostic {
    /// Whether the Run is invalid because of it.
    pub error: bool,
    /// The file.
    pub file: String,
    /// From 1.
    pub line: u32,
    /// From 1.
    pub column: u32,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub hint: Option<String>,
    /// The lines around it.
    pub snippet: Vec<SnippetLine>,
}

/// A line of a file.
#[derive(Debug, Clone)]
pub struct SnippetLine {
    /// From 1.
    pub number: u32,
    /// Its text.
    pub text: String,
    /// The characters to mark: start and end, from 0, end excluded.
    pub mark: Option<(usize, usize)>,
}
