//! Runs Jobs on this machine for `towpath run`: the same executor, no server, nothing sealed.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use towpath_api::agent::{AttemptOutcome, Secret, StepOrder};
use towpath_model::AttemptId;

use crate::executor::{self, Attempt, AttemptDirectory, Cancel, Ended, Limits, Sink};
use crate::sandbox::{Isolation, Policy};

/// Where a Job's Steps work.
#[derive(Debug, Clone, Copy)]
pub enum Workspace<'a> {
    /// In this directory itself: Jobs that run one after another, or do not mind each other.
    Shared(&'a Path),
    /// In a copy of the tracked and not-ignored files of this directory, deleted afterwards.
    Cloned(&'a Path),
}

/// What holds for all Jobs of one local run.
#[derive(Debug)]
pub struct LocalRunner {
    /// A directory for workspaces; not within the source tree.
    pub work: PathBuf,
    /// How Jobs are confined.
    pub isolation: Isolation,
    /// A directory for downloads of package managers, kept between runs.
    pub cache: Option<PathBuf>,
    /// Towpath's own data directory, which no confined Job sees.
    pub data: PathBuf,
    /// The bounds.
    pub limits: Limits,
}

/// One Job.
#[derive(Debug)]
pub struct LocalJob<'a> {
    /// Its identity; marks its processes.
    pub attempt: AttemptId,
    /// For people.
    pub title: &'a str,
    /// Where its Steps work.
    pub workspace: Workspace<'a>,
    /// Where in the source tree the Project lives; empty for its root.
    pub directory: &'a str,
    /// The Steps.
    pub steps: &'a [StepOrder],
    /// Environment of every Step.
    pub env: &'a BTreeMap<String, String>,
    /// Environment whose values are masked.
    pub secrets: &'a BTreeMap<String, Secret>,
    /// Whether the network may be used.
    pub network: bool,
    /// The time of all Steps together.
    pub timeout: Duration,
}

/// Why a source tree could not be copied.
#[derive(Debug, thiserror::Error)]
pub enum CloneError {
    /// `git ls-files` failed.
    #[error("`git ls-files` failed in {}: {message}", directory.display())]
    Git {
        /// Where.
        directory: PathBuf,
        /// What it said.
        message: String,
    },
    /// A file could not be copied.
    #[error("failed to copy {}", path.display())]
    Copy {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl LocalRunner {
    /// Runs one Job and reports to `sink`. Blocks; several may run at once on several threads.
    pub fn run_job(&self, job: &LocalJob<'_>, cancel: &Cancel, sink: &dyn Sink) -> Ended {
        let place = AttemptDirectory::new(&self.work, job.attempt);
        let ended = self.run_in(&place, job, cancel, sink).unwrap_or_else(|error| Ended {
            outcome: AttemptOutcome::Errored,
            message: format!("{} could not be prepared: {}", job.title, executor::chain(&error)),
            outputs: BTreeMap::new(),
        });
        // What is left is in a directory of temporary files; the next run does not meet it.
        let _left_behind = std::fs::remove_dir_all(&place.root);
        ended
    }

    fn run_in(
        &self,
        place: &AttemptDirectory,
        job: &LocalJob<'_>,
        cancel: &Cancel,
        sink: &dyn Sink,
    ) -> Result<Ended, CloneError> {
        let mut policy = Policy::for_attempt(&place.root, &self.data, self.cache.clone(), job.network);
        let source = match job.workspace {
            Workspace::Shared(directory) => {
                policy.writable.push(directory.to_owned());
                directory
            }
            Workspace::Cloned(directory) => {
                clone_source(directory, &place.source)?;
                &place.source
            }
        };
        std::fs::create_dir_all(&place.scratch)
            .map_err(|source| CloneError::Copy { path: place.scratch.clone(), source })?;
        if self.isolation != Isolation::Host {
            policy.prepare_cache().map_err(|source| CloneError::Copy { path: self.work.clone(), source })?;
        }
        let attempt = Attempt {
            id: job.attempt,
            title: job.title,
            directory: &source.join(job.directory),
            scratch: &place.scratch,
            steps: job.steps,
            env: job.env,
            secrets: job.secrets,
            timeout: job.timeout,
            isolation: &self.isolation,
            policy: &policy,
            limits: self.limits,
        };
        Ok(executor::run(&attempt, cancel, sink))
    }
}

/// Copies the tracked and not-ignored files of `source` into the new directory `target`.
///
/// Where the file system can share blocks (btrfs, XFS), no data is copied. Outside of a git
/// repository everything is copied.
///
/// # Errors
///
/// See [`CloneError`].
pub fn clone_source(source: &Path, target: &Path) -> Result<usize, CloneError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| CloneError::Copy { path, source }
    };
    std::fs::create_dir_all(target).map_err(failed(target))?;
    let files = if in_git(source) { listed_by_git(source)? } else { walk(source).map_err(failed(source))? };
    for file in &files {
        let to = target.join(file);
        if let Some(parent) = to.parent() {
            std::fs::create_dir_all(parent).map_err(failed(parent))?;
        }
        copy(&source.join(file), &to).map_err(failed(file))?;
    }
    Ok(files.len())
}

fn in_git(directory: &Path) -> bool {
    directory.ancestors().any(|above| above.join(".git").exists())
}

fn listed_by_git(source: &Path) -> Result<Vec<PathBuf>, CloneError> {
    let failed = |message: String| CloneError::Git { directory: source.to_owned(), message };
    let output = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(source)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| failed(format!("{error}; is git installed?")))?;
    if !output.status.success() {
        return Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    let names = output.stdout.split(|&byte| byte == 0).filter(|name| !name.is_empty());
    // A tracked file that was deleted in the working tree, and a submodule, have nothing to copy.
    Ok(names
        .map(|name| PathBuf::from(std::ffi::OsStr::from_bytes(name)))
        .filter(|name| std::fs::symlink_metadata(source.join(name)).is_ok_and(|data| !data.is_dir()))
        .collect())
}

fn walk(source: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut open = vec![PathBuf::new()];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(source.join(&directory))? {
            let entry = entry?;
            let name = directory.join(entry.file_name());
            let kind = entry.file_type()?;
            if kind.is_dir() {
                open.push(name);
            } else if kind.is_file() || kind.is_symlink() {
                files.push(name);
            }
        }
    }
    Ok(files)
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    match std::fs::read_link(from) {
        Ok(target) => std::os::unix::fs::symlink(target, to),
        Err(_) => std::fs::copy(from, to).map(|_bytes| ()),
    }
}
