//! Container images as Artifacts: from what an engine saves to an OCI image in the content store, and out again.
//!
//! The digest of the manifest is the Artifact's name. Equal layers are equal blobs, whichever image or Run they come from.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use flate2::{Compression, GzBuilder};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use towpath_model::Digest;

use crate::blob::{BlobSink, BlobSource};
use crate::canonical;
use crate::oci::{Descriptor, Layer, MANIFEST};
use crate::verified::{self, VerifiedReader};

/// Media type of an image's configuration.
pub const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// Media type of a layer.
pub const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
/// Annotation: the reference of the image that it was made from.
pub const BASE_NAME: &str = "org.opencontainers.image.base.name";
/// Annotation: the bytes of the image that it was made from.
pub const BASE_DIGEST: &str = "org.opencontainers.image.base.digest";

/// The longest manifest and configuration.
const MAX_DOCUMENT: u64 = 4 << 20;

/// The most layers, as engines have it.
const MAX_LAYERS: usize = 128;

/// Enough for real images; a hostile engine's archive ends here.
const MAX_ENTRIES: usize = 4096;

/// The manifest of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ImageManifest {
    /// Always 2.
    pub schema_version: u32,
    /// Always that of a manifest.
    pub media_type: String,
    /// How the image is run, and what its layers are.
    pub config: Layer,
    /// From the base up.
    pub layers: Vec<Layer>,
    /// What it was made from.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// Why an image was not taken in or given out.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The engine's archive is not one.
    #[error("what the engine saved cannot be read: {0}")]
    Archive(String),
    /// A layer is not the one that the configuration names.
    #[error("layer {index} of the image is {found}, and its configuration says {expected}")]
    Layer {
        /// Which, from the base.
        index: usize,
        /// The digest of its bytes.
        found: Digest,
        /// What the configuration says.
        expected: String,
    },
    /// The system refused.
    #[error("failed to store the image")]
    Store(#[from] io::Error),
}

/// Takes in the archive of one image that an engine saved (`docker save`), the manifest last. Returns its digest.
///
/// # Errors
/// See [`ImageError`]. What was stored before is left, and named by nobody.
pub fn pack_image(
    archive: &mut File,
    annotations: BTreeMap<String, String>,
    sink: &mut dyn BlobSink,
) -> Result<Digest, ImageError> {
    let bad = |what: &str| ImageError::Archive(what.to_owned());
    let index = index_of(archive)?;
    let saved: Value = document(archive, index.get("manifest.json").copied())?;
    let image = saved.get(0).ok_or_else(|| bad("it names no image"))?;
    let config_name = image["Config"].as_str().ok_or_else(|| bad("it has no configuration"))?;
    let config_place = index.get(config_name).copied();
    let config: Value = document(archive, config_place)?;
    let names = image["Layers"].as_array().ok_or_else(|| bad("it has no list of layers"))?;
    let diffs = config["rootfs"]["diff_ids"].as_array().ok_or_else(|| bad("its layers have no digests"))?;
    if names.len() != diffs.len() || names.len() > MAX_LAYERS {
        return Err(bad("its layers and their digests are not as many"));
    }
    let mut layers = Vec::with_capacity(names.len());
    for (number, (name, diff)) in names.iter().zip(diffs).enumerate() {
        let place = name.as_str().and_then(|name| index.get(name)).copied();
        let place = place.ok_or_else(|| bad("a layer is missing"))?;
        layers.push(pack_layer(archive, place, number, diff.as_str().unwrap_or_default(), sink)?);
    }
    let config_bytes = bytes_at(archive, config_place)?;
    let config = put(CONFIG, &config_bytes, sink)?;
    let manifest =
        ImageManifest { schema_version: 2, media_type: MANIFEST.to_owned(), config, layers, annotations };
    Ok(put(MANIFEST, &canonical::to_vec(&manifest), sink)?.digest)
}

/// Where a file of the archive is.
#[derive(Debug, Clone, Copy)]
struct Place {
    offset: u64,
    size: u64,
}

