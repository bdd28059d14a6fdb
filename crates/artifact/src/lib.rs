//! Content store, OCI manifests, Releases, signatures and certificates.
//!
//! Everything here is synchronous: hashing, packing and fsync block, and the caller says on which
//! thread. Bytes are named by digest, and checked wherever they arrive.

mod beneath;
pub mod blob;
pub mod canonical;
pub mod content;
pub mod extract;
mod files;
mod layout;
pub mod oci;
pub mod pack;
pub mod pattern;
mod select;
pub mod unpack;
pub mod verified;

pub use blob::{BlobSink, BlobSource};
pub use content::{BlobWriter, ContentError, ContentStore};
pub use extract::{ExtractError, Extracted, Limits};
pub use oci::Descriptor;
pub use pack::{PackError, Packed, pack};
pub use unpack::{UnpackError, unpack};
pub use verified::{DigestMismatch, VerifiedReader};
