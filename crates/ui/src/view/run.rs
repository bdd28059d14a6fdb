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
    /// The address of this page.
    pub page: String,
    /// The address of the Run as one file, once it has ended.
    pub file: Option<String>,
    /// Where it comes from, if another server made it; `number` is then the one that it has among such.
    pub imported: Option<ImportedView>,
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

/// Where a Run comes from that another server made.
#[derive(Debug, Clone)]
pub struct ImportedView {
    /// The address of that server.
    pub instance: String,
    /// What it is called there: `shop#12`.
    pub title: String,
    /// Who exported it.
    pub exported_by: String,
    /// When.
    pub exported: Timestamp,
    /// Who imported it.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// The SHA-256 of its file.
    pub digest: String,
    /// The version that it sealed there.
    pub release: Option<String>,
    /// What did not fit into the file.
    pub left_out: Vec<String>,
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
    /// The address of its log as fragments of HTML; none where the log did not come along.
    pub log: Option<LogAt>,
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

/// Where a log is.
#[derive(Debug, Clone)]
pub struct LogAt {
    /// Its lines, as fragments of HTML.
    pub lines: String,
    /// All of it, as it was written.
    pub text: String,
    /// Its groups, as JSON.
    pub groups: String,
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
