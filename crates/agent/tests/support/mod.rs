//! What the tests of the agent share.
#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "each test binary uses another part; a failed helper fails the test"
)]

pub mod containers;
pub mod server;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use towpath_agent::container::{ContainerHost, Owner};
use towpath_agent::executor::{Cancel, Ended, Limits, LogLine, Sink};
use towpath_agent::local::{LocalJob, LocalRunner, SourceTree};
use towpath_agent::sandbox::Isolation;
use towpath_agent::sweep::Sweeper;
use towpath_api::agent::{AttemptEvent, Secret, StepOrder};
use towpath_api::containers::Containers;
use towpath_api::reuse::ReuseOrder;
use towpath_model::{AttemptId, JobLimits};

/// The program with the hidden commands.
pub fn helper() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_towpath-agent-test"))
}

/// Waits until `done`, or panics with `what` after ten seconds.
pub fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !done() {
        assert!(Instant::now() < deadline, "did not happen within 10 s: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Keeps what an Attempt says.
#[derive(Default)]
pub struct Recorder {
    pub lines: Mutex<Vec<String>>,
    pub events: Mutex<Vec<AttemptEvent>>,
}

impl Sink for Recorder {
    fn line(&self, line: LogLine<'_>) {
        self.lines.lock().unwrap().push(line.text.to_owned());
    }

    fn event(&self, event: AttemptEvent) {
        self.events.lock().unwrap().push(event);
    }
}

impl Recorder {
    pub fn text(&self) -> String {
        self.lines.lock().unwrap().join("\n")
    }
}

/// A place to run Jobs in.
pub struct Bench {
    pub root: tempfile::TempDir,
    pub runner: LocalRunner,
    pub env: BTreeMap<String, String>,
    pub secrets: BTreeMap<String, Secret>,
    pub network: bool,
    pub containers: Containers,
    pub job_limits: JobLimits,
    pub timeout: Duration,
    pub reuse: ReuseOrder,
}

impl Bench {
    pub fn new(isolation: Isolation) -> Self {
        // Not in `/tmp`, of which a Step sees one of its own, nor in a repository, whose ignored files are left out.
        let root = tempfile::tempdir_in("/var/tmp").unwrap();
        let data = root.path().join("data");
        std::fs::create_dir_all(data.join("keys")).unwrap();
        std::fs::write(data.join("keys/release.key"), "top secret").unwrap();
        std::fs::create_dir_all(root.path().join("source")).unwrap();
        let runner = LocalRunner {
            work: data.join("agent/work"),
            isolation,
            cache: Some(data.join("agent/cache")),
            artifacts: data.join("agent/artifacts"),
            kept: Some(data.join("agent/kept")),
            data,
            limits: Limits { grace: Duration::from_millis(300), ..Limits::default() },
            sweeper: Sweeper::start().unwrap(),
            containers: ContainerHost::none(Owner::local()),
        };
        Self {
            root,
            runner,
            env: BTreeMap::new(),
            secrets: BTreeMap::new(),
            network: true,
            containers: Containers::default(),
            job_limits: JobLimits::default(),
            timeout: Duration::from_secs(60),
            reuse: ReuseOrder::default(),
        }
    }

    pub fn source(&self) -> PathBuf {
        self.root.path().join("source")
    }

    pub fn data(&self) -> &Path {
        &self.runner.data
    }

    pub fn run(&self, steps: &[StepOrder]) -> (Ended, Recorder) {
        let recorder = Recorder::default();
        let ended = self.run_with(AttemptId(uuid::Uuid::new_v4()), steps, &Cancel::new(), &recorder);
        (ended, recorder)
    }

    pub fn run_with(
        &self,
        attempt: AttemptId,
        steps: &[StepOrder],
        cancel: &Cancel,
        sink: &dyn Sink,
    ) -> Ended {
        let source = SourceTree::list(&self.source()).unwrap();
        let job = LocalJob {
            attempt,
            title: "shop#1 test",
            source: &source,
            directory: "",
            steps,
            env: &self.env,
            secrets: &self.secrets,
            inputs: &[],
            artifacts: &[],
            reports: &[],
            network: self.network,
            containers: &self.containers,
            limits: self.job_limits,
            timeout: self.timeout,
            reuse: &self.reuse,
        };
        self.runner.run_job(&job, cancel, sink).ended
    }
}

/// A Step that runs `script`.
pub fn step(script: &str) -> StepOrder {
    StepOrder {
        name: "step".to_owned(),
        run: script.to_owned(),
        shell: None,
        env: BTreeMap::new(),
        directory: None,
        timeout_ms: None,
        always: false,
        inputs: None,
    }
}
