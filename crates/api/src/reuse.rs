//! What agent and server say of things kept from one Attempt for later ones.
//!
//! | call | request | response |
//! |---|---|---|
//! | `POST /agent/v1/attempts/{attempt}/reuse/find` | [`Find`] | [`Found`] |
//! | `POST /agent/v1/attempts/{attempt}/reuse/missing` | [`Offer`] | [`Missing`] |
//! | `POST /agent/v1/attempts/{attempt}/reuse/save` | [`NewEntry`] | [`Saved`] |
//! | `POST /agent/v1/attempts/{attempt}/reuse/verified` | [`Verified`] | `204` |
//! | `GET,PUT /agent/v1/attempts/{attempt}/reuse/blobs/{digest}?fence=` | raw bytes | raw bytes |
//!
//! Every call carries the fence. Whose the entries are and who may read them is never said by the agent: the
//! server knows the Run.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use towpath_model::Digest;
use towpath_model::reuse::{EntryKind, Fit, KeepWorkspace, Part, Save};

/// What an Attempt reuses and leaves.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ReuseOrder {
    /// Its caches.
    pub caches: Vec<CacheOrder>,
    /// Whether the workspace is kept after each Step.
    pub workspace: KeepWorkspace,
    /// Where it goes on, instead of from its source tree.
    pub resume: Option<ResumeOrder>,
}

/// One cache, with every `${{ }}` replaced.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CacheOrder {
    /// What it is found by.
    pub key: Vec<KeyOrder>,
    /// Beginnings of keys that will do.
    pub restore: Vec<String>,
    /// What is kept.
    pub paths: Vec<String>,
    /// When it is saved.
    pub save: Save,
}

/// A part of a key.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyOrder {
    /// This text.
    Text(String),
    /// The digest of the files that these patterns name.
    Files(Vec<String>),
}

/// Goes on from a kept workspace.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ResumeOrder {
    /// The workspace.
    pub snapshot: Digest,
    /// The index of the first Step to run.
    pub from: u32,
    /// For people: `attempt 1, after step 2`.
    pub title: String,
}

/// Asks for an entry.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Find {
    /// The fence of the lease.
    pub fence: u64,
    /// What kind.
    pub kind: EntryKind,
    /// Entries of another space are never found: platform, and what is kept.
    pub space: String,
    /// The key.
    pub key: String,
    /// What it is made of, to say why nothing was found.
    pub parts: Vec<Part>,
    /// Beginnings that will do.
    pub restore: Vec<String>,
    /// The index of the Step, for its outputs.
    pub step: Option<u32>,
}

/// What was found.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Found {
    /// The entry.
    pub entry: Option<FoundEntry>,
    /// Why the key itself was not found; empty where it was.
    pub why: String,
}

/// An entry that fits.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FoundEntry {
    /// Its identity.
    pub id: String,
    /// How well it fits.
    pub fit: Fit,
    /// Its key.
    pub key: String,
    /// The snapshot.
    pub snapshot: Digest,
    /// What the Step wrote to `$TOWPATH_OUTPUT`.
    pub outputs: BTreeMap<String, String>,
    /// For people, who wrote it: `shop#12`.
    pub by: String,
}

/// Asks which of these blobs have to be sent.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Offer {
    /// The fence of the lease.
    pub fence: u64,
    /// The blobs.
    pub blobs: Vec<Digest>,
}

/// Those that have to be sent.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Missing {
    /// The blobs.
    pub blobs: Vec<Digest>,
}

/// Makes an entry, all of whose blobs were sent before.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NewEntry {
    /// The fence of the lease.
    pub fence: u64,
    /// What kind.
    pub kind: EntryKind,
    /// Its space.
    pub space: String,
    /// Its key.
    pub key: String,
    /// What the key is made of.
    pub parts: Vec<Part>,
    /// The snapshot.
    pub snapshot: Digest,
    /// What the Step wrote to `$TOWPATH_OUTPUT`.
    pub outputs: BTreeMap<String, String>,
    /// The index of the Step, for outputs and workspaces.
    pub step: Option<u32>,
}

/// What became of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Saved {
    /// It is there.
    Saved {
        /// Its identity.
        id: String,
    },
    /// These blobs went missing meanwhile, and have to be sent first.
    Missing {
        /// The blobs.
        blobs: Vec<Digest>,
    },
    /// It is not kept.
    Refused {
        /// Why.
        reason: String,
    },
}

/// What running a Step showed that could have been left out.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Verified {
    /// The fence of the lease.
    pub fence: u64,
    /// The entry that it was compared with.
    pub entry: String,
    /// The index of the Step.
    pub step: u32,
    /// Where the outputs differ; empty where they are the same.
    pub differences: Vec<String>,
}