fn index_of(archive: &mut File) -> Result<BTreeMap<String, Place>, ImageError> {
    let broken = |error: io::Error| ImageError::Archive(error.to_string());
    archive.rewind().map_err(broken)?;
    let mut files = BTreeMap::new();
    let mut links = Vec::new();
    let mut tar = tar::Archive::new(&*archive);
    for entry in tar.entries_with_seek().map_err(broken)?.take(MAX_ENTRIES) {
        let entry = entry.map_err(broken)?;
        let name = entry.path().map_err(broken)?.to_string_lossy().into_owned();
        let kind = entry.header().entry_type();
        if kind.is_file() {
            files.insert(name, Place { offset: entry.raw_file_position(), size: entry.size() });
        } else if kind.is_symlink() || kind.is_hard_link() {
            let target = entry.link_name().map_err(broken)?;
            links
                .push((name, target.map(|target| target.to_string_lossy().into_owned()).unwrap_or_default()));
        }
    }
    // Engines of old link a layer that an image has twice: `../OTHER/layer.tar`.
    for (name, target) in links {
        let target = target.trim_start_matches("../");
        if let Some(place) = files.get(target).copied() {
            files.insert(name, place);
        }
    }
    Ok(files)
}

fn bytes_at(archive: &mut File, place: Option<Place>) -> Result<Vec<u8>, ImageError> {
    let place = place.filter(|place| place.size <= MAX_DOCUMENT);
    let place = place.ok_or_else(|| ImageError::Archive("a document is missing or too long".to_owned()))?;
    archive.seek(SeekFrom::Start(place.offset))?;
    let mut bytes = Vec::new();
    (&*archive).take(place.size).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn document(archive: &mut File, place: Option<Place>) -> Result<Value, ImageError> {
    let bytes = bytes_at(archive, place)?;
    serde_json::from_slice(&bytes).map_err(|error| ImageError::Archive(error.to_string()))
}

/// Compresses a layer, always to the same bytes, and checks that it is the one the configuration means.
fn pack_layer(
    archive: &mut File,
    place: Place,
    index: usize,
    expected: &str,
    sink: &mut dyn BlobSink,
) -> Result<Layer, ImageError> {
    archive.seek(SeekFrom::Start(place.offset))?;
    let mut magic = [0; 2];
    let _short = (&*archive).take(2).read(&mut magic)?;
    archive.seek(SeekFrom::Start(place.offset))?;
    let stored = (&*archive).take(place.size);
    let mut plain: Box<dyn Read> = match magic {
        [0x1f, 0x8b] => Box::new(flate2::read::MultiGzDecoder::new(stored)),
        _ => Box::new(stored),
    };
    let mut spool = tempfile::tempfile()?;
    let mut encoder = GzBuilder::new().mtime(0).write(&mut spool, Compression::fast());
    let found = copy_hashed(&mut plain, &mut encoder)?;
    encoder.finish()?;
    if found.to_string() != expected {
        return Err(ImageError::Layer { index, found, expected: expected.to_owned() });
    }
    spool.rewind()?;
    let blob = verified::describe(&mut spool)?;
    spool.rewind()?;
    sink.put_blob(blob, &mut spool)?;
    Ok(Layer {
        media_type: LAYER.to_owned(),
        digest: blob.digest,
        size: blob.size,
        annotations: BTreeMap::new(),
    })
}

/// Copies everything and names it.
fn copy_hashed(from: &mut dyn Read, to: &mut dyn io::Write) -> io::Result<Digest> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 128 * 1024];
    loop {
        match from.read(&mut buffer)? {
            0 => return Ok(Digest::from_raw(hasher.finalize().into())),
            count => {
                hasher.update(&buffer[..count]);
                to.write_all(&buffer[..count])?;
            }
        }
    }
}

