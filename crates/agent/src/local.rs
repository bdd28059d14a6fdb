//! Runs Jobs on this machine for `towpath run`: the same executor, no server, nothing sealed.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use jiff::Timestamp;
use towpath_api::agent::{ArtifactOrder, AttemptOutcome, Input, Secret, StepOrder, TestCounts};
use towpath_artifact::{ContentError, ContentStore, UnpackError, extract};
use towpath_model::{ArtifactName, AttemptId, Digest};

use crate::executor::{self, Attempt, AttemptDirectory, Cancel, Ended, Limits, LogLine, Sink, Stream, chain};
use crate::process::junit;
use crate::sandbox::{Isolation, Policy};

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
    /// The directory of a content store through which Artifacts pass from Job to Job; made when the first one is packed.
    pub artifacts: PathBuf,
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
    /// What its Steps get a copy of, deleted afterwards.
    pub source: &'a SourceTree,
    /// Where in the source tree the Project lives; empty for its root.
    pub directory: &'a str,
    /// The Steps.
    pub steps: &'a [StepOrder],
    /// Environment of every Step.
    pub env: &'a BTreeMap<String, String>,
    /// Environment whose values are masked.
    pub secrets: &'a BTreeMap<String, Secret>,
    /// Artifacts of earlier Jobs, unpacked at the root of the copy.
    pub inputs: &'a [Input],
    /// Artifacts to pack when every Step has passed.
    pub artifacts: &'a [ArtifactOrder],
    /// JUnit files to read when the Steps have ended, passed or not.
    pub junit: &'a [String],
    /// Whether the network may be used.
    pub network: bool,
    /// The time of all Steps together.
    pub timeout: Duration,
}

/// How a Job ended, and what it left.
#[derive(Debug)]
pub struct LocalEnd {
    /// How its Steps ended.
    pub ended: Ended,
    /// The manifest of each packed Artifact.
    pub artifacts: BTreeMap<ArtifactName, Digest>,
    /// What the JUnit files say.
    pub tests: Option<TestCounts>,
}

