//! Unpacks an OCI artifact of plain files, trusting none of its bytes.

use std::io::{self, Read, Seek as _};
use std::path::{Component, Path, PathBuf};

use flate2::read::GzDecoder;
use towpath_model::Digest;

use crate::beneath::{Beneath, Executable};
use crate::blob::BlobSource;
use crate::extract::{self, ExtractError, Extracted, Limits, Symlinks};
use crate::oci::{self, Layer, Manifest};
use crate::verified::VerifiedReader;

/// The longest manifest, as registries have it.
const MAX_MANIFEST: u64 = 4 << 20;

/// Why an Artifact was not unpacked.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// A blob cannot be had, or is not the one that its name promises.
    #[error("failed to get {digest}")]
    Fetch {
        /// The blob.
        digest: Digest,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The manifest is not one of plain files.
    #[error("{digest} is not the manifest of an Artifact of files: {reason}")]
    Manifest {
        /// The manifest.
        digest: Digest,
        /// What is wrong.
        reason: String,
    },
    /// A layer is longer or shorter than the manifest says.
    #[error("{digest} has {found} bytes, and its manifest says {expected}")]
    Size {
        /// The layer.
        digest: Digest,
        /// What the manifest says.
        expected: u64,
        /// What came, counted no further than one byte too many.
        found: u64,
    },
    /// The packed files were refused.
    #[error("failed to unpack {digest}")]
    Extract {
        /// The layer.
        digest: Digest,
        /// Why.
        #[source]
        source: ExtractError,
    },
}

/// Unpacks the Artifact `manifest` into the existing directory `into`.
///
/// Each blob is verified before a file of it has its place. Where a file or link of the same name
/// exists already, it is replaced; links are never written through.
///
/// # Errors
/// Fails at the first thing that is refused; the caller removes what was made before.
pub fn unpack(
    manifest: Digest,
    source: &dyn BlobSource,
    into: &Path,
    limits: Limits,
) -> Result<Extracted, UnpackError> {
    let parsed = read_manifest(manifest, source)?;
    let refuse = |reason| UnpackError::Manifest { digest: manifest, reason };
    let [layer] = parsed.layers.as_slice() else {
        return Err(refuse(format!("it has {} layers, expected one", parsed.layers.len())));
    };
    match layer.media_type.as_str() {
        oci::FILE => unpack_file(layer, source, into, limits),
        oci::FILES => unpack_files(layer, source, into, limits),
        other => Err(refuse(format!("it has a layer of type `{other}`"))),
    }
}

fn read_manifest(digest: Digest, source: &dyn BlobSource) -> Result<Manifest, UnpackError> {
    let fetch = |source| UnpackError::Fetch { digest, source };
    let refuse = |reason: String| UnpackError::Manifest { digest, reason };
    let mut bytes = Vec::new();
    let reader = source.open_blob(digest).map_err(fetch)?.take(MAX_MANIFEST + 1);
    VerifiedReader::new(reader, digest).read_to_end(&mut bytes).map_err(fetch)?;
    let manifest: Manifest = serde_json::from_slice(&bytes).map_err(|error| refuse(error.to_string()))?;
    let expected = Manifest::new(manifest.layers.clone());
    if manifest == expected { Ok(manifest) } else { Err(refuse("it is of another type or version".into())) }
}

/// Writes a layer that is one plain file.
fn unpack_file(
    layer: &Layer,
    source: &dyn BlobSource,
    into: &Path,
    limits: Limits,
) -> Result<Extracted, UnpackError> {
    let extract = |source| UnpackError::Extract { digest: layer.digest, source };
    let path = file_name(layer).map_err(extract)?;
    check_limit(1, limits.entries, "entries").map_err(extract)?;
    check_limit(layer.size, limits.bytes, "bytes").map_err(extract)?;
    let write = |source| extract(ExtractError::Write { path: path.display().to_string(), source });
    let beneath = Beneath::open(into).map_err(write)?;
    let mut file = beneath.create_file(&path, executable(layer)).map_err(write)?;
    if let Err(error) = copy_verified(layer, source, &mut file) {
        // Best effort: the error that matters is the first one, and the caller removes the directory.
        let _removed = beneath.remove_file(&path);
        return Err(error);
    }
    Ok(Extracted { entries: 1, bytes: layer.size })
}

/// Extracts a layer that is a compressed tar, once all of it is here and verified.
fn unpack_files(
    layer: &Layer,
    source: &dyn BlobSource,
    into: &Path,
    limits: Limits,
) -> Result<Extracted, UnpackError> {
    let fetch = |source| UnpackError::Fetch { digest: layer.digest, source };
    let mut spool = tempfile::tempfile_in(into).map_err(fetch)?;
    copy_verified(layer, source, &mut spool)?;
    spool.rewind().map_err(fetch)?;
    let reader = GzDecoder::new(io::BufReader::new(spool));
    extract::extract(reader, into, limits, Symlinks::Inside)
        .map_err(|source| UnpackError::Extract { digest: layer.digest, source })
}

fn copy_verified(
    layer: &Layer,
    source: &dyn BlobSource,
    into: &mut dyn io::Write,
) -> Result<(), UnpackError> {
    let digest = layer.digest;
    let fetch = |source| UnpackError::Fetch { digest, source };
    // One byte more than promised is enough to know that there are too many.
    let reader = source.open_blob(digest).map_err(fetch)?.take(layer.size.saturating_add(1));
    let found = io::copy(&mut VerifiedReader::new(reader, digest), into).map_err(fetch)?;
    if found == layer.size {
        return Ok(());
    }
    Err(UnpackError::Size { digest, expected: layer.size, found })
}

fn check_limit(wanted: u64, limit: u64, what: &'static str) -> Result<(), ExtractError> {
    if wanted > limit { Err(ExtractError::TooMuch { limit, what }) } else { Ok(()) }
}

/// The title must be a plain name: it comes from whoever made the manifest.
fn file_name(layer: &Layer) -> Result<PathBuf, ExtractError> {
    let title = layer.annotations.get(oci::TITLE).map_or("", String::as_str);
    let path = Path::new(title);
    let mut components = path.components();
    let plain = matches!((components.next(), components.next()), (Some(Component::Normal(_)), None));
    if plain && !title.contains(['/', '\0']) && title.len() <= 255 {
        return Ok(path.to_owned());
    }
    Err(ExtractError::Path { path: title.chars().take(200).collect(), reason: "is not a plain file name" })
}

fn executable(layer: &Layer) -> Executable {
    let mode = layer.annotations.get(oci::MODE).and_then(|mode| u32::from_str_radix(mode, 8).ok());
    mode.map_or(Executable::No, Executable::from_mode)
}
