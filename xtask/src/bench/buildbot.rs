//! Buildbot as a peer: a master, a worker on this host, and the same no-op commands.
//!
//! It is used where it is installed: in the virtual environment that `TOWPATH_BUILDBOT` names, else in `target/bench/buildbot`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::process::{free_address, wait_for};
use super::world::poll;

/// How to get it.
pub(super) const INSTALL: &str = "install it with: python3 -m venv target/bench/buildbot && \
                                  target/bench/buildbot/bin/pip install buildbot buildbot-worker";

/// How long all builds together may take.
const PATIENCE: Duration = Duration::from_secs(600);

/// What the master does: builds that each run `true`, so many times, in as many steps. One change starts all of them, each by a
/// scheduler of its own; one builder has them all, since a worker attaches to each builder in turn, for minutes where there are
/// hundreds. When the last build has ended, the file `done` says how long all of them took.
const MASTER: &str = r#"
import os
import time

from buildbot.plugins import changes, schedulers, steps, util, worker
from buildbot.process.buildstep import BuildStep
from buildbot.process.results import SUCCESS

begun, ended = [], []

class Begun(BuildStep):
    def run(self):
        begun.append(time.time())
        return SUCCESS

class Ended(BuildStep):
    alwaysRun = True

    def run(self):
        ended.append(self.build.results in (None, SUCCESS))
        if len(ended) % BUILDS == 0:
            good = all(ended[-BUILDS:])
            with open("DONE.new", "w") as file:
                file.write(f"{'ok' if good else 'failed'} {time.time() - begun[-BUILDS]}")
            os.rename("DONE.new", "DONE")
        return SUCCESS

def factory():
    commands = [steps.ShellCommand(command=["sh", "-ec", "true"]) for _ in range(STEPS)]
    return util.BuildFactory([Begun()] + commands + [Ended()])

c = BuildmasterConfig = {}
c["workers"] = [worker.Worker("local", "secret", max_builds=2)]
c["protocols"] = {"pb": {"port": "tcp:PORT:interface=127.0.0.1"}}
c["change_source"] = [changes.PBChangeSource(user="change", passwd="secret")]
c["schedulers"] = [
    schedulers.AnyBranchScheduler(name=f"j{number}", treeStableTimer=None, builderNames=["jobs"])
    for number in range(BUILDS)
]
c["builders"] = [util.BuilderConfig(name="jobs", workernames=["local"], factory=factory(), collapseRequests=False)]
c["db"] = {"db_url": "sqlite:///state.sqlite"}
c["buildbotNetUsageData"] = None
"#;

/// Where it is installed.
pub(super) fn installed() -> Option<PathBuf> {
    let place =
        std::env::var_os("TOWPATH_BUILDBOT").map_or_else(|| "target/bench/buildbot".into(), PathBuf::from);
    let bin = std::path::absolute(place).ok()?.join("bin");
    (bin.join("buildbot").is_file() && bin.join("buildbot-worker").is_file()).then_some(bin)
}

/// A master with its worker, ready.
pub(super) struct Buildbot {
    bin: PathBuf,
    home: PathBuf,
    port: u16,
    begun: u32,
}

impl Buildbot {
    /// Starts both: `builds` builds of `steps` steps with each change, two at once.
    pub(super) fn start(bin: &Path, directory: &Path, builds: usize, steps: usize) -> Result<Self> {
        let home = directory.join("buildbot");
        fs::create_dir_all(&home)?;
        let port = free_address()?.port();
        let buildbot = Self { bin: bin.to_owned(), home, port, begun: 0 };
        buildbot.call("buildbot", &["create-master", "--log-count=1", "master"])?;
        let configuration = MASTER
            .replace("PORT", &port.to_string())
            .replace("BUILDS", &builds.to_string())
            .replace("STEPS", &steps.to_string())
            .replace("DONE", &buildbot.home.join("done").display().to_string());
        fs::write(buildbot.home.join("master/master.cfg"), configuration)?;
        buildbot.call("buildbot", &["start", "master"])?;
        wait_for(([127, 0, 0, 1], port).into())?;
        let address = format!("127.0.0.1:{port}");
        buildbot.call("buildbot-worker", &["create-worker", "worker", &address, "local", "secret"])?;
        buildbot.call("buildbot-worker", &["start", "worker"])?;
        poll("Buildbot's worker", || {
            let log = fs::read_to_string(buildbot.home.join("worker/twistd.log")).ok()?;
            log.contains("message from master: attached").then_some(())
        })?;
        Ok(buildbot)
    }

    /// Starts all builds and returns the seconds from the begin of the first to the end of the last, as the master sees them: the
    /// command that tells it of the change is no part of it.
    pub(super) fn run(&mut self) -> Result<f64> {
        let done = self.home.join("done");
        let _ = fs::remove_file(&done);
        self.begun += 1;
        let (master, revision) = (format!("127.0.0.1:{}", self.port), self.begun.to_string());
        let words = [
            "sendchange",
            "--master",
            &master,
            "--auth",
            "change:secret",
            "--who",
            "bench",
            "--revision",
            &revision,
        ];
        let begun = Instant::now();
        self.call("buildbot", &[&words[..], &["file"]].concat())?;
        while !done.is_file() {
            ensure!(begun.elapsed() < PATIENCE, "Buildbot's builds did not end; its log is {}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
        let said = fs::read_to_string(&done)?;
        let took = said.strip_prefix("ok ").and_then(|seconds| seconds.trim().parse().ok());
        took.with_context(|| format!("a build of Buildbot failed; its log is {}", self.log()))
    }

    fn log(&self) -> String {
        self.home.join("master/twistd.log").display().to_string()
    }

    fn call(&self, program: &str, words: &[&str]) -> Result<()> {
        let mut command = Command::new(self.bin.join(program));
        command.args(words).current_dir(&self.home).stdin(Stdio::null());
        let output = command.output().with_context(|| format!("cannot run {program}"))?;
        let said =
            String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
        ensure!(
            output.status.success(),
            "{program} {} failed: {}",
            words.first().unwrap_or(&""),
            said.trim()
        );
        Ok(())
    }
}

impl Drop for Buildbot {
    fn drop(&mut self) {
        // Both run in the background, and know by their directory who they are.
        let _ = self.call("buildbot-worker", &["stop", "worker"]);
        let _ = self.call("buildbot", &["stop", "master"]);
    }
}
