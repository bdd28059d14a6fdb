//! What is kept from one Attempt for later ones: entries, what got them, workspaces.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use towpath_model::reuse::{EntryKind, Part};
use utoipa::ToSchema;

/// An entry: a keyed cache, the outputs of a Step, or a workspace.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct CacheEntry {
    /// Its id.
    pub id: String,
    /// `cache`, `step` or `workspace`.
    #[schema(value_type = String)]
    pub kind: EntryKind,
    /// Into which scope of trust it was written: `protected`, `internal`, or `fork` with a ref.
    pub scope: String,
    /// Its key.
    pub key: String,
    /// What the key is made of.
    #[schema(value_type = Vec<Object>)]
    pub parts: Vec<Part>,
    /// The digest of its snapshot.
    pub snapshot: String,
    /// How many files.
    pub files: u64,
    /// How many bytes they have.
    pub bytes: u64,
    /// How many bytes they take compressed, shared ones included.
    pub stored: u64,
    /// The number of the Run that wrote it.
    pub run: u64,
    /// Its Job.
    pub job: String,
    /// The index of the Step, for outputs and workspaces.
    pub step: Option<u32>,
    /// The commit.
    pub commit: String,
    /// When it was written.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it was last read.
    #[schema(value_type = String, format = DateTime)]
    pub used_at: Timestamp,
    /// `live`, `evicted` or `revoked`.
    pub state: String,
    /// By whom and why it ended.
    pub ended: String,
}

/// What an entry reached.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct CacheReach {
    /// The entry, and every one that was written by an Attempt which had read one of these.
    pub entries: Vec<CacheEntry>,
    /// The Runs that read one of them, as `shop#12`.
    pub runs: Vec<String>,
    /// The versions of the Releases that those Runs sealed.
    pub releases: Vec<String>,
}

/// What an Attempt asked for and got.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Reused {
    /// Its Job.
    pub job: String,
    /// The Attempt's id.
    pub attempt: String,
    /// The index of the Step, for its outputs.
    pub step: Option<u32>,
    /// `hit`, `prefix`, `miss`, `same` or `differs`.
    pub outcome: String,
    /// The entry that it got, or was compared with.
    pub entry: Option<String>,
    /// In words.
    pub text: String,
}

/// A workspace that was kept, and what is needed to work in it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Workspace {
    /// The number of the Attempt.
    pub attempt: u32,
    /// The index of the Step after which it was kept.
    pub step: u32,
    /// That Step's name.
    pub step_name: String,
    /// The digest of its snapshot.
    pub snapshot: String,
    /// Where in it the Project lives.
    pub directory: String,
    /// The environment of the Steps, without secrets.
    pub env: BTreeMap<String, String>,
    /// The names of the secrets that are left out.
    pub secrets: Vec<String>,
    /// The scripts of all Steps.
    pub scripts: Vec<String>,
}

/// Wants another try of a Job from a Step on.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct ResumeJob {
    /// The first Step to run, counted from 1; without it, the one that did not pass.
    pub from: Option<u32>,
    /// What that Step runs instead of its script. Nothing is ever sealed of such a Run.
    pub run: Option<String>,
}
