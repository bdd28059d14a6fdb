//! What git says of the place: which files Jobs get, and which commit is checked out. Asked on a thread of its own, since
//! starting git takes longer than reading a pipeline file.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::{self, JoinHandle};

use anyhow::Context as _;
use towpath_agent::local::{CloneError, SourceTree};

/// What is being looked up.
#[derive(Debug)]
pub struct Surroundings(JoinHandle<Result<Known, CloneError>>);

/// What was found.
#[derive(Debug)]
pub struct Known {
    /// Where in the repository the project lives; empty for its root.
    pub below: String,
    /// The files of the repository, which Jobs get whole; of the project where there is no repository.
    pub source: SourceTree,
    /// The commit that is checked out; the working copy may differ from it.
    pub commit: Option<String>,
}

impl Surroundings {
    /// Begins to look around the project in `directory`.
    pub fn look_up(directory: &Path) -> Self {
        let directory = directory.to_owned();
        Self(thread::spawn(move || {
            let top = top_of(&directory);
            let below = directory.strip_prefix(&top).unwrap_or(Path::new("")).to_string_lossy().into_owned();
            Ok(Known { below, source: SourceTree::list(&top)?, commit: commit(&directory) })
        }))
    }

    /// Waits for the answer.
    ///
    /// # Errors
    /// Fails where the files cannot be listed.
    pub fn known(self) -> anyhow::Result<Known> {
        let known = self.0.join().ok().context("the thread that lists the files has ended early")?;
        Ok(known?)
    }
}

fn top_of(directory: &Path) -> PathBuf {
    let top = directory.ancestors().find(|above| above.join(".git").exists());
    top.unwrap_or(directory).to_owned()
}

fn commit(directory: &Path) -> Option<String> {
    let output = Command::new("git")
        .arg("-C")
        .arg(directory)
        .args(["rev-parse", "--verify", "-q", "HEAD"])
        .stderr(Stdio::null())
        .output();
    let text = String::from_utf8(output.ok().filter(|output| output.status.success())?.stdout).ok()?;
    Some(text.trim().to_owned())
}
