//! Keeps the agent's blobs within bounds: everything in them can be fetched again.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Blobs may take so much together.
const BYTES: u64 = 10 << 30;

/// A blob that was not stored anew for so long goes.
const AGE: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// A younger blob stays: an Attempt that begins may be about to read it.
const FRESH: Duration = Duration::from_secs(60 * 60);

/// How often it is looked at.
pub(super) const EVERY: Duration = Duration::from_secs(60 * 60);

/// Removes old blobs below `root`, and the oldest while there are too many bytes.
///
/// Returns how many were removed.
pub(super) fn prune(root: &Path, now: SystemTime) -> io::Result<usize> {
    prune_to(&root.join("blobs/sha256"), now, BYTES, FRESH)
}

/// Removes what is too old, and the oldest while there are more than `bytes`, but nothing younger than `fresh`.
pub(crate) fn prune_to(blobs: &Path, now: SystemTime, bytes: u64, fresh: Duration) -> io::Result<usize> {
    let mut found: Vec<(Duration, u64, PathBuf)> = Vec::new();
    for entry in fs::read_dir(blobs)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        let age = now.duration_since(metadata.modified()?).unwrap_or_default();
        found.push((age, metadata.len(), entry.path()));
    }
    // The oldest first.
    found.sort_by(|left, right| right.cmp(left));
    let mut total: u64 = found.iter().map(|(_, length, _)| length).sum();
    let mut removed = 0;
    for (age, length, path) in found {
        if age > AGE || (total > bytes && age > fresh) {
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            total -= length;
            removed += 1;
        }
    }
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn removes_the_oldest_and_keeps_the_fresh() {
        let blobs = tempfile::tempdir().unwrap();
        let now = SystemTime::now();
        for (name, age) in
            [("ancient", AGE + EVERY), ("old", 3 * FRESH), ("newer", 2 * FRESH), ("fresh", FRESH / 2)]
        {
            let file = fs::File::create(blobs.path().join(name)).unwrap();
            file.set_len(100).unwrap();
            file.set_modified(now - age).unwrap();
        }
        assert_eq!(prune_to(blobs.path(), now, 200, FRESH).unwrap(), 2);
        assert!(blobs.path().join("newer").exists() && blobs.path().join("fresh").exists());
        assert_eq!(prune_to(blobs.path(), now, 0, FRESH).unwrap(), 1);
        assert!(blobs.path().join("fresh").exists());
    }
}
