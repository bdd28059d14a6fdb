//! Takes a tar apart that nobody trusts.
//!
//! Read here is only what [`pack`](mod@crate::pack) and [`tree`](crate::tree) write: plain files,
//! directories, symbolic links, and GNU long names. Anything else (hard links, devices, sparse
//! files, PAX headers, whose disagreement with the plain header has hidden files before) is refused.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io::{self, Read, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use tar::{Archive, Entry, EntryType};

use crate::beneath::{Beneath, Executable};

/// The longest path or link target, as Linux has it.
const MAX_PATH: u64 = 4096;

/// What an archive may unfold to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Files, directories and links together.
    pub entries: u64,
    /// Bytes of all files together.
    pub bytes: u64,
}

impl Default for Limits {
    /// 200,000 entries and 8 GiB: far above any sane artifact, far below what fills a host.
    fn default() -> Self {
        Self { entries: 200_000, bytes: 8 << 30 }
    }
}

/// Which symbolic links may be made. None is ever written through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Symlinks {
    /// Only those that point to a place inside.
    Inside,
    /// All, as a source tree has them.
    Verbatim,
}

/// What was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Extracted {
    /// Files, directories and links.
    pub entries: u64,
    /// Bytes of all files.
    pub bytes: u64,
}

/// Why an archive was refused.
#[derive(Debug, thiserror::Error)]
pub enum ExtractError {
    /// A path that leads elsewhere or cannot be a path.
    #[error("the archive has the path `{path}`, which {reason}")]
    Path {
        /// The path, as far as it can be shown.
        path: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A link that leads elsewhere.
    #[error("the archive has a link `{path}` to `{target}`, which leads out of the directory")]
    Link {
        /// The link.
        path: String,
        /// Where it points.
        target: String,
    },
    /// The same path twice.
    #[error("the archive has `{path}` twice")]
    Duplicate {
        /// The path.
        path: String,
    },
    /// Something that is neither file, directory nor link.
    #[error(
        "the archive has `{path}`, which is {what}; only files, directories and symbolic links are unpacked"
    )]
    Kind {
        /// The path.
        path: String,
        /// What it is.
        what: String,
    },
    /// It unfolds to too much.
    #[error("the archive holds more than {limit} {what}")]
    TooMuch {
        /// The bound.
        limit: u64,
        /// Of what.
        what: &'static str,
    },
    /// The archive is damaged, or ends early.
    #[error("the archive cannot be read")]
    Read(#[source] io::Error),
    /// The system refused to make a file.
    #[error("failed to write `{path}`")]
    Write {
        /// The path.
        path: String,
        /// The system's word.
        #[source]
        source: io::Error,
    },
}

/// Unpacks an uncompressed tar into the existing directory `into`.
///
/// # Errors
/// Fails at the first thing that is refused; what was made before stays, for the caller to remove.
pub fn extract(
    reader: impl Read,
    into: &Path,
    limits: Limits,
    symlinks: Symlinks,
) -> Result<Extracted, ExtractError> {
    let beneath = Beneath::open(into)
        .map_err(|source| ExtractError::Write { path: into.display().to_string(), source })?;
    let mut extraction = Extraction {
        beneath,
        limits,
        symlinks,
        seen: BTreeSet::new(),
        done: Extracted::default(),
        long: Long::default(),
        buffer: vec![0; 64 * 1024],
    };
    let mut archive = Archive::new(reader);
    for entry in archive.entries().map_err(ExtractError::Read)?.raw(true) {
        extraction.entry(entry.map_err(ExtractError::Read)?)?;
    }
    if extraction.long.name.is_some() || extraction.long.target.is_some() {
        return Err(ExtractError::Read(io::ErrorKind::UnexpectedEof.into()));
    }
    Ok(extraction.done)
}

struct Extraction {
    beneath: Beneath,
    limits: Limits,
    symlinks: Symlinks,
    /// Files and links; a directory may be named more than once.
    seen: BTreeSet<PathBuf>,
    done: Extracted,
    long: Long,
    buffer: Vec<u8>,
}

/// GNU headers that belong to the next entry.
#[derive(Default)]
struct Long {
    name: Option<Vec<u8>>,
    target: Option<Vec<u8>>,
}

impl Extraction {
    fn entry<R: Read>(&mut self, mut entry: Entry<'_, R>) -> Result<(), ExtractError> {
        match entry.header().entry_type() {
            EntryType::GNULongName => {
                self.long.name = Some(read_long(&mut entry)?);
                return Ok(());
            }
            EntryType::GNULongLink => {
                self.long.target = Some(read_long(&mut entry)?);
                return Ok(());
            }
            _ => {}
        }
        let Long { name, target } = std::mem::take(&mut self.long);
        let name = name.unwrap_or_else(|| entry.path_bytes().into_owned());
        let Some(path) = clean(&name)? else { return Ok(()) };
        self.count(&entry)?;
        match entry.header().entry_type() {
            EntryType::Directory => {
                self.beneath.create_directory(&path).map_err(|error| write_failed(&path, error))
            }
            EntryType::Regular => self.file(&path, &mut entry),
            EntryType::Symlink => {
                let target = target.or_else(|| entry.link_name_bytes().map(|target| target.into_owned()));
                self.symlink(&path, &target.unwrap_or_default())
            }
            kind => Err(ExtractError::Kind { path: show(&name), what: describe(kind) }),
        }
    }

