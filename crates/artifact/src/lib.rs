//! Content store, OCI manifests, Releases, signatures and certificates.
//!
//! Everything here is synchronous: hashing, packing and fsync block, and the caller says on which
//! thread. Bytes are named by digest, and checked wherever they arrive.

pub mod authority;
mod beneath;
pub mod blob;
pub mod canonical;
pub mod commit;
pub mod content;
pub mod dsse;
pub mod extract;
mod files;
mod git;
pub mod identity;
pub mod image;
pub mod join;
pub mod key;
mod layout;
pub mod line;
mod lock_file;
pub mod log;
mod log_index;
mod log_lines;
mod log_search;
pub mod oci;
pub mod pack;
pub mod pattern;
pub mod portable;
pub mod release;
mod select;
pub mod sign;
pub mod snapshot;
#[cfg(feature = "testing")]
pub mod testing;
pub mod tree;
pub mod unpack;
pub mod vault;
pub mod verified;

pub use authority::{Authority, AuthorityError, agent_key_and_request};
pub use blob::{BlobSink, BlobSource};
pub use commit::CommitId;
pub use content::{BlobWriter, ContentError, ContentStore};
pub use extract::{ExtractError, Extracted, Limits};
pub use git::{GitError, Objects};
pub use identity::{Token, TokenHash};
pub use join::{InvalidJoinToken, JoinToken};
pub use key::{KeyError, PublicKeyRoot, ReleaseKey};
pub use line::{LogLine, Stream, format_line, parse_line};
pub use lock_file::LockFile;
pub use log::{LogError, LogStore, SealedLog};
pub use log_index::LogIndex;
pub use log_search::{Hit, Needle};
pub use oci::Descriptor;
pub use pack::{PackError, Packed, pack};
pub use release::{ConfigRevision, InvalidDocument, ReleaseManifest, Revision};
pub use select::{Selected, open_regular, select};
pub use sign::{VerifiedRelease, VerifyError, sign_release, verify_release};
pub use snapshot::{Snapshot, SnapshotError};
pub use tree::{TreeError, commit_tree, extract_tree, store_commit_tree, worktree_tar};
pub use unpack::{UnpackError, unpack};
pub use vault::{SecretPlace, SecretValue, Vault, VaultError};
pub use verified::{DigestMismatch, VerifiedReader};
