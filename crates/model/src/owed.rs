//! Which Jobs owe a look at a commit, and which may say "nothing that I read has changed".
//!
//! A Job with `paths` is compared with the last commit for which this Job itself reached a verdict on this ref: not with
//! the commit before, and not with the last Run. What a cancelled or failed Run never came to is therefore still
//! in the comparison of the next one: work stays owed until it is done. How the two commits differ is found out by
//! whoever has the repository; deciding is done here.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::pattern::fits;
use crate::pipeline::{EnvValue, Job};
use crate::run::Trust;
use crate::{ArtifactName, Digest, JobName};

/// What a Job found out about a commit when it last ran to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// The number of the Run.
    pub run: u64,
    /// The commit.
    pub commit: String,
    /// What it found.
    pub finding: Finding,
    /// What the Run was trusted with: what an untrusted one made is never taken over by a trusted one.
    pub trust: Trust,
    /// The digest of the Job as the pipeline file described it.
    pub definition: Digest,
    /// The Artifacts that it started with.
    pub inputs: BTreeMap<ArtifactName, Digest>,
    /// What it wrote to `$TOWPATH_OUTPUT`.
    pub outputs: BTreeMap<String, String>,
    /// The Artifacts that it left.
    pub artifacts: BTreeMap<ArtifactName, Digest>,
}

/// How a Job ended that ran to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Finding {
    /// It passed.
    Passed,
    /// It did not.
    Failed,
}

/// What differs between the commit of a verdict and another one, of what a Job reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Change {
    /// Nothing.
    Nothing,
    /// This path, and perhaps others.
    Path {
        /// It.
        path: String,
    },
    /// That cannot be told.
    Unknown,
}

/// A verdict, and what has changed since.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Base {
    /// The verdict.
    pub verdict: Verdict,
    /// What has changed.
    pub change: Change,
}

/// Whether a Job owes a look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owed {
    /// It runs, for this reason; an empty one where the Job has no `paths`.
    Yes {
        /// Why.
        because: String,
    },
    /// What it would find is known.
    No {
        /// The verdict that still holds.
        verdict: Box<Verdict>,
        /// Why.
        because: String,
    },
}

/// Whether a Job with these `paths` reads a path: one pattern fits, and none that begins with `!` does.
#[must_use]
pub fn reads(paths: &[String], path: &str) -> bool {
    let (refused, wanted): (Vec<&String>, Vec<&String>) =
        paths.iter().partition(|pattern| pattern.starts_with('!'));
    let hit = wanted.is_empty() || wanted.iter().any(|pattern| fits(pattern, path));
    hit && !refused.iter().any(|pattern| fits(&pattern[1..], path))
}

/// What a list of changed paths means for a Job with these `paths`. `None` is a list that could not be had.
#[must_use]
pub fn change(paths: &[String], changed: Option<&[String]>) -> Change {
    let Some(changed) = changed else { return Change::Unknown };
    match changed.iter().find(|path| reads(paths, path)) {
        Some(path) => Change::Path { path: path.clone() },
        None => Change::Nothing,
    }
}

/// Names a Job as it is described, with the environment of the whole file: when either changes, old verdicts are void.
#[must_use]
pub fn definition(job: &Job, env: &BTreeMap<String, EnvValue>) -> Digest {
    // Text keys and plain values only: there is nothing in it that JSON could refuse.
    Digest::of(&serde_json::to_vec(&(job, env)).unwrap_or_default())
}

/// What a Run knows of itself when it asks.
#[derive(Debug, Clone, Copy)]
pub struct Asking<'a> {
    /// `push`, `tag`, `manual`, …
    pub event: &'a str,
    /// What it is trusted with.
    pub trust: Trust,
    /// The Job as it is described now.
    pub definition: Digest,
    /// The Artifacts that the Job would start with.
    pub inputs: &'a BTreeMap<ArtifactName, Digest>,
}

/// Decides whether a Job owes a look. When in doubt, it does.
#[must_use]
pub fn decide(job: &Job, base: Option<&Base>, asking: Asking<'_>) -> Owed {
    let yes = |because: String| Owed::Yes { because };
    if job.paths.is_empty() {
        return yes(String::new());
    }
    if asking.event == "manual" {
        return yes("a person started the Run, so its `paths` are not asked".to_owned());
    }
    let Some(Base { verdict, change }) = base else {
        return yes("it has reached no verdict on this ref yet".to_owned());
    };
    let since = format!("{} (run {})", short(&verdict.commit), verdict.run);
    if verdict.finding == Finding::Failed {
        return yes(format!("it failed at {since}, and is owed until it passes"));
    }
    if verdict.trust != asking.trust {
        return yes(format!("its verdict of {since} was reached with other trust"));
    }
    if verdict.definition != asking.definition {
        return yes(format!("its description has changed since {since}"));
    }
    if let Some(name) = differs(&verdict.inputs, asking.inputs) {
        return yes(format!("artifact `{name}`, which it starts with, has changed since {since}"));
    }
    match change {
        Change::Path { path } => yes(format!("`{path}` has changed since {since}")),
        Change::Unknown => yes(format!("what has changed since {since} cannot be told")),
        Change::Nothing => Owed::No {
            verdict: Box::new(verdict.clone()),
            because: format!("skipped: nothing it reads has changed since {since}"),
        },
    }
}

/// The first Artifact that is not the same on both sides.
fn differs<'a>(
    old: &'a BTreeMap<ArtifactName, Digest>,
    new: &'a BTreeMap<ArtifactName, Digest>,
) -> Option<&'a ArtifactName> {
    old.keys().chain(new.keys()).find(|name| old.get(*name) != new.get(*name))
}

/// Whether a verdict takes the place of a known one: an older Run that ends late does not.
#[must_use]
pub fn is_newer(verdict: &Verdict, known: Option<&Verdict>) -> bool {
    known.is_none_or(|known| verdict.run >= known.run)
}

/// What a Run remembers of the last verdict of each Job with `paths`.
pub type Bases = BTreeMap<JobName, Base>;

fn short(commit: &str) -> &str {
    commit.get(..7).unwrap_or(commit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_with_an_exclamation_mark_takes_paths_out_again() {
        let list = |patterns: &[&str]| patterns.iter().map(|&p| p.to_owned()).collect::<Vec<_>>();
        for (patterns, path, expected) in [
            (&["src/**"][..], "src/a.rs", true),
            (&["src/**"], "docs/a.md", false),
            (&["src/**", "!**/*.md"], "src/a.md", false),
            (&["!docs/**"], "src/a.rs", true),
            (&["!docs/**"], "docs/a.md", false),
        ] {
            assert_eq!(reads(&list(patterns), path), expected, "{patterns:?} {path}");
        }
    }

    #[test]
    fn a_list_of_changes_that_cannot_be_had_is_no_list_without_changes() {
        let paths = ["src/**".to_owned()];
        assert_eq!(change(&paths, None), Change::Unknown);
        assert_eq!(change(&paths, Some(&[])), Change::Nothing);
        let changed = ["docs/a".to_owned(), "src/b".to_owned()];
        assert_eq!(change(&paths, Some(&changed)), Change::Path { path: "src/b".to_owned() });
    }
}
