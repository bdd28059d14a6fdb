//! The content store: bytes named by their digest, laid out as an OCI image layout.
//!
//! `skopeo`, `oras` and `cosign` read the same directory. A blob exists whole or not at all: it is
//! written under `ingest/`, hashed on the way, synced, and renamed to its digest. Whoever reads a
//! blob through this type reads verified bytes.

use std::fs::{self, File, TryLockError};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;
use towpath_model::Digest;

use crate::blob::{BlobSink, BlobSource};
use crate::files;
use crate::layout;
use crate::oci::Descriptor;
use crate::verified::VerifiedReader;

/// A directory of immutable bytes. Cloning is cheap and shares the directory.
#[derive(Debug, Clone)]
pub struct ContentStore {
    root: Arc<Path>,
    durability: Durability,
}

/// Whether a blob must outlive a power cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// It is on the disk before its name is given.
    Synced,
    /// It can be had again from elsewhere, and its reader finds it missing or damaged.
    Replaceable,
}

impl ContentStore {
    /// Opens the store at `directory`, creates it if need be, and removes what a crash left half written.
    ///
    /// # Errors
    /// Fails if the directory cannot be created or holds something else.
    pub fn open(directory: &Path) -> Result<Self, ContentError> {
        Self::open_with(directory, Durability::Synced)
    }

    /// Opens the store at `directory` for blobs that nobody would miss, which saves two waits for the disk a blob.
    ///
    /// # Errors
    /// As [`ContentStore::open`].
    pub fn open_replaceable(directory: &Path) -> Result<Self, ContentError> {
        Self::open_with(directory, Durability::Replaceable)
    }

    fn open_with(directory: &Path, durability: Durability) -> Result<Self, ContentError> {
        let store = Self { root: directory.into(), durability };
        for child in [store.blobs(), store.ingest()] {
            fs::create_dir_all(&child).map_err(|error| ContentError::io("create", &child, error))?;
        }
        layout::create(directory)?;
        store.remove_leftovers()?;
        Ok(store)
    }

    /// The directory of the OCI image layout.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Stores `bytes` and returns their name.
    ///
    /// # Errors
    /// Fails if they cannot be made durable; nothing is left behind then.
    pub fn put(&self, bytes: &[u8]) -> Result<Digest, ContentError> {
        let mut writer = self.writer(bytes.len() as u64)?;
        writer.write_all(bytes).map_err(|error| ContentError::io("write to", &self.ingest(), error))?;
        writer.finish(None)
    }

    /// Stores `bytes` unless they are here; then their age starts anew, for whoever removes old blobs.
    ///
    /// # Errors
    /// Fails if they cannot be stored.
    pub fn put_or_touch(&self, bytes: &[u8]) -> Result<Digest, ContentError> {
        let digest = Digest::of(bytes);
        let path = self.path(digest);
        let same = fs::metadata(&path).is_ok_and(|there| there.len() == bytes.len() as u64);
        if !same {
            return self.put(bytes);
        }
        // It may have been removed since the look.
        if self.touch(digest) { Ok(digest) } else { self.put(bytes) }
    }

    /// Lets the age of a blob start anew. Says whether it is here.
    #[must_use]
    pub fn touch(&self, digest: Digest) -> bool {
        let file = File::options().append(true).open(self.path(digest));
        file.and_then(|file| file.set_modified(std::time::SystemTime::now())).is_ok()
    }

    /// Starts a blob of at most `max_bytes`. Dropping the writer leaves nothing behind.
    ///
    /// # Errors
    /// Fails if no file can be created.
    pub fn writer(&self, max_bytes: u64) -> Result<BlobWriter, ContentError> {
        let file =
            self.new_ingest_file().map_err(|error| ContentError::io("write to", &self.ingest(), error))?;
        Ok(BlobWriter {
            store: self.clone(),
            file: BufWriter::with_capacity(64 * 1024, file),
            hasher: Sha256::new(),
            written: 0,
            max_bytes,
        })
    }

    /// Opens a blob. The reader checks the digest when it comes to the end.
    ///
    /// # Errors
    /// Fails with [`ContentError::Missing`] if there is no such blob.
    pub fn open_verified(&self, digest: Digest) -> Result<VerifiedReader<File>, ContentError> {
        Ok(VerifiedReader::new(self.open_file(digest)?, digest))
    }

