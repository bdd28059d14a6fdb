//! The files that each local Job gets a copy of.

use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

/// Why a source tree could not be copied.
#[derive(Debug, thiserror::Error)]
pub enum CloneError {
    /// `git ls-files` failed.
    #[error("`git ls-files` failed in {}: {message}", directory.display())]
    Git {
        /// Where.
        directory: PathBuf,
        /// What it said.
        message: String,
    },
    /// A file could not be copied.
    #[error("failed to copy {}", path.display())]
    Copy {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// The files of a source tree that Jobs get: tracked ones and those that git does not ignore.
///
/// Listed once, however many Jobs there are. Outside of a git repository it is every file.
#[derive(Debug)]
pub struct SourceTree {
    root: PathBuf,
    files: Vec<PathBuf>,
    umask: Option<u32>,
}

impl SourceTree {
    /// Lists the files below `root`.
    ///
    /// # Errors
    ///
    /// Fails where git fails, or a directory cannot be read.
    pub fn list(root: &Path) -> Result<Self, CloneError> {
        let failed = |source| CloneError::Copy { path: root.to_owned(), source };
        let files = if in_git(root) { listed_by_git(root)? } else { walk(root).map_err(failed)? };
        Ok(Self { root: root.to_owned(), files, umask: umask() })
    }

    /// Copies them into the new directory `target`, as they are now.
    ///
    /// Where the file system can share blocks (btrfs, XFS), no data is copied. A file that has
    /// gone since it was listed is left out.
    ///
    /// # Errors
    ///
    /// See [`CloneError`].
    pub fn copy_into(&self, target: &Path) -> Result<(), CloneError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| CloneError::Copy { path, source }
        };
        std::fs::create_dir_all(target).map_err(failed(target))?;
        let mut made = Path::new("");
        for file in &self.files {
            let parent = file.parent().unwrap_or(made);
            // Neighbours mostly follow each other, so most files ask for no directory.
            if parent != made {
                std::fs::create_dir_all(target.join(parent)).map_err(failed(parent))?;
                made = parent;
            }
            let from = self.root.join(file);
            match self.copy(&from, &target.join(file)) {
                Err(_) if from.symlink_metadata().is_err() => {}
                copied => copied.map_err(failed(file))?,
            }
        }
        Ok(())
    }

    /// Copies one file with its permissions, or a symbolic link as such.
    fn copy(&self, from: &Path, to: &Path) -> io::Result<()> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let source = match rustix::fs::open(from, flags, Mode::empty()) {
            Ok(source) => File::from(source),
            Err(Errno::LOOP) => return std::os::unix::fs::symlink(std::fs::read_link(from)?, to),
            Err(error) => return Err(error.into()),
        };
        let metadata = source.metadata()?;
        let mode = metadata.mode() & 0o7777;
        let target = File::options().write(true).create(true).truncate(true).mode(mode).open(to)?;
        // The umask took bits away from the new file.
        if self.umask.is_none_or(|umask| mode & umask != 0) {
            target.set_permissions(metadata.permissions())?;
        }
        copy_bytes(&source, &target, metadata.len())
    }
}

/// Copies within the kernel where it can: then blocks may be shared.
fn copy_bytes(source: &File, target: &File, length: u64) -> io::Result<()> {
    let mut left = length;
    while left > 0 {
        let part = usize::try_from(left).unwrap_or(usize::MAX);
        match rustix::fs::copy_file_range(source, None, target, None, part) {
            // It became shorter meanwhile.
            Ok(0) => return Ok(()),
            Ok(copied) => left = left.saturating_sub(copied as u64),
            Err(Errno::INTR) => {}
            // Another file system, or one that cannot: both files stand where the copy has come to.
            Err(_) => return io::copy(&mut &*source, &mut &*target).map(|_bytes| ()),
        }
    }
    Ok(())
}

/// The permissions that new files do not get; `None` where the system does not say.
fn umask() -> Option<u32> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("Umask:"))?;
    u32::from_str_radix(line.trim(), 8).ok()
}

fn in_git(directory: &Path) -> bool {
    directory.ancestors().any(|above| above.join(".git").exists())
}

fn listed_by_git(source: &Path) -> Result<Vec<PathBuf>, CloneError> {
    let failed = |message: String| CloneError::Git { directory: source.to_owned(), message };
    let output = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(source)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| failed(format!("{error}; is git installed?")))?;
    if !output.status.success() {
        return Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    let names = output.stdout.split(|&byte| byte == 0).filter(|name| !name.is_empty());
    // A tracked file that was deleted in the working tree, and a submodule, have nothing to copy.
    Ok(names
        .map(|name| PathBuf::from(std::ffi::OsStr::from_bytes(name)))
        .filter(|name| std::fs::symlink_metadata(source.join(name)).is_ok_and(|data| !data.is_dir()))
        .collect())
}

fn walk(source: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut open = vec![PathBuf::new()];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(source.join(&directory))? {
            let entry = entry?;
            let name = directory.join(entry.file_name());
            let kind = entry.file_type()?;
            if kind.is_dir() {
                open.push(name);
            } else if kind.is_file() || kind.is_symlink() {
                files.push(name);
            }
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn copies_content_permissions_and_links() {
        let place = tempfile::tempdir().unwrap();
        let (from, to) = (place.path().join("from"), place.path().join("to"));
        std::fs::create_dir_all(from.join("a/b")).unwrap();
        let big = vec![b'x'; 300_000];
        for (name, content, mode) in
            [("a/run", &b"#!/bin/sh"[..], 0o755), ("a/b/big", &big, 0o666), ("empty", b"", 0o400)]
        {
            std::fs::write(from.join(name), content).unwrap();
            std::fs::set_permissions(from.join(name), std::fs::Permissions::from_mode(mode)).unwrap();
        }
        std::os::unix::fs::symlink("nowhere", from.join("a/link")).unwrap();
        let tree = SourceTree::list(&from).unwrap();
        tree.copy_into(&to).unwrap();
        for (name, length, mode) in [("a/run", 9, 0o755), ("a/b/big", 300_000, 0o666), ("empty", 0, 0o400)] {
            let metadata = to.join(name).metadata().unwrap();
            assert_eq!((metadata.len(), metadata.mode() & 0o7777), (length, mode), "{name}");
        }
        assert_eq!(std::fs::read(to.join("a/b/big")).unwrap(), big);
        assert_eq!(std::fs::read_link(to.join("a/link")).unwrap(), Path::new("nowhere"));
        std::fs::remove_file(from.join("empty")).unwrap();
        tree.copy_into(&place.path().join("again")).unwrap();
        assert!(!place.path().join("again/empty").exists());
    }
}
