//! Packs files into an OCI artifact, with the same bytes every time.
//!
//! One pattern without wildcards that names a file makes a layer of that file's bytes, under its
//! base name: `oras pull` gives it back, and `target/release/shop` is started as `./shop`. Anything
//! else makes one compressed tar in which files keep their paths. Which of the two it is depends on
//! the patterns only, not on how many files there happen to be.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Seek as _, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use flate2::{Compression, GzBuilder};
use tar::{Builder, EntryType, Header};
use towpath_model::Digest;

use crate::beneath::Executable;
use crate::blob::BlobSink;
use crate::canonical;
use crate::oci::{self, Descriptor, Layer, Manifest};
use crate::pattern::{InvalidPattern, Pattern};
use crate::select::{self, Selected, Selection};
use crate::verified;

/// What was packed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    /// The OCI manifest: the Artifact's name.
    pub manifest: Digest,
    /// Bytes of all files, before compression.
    pub bytes: u64,
    /// How many files and links.
    pub files: u64,
}

/// Why nothing was packed.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// A pattern cannot be read.
    #[error(transparent)]
    Pattern(#[from] InvalidPattern),
    /// No patterns at all.
    #[error("there are no patterns to pack files by")]
    NoPatterns,
    /// A pattern matches nothing.
    #[error("no file matches `{pattern}`; {instead}")]
    NoMatch {
        /// The pattern.
        pattern: String,
        /// What is there.
        instead: String,
    },
    /// A link leads out of the root.
    #[error("`{path}` is a link to `{target}`, which is outside of the packed directory")]
    Escape {
        /// The link.
        path: String,
        /// Where it leads.
        target: String,
    },
    /// Neither file nor link, or not a name that every system has.
    #[error("`{path}` cannot be packed: {reason}")]
    Unfit {
        /// The path.
        path: String,
        /// Why.
        reason: &'static str,
    },
    /// More files than anyone means.
    #[error("the patterns lead to more than {limit} files")]
    TooMany {
        /// The bound.
        limit: usize,
    },
    /// A file cannot be read.
    #[error("failed to read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's word.
        #[source]
        source: io::Error,
    },
    /// The sink refused.
    #[error("failed to store the packed files")]
    Store(#[source] io::Error),
}

/// Packs the files below `root` that match `patterns` and gives the blobs to `sink`, the manifest last.
///
/// # Errors
/// Fails if a pattern matches nothing, a link leads out of `root`, or the sink refuses.
pub fn pack(root: &Path, patterns: &[String], sink: &mut dyn BlobSink) -> Result<Packed, PackError> {
    let patterns = patterns.iter().map(|text| Pattern::parse(text)).collect::<Result<Vec<_>, _>>()?;
    let root = fs::canonicalize(root).map_err(|source| PackError::Read { path: root.into(), source })?;
    let (layer, bytes, files) = match patterns.as_slice() {
        [] => return Err(PackError::NoPatterns),
        [pattern] if pattern.is_literal() => match select::single_file(&root, pattern)? {
            Some(path) => pack_file(&path, sink)?,
            None => pack_files(&root, &select::select(&root, &patterns)?, sink)?,
        },
        _ => pack_files(&root, &select::select(&root, &patterns)?, sink)?,
    };
    let store = |sink: &mut dyn BlobSink, bytes: &[u8]| {
        let blob = Descriptor::of(bytes);
        sink.put_blob(blob, &mut &bytes[..]).map(|()| blob.digest).map_err(PackError::Store)
    };
    store(sink, oci::EMPTY_BYTES)?;
    let manifest = store(sink, &canonical::to_vec(&Manifest::new(vec![layer])))?;
    Ok(Packed { manifest, bytes, files })
}

