//! The OCI image manifest, as far as an artifact of plain files needs it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use towpath_model::Digest;

/// Media type of a manifest.
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// Media type of the empty configuration `{}`.
pub const EMPTY: &str = "application/vnd.oci.empty.v1+json";
/// The bytes of the empty configuration.
pub const EMPTY_BYTES: &[u8] = b"{}";
/// What kind of artifact this is.
pub const ARTIFACT: &str = "application/vnd.towpath.artifact.v1";
/// Media type of a layer that is one plain file.
pub const FILE: &str = "application/octet-stream";
/// Media type of a layer that is several files.
pub const FILES: &str = "application/vnd.towpath.files.v1.tar+gzip";
/// Annotation: the file's name, as `oras` reads and writes it.
pub const TITLE: &str = "org.opencontainers.image.title";
/// Annotation: the file's permissions, in octal; `755` or `644`.
pub const MODE: &str = "dev.towpath.mode";

/// Names a blob and says how long it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Descriptor {
    /// Its name.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
}

impl Descriptor {
    /// Describes `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self { digest: Digest::of(bytes), size: bytes.len() as u64 }
    }
}

/// A descriptor as it stands in a manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Layer {
    /// What the bytes are.
    pub media_type: String,
    /// Their name.
    pub digest: Digest,
    /// Their length.
    pub size: u64,
    /// More about them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// A manifest of plain files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Manifest {
    /// Always 2.
    pub schema_version: u32,
    /// Always [`MANIFEST`].
    pub media_type: String,
    /// Always [`ARTIFACT`].
    pub artifact_type: String,
    /// Always the [`EMPTY`] one.
    pub config: Layer,
    /// One layer: a file, or several files as a compressed tar.
    pub layers: Vec<Layer>,
}

impl Manifest {
    /// A manifest with these layers.
    #[must_use]
    pub fn new(layers: Vec<Layer>) -> Self {
        let Descriptor { digest, size } = Descriptor::of(EMPTY_BYTES);
        let config = Layer { media_type: EMPTY.into(), digest, size, annotations: BTreeMap::new() };
        Self {
            schema_version: 2,
            media_type: MANIFEST.into(),
            artifact_type: ARTIFACT.into(),
            config,
            layers,
        }
    }
}