    /// Reads a whole blob of at most `max_bytes` and checks it.
    ///
    /// # Errors
    /// Fails if the blob is missing, larger, or damaged.
    pub fn read(&self, digest: Digest, max_bytes: u64) -> Result<Vec<u8>, ContentError> {
        let file = self.open_file(digest)?;
        let path = self.path(digest);
        let size = file.metadata().map_err(|error| ContentError::io("read", &path, error))?.len();
        if size > max_bytes {
            return Err(ContentError::TooLarge { limit: max_bytes });
        }
        let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
        VerifiedReader::new(file, digest)
            .read_to_end(&mut bytes)
            .map_err(|error| ContentError::io("read", &path, error))?;
        Ok(bytes)
    }

    /// Whether the blob is here.
    #[must_use]
    pub fn contains(&self, digest: Digest) -> bool {
        self.path(digest).is_file()
    }

    /// The blob's size in bytes; `None` if it is not here.
    ///
    /// # Errors
    /// Fails if the file cannot be looked at.
    pub fn size(&self, digest: Digest) -> Result<Option<u64>, ContentError> {
        let path = self.path(digest);
        match fs::metadata(&path) {
            Ok(metadata) => Ok(Some(metadata.len())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(ContentError::io("look at", &path, error)),
        }
    }

    /// Removes a blob; one that is not here is fine.
    ///
    /// # Errors
    /// Fails if the file cannot be removed.
    pub fn remove(&self, digest: Digest) -> Result<(), ContentError> {
        let path = self.path(digest);
        remove_if_present(&path).map_err(|error| ContentError::io("remove", &path, error))
    }

    /// The file that holds, or would hold, the blob. Whoever reads it directly has to verify it.
    #[must_use]
    pub fn path(&self, digest: Digest) -> PathBuf {
        self.blobs().join(digest.hex())
    }

    /// Names a stored manifest in `index.json`, where OCI tools look. A name given before moves.
    ///
    /// # Errors
    /// Fails if the manifest is not here or `index.json` cannot be replaced.
    pub fn tag(&self, name: &str, manifest: Digest) -> Result<(), ContentError> {
        let size = self.size(manifest)?.ok_or(ContentError::Missing { digest: manifest })?;
        layout::tag(&self.root, name, manifest, size)
    }

    /// The manifest that has `name` in `index.json`.
    ///
    /// # Errors
    /// Fails if `index.json` cannot be read.
    pub fn tagged(&self, name: &str) -> Result<Option<Digest>, ContentError> {
        layout::tagged(&self.root, name)
    }

    fn open_file(&self, digest: Digest) -> Result<File, ContentError> {
        let path = self.path(digest);
        File::open(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => ContentError::Missing { digest },
            _ => ContentError::io("open", &path, error),
        })
    }

    fn blobs(&self) -> PathBuf {
        self.root.join("blobs/sha256")
    }

    fn ingest(&self) -> PathBuf {
        self.root.join("ingest")
    }

    /// A locked file: the lock tells a blob that is being written from one that a crash left behind.
    fn new_ingest_file(&self) -> io::Result<NamedTempFile> {
        loop {
            let file = NamedTempFile::new_in(self.ingest())?;
            file.as_file().lock()?;
            // Between creation and lock, another process that opens the store may have removed it.
            if file.path().exists() {
                return Ok(file);
            }
        }
    }

    fn remove_leftovers(&self) -> Result<(), ContentError> {
        let ingest = self.ingest();
        let failed = |error| ContentError::io("clean", &ingest, error);
        for entry in fs::read_dir(&ingest).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let Ok(file) = File::open(&path) else { continue };
            match file.try_lock() {
                Ok(()) => remove_if_present(&path).map_err(failed)?,
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => return Err(failed(error)),
            }
        }
        Ok(())
    }
}

fn remove_if_present(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

impl BlobSink for ContentStore {
    fn put_blob(&mut self, blob: Descriptor, bytes: &mut dyn Read) -> io::Result<()> {
        let mut writer = self.writer(blob.size)?;
        io::copy(bytes, &mut writer)?;
        writer.finish(Some(blob.digest))?;
        Ok(())
    }
}

impl BlobSource for ContentStore {
    fn open_blob(&self, digest: Digest) -> io::Result<Box<dyn Read + '_>> {
        Ok(Box::new(self.open_verified(digest)?))
    }
}