fn pack_file(path: &Path, sink: &mut dyn BlobSink) -> Result<(Layer, u64, u64), PackError> {
    let read = |source| PackError::Read { path: path.into(), source };
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
    let mut file = select::open_regular(path)?;
    let mode = select::executable(&file.metadata().map_err(read)?);
    let blob = describe(&mut file).map_err(read)?;
    // Bytes that change after they were hashed are refused by the sink, which checks the digest.
    sink.put_blob(blob, &mut file).map_err(PackError::Store)?;
    let annotations =
        BTreeMap::from([(oci::TITLE.to_owned(), name), (oci::MODE.to_owned(), format!("{:o}", mode.mode()))]);
    let layer = Layer { media_type: oci::FILE.into(), digest: blob.digest, size: blob.size, annotations };
    Ok((layer, blob.size, 1))
}

fn pack_files(
    root: &Path,
    selection: &Selection,
    sink: &mut dyn BlobSink,
) -> Result<(Layer, u64, u64), PackError> {
    // Without a name, so that no crash leaves it behind; beside the files, because /tmp may be small.
    let mut spool = tempfile::tempfile_in(root).map_err(PackError::Store)?;
    let encoder = GzBuilder::new().mtime(0).write(&mut spool, Compression::default());
    let mut builder = Builder::new(encoder);
    let mut bytes = 0;
    for (path, selected) in selection {
        bytes += append(&mut builder, root, path, selected)?;
    }
    let finished = builder.into_inner().and_then(|encoder| encoder.finish().map(|_| ()));
    finished.map_err(PackError::Store)?;
    let blob = describe(&mut spool).map_err(PackError::Store)?;
    sink.put_blob(blob, &mut spool).map_err(PackError::Store)?;
    let annotations = BTreeMap::from([(oci::TITLE.to_owned(), "files.tar.gz".to_owned())]);
    let layer = Layer { media_type: oci::FILES.into(), digest: blob.digest, size: blob.size, annotations };
    Ok((layer, bytes, selection.len() as u64))
}

fn append(
    builder: &mut Builder<impl Write>,
    root: &Path,
    path: &str,
    selected: &Selected,
) -> Result<u64, PackError> {
    match selected {
        Selected::Link(target) => append_link(builder, path, target).map(|()| 0).map_err(PackError::Store),
        Selected::File => {
            let full = root.join(path);
            let read = |source| PackError::Read { path: full.clone(), source };
            let file = select::open_regular(&full)?;
            let metadata = file.metadata().map_err(read)?;
            append_file(builder, path, select::executable(&metadata), metadata.len(), file).map_err(read)?;
            Ok(metadata.len())
        }
    }
}

/// Appends a file under a header that says nothing of who made it and when.
pub(crate) fn append_file(
    builder: &mut Builder<impl Write>,
    path: impl AsRef<Path>,
    executable: Executable,
    size: u64,
    reader: impl Read,
) -> io::Result<()> {
    let mut header = plain_header(EntryType::Regular, executable.mode());
    header.set_size(size);
    let mut exact = reader.take(size);
    builder.append_data(&mut header, path, &mut exact)?;
    if exact.limit() == 0 {
        return Ok(());
    }
    Err(io::Error::other("the file became shorter while it was read"))
}

/// Appends a symbolic link.
pub(crate) fn append_link(
    builder: &mut Builder<impl Write>,
    path: impl AsRef<Path>,
    target: impl AsRef<Path>,
) -> io::Result<()> {
    let (mut header, target) = (plain_header(EntryType::Symlink, 0o777), target.as_ref());
    // `append_link` writes `./a` as `a` where the target is short; a link keeps every byte of its target.
    match header.set_link_name_literal(target.as_os_str().as_bytes()) {
        Ok(()) => builder.append_data(&mut header, path, io::empty()),
        Err(_too_long) => builder.append_link(&mut header, path, target),
    }
}

/// Appends an empty directory.
pub(crate) fn append_directory(builder: &mut Builder<impl Write>, path: impl AsRef<Path>) -> io::Result<()> {
    builder.append_data(&mut plain_header(EntryType::Directory, 0o755), path, io::empty())
}

fn plain_header(kind: EntryType, mode: u32) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(0);
    header
}

/// Hashes a file from its start and goes back there.
fn describe(file: &mut File) -> io::Result<Descriptor> {
    file.rewind()?;
    let blob = verified::describe(file)?;
    file.rewind()?;
    Ok(blob)
}
