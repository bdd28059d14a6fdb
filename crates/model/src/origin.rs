//! Where an occasion came from, beyond ref and commit: a pull request, a schedule, a Release of another Project.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ProjectName;
use crate::run::{Cause, Trust};

/// What stands behind a Run that no push started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Origin {
    /// A pull request, or merge request.
    PullRequest(PullRequest),
    /// A schedule was due.
    Schedule {
        /// When it was due.
        planned: Timestamp,
        /// For people: the schedule, and what was missed.
        words: String,
    },
    /// Another Project sealed a Release.
    Release(Upstream),
}

/// A pull request as it was when it started a Run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PullRequest {
    /// Its number.
    pub number: u64,
    /// The branch that it wants to change.
    pub base: String,
    /// What happened to it: `opened`, `updated`, `reopened`, `labeled` or `closed`.
    pub action: String,
    /// `internal` where its commit is the tip of a branch of the repository itself, else `fork`.
    pub trust: Trust,
}

/// A Release of another Project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upstream {
    /// The Project.
    pub project: ProjectName,
    /// The Release's version.
    pub version: String,
    /// The Release's digest.
    pub digest: String,
    /// How many Releases led to this one, each starting the Run of the next. Bounded, so that a circle ends.
    pub depth: u32,
}

impl Origin {
    /// For people.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::PullRequest(PullRequest { number, base, action, trust: _ }) => {
                format!("pull request {number} into {base} was {action}")
            }
            Self::Schedule { planned: _, words } => words.clone(),
            Self::Release(Upstream { project, version, .. }) => format!("{project} sealed {version}"),
        }
    }
}

/// What Steps are told, as environment, of why their Run was started.
#[must_use]
pub fn environment(cause: &Cause) -> BTreeMap<String, String> {
    let mut env = BTreeMap::from([("TOWPATH_EVENT".to_owned(), cause.event.clone())]);
    let mut say = |name: &str, value: String| env.insert(name.to_owned(), value);
    match &cause.origin {
        Some(Origin::PullRequest(PullRequest { number, base, action: _, trust: _ })) => {
            say("TOWPATH_PULL_REQUEST", number.to_string());
            say("TOWPATH_BASE", base.clone());
        }
        Some(Origin::Schedule { planned, words: _ }) => {
            say("TOWPATH_SCHEDULED_AT", planned.to_string());
        }
        Some(Origin::Release(Upstream { project, version, digest, depth: _ })) => {
            say("TOWPATH_UPSTREAM", project.to_string());
            say("TOWPATH_UPSTREAM_VERSION", version.clone());
            say("TOWPATH_UPSTREAM_DIGEST", digest.clone());
        }
        None => {}
    }
    for (name, value) in &cause.inputs {
        say(&format!("INPUT_{}", name.to_ascii_uppercase()), value.clone());
    }
    env
}

/// What may happen to a pull request. Forges call some of them differently.
pub const ACTIONS: &[&str] = &["opened", "updated", "reopened", "labeled", "closed"];

/// Which pull requests start a Run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PullRequestTrigger {
    /// Patterns of the branch that the request wants to change; empty means all.
    pub branches: Vec<String>,
    /// Only when one of these path patterns differs from that branch; empty means always.
    pub paths: Vec<String>,
    /// What must have happened, of [`ACTIONS`].
    pub types: Vec<String>,
}

impl Default for PullRequestTrigger {
    fn default() -> Self {
        let types = ["opened", "updated", "reopened"].map(str::to_owned).to_vec();
        Self { branches: Vec::new(), paths: Vec::new(), types }
    }
}

/// Which Releases of another Project start a Run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseTrigger {
    /// The other Project.
    pub project: ProjectName,
    /// Patterns of versions; empty means all.
    pub versions: Vec<String>,
}

impl ReleaseTrigger {
    /// Whether a Release starts a Run.
    #[must_use]
    pub fn fits(&self, project: &ProjectName, version: &str) -> bool {
        let named = self.versions.is_empty()
            || self.versions.iter().any(|pattern| crate::pattern::fits(pattern, version));
        self.project == *project && named
    }
}
