//! Where blobs go and where they come from: a content store here, a server far away.

use std::io::{self, Read};

use towpath_model::Digest;

use crate::oci::Descriptor;

/// Takes blobs.
pub trait BlobSink {
    /// Takes one blob. Digest and size are known before the first byte, so that a sink may skip what it has.
    ///
    /// # Errors
    /// Fails if the bytes cannot be kept, or are not the ones that `blob` names.
    fn put_blob(&mut self, blob: Descriptor, bytes: &mut dyn Read) -> io::Result<()>;
}

/// Gives blobs.
pub trait BlobSource {
    /// Opens one blob. The reader of the blob verifies it; a source need not.
    ///
    /// # Errors
    /// Fails if there is no such blob.
    fn open_blob(&self, digest: Digest) -> io::Result<Box<dyn Read + '_>>;
}
