//! What is kept from one Attempt for later ones: keyed caches, the outputs of Steps, workspaces.
//!
//! Decided here is who may read what whom, which entry fits a key, and why none does. Where the bytes are
//! is the business of others.

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use crate::pipeline::EnvValue;
use crate::run::Trust;

/// A cache that a Job declares.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheDeclaration {
    /// What the entry is found by, in order.
    pub key: Vec<KeyPart>,
    /// Beginnings of keys that will do where none is the same, the best first.
    pub restore: Vec<EnvValue>,
    /// What is kept, as patterns relative to the Project's directory; `~/` stands for the home of the Steps.
    pub paths: Vec<String>,
    /// When it is saved.
    pub save: Save,
}

/// A part of a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyPart {
    /// This text.
    Text(EnvValue),
    /// The digest of the files that these patterns name.
    Files(Vec<String>),
}

/// When a cache is saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Save {
    /// When every Step has passed.
    #[default]
    OnSuccess,
    /// After a failure too, but not after a cancellation.
    Always,
    /// Never: it is only read.
    Never,
}

/// What a Step says of what it reads and makes, so that it can be left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepInputs {
    /// Patterns of the files that it reads.
    pub files: Vec<String>,
    /// Names of the environment that it reads.
    pub env: Vec<String>,
    /// Patterns of the files that it makes.
    pub outputs: Vec<String>,
    /// Of how many in a thousand times it is run though it need not be, to compare what it makes.
    pub verify: u32,
}

/// How often a Step that could be left out runs anyway, in a thousand: 2 %.
pub const VERIFY: u32 = 20;

/// Whether the workspace is kept after each Step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeepWorkspace {
    /// Those of an Attempt that did not pass.
    #[default]
    OnFailure,
    /// All.
    Always,
    /// None.
    Never,
}

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EntryKind {
    /// A keyed cache.
    Cache,
    /// The outputs of a Step.
    Step,
    /// A workspace after a Step.
    Workspace,
}

impl EntryKind {
    /// The word for people and rows.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Cache => "cache",
            Self::Step => "step",
            Self::Workspace => "workspace",
        }
    }

    /// How long an entry lives that nobody reads.
    #[must_use]
    pub const fn lifetime(self) -> SignedDuration {
        match self {
            Self::Cache | Self::Step => SignedDuration::from_hours(30 * 24),
            Self::Workspace => SignedDuration::from_hours(3 * 24),
        }
    }
}

/// One thing that a key is made of, with a value that may be shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// What: `Cargo.lock`, `env CC`, `script`.
    pub name: String,
    /// Its value, or the beginning of its digest.
    pub value: String,
}

/// Into which scope a Run writes.
///
/// A contribution from outside has one of its own, so that it cannot reach another's either.
#[must_use]
pub fn written_scope(trust: Trust, reference: &str) -> String {
    match trust {
        Trust::Protected | Trust::Internal => trust.word().to_owned(),
        Trust::Fork => format!("fork {reference}"),
    }
}

/// From which scopes a Run reads, the best first. What a scope holds was written by Runs that are trusted as much or more.
#[must_use]
pub fn readable_scopes(trust: Trust, reference: &str) -> Vec<String> {
    let protected = Trust::Protected.word().to_owned();
    match trust {
        Trust::Protected => vec![protected],
        Trust::Internal | Trust::Fork => vec![written_scope(trust, reference), protected],
    }
}

/// An entry that may fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate<'a> {
    /// Where it was written.
    pub scope: &'a str,
    /// Its key.
    pub key: &'a str,
}

/// How well an entry fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fit {
    /// The key is the same.
    Exact,
    /// The key begins as asked for.
    Prefix,
}

