//! Branches and tags.

use std::path::Path;

use super::command;
use super::host::GitError;

/// One ref that a push changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefUpdate {
    /// Its full name: `refs/heads/main`.
    pub name: String,
    /// What it pointed to; `None` where it is new.
    pub old: Option<String>,
    /// What it points to; `None` where it is gone.
    pub new: Option<String>,
}

impl RefUpdate {
    /// Whether it deletes a tag, or makes it mean something else.
    pub(super) fn moves_tag(&self) -> bool {
        self.name.starts_with("refs/tags/") && self.old.is_some() && self.old != self.new
    }
}

/// Lists branches and tags as (name, object).
pub(super) async fn list(repository: &Path) -> Result<Vec<(String, String)>, GitError> {
    let mut git = command::git();
    git.arg("--git-dir").arg(repository);
    git.args(["for-each-ref", "--format=%(objectname) %(refname)", "refs/heads", "refs/tags"]);
    let output = command::output(git, "for-each-ref").await?;
    let output = String::from_utf8_lossy(&output);
    let pair = |line: &str| line.split_once(' ').map(|(object, name)| (name.to_owned(), object.to_owned()));
    Ok(output.lines().filter_map(pair).collect())
}
