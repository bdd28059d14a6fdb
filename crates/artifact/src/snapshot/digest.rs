//! What files are, without storing them: the keys of caches and Steps.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use towpath_model::Digest;

use super::{SnapshotError, expand};
use crate::select::{executable, open_regular};
use crate::verified;

/// The most files that one key may be made of.
const MAX_FILES: usize = 200_000;

/// A file, and the digest of what is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Relative to the root.
    pub path: PathBuf,
    /// Of its bytes, its target, and whether it may be executed.
    pub digest: Digest,
}

/// Looks at every file that `patterns` name below `root`, in the order of their paths. Links are not followed.
///
/// # Errors
/// Fails if a pattern cannot be one, or a file cannot be read.
pub fn look(root: &Path, patterns: &[String]) -> Result<Vec<Seen>, SnapshotError> {
    let mut pending: Vec<PathBuf> = expand(root, patterns)?.into_iter().collect();
    let mut seen = Vec::new();
    while let Some(path) = pending.pop() {
        let full = root.join(&path);
        let read = |source| SnapshotError::Read { path: full.clone(), source };
        let metadata = fs::symlink_metadata(&full).map_err(read)?;
        if metadata.is_dir() {
            for entry in fs::read_dir(&full).map_err(read)? {
                pending.push(path.join(entry.map_err(read)?.file_name()));
            }
            continue;
        }
        let mut hasher = Sha256::new();
        if metadata.is_symlink() {
            hasher.update(b"l");
            hasher.update(fs::read_link(&full).map_err(read)?.as_os_str().as_bytes());
        } else if metadata.is_file() {
            let mut file =
                open_regular(&full).map_err(|error| read(std::io::Error::other(error.to_string())))?;
            let bytes = verified::describe(&mut file).map_err(read)?;
            hasher.update(executable(&metadata).mode().to_le_bytes());
            hasher.update(bytes.digest.as_raw());
        } else {
            continue;
        }
        seen.push(Seen { path, digest: Digest::from_raw(hasher.finalize().into()) });
        if seen.len() > MAX_FILES {
            return Err(SnapshotError::TooMuch { limit: MAX_FILES as u64, what: "files to look at" });
        }
    }
    seen.sort_by(|left, right| left.path.as_os_str().cmp(right.path.as_os_str()));
    seen.dedup();
    Ok(seen)
}

/// One digest of all of them, with their names.
#[must_use]
pub fn together(seen: &[Seen]) -> Digest {
    let mut hasher = Sha256::new();
    for Seen { path, digest } in seen {
        hasher.update((path.as_os_str().len() as u64).to_le_bytes());
        hasher.update(path.as_os_str().as_bytes());
        hasher.update(digest.as_raw());
    }
    Digest::from_raw(hasher.finalize().into())
}