    /// Counts before anything is written: the header says how long the file is, and no more is read.
    fn count<R: Read>(&mut self, entry: &Entry<'_, R>) -> Result<(), ExtractError> {
        self.done.entries += 1;
        self.done.bytes = self.done.bytes.saturating_add(entry.size());
        if self.done.entries > self.limits.entries {
            return Err(ExtractError::TooMuch { limit: self.limits.entries, what: "entries" });
        }
        if self.done.bytes > self.limits.bytes {
            return Err(ExtractError::TooMuch { limit: self.limits.bytes, what: "bytes" });
        }
        Ok(())
    }

    fn file<R: Read>(&mut self, path: &Path, entry: &mut Entry<'_, R>) -> Result<(), ExtractError> {
        self.first_time(path)?;
        let executable = Executable::from_mode(entry.header().mode().map_err(ExtractError::Read)?);
        let size = entry.size();
        let mut file =
            self.beneath.create_file(path, executable).map_err(|error| write_failed(path, error))?;
        let mut left = size;
        while left > 0 {
            // Not `io::copy`, which does not tell a damaged archive from a full disk.
            let count = match entry.read(&mut self.buffer) {
                Ok(0) => return Err(ExtractError::Read(io::ErrorKind::UnexpectedEof.into())),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(ExtractError::Read(error)),
            };
            file.write_all(&self.buffer[..count]).map_err(|error| write_failed(path, error))?;
            left = left.saturating_sub(count as u64);
        }
        Ok(())
    }

    fn symlink(&mut self, path: &Path, target: &[u8]) -> Result<(), ExtractError> {
        self.first_time(path)?;
        let target = Path::new(OsStr::from_bytes(target));
        let refused =
            || ExtractError::Link { path: path.display().to_string(), target: target.display().to_string() };
        let is_path = !target.as_os_str().is_empty() && !target.as_os_str().as_bytes().contains(&0);
        if !is_path || (self.symlinks == Symlinks::Inside && !stays_inside(path, target)) {
            return Err(refused());
        }
        self.beneath.create_symlink(path, target).map_err(|error| write_failed(path, error))
    }

    fn first_time(&mut self, path: &Path) -> Result<(), ExtractError> {
        if self.seen.insert(path.to_owned()) {
            return Ok(());
        }
        Err(ExtractError::Duplicate { path: path.display().to_string() })
    }
}

fn write_failed(path: &Path, source: io::Error) -> ExtractError {
    ExtractError::Write { path: path.display().to_string(), source }
}

fn read_long<R: Read>(entry: &mut Entry<'_, R>) -> Result<Vec<u8>, ExtractError> {
    if entry.size() > MAX_PATH + 1 {
        return Err(ExtractError::TooMuch { limit: MAX_PATH, what: "bytes in one path" });
    }
    let mut bytes = Vec::new();
    entry.read_to_end(&mut bytes).map_err(ExtractError::Read)?;
    if bytes.last() == Some(&0) {
        bytes.pop();
    }
    Ok(bytes)
}

/// A relative path without `.` and `..`; `None` for the root itself.
fn clean(name: &[u8]) -> Result<Option<PathBuf>, ExtractError> {
    let refuse = |reason| Err(ExtractError::Path { path: show(name), reason });
    if name.contains(&0) {
        return refuse("has a zero byte in it");
    }
    if name.len() as u64 > MAX_PATH {
        return refuse("is too long");
    }
    let mut path = PathBuf::new();
    for component in Path::new(OsStr::from_bytes(name)).components() {
        match component {
            Component::Normal(part) => path.push(part),
            Component::CurDir => {}
            Component::ParentDir => return refuse("leads upwards with `..`"),
            Component::RootDir | Component::Prefix(_) => return refuse("is absolute"),
        }
    }
    Ok(if path.as_os_str().is_empty() { None } else { Some(path) })
}

/// Whether the link `path` to `target` cannot lead out of the root.
///
/// `..` may only come first, and at most as often as the link is deep: the directories of the link
/// are real ones, so the climb ends inside; from there it only descends, through names or through
/// links for which the same holds.
#[must_use]
pub fn stays_inside(path: &Path, target: &Path) -> bool {
    let mut climb_left = path.components().count().saturating_sub(1);
    let mut descending = false;
    for component in target.components() {
        match component {
            Component::Normal(_) => descending = true,
            Component::CurDir => {}
            Component::ParentDir if descending || climb_left == 0 => return false,
            Component::ParentDir => climb_left -= 1,
            Component::RootDir | Component::Prefix(_) => return false,
        }
    }
    true
}

fn describe(kind: EntryType) -> String {
    match kind {
        EntryType::Link => "a hard link".into(),
        EntryType::Char | EntryType::Block => "a device".into(),
        EntryType::Fifo => "a named pipe".into(),
        EntryType::GNUSparse => "a sparse file".into(),
        EntryType::XHeader | EntryType::XGlobalHeader => "a PAX header".into(),
        other => format!("an entry of the unknown type {:#04x}", other.as_byte()),
    }
}

/// A path for a message: not longer than a line or two, and without control characters.
fn show(name: &[u8]) -> String {
    String::from_utf8_lossy(name)
        .chars()
        .take(200)
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}
