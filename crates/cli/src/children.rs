//! The gateway and the agent of this host: started where none runs, started again when they die.
//!
//! They are processes of their own and outlive the server: its end, kill or upgrade leaves them running,
//! and its next start finds them by their locks. `towpath shutdown` ends them.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::time::Instant;
use towpath_artifact::LockFile;
use towpath_gateway::control;

/// How often to look whether they live. Users wait for a gateway that died.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The first and the longest pause between two starts. Users wait for the gateway, so even the longest is short.
const PAUSE_FIRST: Duration = Duration::from_millis(500);
const PAUSE_LONGEST: Duration = Duration::from_secs(10);

/// A process that lived so long had a good start: the next pause is short again.
const GOOD_START: Duration = Duration::from_secs(5);

/// A log that is larger when its process starts is put aside.
const MAX_LOG: u64 = 8 << 20;

/// What to keep running on this host.
#[derive(Debug)]
pub struct Children {
    /// The server's data directory.
    pub data: PathBuf,
    /// This program.
    pub program: PathBuf,
    /// Arguments of the agent; `None` runs none.
    pub agent: Option<Vec<String>>,
    /// Whether to run a gateway.
    pub gateway: bool,
}

impl Children {
    /// Keeps them running until it is dropped.
    pub async fn keep(self) {
        let mut gateway = Keeper::new("gateway", &self.data);
        let mut agent = Keeper::new("agent", &self.data);
        let mut looks = tokio::time::interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            if self.gateway {
                self.keep_gateway(&mut gateway).await;
            }
            if let Some(arguments) = &self.agent
                && !LockFile::is_held(&self.data.join("agent/lock"))
            {
                agent.start(self.command("agent").args(arguments));
            }
            gateway.reap();
            agent.reap();
        }
    }

    async fn keep_gateway(&self, keeper: &mut Keeper) {
        match control::probe(&self.data).await {
            Ok(None) => keeper.start(&mut self.command("gateway")),
            Ok(Some(presence)) if presence.version != env!("CARGO_PKG_VERSION") => {
                tracing::info!(
                    from = presence.version,
                    "the gateway is of another version; a new one takes over"
                );
                keeper.start(self.command("gateway").arg("--take-over"));
            }
            Ok(Some(_)) => {}
            Err(error) => tracing::warn!(%error, "the gateway does not answer on its control socket"),
        }
    }

    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.arg(name).arg("--data-dir").arg(&self.data);
        // A group of its own: a Ctrl-C in the server's terminal is not meant for it.
        command.process_group(0).stdin(Stdio::null());
        command
    }
}

/// One child: when it was started and when it may be again.
struct Keeper {
    name: &'static str,
    log: PathBuf,
    child: Option<Child>,
    started: Option<Instant>,
    pause: Duration,
}

impl Keeper {
    fn new(name: &'static str, data: &Path) -> Self {
        let log = data.join(name).join(format!("{name}.log"));
        Self { name, log, child: None, started: None, pause: PAUSE_FIRST }
    }

    /// Starts it, unless it was started a moment ago and may still be getting up.
    fn start(&mut self, command: &mut Command) {
        self.reap();
        if let Some(started) = self.started {
            let is_getting_up = self.child.is_some() && started.elapsed() < GOOD_START;
            if is_getting_up || started.elapsed() < self.pause {
                return;
            }
            self.pause = if started.elapsed() > GOOD_START {
                PAUSE_FIRST
            } else {
                (self.pause * 2).min(PAUSE_LONGEST)
            };
        }
        self.started = Some(Instant::now());
        let spawned = log_file(&self.log).and_then(|log| {
            let errors = log.try_clone()?;
            command.stdout(log).stderr(errors).spawn()
        });
        match spawned {
            Ok(child) => {
                tracing::info!(pid = child.id(), log = %self.log.display(), "started the {}", self.name);
                self.child = Some(child);
            }
            Err(error) => tracing::error!(%error, "failed to start the {}; it is tried again", self.name),
        }
    }

    fn reap(&mut self) {
        if let Some(child) = &mut self.child
            && let Ok(Some(status)) = child.try_wait()
        {
            if !status.success() {
                tracing::warn!(%status, log = %self.log.display(), "the {} ended", self.name);
            }
            self.child = None;
        }
    }
}

fn log_file(path: &Path) -> io::Result<File> {
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)?;
    }
    if std::fs::metadata(path).is_ok_and(|file| file.len() > MAX_LOG) {
        std::fs::rename(path, path.with_extension("log.old"))?;
    }
    OpenOptions::new().create(true).append(true).open(path)
}
