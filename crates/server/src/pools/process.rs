//! Agents that are processes of the server's own host, each with a directory of its own: `pools/POOL/MEMBER`.
//!
//! They outlive the server. The next one finds them by the locks that they hold.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::time::Instant;
use towpath_artifact::LockFile;

use super::driver::DriverError;
use super::options::PoolOptions;
use crate::local::private_dir;

/// How long an agent that has nothing to do may take to end.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long the directory of one that ended by itself is kept, for its log.
const KEPT: Duration = Duration::from_hours(1);

pub(super) struct Processes {
    /// Where the members' directories are.
    root: PathBuf,
    /// The server's data, which no Job may see.
    data: PathBuf,
    arguments: Vec<String>,
    children: BTreeMap<String, Child>,
}

impl Processes {
    pub(super) fn new(data: &Path, options: &PoolOptions, allow_unsandboxed: bool) -> Self {
        let mut arguments = vec![format!("--capacity={}", options.capacity)];
        arguments.extend(options.one_job.then(|| "--one-job".to_owned()));
        arguments.extend(allow_unsandboxed.then(|| "--allow-unsandboxed".to_owned()));
        Self {
            root: data.join("pools").join(&options.name),
            data: data.to_owned(),
            arguments,
            children: BTreeMap::new(),
        }
    }

    pub(super) async fn list(&mut self) -> Result<Vec<String>, DriverError> {
        let root = &self.root;
        self.children.retain(|name, child| match child.try_wait() {
            Ok(None) => true,
            Ok(Some(status)) => {
                let log = log_of(&root.join(name));
                tracing::info!(agent = name, %status, log = %log.display(), "an agent of a pool has ended");
                false
            }
            Err(_) => false,
        });
        let (root, children) = (self.root.clone(), self.children.keys().cloned().collect::<Vec<_>>());
        let look = move || look(&root, &children);
        let found =
            tokio::task::spawn_blocking(look).await.unwrap_or_else(|error| Err(io::Error::other(error)));
        found.map_err(DriverError::io(format!("reading {}", self.root.display())))
    }

    pub(super) fn start(&mut self, member: &str, token: &str) -> Result<(), DriverError> {
        let started = self.spawn(member, token);
        let child = started.map_err(DriverError::io(format!("starting the agent {member}")))?;
        self.children.insert(member.to_owned(), child);
        Ok(())
    }

    fn spawn(&self, member: &str, token: &str) -> io::Result<Child> {
        let directory = self.root.join(member);
        private_dir(&directory)?;
        let log = File::options().create(true).append(true).mode(0o600).open(log_of(&directory))?;
        Command::new(std::env::current_exe()?)
            .args(["agent", "join", "--run", "--no-deployer", "--dir"])
            .arg(&directory)
            .arg("--hide")
            .arg(&self.data)
            .args(&self.arguments)
            .env("TOWPATH_JOIN_TOKEN", token)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .spawn()
    }

    pub(super) async fn stop(&mut self, member: &str) -> Result<(), DriverError> {
        let directory = self.root.join(member);
        match self.children.remove(member) {
            Some(mut child) => {
                let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
                signal(pid, Signal::TERM);
                if tokio::time::timeout(PATIENCE, child.wait()).await.is_err() {
                    let killed = child.kill().await;
                    killed.map_err(DriverError::io(format!("killing the agent {member}")))?;
                }
            }
            None => end_adopted(&directory.join("agent/lock")).await,
        }
        let removed = tokio::fs::remove_dir_all(&directory).await;
        match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(DriverError::io(format!("removing {}", directory.display()))(error))
            }
            _ => Ok(()),
        }
    }
}

fn log_of(directory: &Path) -> PathBuf {
    directory.join("agent.log")
}

/// Finds who lives, and removes what is left of those who ended a while ago.
fn look(root: &Path, children: &[String]) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(root) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut alive = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()).map(str::to_owned) else { continue };
        if children.contains(&name) || LockFile::is_held(&path.join("agent/lock")) {
            alive.push(name);
        } else if is_old(&path) {
            fs::remove_dir_all(&path)?;
        }
    }
    Ok(alive)
}

/// Whether nothing was said there for long. One that has not taken its lock yet has just begun its log.
fn is_old(directory: &Path) -> bool {
    let written = fs::metadata(log_of(directory)).or_else(|_| fs::metadata(directory));
    let written = written.and_then(|metadata| metadata.modified());
    written.is_ok_and(|at| at.elapsed().is_ok_and(|age| age > KEPT))
}

/// Ends an agent that an earlier server started: it wrote its process into the lock that it holds.
async fn end_adopted(lock: &Path) {
    let begun = Instant::now();
    let mut sent = None;
    while LockFile::is_held(lock) && begun.elapsed() < PATIENCE * 2 {
        let wanted = if begun.elapsed() < PATIENCE { Signal::TERM } else { Signal::KILL };
        if sent != Some(wanted) {
            let pid = fs::read_to_string(lock).ok().and_then(|text| text.trim().parse().ok());
            signal(pid.and_then(Pid::from_raw), wanted);
            sent = Some(wanted);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn signal(pid: Option<Pid>, signal: Signal) {
    if let Some(pid) = pid {
        // It may have ended just now, which is what was wanted.
        let _gone = kill_process(pid, signal);
    }
}
