//! The repositories under one directory.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::Semaphore;
use towpath_model::ProjectName;
use towpath_model::timeline::Actor;

use super::command;
use super::refs::{self, RefUpdate};

/// Whoever must know of pushes: the engine.
pub trait PushSink: Send + Sync {
    /// Says which refs of a Project are protected, as patterns: nobody deletes or rewinds those.
    fn protected_refs<'a>(&'a self, project: &'a ProjectName) -> BoxFuture<'a, Vec<String>>;

    /// Takes note of what was pushed and returns what the user's terminal shall say.
    ///
    /// The transaction that makes the Runs also calls `towpath_store::git_refs::handled` for each ref,
    /// so that after a crash a push is reported again until it was noted, and then no more.
    fn on_push<'a>(
        &'a self,
        project: &'a ProjectName,
        updates: &'a [RefUpdate],
        actor: &'a Actor,
    ) -> BoxFuture<'a, Vec<String>>;
}

/// Bounds on what git may be made to do.
#[derive(Debug, Clone, Copy)]
pub struct GitLimits {
    /// The most bytes in a push, unpacked from its transfer encoding.
    pub push_bytes: u64,
    /// How many git processes run at once; others wait.
    pub processes: usize,
    /// How long one of them may take.
    pub timeout: Duration,
}

impl Default for GitLimits {
    fn default() -> Self {
        Self { push_bytes: 512 << 20, processes: 8, timeout: Duration::from_secs(30 * 60) }
    }
}

/// The repositories.
#[derive(Clone)]
pub struct GitHost {
    root: PathBuf,
    pub(super) limits: GitLimits,
    pub(super) sink: Arc<dyn PushSink>,
    pub(super) turns: Arc<Semaphore>,
}

impl GitHost {
    /// Hosts what is under `root`.
    #[must_use]
    pub fn new(root: PathBuf, limits: GitLimits, sink: Arc<dyn PushSink>) -> Self {
        let turns = Arc::new(Semaphore::new(limits.processes));
        Self { root, limits, sink, turns }
    }

    /// Where a Project's repository is.
    #[must_use]
    pub fn path(&self, project: &ProjectName) -> PathBuf {
        self.root.join(format!("{project}.git"))
    }

    /// Whether the Project has a repository.
    #[must_use]
    pub fn exists(&self, project: &ProjectName) -> bool {
        self.path(project).join("HEAD").is_file()
    }

    /// Makes an empty repository whose default branch is `main`.
    ///
    /// It is made beside its place and moved there, so a crash leaves nothing half done.
    ///
    /// # Errors
    /// When it exists, or git or the disk fails.
    pub async fn create(&self, project: &ProjectName) -> Result<(), GitError> {
        let path = self.path(project);
        if self.exists(project) {
            return Err(GitError::Exists(project.clone()));
        }
        let io = |source| GitError::Io { path: path.clone(), source };
        tokio::fs::create_dir_all(&self.root).await.map_err(io)?;
        let fresh = self.root.join(format!(".new-{}", uuid::Uuid::new_v4()));
        let mut init = command::git();
        init.args(["init", "--quiet", "--bare", "--initial-branch=main", "--template="]).arg(&fresh);
        command::output(init, "init").await?;
        match tokio::fs::rename(&fresh, &path).await {
            Ok(()) => Ok(()),
            Err(source) => {
                let _ = tokio::fs::remove_dir_all(&fresh).await;
                Err(if self.exists(project) { GitError::Exists(project.clone()) } else { io(source) })
            }
        }
    }

    /// Lists the Projects that have a repository, by name.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub async fn projects(&self) -> Result<Vec<ProjectName>, GitError> {
        let root = self.root.clone();
        let listed = tokio::task::spawn_blocking(move || names_in(&root)).await;
        let io = |source| GitError::Io { path: self.root.clone(), source };
        let mut names = listed.map_err(|error| io(std::io::Error::other(error)))?.map_err(io)?;
        names.sort();
        Ok(names)
    }

    /// Lists the branches and tags of a Project as (name, object).
    ///
    /// # Errors
    /// When git fails.
    pub async fn refs(&self, project: &ProjectName) -> Result<Vec<(String, String)>, GitError> {
        refs::list(&self.path(project)).await
    }
}

fn names_in(root: &Path) -> std::io::Result<Vec<ProjectName>> {
    let entries = match std::fs::read_dir(root) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        if let Some(name) = name.to_str().and_then(|name| name.strip_suffix(".git"))
            && let Ok(name) = name.parse()
        {
            names.push(name);
        }
    }
    Ok(names)
}

/// Why the git host could not do something.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// The name is taken.
    #[error("the project `{0}` exists already")]
    Exists(ProjectName),
    /// The program could not be started.
    #[error("failed to start git; install it (`apt install git`) and see that it is in the server's PATH")]
    Start(#[source] std::io::Error),
    /// The program said no.
    #[error("git {what} failed: {message}")]
    Failed {
        /// Which command.
        what: &'static str,
        /// What it wrote to standard error.
        message: String,
    },
    /// It took too long.
    #[error("git {what} did not end in time")]
    TimedOut {
        /// Which command.
        what: &'static str,
    },
    /// The disk failed.
    #[error("failed to use {}", path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}
