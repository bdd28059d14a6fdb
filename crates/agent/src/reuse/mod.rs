//! What an Attempt reuses of earlier ones, and leaves for later ones: keyed caches, the outputs of Steps, workspaces.
//!
//! Where entries are kept is a [`Depot`]'s business: a server's, or a directory's for `towpath run`. Nothing here
//! makes an Attempt fail but a workspace that cannot be restored: without the rest it only takes longer.

mod keyed;
mod local;
mod step;
mod workspace;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use towpath_api::agent::{AttemptOutcome, Secret, StepOrder};
use towpath_api::reuse::{Find, Found, NewEntry, ReuseOrder, Saved, Verified};
use towpath_artifact::snapshot::{Known, Root};
use towpath_artifact::{ContentStore, Limits};
use towpath_model::Digest;
use towpath_model::reuse::Part;

pub use self::local::LocalDepot;
use self::step::Remembered;
use crate::executor::{Attempt, Masker};

/// The name of the Project's directory in snapshots.
const WORK: &str = "work";

/// The name of the Steps' home in snapshots.
const HOME: &str = "home";

/// What one snapshot may hold.
const LIMITS: Limits = Limits { entries: 500_000, bytes: 16 << 30 };

/// Where entries are kept. The fence of a call is the depot's to fill in.
pub trait Depot: Send + Sync + std::fmt::Debug {
    /// Finds an entry.
    ///
    /// # Errors
    /// Says in words why nobody could be asked.
    fn find(&self, wanted: Find) -> Result<Found, String>;

    /// Brings a snapshot and all its packs into `store`.
    ///
    /// # Errors
    /// Says in words what is missing.
    fn fetch(&self, snapshot: Digest, store: &ContentStore) -> Result<(), String>;

    /// Makes an entry of a snapshot that lies in `store`.
    ///
    /// # Errors
    /// Says in words why it could not be kept.
    fn save(&self, entry: NewEntry, store: &ContentStore) -> Result<Saved, String>;

    /// Tells what comparing showed.
    fn verified(&self, verified: Verified);
}

/// What an Attempt may reuse.
#[derive(Debug, Clone)]
pub struct Reuse<'a> {
    /// Where entries are kept.
    pub depot: &'a dyn Depot,
    /// Where snapshots are on this host.
    pub store: ContentStore,
    /// What is wanted.
    pub order: &'a ReuseOrder,
    /// The whole source tree; the Attempt's directory lies in it.
    pub source: &'a Path,
}

/// Takes a line for the log.
type Say<'s> = dyn FnMut(&str) + 's;

/// What is remembered in the course of one Attempt.
pub(crate) struct Session<'a> {
    attempt: &'a Attempt<'a>,
    reuse: &'a Reuse<'a>,
    masker: Masker,
    caches: Vec<keyed::Looked>,
    step: Option<Remembered>,
    workspace: workspace::Keeping,
}

impl<'a> Session<'a> {
    pub(crate) fn new(attempt: &'a Attempt<'a>, reuse: &'a Reuse<'a>) -> Self {
        Self {
            attempt,
            reuse,
            masker: Masker::new(attempt.secrets.values().map(Secret::expose)),
            caches: Vec::new(),
            step: None,
            workspace: workspace::Keeping::default(),
        }
    }

    /// Restores the workspace that the Attempt goes on from, or its caches.
    pub(crate) fn begin(&mut self, say: &mut Say<'_>) -> Result<(), String> {
        match &self.reuse.order.resume {
            Some(resume) => self.resume(resume, say),
            None => {
                self.restore_caches(say);
                Ok(())
            }
        }
    }

    /// Whether a Step lies before the one that a resumed Attempt begins with.
    pub(crate) fn is_before_resume(&self, index: u32) -> bool {
        self.reuse.order.resume.as_ref().is_some_and(|resume| index < resume.from)
    }

    /// Leaves what later Attempts may reuse.
    pub(crate) fn end(&mut self, outcome: AttemptOutcome, say: &mut Say<'_>) {
        self.save_workspaces(outcome, say);
        // What a resumed Attempt made did not come from its source alone, and nobody else shall be given it.
        if self.reuse.order.resume.is_none() {
            self.save_caches(outcome, say);
        }
    }

    /// The directories that patterns are relative to: that of the Project, and the Steps' home where they have their own.
    fn roots(&self) -> Vec<Root> {
        let mut roots = vec![Root { name: WORK, path: self.attempt.directory.to_owned() }];
        if !self.attempt.isolation.is_host() {
            roots.push(Root { name: HOME, path: self.attempt.scratch.join("home") });
        }
        roots
    }

    /// Sorts patterns by the directory that they are relative to, and finds what they name.
    fn selected(&self, patterns: &[String]) -> Result<Vec<(Root, Vec<PathBuf>)>, String> {
        let mut parts = Vec::new();
        for root in self.roots() {
            let own: Vec<String> = patterns
                .iter()
                .filter_map(|pattern| match (pattern.strip_prefix("~/"), root.name) {
                    (Some(below), HOME) => Some(below.to_owned()),
                    (None, WORK) => Some(pattern.clone()),
                    _ => None,
                })
                .collect();
            let found = towpath_artifact::snapshot::expand(&root.path, &own);
            let found = found.map_err(|error| crate::executor::chain(&error))?;
            parts.push((root, found.into_iter().collect()));
        }
        Ok(parts)
    }

    fn take(
        &self,
        parts: Vec<(Root, Vec<PathBuf>)>,
        known: Option<&Known>,
        limits: Limits,
    ) -> Result<towpath_artifact::snapshot::Taken, towpath_artifact::SnapshotError> {
        let secret = |bytes: &[u8]| self.masker.finds(bytes);
        let longest = self.masker.longest();
        let refuse: Option<(&towpath_artifact::snapshot::Refuse<'_>, usize)> =
            if longest > 0 { Some((&secret, longest)) } else { None };
        let take = towpath_artifact::snapshot::Take { parts, known, limits, refuse };
        towpath_artifact::snapshot::take(&take, &self.reuse.store)
    }

    /// The environment of a Step that an input may name.
    fn value(&self, step: &StepOrder, name: &str) -> Option<String> {
        step.env.get(name).or_else(|| self.attempt.env.get(name)).cloned()
    }
}

/// The beginning of a digest, to be shown.
fn short(digest: Digest) -> String {
    digest.hex().chars().take(16).collect()
}

fn part(name: impl Into<String>, value: impl Into<String>) -> Part {
    Part { name: name.into(), value: value.into() }
}

/// What programs of another machine need not work with: system and processor.
fn platform() -> String {
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let of = |key: &str| {
        let line = release.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        line.unwrap_or_default().trim_matches('"').to_owned()
    };
    let system = [of("ID"), of("VERSION_ID")].into_iter().filter(|word| !word.is_empty());
    let words =
        [std::env::consts::OS.to_owned(), std::env::consts::ARCH.to_owned()].into_iter().chain(system);
    words.collect::<Vec<_>>().join("-")
}

fn canonical(values: &BTreeMap<String, String>) -> Vec<u8> {
    towpath_artifact::canonical::to_vec(values)
}

fn bytes(count: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
    let count = count as f64;
    if count < 1e6 { format!("{:.1} kB", count / 1e3) } else { format!("{:.1} MB", count / 1e6) }
}
