//! Source trees as deterministic tars: of a commit, and of a working directory.
//!
//! A commit is read object by object and not with `git archive`, which attributes in the commit can
//! change. Submodules become empty directories, symbolic links stay links, and of permissions only
//! the execute bit counts.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Component, Path, PathBuf};

use tar::Builder;
use towpath_model::Digest;

use crate::beneath::Executable;
use crate::commit::CommitId;
use crate::content::{ContentError, ContentStore};
use crate::extract::{self, ExtractError, Extracted, Limits, Symlinks};
use crate::git::{self, GitError, Objects};
use crate::pack::{append_directory, append_file, append_link};
use crate::select;

/// The longest target of a symbolic link.
const MAX_TARGET: u64 = 4096;

/// Why a source tree was not read.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// Git gave no answer.
    #[error("failed to read the repository")]
    Git(#[from] GitError),
    /// A path that must not be made anywhere.
    #[error("the tree has the path `{path}`, which {reason}")]
    Path {
        /// The path.
        path: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Larger than allowed.
    #[error("the tree has more than {limit} {what}")]
    TooMuch {
        /// The bound.
        limit: u64,
        /// Of what.
        what: &'static str,
    },
    /// A file of the working directory cannot be read.
    #[error("failed to read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's word.
        #[source]
        source: io::Error,
    },
    /// The tar cannot be written, or git broke off.
    #[error("failed to write the source tree, at `{path}`")]
    Write {
        /// Where it failed.
        path: String,
        /// The system's word.
        #[source]
        source: io::Error,
    },
    /// The tar cannot be stored.
    #[error("failed to store the source tree")]
    Store(#[from] ContentError),
}

/// Writes the tree of `commit` in the bare repository `repository` as an uncompressed tar.
///
/// The same commit gives the same bytes everywhere.
///
/// # Errors
/// Fails if there is no such commit, the tree is larger than `limits`, or a path in it leads elsewhere.
pub fn commit_tree(
    repository: &Path,
    commit: &CommitId,
    limits: Limits,
    out: impl Write,
) -> Result<Extracted, TreeError> {
    let listing = git::list_tree(repository, commit)?;
    let mut objects = Objects::open(repository)?;
    let mut tar = Tar::new(out, limits);
    for line in listing.split(|byte| *byte == 0).filter(|line| !line.is_empty()) {
        let entry = TreeEntry::parse(line).ok_or(GitError::Answer { command: "ls-tree" })?;
        check_path(&entry.path)?;
        match entry.mode {
            "160000" => tar.directory(&entry.path)?,
            "120000" => {
                let target = read_target(&mut objects, &entry)?;
                tar.link(&entry.path, Path::new(OsStr::from_bytes(&target)))?;
            }
            "100644" | "100664" => copy_blob(&mut objects, &entry, Executable::No, &mut tar)?,
            "100755" => copy_blob(&mut objects, &entry, Executable::Yes, &mut tar)?,
            _ => return Err(refuse(&entry.path, "is of a kind that git does not have")),
        }
    }
    tar.finish()
}

/// Stores the tree of `commit` and gives the digest of its tar.
///
/// # Errors
/// Fails as [`commit_tree`] does, or if the tar cannot be stored; nothing is left behind then.
pub fn store_commit_tree(
    repository: &Path,
    commit: &CommitId,
    limits: Limits,
    store: &ContentStore,
) -> Result<Digest, TreeError> {
    // The limits bound files; the headers of their entries come on top.
    let mut writer = store.writer(u64::MAX)?;
    commit_tree(repository, commit, limits, &mut writer)?;
    Ok(writer.finish(None)?)
}

/// Writes the tracked and the not ignored files below `directory` as an uncompressed tar.
///
/// Outside of a git repository these are all files. Sockets, pipes and devices are left out.
///
/// # Errors
/// Fails if a file cannot be read or the tree is larger than `limits`.
pub fn worktree_tar(directory: &Path, limits: Limits, out: impl Write) -> Result<Extracted, TreeError> {
    let mut tar = Tar::new(out, limits);
    for path in worktree_paths(directory, limits)? {
        check_path(&path)?;
        let full = directory.join(&path);
        let metadata = match fs::symlink_metadata(&full) {
            Ok(metadata) => metadata,
            // Tracked, and deleted in the working directory.
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                continue;
            }
            Err(source) => return Err(TreeError::Read { path: full, source }),
        };
        if metadata.is_dir() {
            // A submodule, or a repository within this one: not a part of this tree.
            tar.directory(&path)?;
        } else if metadata.is_symlink() {
            let target = fs::read_link(&full).map_err(|source| TreeError::Read { path: full, source })?;
            tar.link(&path, &target)?;
        } else if metadata.is_file() {
            let file = fs::File::open(&full).map_err(|source| TreeError::Read { path: full, source })?;
            tar.file(&path, select::executable(&metadata), metadata.len(), file)?;
        }
    }
    tar.finish()
}

/// Unpacks a source tree into the existing directory `into`.
///
/// Links are made as they are, and never written through. Wrap the reader in a
/// [`VerifiedReader`](crate::VerifiedReader), and drain that afterwards.
///
/// # Errors
/// Fails at the first thing that is refused; the caller removes what was made before.
pub fn extract_tree(tar: impl Read, into: &Path, limits: Limits) -> Result<Extracted, ExtractError> {
    extract::extract(tar, into, limits, Symlinks::Verbatim)
}

