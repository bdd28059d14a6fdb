//! The directories in which package managers keep their downloads from Attempt to Attempt, within bounds.
//!
//! One for each Project and class of trust. What a contribution from outside downloads is gone with its Attempt.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// The most bytes of all directories together.
const BYTES: u64 = 20 << 30;

/// The most bytes of one package manager's directory for one Project and class.
const EACH: u64 = 5 << 30;

/// A directory that no Attempt used for so long goes.
const AGE: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// The most names that are looked at to add up one directory; one with more is over the bound.
const MAX_NAMES: usize = 2_000_000;

/// Holds a directory of downloads: as long as this is alive, nothing of it is removed.
#[derive(Debug)]
pub(super) struct InUse {
    _lock: File,
}

/// Makes a directory of downloads ready for an Attempt.
pub(super) fn hold(directory: &Path) -> io::Result<InUse> {
    fs::create_dir_all(directory)?;
    let lock = File::options().create(true).append(true).open(in_use(directory))?;
    lock.lock_shared()?;
    lock.set_modified(SystemTime::now())?;
    Ok(InUse { _lock: lock })
}

/// The file that says a directory is in use, by a lock, and when it was used last, by its time. It lies beside the
/// directory, where no Step can hold it.
fn in_use(directory: &Path) -> PathBuf {
    let name = directory.file_name().unwrap_or_default().to_string_lossy();
    directory.with_file_name(format!(".{name}.in-use"))
}

/// A package manager's directory: half of one would be broken, so it goes whole or not at all.
struct Found {
    used: SystemTime,
    bytes: u64,
    path: PathBuf,
    /// That of the Project and class.
    above: PathBuf,
}

/// Removes what is too old or too large, and the longest unused while there is too much. Says how many bytes went.
pub(super) fn prune(root: &Path, now: SystemTime) -> io::Result<u64> {
    prune_to(root, now, BYTES, EACH)
}

fn prune_to(root: &Path, now: SystemTime, most: u64, each: u64) -> io::Result<u64> {
    let mut found = Vec::new();
    for project in directories(root)? {
        for class in directories(&project)? {
            let used = fs::metadata(in_use(&class)).and_then(|file| file.modified());
            let used = used.or_else(|_| fs::metadata(&class)?.modified())?;
            for path in directories(&class)? {
                found.push(Found { used, bytes: size(&path), path, above: class.clone() });
            }
        }
    }
    found.sort_by_key(|found| found.used);
    let mut total: u64 = found.iter().map(|found| found.bytes).sum();
    let mut gone = 0;
    for Found { used, bytes, path, above } in found {
        let old = now.duration_since(used).is_ok_and(|age| age > AGE);
        if (old || bytes > each || total > most) && remove_unused(&path, &above)? {
            total -= bytes;
            gone += bytes;
        }
    }
    Ok(gone)
}

/// Removes a directory unless an Attempt may be using it. It is moved aside first: nobody ever meets half of it.
fn remove_unused(path: &Path, above: &Path) -> io::Result<bool> {
    let lock = File::options().create(true).append(true).open(in_use(above))?;
    if lock.try_lock().is_err() {
        return Ok(false);
    }
    let aside = above.join(format!(".removed-{}", uuid::Uuid::new_v4()));
    fs::rename(path, &aside)?;
    drop(lock);
    fs::remove_dir_all(aside).map(|()| true)
}

fn directories(path: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            found.push(entry.path());
        }
    }
    Ok(found)
}

/// Adds a directory up; what cannot be read counts as nothing.
fn size(path: &Path) -> u64 {
    let (mut bytes, mut names, mut pending) = (0_u64, 0, vec![path.to_owned()]);
    while let Some(directory) = pending.pop() {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            names += 1;
            match entry.metadata() {
                Ok(metadata) if metadata.is_dir() => pending.push(entry.path()),
                Ok(metadata) => bytes = bytes.saturating_add(metadata.len()),
                Err(_) => {}
            }
        }
        if names > MAX_NAMES {
            return u64::MAX / 1024;
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(root: &Path, class: &str, tool: &str, bytes: u64) -> PathBuf {
        let path = root.join("shop").join(class).join(tool);
        fs::create_dir_all(&path).unwrap();
        File::create(path.join("blob")).unwrap().set_len(bytes).unwrap();
        path
    }

    #[test]
    fn removes_whole_directories_of_what_is_unused_longest_and_never_those_in_use() {
        let root = tempfile::tempdir().unwrap();
        let now = SystemTime::now();
        let cargo = fill(root.path(), "protected", "cargo", 100);
        let npm = fill(root.path(), "internal", "npm", 100);
        let held = hold(cargo.parent().unwrap()).unwrap();
        let later = hold(npm.parent().unwrap()).unwrap();
        // Over the bound, but both in use.
        assert_eq!(prune_to(root.path(), now, 150, 1000).unwrap(), 0);
        drop(later);
        assert_eq!(prune_to(root.path(), now, 150, 1000).unwrap(), 100);
        assert!(cargo.join("blob").exists() && !npm.exists());
        drop(held);
        assert_eq!(prune_to(root.path(), now, 1000, 1000).unwrap(), 0);
        assert_eq!(prune_to(root.path(), now, 1000, 99).unwrap(), 100);
        let go = fill(root.path(), "protected", "go", 1);
        assert_eq!(prune_to(root.path(), now + AGE + Duration::from_secs(60), 1000, 1000).unwrap(), 1);
        assert!(!go.exists());
    }
}