/// Chooses among `candidates`, the newest of which come first. Gives an index.
///
/// The same key is better than a beginning, an earlier beginning better than a later one, a scope of the Run's own better
/// than that of others. What lies in a scope that may not be read is never chosen.
#[must_use]
pub fn choose(
    candidates: &[Candidate<'_>],
    scopes: &[String],
    key: &str,
    restore: &[String],
) -> Option<(usize, Fit)> {
    let find = |fits: &dyn Fn(&str) -> bool| {
        scopes.iter().find_map(|scope| {
            candidates.iter().position(|candidate| candidate.scope == scope && fits(candidate.key))
        })
    };
    if let Some(at) = find(&|found| found == key) {
        return Some((at, Fit::Exact));
    }
    let by_prefix = |prefix: &String| find(&|found| !prefix.is_empty() && found.starts_with(prefix.as_str()));
    restore.iter().find_map(by_prefix).map(|at| (at, Fit::Prefix))
}

/// How many differing parts are named.
const MAX_NAMED: usize = 5;

/// Says why no entry had the key: what differs from the newest one, if there is one.
#[must_use]
pub fn why_missed(parts: &[Part], newest: Option<(&[Part], &str)>) -> String {
    let Some((old, whose)) = newest else { return "nothing was saved yet".to_owned() };
    let value = |parts: &[Part], name: &str| {
        parts.iter().find(|part| part.name == name).map(|part| part.value.clone())
    };
    let mut names: Vec<&str> = parts.iter().chain(old).map(|part| part.name.as_str()).collect();
    let mut seen = std::collections::BTreeSet::new();
    names.retain(|name| seen.insert(*name));
    let changed: Vec<String> = names
        .iter()
        .filter_map(|name| match (value(old, name), value(parts, name)) {
            (Some(before), Some(now)) if before == now => None,
            (Some(before), Some(now)) => Some(format!("`{name}` changed ({before} → {now})")),
            (None, Some(_)) => Some(format!("`{name}` is new")),
            (Some(_), None) => Some(format!("`{name}` is gone")),
            (None, None) => None,
        })
        .collect();
    match changed.len() {
        0 => format!("what {whose} saved under this key is gone, or this run may not read it"),
        count if count > MAX_NAMED => {
            format!("{} and {} more since {whose}", changed[..MAX_NAMED].join(", "), count - MAX_NAMED)
        }
        _ => format!("{} since {whose}", changed.join(", ")),
    }
}

/// Whether a Step that need not run is run anyway. `draw` is any evenly spread number of this Step in this Attempt.
#[must_use]
pub const fn is_sampled(draw: u64, verify: u32) -> bool {
    draw % 1000 < verify as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(name: &str, value: &str) -> Part {
        Part { name: name.to_owned(), value: value.to_owned() }
    }

    /// TanStack 2026-05, and Cacheract before it: what a fork wrote was restored by the release build.
    #[test]
    fn no_run_reads_what_less_trusted_ones_wrote() {
        let all = [Trust::Protected, Trust::Internal, Trust::Fork];
        for (rank, reader) in all.into_iter().enumerate() {
            for (below, writer) in all.into_iter().enumerate() {
                let reads = readable_scopes(reader, "refs/pull/1/head");
                let other = written_scope(writer, "refs/pull/2/head");
                assert!(!reads.contains(&other) || below <= rank, "{reader:?} reads {writer:?}");
            }
        }
        assert_eq!(readable_scopes(Trust::Fork, "refs/pull/1/head"), ["fork refs/pull/1/head", "protected"]);
        let forged = written_scope(Trust::Fork, "protected");
        assert!(!readable_scopes(Trust::Protected, "refs/heads/main").contains(&forged));
    }

    #[test]
    fn the_same_key_wins_then_the_first_beginning_then_the_own_scope() {
        let scopes = readable_scopes(Trust::Internal, "refs/heads/x");
        let check = |candidates: &[(&'static str, &'static str)],
                     restore: &[&str],
                     expected: Option<(usize, Fit)>| {
            let candidates: Vec<_> =
                candidates.iter().map(|&(scope, key)| Candidate { scope, key }).collect();
            let restore: Vec<String> = restore.iter().map(|&text| text.to_owned()).collect();
            assert_eq!(choose(&candidates, &scopes, "rust-b", &restore), expected, "{candidates:?}");
        };
        check(&[("internal", "rust-a"), ("protected", "rust-b")], &["rust-"], Some((1, Fit::Exact)));
        check(&[("protected", "rust-b"), ("internal", "rust-b")], &[], Some((1, Fit::Exact)));
        check(&[("protected", "rust-c"), ("internal", "rust-a")], &["rust-"], Some((1, Fit::Prefix)));
        check(&[("internal", "r"), ("protected", "rust-a")], &["rust-", "r"], Some((1, Fit::Prefix)));
        check(&[("fork refs/heads/x", "rust-b")], &["rust-"], None);
        check(&[("internal", "rust-a")], &[""], None);
        check(&[("internal", "rust-a")], &[], None);
    }

    #[test]
    fn says_which_part_of_the_key_differs() {
        let old = [part("text", "rust"), part("Cargo.lock", "aaaa"), part("gone", "1")];
        let new = [part("text", "rust"), part("Cargo.lock", "bbbb"), part("paths", "x")];
        assert_eq!(why_missed(&new, None), "nothing was saved yet");
        assert_eq!(
            why_missed(&new, Some((&old, "shop#3"))),
            "`Cargo.lock` changed (aaaa → bbbb), `paths` is new, `gone` is gone since shop#3"
        );
        assert!(why_missed(&old, Some((&old, "shop#3"))).contains("may not read it"));
    }

    #[test]
    fn samples_as_often_as_asked() {
        let often = (0..100_000_u64).filter(|draw| is_sampled(*draw, VERIFY)).count();
        assert_eq!(often, 2000);
        assert!(!is_sampled(0, 0) && is_sampled(999, 1000));
    }
}