struct TreeEntry<'a> {
    mode: &'a str,
    object: &'a str,
    path: PathBuf,
}

impl<'a> TreeEntry<'a> {
    /// `<mode> SP <type> SP <object> TAB <path>`
    fn parse(line: &'a [u8]) -> Option<Self> {
        let tab = line.iter().position(|byte| *byte == b'\t')?;
        let mut words = std::str::from_utf8(&line[..tab]).ok()?.split(' ');
        let (mode, _kind, object) = (words.next()?, words.next()?, words.next()?);
        let path = PathBuf::from(OsString::from_vec(line[tab + 1..].to_vec()));
        Some(Self { mode, object, path })
    }
}

fn read_target(objects: &mut Objects, entry: &TreeEntry<'_>) -> Result<Vec<u8>, TreeError> {
    let size = objects.ask(entry.object)?;
    if size > MAX_TARGET {
        return Err(refuse(&entry.path, "is a link with a target that is too long"));
    }
    let mut target = Vec::new();
    objects.content(size).read_to_end(&mut target).map_err(|source| write_failed(&entry.path, source))?;
    objects.close()?;
    Ok(target)
}

fn copy_blob(
    objects: &mut Objects,
    entry: &TreeEntry<'_>,
    executable: Executable,
    tar: &mut Tar<impl Write>,
) -> Result<(), TreeError> {
    let size = objects.ask(entry.object)?;
    tar.file(&entry.path, executable, size, objects.content(size))?;
    Ok(objects.close()?)
}

/// A tar under construction that knows its bounds.
struct Tar<W: Write> {
    builder: Builder<W>,
    limits: Limits,
    done: Extracted,
}

impl<W: Write> Tar<W> {
    fn new(out: W, limits: Limits) -> Self {
        Self { builder: Builder::new(out), limits, done: Extracted::default() }
    }

    fn count(&mut self, bytes: u64) -> Result<(), TreeError> {
        self.done.entries += 1;
        self.done.bytes = self.done.bytes.saturating_add(bytes);
        if self.done.entries > self.limits.entries {
            return Err(TreeError::TooMuch { limit: self.limits.entries, what: "entries" });
        }
        if self.done.bytes > self.limits.bytes {
            return Err(TreeError::TooMuch { limit: self.limits.bytes, what: "bytes" });
        }
        Ok(())
    }

    fn directory(&mut self, path: &Path) -> Result<(), TreeError> {
        self.count(0)?;
        append_directory(&mut self.builder, path).map_err(|source| write_failed(path, source))
    }

    fn link(&mut self, path: &Path, target: &Path) -> Result<(), TreeError> {
        self.count(0)?;
        append_link(&mut self.builder, path, target).map_err(|source| write_failed(path, source))
    }

    fn file(
        &mut self,
        path: &Path,
        executable: Executable,
        size: u64,
        bytes: impl Read,
    ) -> Result<(), TreeError> {
        self.count(size)?;
        append_file(&mut self.builder, path, executable, size, bytes)
            .map_err(|source| write_failed(path, source))
    }

    fn finish(self) -> Result<Extracted, TreeError> {
        let flushed = self.builder.into_inner().and_then(|mut out| out.flush());
        flushed.map_err(|source| write_failed(Path::new("the end"), source))?;
        Ok(self.done)
    }
}

fn refuse(path: &Path, reason: &'static str) -> TreeError {
    TreeError::Path { path: path.display().to_string(), reason }
}

fn write_failed(path: &Path, source: io::Error) -> TreeError {
    TreeError::Write { path: path.display().to_string(), source }
}

fn check_path(path: &Path) -> Result<(), TreeError> {
    for component in path.components() {
        match component {
            Component::Normal(name) if name.eq_ignore_ascii_case(".git") => {
                return Err(refuse(path, "would be taken for a repository's own files"));
            }
            Component::Normal(_) => {}
            _ => return Err(refuse(path, "leads out of the tree")),
        }
    }
    Ok(())
}

fn worktree_paths(directory: &Path, limits: Limits) -> Result<BTreeSet<PathBuf>, TreeError> {
    match git::list_worktree(directory) {
        Ok(listing) => {
            let paths = listing.split(|byte| *byte == 0).filter(|path| !path.is_empty());
            Ok(paths.map(|path| PathBuf::from(OsString::from_vec(path.to_vec()))).collect())
        }
        Err(GitError::Missing) => walk(directory, limits),
        Err(GitError::Refused { complaint, .. }) if complaint.contains("not a git repository") => {
            walk(directory, limits)
        }
        Err(error) => Err(error.into()),
    }
}

fn walk(directory: &Path, limits: Limits) -> Result<BTreeSet<PathBuf>, TreeError> {
    let mut found = BTreeSet::new();
    let mut pending = vec![PathBuf::new()];
    while let Some(relative) = pending.pop() {
        let full = directory.join(&relative);
        let failed = |source| TreeError::Read { path: full.clone(), source };
        for entry in fs::read_dir(&full).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let path = relative.join(entry.file_name());
            if entry.file_type().map_err(failed)?.is_dir() {
                pending.push(path);
            } else {
                found.insert(path);
            }
        }
        if found.len() as u64 + pending.len() as u64 > limits.entries {
            return Err(TreeError::TooMuch { limit: limits.entries, what: "entries" });
        }
    }
    Ok(found)
}