/// Why a workspace could not be prepared.
#[derive(Debug, thiserror::Error)]
enum PrepareError {
    #[error(transparent)]
    Clone(#[from] CloneError),
    #[error("failed to make {}", path.display())]
    Directory {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("failed to prepare the cache of downloads")]
    Cache(#[source] io::Error),
    #[error("the artifacts of earlier jobs cannot be read")]
    Store(#[source] ContentError),
    #[error("failed to unpack artifact `{name}`")]
    Input {
        name: ArtifactName,
        #[source]
        source: UnpackError,
    },
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
    pub fn run_job(&self, job: &LocalJob<'_>, cancel: &Cancel, sink: &dyn Sink) -> LocalEnd {
        let place = AttemptDirectory::new(&self.work, job.attempt);
        let end = match self.prepare(&place, job) {
            Ok(policy) => self.run_in(&place, &policy, job, cancel, sink),
            Err(error) => {
                let message = format!("{} could not be prepared: {}", job.title, chain(&error));
                failed(AttemptOutcome::Errored, message, BTreeMap::new(), None)
            }
        };
        // What is left is in a directory of temporary files; the next run does not meet it.
        let _left_behind = std::fs::remove_dir_all(&place.root);
        end
    }

    fn prepare(&self, place: &AttemptDirectory, job: &LocalJob<'_>) -> Result<Policy, PrepareError> {
        let policy = Policy::for_attempt(&place.root, &self.data, self.cache.clone(), job.network);
        job.source.copy_into(&place.source)?;
        if !job.inputs.is_empty() {
            let store = ContentStore::open(&self.artifacts).map_err(PrepareError::Store)?;
            for Input { name, manifest } in job.inputs {
                towpath_artifact::unpack(*manifest, &store, &place.source, extract::Limits::default())
                    .map_err(|source| PrepareError::Input { name: name.clone(), source })?;
            }
        }
        std::fs::create_dir_all(&place.scratch)
            .map_err(|source| PrepareError::Directory { path: place.scratch.clone(), source })?;
        if self.isolation != Isolation::Host {
            policy.prepare_cache().map_err(PrepareError::Cache)?;
        }
        Ok(policy)
    }

    fn run_in(
        &self,
        place: &AttemptDirectory,
        policy: &Policy,
        job: &LocalJob<'_>,
        cancel: &Cancel,
        sink: &dyn Sink,
    ) -> LocalEnd {
        let directory = place.source.join(job.directory);
        let attempt = Attempt {
            id: job.attempt,
            title: job.title,
            directory: &directory,
            scratch: &place.scratch,
            steps: job.steps,
            env: job.env,
            secrets: job.secrets,
            timeout: job.timeout,
            isolation: &self.isolation,
            policy,
            limits: self.limits,
        };
        let ended = executor::run(&attempt, cancel, sink);
        let tests = junit::count(&directory, job.junit, |text| notice(sink, &text));
        if ended.outcome != AttemptOutcome::Passed || job.artifacts.is_empty() {
            return LocalEnd { ended, artifacts: BTreeMap::new(), tests };
        }
        match self.pack(&directory, job.artifacts) {
            Ok(artifacts) => LocalEnd { ended, artifacts, tests },
            Err((outcome, message)) => {
                notice(sink, &message);
                failed(outcome, message, ended.outputs, tests)
            }
        }
    }

    fn pack(
        &self,
        directory: &Path,
        orders: &[ArtifactOrder],
    ) -> Result<BTreeMap<ArtifactName, Digest>, (AttemptOutcome, String)> {
        let mut store = ContentStore::open(&self.artifacts).map_err(|error| {
            (AttemptOutcome::Errored, format!("nothing can be packed: {}", chain(&error)))
        })?;
        let mut artifacts = BTreeMap::new();
        for ArtifactOrder { name, files } in orders {
            let packed = towpath_artifact::pack(directory, files, &mut store).map_err(|error| {
                (AttemptOutcome::Failed, format!("artifact `{name}` was not packed: {}", chain(&error)))
            })?;
            artifacts.insert(name.clone(), packed.manifest);
        }
        Ok(artifacts)
    }
}

fn failed(
    outcome: AttemptOutcome,
    message: String,
    outputs: BTreeMap<String, String>,
    tests: Option<TestCounts>,
) -> LocalEnd {
    LocalEnd { ended: Ended { outcome, message, outputs }, artifacts: BTreeMap::new(), tests }
}

fn notice(sink: &dyn Sink, text: &str) {
    sink.line(LogLine { at: Timestamp::now(), step: None, stream: Stream::Towpath, text });
}

/// The files of a source tree that Jobs get: tracked ones and those that git does not ignore.
///
/// Listed once, however many Jobs there are. Outside of a git repository it is every file.
#[derive(Debug)]
pub struct SourceTree {
    root: PathBuf,
    files: Vec<PathBuf>,
}

impl SourceTree {
    /// Lists the files below `root`.
    ///
    /// # Errors
    ///
    /// Fails where git fails, or a directory cannot be read.
    pub fn list(root: &Path) -> Result<Self, CloneError> {
        let failed = |source| CloneError::Copy { path: root.to_owned(), source };
        let files = if in_git(root) { listed_by_git(root)? } else { walk(root).map_err(failed)? };
        Ok(Self { root: root.to_owned(), files })
    }

    /// Copies them into the new directory `target`, as they are now.
    ///
    /// Where the file system can share blocks (btrfs, XFS), no data is copied. A file that has
    /// gone since it was listed is left out.
    ///
    /// # Errors
    ///
    /// See [`CloneError`].
    pub fn copy_into(&self, target: &Path) -> Result<(), CloneError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| CloneError::Copy { path, source }
        };
        std::fs::create_dir_all(target).map_err(failed(target))?;
        let mut made = Path::new("");
        for file in &self.files {
            let parent = file.parent().unwrap_or(made);
            // Neighbours mostly follow each other, so most files ask for no directory.
            if parent != made {
                std::fs::create_dir_all(target.join(parent)).map_err(failed(parent))?;
                made = parent;
            }
            let from = self.root.join(file);
            match copy(&from, &target.join(file)) {
                Err(_) if from.symlink_metadata().is_err() => {}
                copied => copied.map_err(failed(file))?,
            }
        }
        Ok(())
    }
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
