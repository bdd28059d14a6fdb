//! The processes of one data directory: found, killed, waited for, and ended at last.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use towpath_artifact::LockFile;

use super::load::Load;
use super::server::Server;

/// Who is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Victim {
    Server,
    Agent,
    Gateway,
}

impl Victim {
    /// Each of them.
    pub(super) const ALL: [Self; 3] = [Self::Server, Self::Agent, Self::Gateway];

    /// Its name on the command line.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Server => "serve",
            Self::Agent => "agent",
            Self::Gateway => "gateway",
        }
    }
}

/// A process with its command line.
pub(super) struct Process {
    pub(super) id: u32,
    pub(super) words: Vec<String>,
}

/// Every process that works in a directory or names it on its command line.
pub(super) fn all(directory: &Path) -> Vec<Process> {
    let here = directory.to_string_lossy().into_owned();
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let ids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let found = ids.filter(|id| *id != std::process::id()).filter_map(|id| {
        let line = fs::read(format!("/proc/{id}/cmdline")).ok()?;
        let words: Vec<String> =
            line.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into()).collect();
        let works_here =
            fs::read_link(format!("/proc/{id}/cwd")).is_ok_and(|path| path.starts_with(directory));
        let ours = works_here || words.iter().any(|word| word.contains(&here));
        // What has ended and was not reaped yet has no command line.
        (ours && !line.is_empty()).then_some(Process { id, words })
    });
    found.collect()
}

fn find(victim: Victim, server: &Server) -> Option<u32> {
    let of_kind = |process: &Process| process.words.get(1).is_some_and(|word| word == victim.word());
    all(&server.data).into_iter().find(of_kind).map(|process| process.id)
}

/// Kills one with -9. Says which it was.
pub(super) fn kill(victim: Victim, server: &mut Server) -> Result<Option<u32>> {
    if victim == Victim::Server {
        return server.kill().map(Some);
    }
    // One that was killed a moment ago may be on its way up.
    let begun = Instant::now();
    while begun.elapsed() < super::BACK_WITHIN {
        if let Some(id) = find(victim, server) {
            signal(id, "-9");
            return Ok(Some(id));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(None)
}

/// Waits until another process does the work of the one that was killed. Says how long that took.
pub(super) fn wait_until_back(
    victim: Victim,
    server: &Server,
    before: u32,
    load: &Load,
    dead: Instant,
    within: Duration,
) -> Result<Duration> {
    loop {
        let is_back = match victim {
            Victim::Server => server.get("/readyz").is_ok(),
            Victim::Agent => {
                let successor = find(victim, server).is_some_and(|id| id != before);
                successor && LockFile::is_held(&server.data.join("agent/lock"))
            }
            Victim::Gateway => {
                find(victim, server).is_some_and(|id| id != before) && load.answered_since(dead)
            }
        };
        if is_back {
            return Ok(dead.elapsed());
        }
        ensure!(dead.elapsed() < within, "it was not back within {} s", within.as_secs());
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn signal(id: u32, signal: &str) {
    // It may have ended since it was found.
    let _ = Command::new("kill").args([signal, &id.to_string()]).stderr(Stdio::null()).status();
}

/// Where everything happens; the processes that work in it end with it.
pub(super) struct Scratch(pub(super) PathBuf);

impl Scratch {
    /// Makes an empty one.
    pub(super) fn new() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("towpath-crash-{}", std::process::id()));
        fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self(path))
    }

    /// The end of a log file.
    pub(super) fn tail(&self, name: &str) -> String {
        let text = fs::read(self.0.join(name)).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }

    /// Ends whatever is still running. Says what did not want to.
    pub(super) fn end_all(&self) -> Vec<String> {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(10) {
            let left = all(&self.0);
            if left.is_empty() {
                break;
            }
            for process in left {
                signal(process.id, "-9");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        all(&self.0).into_iter().map(|process| process.words.join(" ")).collect()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        self.end_all();
        if std::env::var_os("TOWPATH_CRASH_KEEP").is_none() {
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}

/// Asks every few milliseconds until there is an answer.
pub(super) fn poll<T>(what: &str, within: Duration, mut ask: impl FnMut() -> Option<T>) -> Result<T> {
    let begun = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return Ok(answer);
        }
        if begun.elapsed() > within {
            bail!("waited {} s in vain for {what}", within.as_secs());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