/// A blob that is being written.
#[derive(Debug)]
pub struct BlobWriter {
    store: ContentStore,
    file: BufWriter<NamedTempFile>,
    hasher: Sha256,
    written: u64,
    max_bytes: u64,
}

impl BlobWriter {
    /// How many bytes were written so far.
    #[must_use]
    pub const fn written(&self) -> u64 {
        self.written
    }

    /// Makes the blob durable under its digest, which must be `expected` where that is given.
    ///
    /// # Errors
    /// Fails if the digest is another one or the disk refuses; nothing is left behind then.
    pub fn finish(self, expected: Option<Digest>) -> Result<Digest, ContentError> {
        let Self { store, file, hasher, .. } = self;
        let found = Digest::from_raw(hasher.finalize().into());
        if let Some(expected) = expected
            && expected != found
        {
            return Err(ContentError::Mismatch { expected, found });
        }
        let failed = |error| ContentError::io("write to", &store.ingest(), error);
        let file = file.into_inner().map_err(|error| failed(error.into_error()))?;
        if store.durability == Durability::Synced {
            file.as_file().sync_all().map_err(failed)?;
        }
        let path = store.path(found);
        // An existing file is replaced, not trusted: storing a blob again heals a damaged one.
        file.persist(&path).map_err(|error| ContentError::io("create", &path, error.error))?;
        if store.durability == Durability::Synced {
            files::sync_directory(&store.blobs())
                .map_err(|error| ContentError::io("sync", &store.blobs(), error))?;
        }
        Ok(found)
    }
}

impl Write for BlobWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.written + bytes.len() as u64 > self.max_bytes {
            return Err(ContentError::TooLarge { limit: self.max_bytes }.into());
        }
        let count = self.file.write(bytes).map_err(|error| {
            io::Error::from(ContentError::io("write to", self.file.get_ref().path(), error))
        })?;
        self.hasher.update(&bytes[..count]);
        self.written += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Why bytes could not be stored or read.
#[derive(Debug, thiserror::Error)]
pub enum ContentError {
    /// No blob has this digest.
    #[error("{digest} is not in the content store")]
    Missing {
        /// The name asked for.
        digest: Digest,
    },
    /// The bytes are not the ones promised.
    #[error("the bytes have the digest {found}, expected {expected}; nothing was stored")]
    Mismatch {
        /// What was promised.
        expected: Digest,
        /// What came.
        found: Digest,
    },
    /// More bytes than the caller allows.
    #[error("the bytes are more than the allowed {limit}; nothing was stored")]
    TooLarge {
        /// The bound in bytes.
        limit: u64,
    },
    /// The disk is full.
    #[error("no space is left on the disk that holds {}; nothing was stored; free space and try again", path.display())]
    DiskFull {
        /// What was written to.
        path: PathBuf,
        /// The system's word.
        #[source]
        source: io::Error,
    },
    /// The directory is not an OCI image layout that this version reads.
    #[error("{} is not a content store: {reason}", path.display())]
    Layout {
        /// The file in question.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The system refused.
    #[error("failed to {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's word.
        #[source]
        source: io::Error,
    },
}

impl ContentError {
    /// Sorts an error of the system; one of this type that travelled as an [`io::Error`] comes out again.
    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        match source.downcast::<Self>() {
            Ok(own) => own,
            Err(source) if is_disk_full(&source) => Self::DiskFull { path: path.into(), source },
            Err(source) => Self::Io { action, path: path.into(), source },
        }
    }
}

fn is_disk_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

