//! What is kept for later Runs.

use jiff::Timestamp;

use super::{Action, Shell};

/// The entries of a Project, or what became of one.
#[derive(Debug, Clone)]
pub struct CachesView {
    /// The frame.
    pub shell: Shell,
    /// The Project.
    pub project: String,
    /// The newest first.
    pub entries: Vec<CacheRow>,
    /// Where older ones begin.
    pub older: Option<String>,
    /// The entry that is looked at.
    pub reached: Option<CacheReached>,
}

/// An entry.
#[derive(Debug, Clone)]
pub struct CacheRow {
    /// Its identity.
    pub id: String,
    /// `cache`, `step`, `workspace`.
    pub kind: String,
    /// Its key.
    pub key: String,
    /// Whose Runs may read it.
    pub scope: String,
    /// How many files.
    pub files: u64,
    /// How many bytes they have.
    pub bytes: u64,
    /// The Run that wrote it.
    pub run: u64,
    /// Its Job.
    pub job: String,
    /// When it was written.
    pub created: Timestamp,
    /// When it was last read.
    pub used: Timestamp,
    /// `live`, `evicted`, `revoked`.
    pub state: String,
    /// By whom and why it ended.
    pub ended: String,
}

/// What an entry reached.
#[derive(Debug, Clone)]
pub struct CacheReached {
    /// It.
    pub entry: CacheRow,
    /// How many entries were made from it.
    pub entries: usize,
    /// Runs that read one of them.
    pub runs: Vec<String>,
    /// Releases that these sealed.
    pub releases: Vec<String>,
    /// Revokes it.
    pub revoke: Option<Action>,
}
