//! Snapshots of directories: a manifest of what is there, and packs of the bytes.
//!
//! A snapshot is named by the digest of its manifest. File contents lie in packs of a few MiB, each a
//! blob of its own, so that 50,000 small files are some hundred blobs, and what did not change since an
//! earlier snapshot is not stored again. Keyed caches, the outputs of Steps and workspaces are all this.

mod digest;
mod format;
mod index;
mod restore;
mod take;
mod walk;

use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use towpath_model::Digest;

pub use self::digest::{Seen, look, together};
pub use self::index::{Known, Stat};
pub use self::restore::restore;
pub use self::take::{Refuse, Take, Taken, take};
pub use self::walk::expand;

use crate::content::{ContentError, ContentStore};
use crate::extract::Limits;

/// The most bytes of one pack before compression: what one thread holds in memory at a time.
pub const PACK: u32 = 4 << 20;

/// The longest manifest, before and after compression.
pub const MAX_MANIFEST: u64 = 256 << 20;

/// A directory under a name: the first part of every path in a snapshot says below which it lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    /// The name, one plain word.
    pub name: &'static str,
    /// Where it is now.
    pub path: PathBuf,
}

/// What a directory holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Where the bytes are.
    pub packs: Vec<Pack>,
    /// What is there, in the order of the paths.
    pub entries: Vec<Entry>,
}

/// A blob with the bytes of several files, or a part of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Pack {
    /// The blob, compressed with zstd.
    pub digest: Digest,
    /// Its length.
    pub stored: u32,
    /// Its length uncompressed.
    pub raw: u32,
}

/// One file, directory or link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where: a root's name, and the path below it.
    pub path: PathBuf,
    /// Permission bits, without set-uid and the like.
    pub mode: u16,
    /// When it was last changed, in nanoseconds since 1970.
    pub mtime: i64,
    /// What.
    pub kind: Kind,
}

/// What stands at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A directory; its own entries follow.
    Directory,
    /// A symbolic link with this target, taken as it is and never followed.
    Link(PathBuf),
    /// A plain file.
    File {
        /// Its length.
        size: u64,
        /// The SHA-256 of its bytes.
        digest: Digest,
        /// Where they are, in order.
        extents: Vec<Extent>,
    },
}

/// A part of a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Which pack.
    pub pack: u32,
    /// Where in its uncompressed bytes it begins.
    pub offset: u32,
    /// How long it is.
    pub length: u32,
}

/// Why a snapshot was not taken, read or restored.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The manifest is not one.
    #[error("the manifest of the snapshot cannot be used: {0}")]
    Manifest(String),
    /// It holds too much.
    #[error("it has more than {limit} {what}")]
    TooMuch {
        /// The bound.
        limit: u64,
        /// Of what.
        what: &'static str,
    },
    /// A directory cannot be read.
    #[error("failed to read {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// The system's word.
        #[source]
        source: io::Error,
    },
    /// A file cannot be made.
    #[error("failed to restore `{path}`")]
    Write {
        /// Which.
        path: String,
        /// The system's word.
        #[source]
        source: io::Error,
    },
    /// A pattern cannot be used.
    #[error(transparent)]
    Pattern(#[from] crate::pattern::InvalidPattern),
    /// A blob cannot be stored or had.
    #[error(transparent)]
    Store(#[from] ContentError),
}

impl Snapshot {
    /// Reads the manifest `digest` from `store`, trusting nothing of it but its digest.
    ///
    /// # Errors
    /// Fails if it is missing, damaged, or says what cannot be.
    pub fn load(digest: Digest, store: &ContentStore) -> Result<Self, SnapshotError> {
        Self::decode(&store.read(digest, MAX_MANIFEST)?)
    }

    /// Stores the manifest; its digest names the snapshot.
    ///
    /// # Errors
    /// Fails if it cannot be stored.
    pub fn store(&self, store: &ContentStore) -> Result<Digest, SnapshotError> {
        Ok(store.put(&self.encode())?)
    }

    /// Names what the files are, whatever packs they are in and whenever they were made.
    #[must_use]
    pub fn content(&self) -> Digest {
        let mut hasher = Sha256::new();
        for entry in &self.entries {
            hasher.update(entry.content());
        }
        Digest::from_raw(hasher.finalize().into())
    }

    /// Bytes of all files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.entries.iter().map(Entry::size).fold(0, u64::saturating_add)
    }

    /// How many files there are.
    #[must_use]
    pub fn files(&self) -> u64 {
        self.entries.iter().filter(|entry| matches!(entry.kind, Kind::File { .. })).count() as u64
    }

    /// Bytes of all packs as they are stored.
    #[must_use]
    pub fn stored(&self) -> u64 {
        self.packs.iter().map(|pack| u64::from(pack.stored)).sum()
    }

    /// Where two snapshots differ, at most `most` paths.
    #[must_use]
    pub fn differences(&self, other: &Self, most: usize) -> Vec<String> {
        let (mut left, mut right) = (self.entries.iter().peekable(), other.entries.iter().peekable());
        let mut found = Vec::new();
        while found.len() < most {
            let order = match (left.peek(), right.peek()) {
                (None, None) => break,
                (Some(_), None) => std::cmp::Ordering::Less,
                (None, Some(_)) => std::cmp::Ordering::Greater,
                (Some(left), Some(right)) => left.path.as_os_str().cmp(right.path.as_os_str()),
            };
            let (old, new) = match order {
                std::cmp::Ordering::Less => (left.next(), None),
                std::cmp::Ordering::Greater => (None, right.next()),
                std::cmp::Ordering::Equal => (left.next(), right.next()),
            };
            if old.map(Entry::content) != new.map(Entry::content)
                && let Some(entry) = old.or(new)
            {
                found.push(below(&entry.path).display().to_string());
            }
        }
        found
    }

    fn check(&self, limits: Limits) -> Result<(), SnapshotError> {
        if self.entries.len() as u64 > limits.entries {
            return Err(SnapshotError::TooMuch { limit: limits.entries, what: "entries" });
        }
        if self.bytes() > limits.bytes {
            return Err(SnapshotError::TooMuch { limit: limits.bytes, what: "bytes" });
        }
        Ok(())
    }
}

impl Entry {
    /// Its length, for a file.
    #[must_use]
    pub fn size(&self) -> u64 {
        match &self.kind {
            Kind::File { size, .. } => *size,
            Kind::Directory | Kind::Link(_) => 0,
        }
    }

    /// What makes it the same as another: everything but its time and its place in packs.
    fn content(&self) -> [u8; 32] {
        use std::os::unix::ffi::OsStrExt as _;
        let mut hasher = Sha256::new();
        let path = self.path.as_os_str().as_bytes();
        hasher.update((path.len() as u64).to_le_bytes());
        hasher.update(path);
        match &self.kind {
            Kind::Directory => hasher.update(b"d"),
            Kind::Link(target) => {
                hasher.update(b"l");
                hasher.update(target.as_os_str().as_bytes());
            }
            Kind::File { digest, .. } => {
                hasher.update(if self.mode & 0o100 == 0 { b"f" } else { b"x" });
                hasher.update(digest.as_raw());
            }
        }
        hasher.finalize().into()
    }
}

/// A path without its root's name.
fn below(path: &Path) -> &Path {
    let mut components = path.components();
    components.next();
    components.as_path()
}
