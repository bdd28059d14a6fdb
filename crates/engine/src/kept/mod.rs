//! What is kept from one Attempt for later ones: what agents ask for and leave, within bounds.
//!
//! An agent names keys and digests; whose they are, and who may read them, follows from the Run of its lease.

mod revoke;
mod serve;
mod sweep;
mod workspaces;

use towpath_artifact::ContentStore;
use towpath_store::core::kept::{KeptEntry, KeptUse};

pub use self::revoke::{Reached, RevokeReport};
pub use self::workspaces::KeptWorkspace;

/// Where kept bytes are, and how many there may be.
#[derive(Debug, Clone)]
pub struct Keeping {
    /// A store of its own: nothing that is removed from it can belong to an Artifact or a Release.
    pub store: ContentStore,
    /// The most bytes of one Project.
    pub project_bytes: u64,
    /// The most bytes of all.
    pub total_bytes: u64,
}

/// For people, who wrote an entry.
#[must_use]
pub fn writer(entry: &KeptEntry) -> String {
    format!("{}#{} {}", entry.project, entry.run_number, entry.job)
}

/// In words, what an Attempt asked for and got.
#[must_use]
pub fn words(used: &KeptUse, by: Option<&str>) -> String {
    let by = by.unwrap_or("a run that is gone");
    let what = match used.kind {
        towpath_model::reuse::EntryKind::Cache => format!("cache `{}`", used.key),
        towpath_model::reuse::EntryKind::Step => "outputs".to_owned(),
        towpath_model::reuse::EntryKind::Workspace => "workspace".to_owned(),
    };
    match used.outcome.as_str() {
        "hit" if used.step.is_some() => format!("left out: nothing that it reads has changed since {by}"),
        "hit" => format!("{what} hit, saved by {by}"),
        "prefix" => format!("{what} restored from an older one of {by}: {}", used.why),
        "same" => format!("run again to compare: the same outputs as in {by}"),
        "differs" => format!(
            "not deterministic: with the same inputs it made other outputs than in {by}: {}",
            used.why
        ),
        _ => format!("{what} missed: {}", used.why),
    }
}