fn put(media_type: &str, bytes: &[u8], sink: &mut dyn BlobSink) -> Result<Layer, ImageError> {
    let blob = Descriptor::of(bytes);
    sink.put_blob(blob, &mut &bytes[..])?;
    Ok(Layer {
        media_type: media_type.to_owned(),
        digest: blob.digest,
        size: blob.size,
        annotations: BTreeMap::new(),
    })
}

/// The manifest of an Artifact that is an image; `None` for one of files.
///
/// # Errors
/// Fails where it cannot be read, or is not what its digest says.
pub fn image_manifest(manifest: Digest, source: &dyn BlobSource) -> io::Result<Option<ImageManifest>> {
    let reader = source.open_blob(manifest)?.take(MAX_DOCUMENT);
    let mut bytes = Vec::new();
    VerifiedReader::new(reader, manifest).read_to_end(&mut bytes)?;
    let parsed: Option<ImageManifest> = serde_json::from_slice(&bytes).ok();
    Ok(parsed.filter(|image| image.config.media_type == CONFIG))
}

/// Writes an image as an OCI image layout into the new directory `into`, as skopeo, crane and scanners read it.
///
/// # Errors
/// Fails where a blob is missing or damaged, or the disk refuses.
pub fn write_layout(manifest: Digest, source: &dyn BlobSource, into: &Path) -> io::Result<()> {
    let image = image_manifest(manifest, source)?
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("{manifest} is no image")))?;
    let blobs = into.join("blobs/sha256");
    fs::create_dir_all(&blobs)?;
    let mut size = 0;
    let all = image.layers.iter().chain([&image.config]).map(|layer| layer.digest).chain([manifest]);
    for digest in all {
        let name = digest.to_string();
        let mut file = File::create(blobs.join(name.trim_start_matches("sha256:")))?;
        size = io::copy(&mut VerifiedReader::new(source.open_blob(digest)?, digest), &mut file)?;
        file.flush()?;
    }
    fs::write(into.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)?;
    let index = json!({
        "schemaVersion": 2,
        "manifests": [{ "mediaType": MANIFEST, "digest": manifest, "size": size }],
    });
    fs::write(into.join("index.json"), index.to_string())
}

/// Writes an image as an archive that `docker load` and `podman load` take, under the name `tag`.
///
/// # Errors
/// Fails where a blob is missing or damaged.
pub fn write_archive(
    manifest: Digest,
    source: &dyn BlobSource,
    tag: &str,
    to: &mut dyn io::Write,
) -> io::Result<()> {
    let image = image_manifest(manifest, source)?
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("{manifest} is no image")))?;
    let mut archive = tar::Builder::new(to);
    let mut names = Vec::with_capacity(image.layers.len());
    for layer in &image.layers {
        let mut plain = tempfile::tempfile()?;
        let packed = VerifiedReader::new(source.open_blob(layer.digest)?, layer.digest);
        let length = io::copy(&mut flate2::read::MultiGzDecoder::new(packed), &mut plain)?;
        plain.rewind()?;
        let name = format!("{}.tar", layer.digest.to_string().trim_start_matches("sha256:"));
        append(&mut archive, &name, length, &mut plain)?;
        names.push(name);
    }
    let mut config = Vec::new();
    VerifiedReader::new(source.open_blob(image.config.digest)?, image.config.digest)
        .take(MAX_DOCUMENT)
        .read_to_end(&mut config)?;
    let config_name = format!("{}.json", image.config.digest.to_string().trim_start_matches("sha256:"));
    append(&mut archive, &config_name, config.len() as u64, &mut config.as_slice())?;
    let saved = json!([{ "Config": config_name, "RepoTags": [tag], "Layers": names }]).to_string();
    append(&mut archive, "manifest.json", saved.len() as u64, &mut saved.as_bytes())?;
    archive.finish()
}

fn append(
    archive: &mut tar::Builder<&mut dyn io::Write>,
    name: &str,
    size: u64,
    from: &mut dyn Read,
) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(size);
    header.set_mode(0o644);
    archive.append_data(&mut header, name, from)
}