impl From<ContentError> for io::Error {
    fn from(error: ContentError) -> Self {
        let kind = match &error {
            ContentError::Missing { .. } => io::ErrorKind::NotFound,
            ContentError::Mismatch { .. } | ContentError::Layout { .. } => io::ErrorKind::InvalidData,
            ContentError::TooLarge { .. } => io::ErrorKind::FileTooLarge,
            ContentError::DiskFull { .. } => io::ErrorKind::StorageFull,
            ContentError::Io { source, .. } => source.kind(),
        };
        Self::new(kind, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn keeps_bytes_under_their_digest() {
        let directory = tempfile::tempdir().unwrap();
        let store = ContentStore::open(directory.path()).unwrap();
        let digest = store.put(b"towpath").unwrap();
        assert_eq!(digest, Digest::of(b"towpath"));
        assert!(store.contains(digest));
        assert_eq!(store.size(digest).unwrap(), Some(7));
        assert_eq!(store.read(digest, 7).unwrap(), b"towpath");
        assert!(matches!(store.read(digest, 6), Err(ContentError::TooLarge { limit: 6 })));
        assert!(matches!(store.read(Digest::of(b"x"), 6), Err(ContentError::Missing { .. })));
        assert_eq!(names(&directory.path().join("ingest")), Vec::<String>::new());
    }

    #[test]
    fn leaves_nothing_of_a_blob_that_is_refused_or_dropped() {
        let directory = tempfile::tempdir().unwrap();
        let store = ContentStore::open(directory.path()).unwrap();
        let mut writer = store.writer(100).unwrap();
        writer.write_all(b"half").unwrap();
        drop(writer);
        let mut writer = store.writer(3).unwrap();
        assert_eq!(writer.write_all(b"four").unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        drop(writer);
        let mut writer = store.writer(100).unwrap();
        writer.write_all(b"other").unwrap();
        let refused = writer.finish(Some(Digest::of(b"promised")));
        assert!(matches!(refused, Err(ContentError::Mismatch { .. })));
        for child in ["ingest", "blobs/sha256"] {
            assert_eq!(names(&directory.path().join(child)), Vec::<String>::new());
        }
    }

    #[test]
    fn notices_damage_and_heals_it() {
        let directory = tempfile::tempdir().unwrap();
        let store = ContentStore::open(directory.path()).unwrap();
        let digest = store.put(b"towpath").unwrap();
        fs::write(store.path(digest), b"towpatH").unwrap();
        let error = store.read(digest, 100).unwrap_err();
        assert!(
            matches!(&error, ContentError::Io { source, .. } if source.kind() == io::ErrorKind::InvalidData)
        );
        store.put(b"towpath").unwrap();
        assert_eq!(store.read(digest, 100).unwrap(), b"towpath");
    }

    #[test]
    fn removes_what_a_crash_left_but_not_what_is_being_written() {
        let directory = tempfile::tempdir().unwrap();
        let store = ContentStore::open(directory.path()).unwrap();
        fs::write(directory.path().join("ingest/.tmpcrash"), b"half").unwrap();
        let mut writer = store.writer(100).unwrap();
        writer.write_all(b"live").unwrap();
        ContentStore::open(directory.path()).unwrap();
        assert_eq!(names(&directory.path().join("ingest")).len(), 1);
        assert_eq!(writer.finish(None).unwrap(), Digest::of(b"live"));
    }

    #[test]
    fn tags_are_where_oci_tools_look() {
        let directory = tempfile::tempdir().unwrap();
        let store = ContentStore::open(directory.path()).unwrap();
        let (first, second) = (store.put(b"{\"a\":1}").unwrap(), store.put(b"{\"a\":2}").unwrap());
        store.tag("shop:1.0.0", first).unwrap();
        store.tag("shop:1.0.0", second).unwrap();
        store.tag("shop:1.0.1", first).unwrap();
        assert_eq!(store.tagged("shop:1.0.0").unwrap(), Some(second));
        assert_eq!(store.tagged("shop:1.0.1").unwrap(), Some(first));
        assert_eq!(store.tagged("shop:2").unwrap(), None);
        assert!(matches!(store.tag("x", Digest::of(b"x")), Err(ContentError::Missing { .. })));
        let index: serde_json::Value =
            serde_json::from_slice(&fs::read(directory.path().join("index.json")).unwrap()).unwrap();
        assert_eq!(index["manifests"].as_array().unwrap().len(), 2);
        assert_eq!(index["schemaVersion"], 2);
    }

    #[test]
    fn a_full_disk_has_its_own_error() {
        let full = io::Error::from_raw_os_error(28);
        let error = ContentError::io("write to", Path::new("/data/blobs"), full);
        assert!(matches!(error, ContentError::DiskFull { .. }), "{error:?}");
        let travelled = ContentError::io("write to", Path::new("/elsewhere"), io::Error::from(error));
        assert!(travelled.to_string().contains("no space is left on the disk that holds /data/blobs"));
    }
}
