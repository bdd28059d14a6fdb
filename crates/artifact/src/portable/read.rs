//! Reads a Run from a file that nobody trusts.
//!
//! No name of the file becomes a path: a member is written under its position. What the manifest does not announce at just
//! that place, with just that length and digest, ends the reading.

use std::fs::File;
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use tar::{Archive, Entry, EntryType};

use super::{
    FORMAT, MANIFEST, MAX_BYTES, MAX_DOCUMENT, MAX_FILE, MAX_MANIFEST, MAX_MEMBERS, Manifest, Member,
    VERSION, What,
};
use crate::verified::{DigestMismatch, VerifiedReader};

/// Why a file was refused. Nothing of it counts then.
#[derive(Debug, thiserror::Error)]
pub enum PortableError {
    /// It is something else.
    #[error("this is not an exported run: {reason}")]
    Other {
        /// What speaks against it.
        reason: String,
    },
    /// Another version wrote it.
    #[error("the file has version {found} of the format, and this Towpath reads version {VERSION}")]
    Version {
        /// Its version.
        found: u64,
    },
    /// The manifest makes no sense.
    #[error("{MANIFEST} is not right")]
    Manifest(#[source] serde_json::Error),
    /// The manifest names what cannot be.
    #[error("{MANIFEST} is not right: {reason}")]
    Promise {
        /// What.
        reason: String,
    },
    /// Something else is where a member belongs.
    #[error("entry {position} is {found}; {MANIFEST} has {expected} there")]
    Place {
        /// Counted from 1, the manifest included.
        position: usize,
        /// What is there.
        found: String,
        /// What belongs there.
        expected: String,
    },
    /// A member is another one than was exported.
    #[error("`{name}` was changed or damaged")]
    Changed {
        /// The member.
        name: String,
        /// The digests.
        #[source]
        source: DigestMismatch,
    },
    /// It is larger than any file that is written.
    #[error("the file holds more than {limit} {what}")]
    TooLarge {
        /// The bound.
        limit: u64,
        /// Of what.
        what: &'static str,
    },
    /// It ends early, or what should be the next entry is none.
    #[error("the file was cut off or damaged before the end of `{name}`")]
    CutOff {
        /// The member.
        name: String,
    },
    /// It does not end where it should.
    #[error("something follows the last member that {MANIFEST} names")]
    Trailing,
    /// It cannot be read.
    #[error("the file cannot be read")]
    Read(#[source] io::Error),
    /// The system refused to write a member.
    #[error("failed to write to {}", directory.display())]
    Write {
        /// Where.
        directory: PathBuf,
        /// The system's word.
        #[source]
        source: io::Error,
    },
}

/// A file whose every byte was checked.
#[derive(Debug, Clone)]
pub struct Opened {
    /// What it says of itself.
    pub manifest: Manifest,
    directory: PathBuf,
}

impl Opened {
    /// The bytes of a member.
    ///
    /// # Errors
    /// When it is gone since.
    pub fn member(&self, member: &Member) -> io::Result<File> {
        let position = self.manifest.members.iter().position(|known| known == member);
        File::open(self.directory.join(position.ok_or(io::ErrorKind::NotFound)?.to_string()))
    }

    /// A document: `run.json` or `evidence.json`.
    ///
    /// # Errors
    /// When there is none.
    pub fn document(&self, what: &What) -> io::Result<Vec<u8>> {
        let member = self.manifest.find(what).ok_or(io::ErrorKind::NotFound)?;
        let mut bytes = Vec::new();
        self.member(member)?.read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

/// Reads a whole file and writes its members into `directory`, which exists and is empty. What was written before an error
/// is for the caller to remove.
///
/// # Errors
/// At the first thing that is not as it must be.
pub fn open(reader: impl Read, directory: &Path) -> Result<Opened, PortableError> {
    let mut archive = Archive::new(reader.take(MAX_FILE + 1));
    let manifest = {
        let mut entries = archive.entries().map_err(PortableError::Read)?.raw(true);
        let first = entries.next().ok_or_else(|| other("it is empty"))?;
        let manifest = manifest(first.map_err(|_| other("it is no tar, or its beginning is damaged"))?)?;
        for (index, member) in manifest.members.iter().enumerate() {
            let cut_off = || PortableError::CutOff { name: member.name.clone() };
            let entry = entries.next().ok_or_else(cut_off)?;
            let entry = entry.map_err(|error| read_failed(error, &member.name))?;
            keep(entry, index, member, directory)?;
        }
        // An archive may end with zeros only.
        match entries.next() {
            None => {}
            Some(_) => return Err(PortableError::Trailing),
        }
        manifest
    };
    end(archive.into_inner())?;
    Ok(Opened { manifest, directory: directory.to_owned() })
}

pub(super) fn other(reason: impl Into<String>) -> PortableError {
    PortableError::Other { reason: reason.into() }
}

fn read_failed(error: io::Error, name: &str) -> PortableError {
    match error.kind() {
        // What the tar reader says of a header or of padding that is not there has no kind of its own.
        io::ErrorKind::UnexpectedEof | io::ErrorKind::Other => {
            PortableError::CutOff { name: name.to_owned() }
        }
        _ => PortableError::Read(error),
    }
}

/// What is read of the manifest before anything else is believed.
#[derive(Deserialize)]
struct Kind {
    format: String,
    version: u64,
}

pub(super) fn manifest<R: Read>(mut entry: Entry<'_, R>) -> Result<Manifest, PortableError> {
    let name = shown(&entry.path_bytes());
    if name != MANIFEST || entry.header().entry_type() != EntryType::Regular {
        return Err(other(format!("it begins with `{name}`, not with `{MANIFEST}`")));
    }
    if entry.size() > MAX_MANIFEST {
        return Err(PortableError::TooLarge { limit: MAX_MANIFEST, what: "bytes of manifest" });
    }
    let size = entry.size();
    let mut text = Vec::new();
    entry.read_to_end(&mut text).map_err(|error| read_failed(error, MANIFEST))?;
    if (text.len() as u64) < size {
        return Err(PortableError::CutOff { name: MANIFEST.to_owned() });
    }
    let Kind { format, version } = serde_json::from_slice(&text).map_err(PortableError::Manifest)?;
    if format != FORMAT {
        return Err(other(format!("its format is `{}`, not `{FORMAT}`", shown(format.as_bytes()))));
    }
    if version != u64::from(VERSION) {
        return Err(PortableError::Version { found: version });
    }
    let manifest: Manifest = serde_json::from_slice(&text).map_err(PortableError::Manifest)?;
    possible(&manifest)?;
    Ok(manifest)
}

/// Refuses what cannot be before a byte of it is read.
fn possible(manifest: &Manifest) -> Result<(), PortableError> {
    let promise = |reason: String| Err(PortableError::Promise { reason });
    let Manifest { members, left_out, .. } = manifest;
    if members.len() > MAX_MEMBERS || left_out.len() > MAX_MEMBERS {
        return Err(PortableError::TooLarge { limit: MAX_MEMBERS as u64, what: "members" });
    }
    let bytes = members.iter().fold(0_u64, |bytes, member| bytes.saturating_add(member.bytes));
    if bytes > MAX_BYTES {
        return Err(PortableError::TooLarge { limit: MAX_BYTES, what: "bytes" });
    }
    for (index, member) in members.iter().enumerate() {
        if members[..index].iter().any(|earlier| earlier.what == member.what) {
            return promise(format!("it has `{}` twice", shown(member.name.as_bytes())));
        }
        let document = matches!(member.what, What::Run | What::Evidence);
        if document && member.bytes > MAX_DOCUMENT {
            return Err(PortableError::TooLarge { limit: MAX_DOCUMENT, what: "bytes in one document" });
        }
    }
    match members.first() {
        Some(member) if member.what == What::Run => Ok(()),
        _ => promise("the run itself is not its first member".to_owned()),
    }
}

/// Refuses an entry that is not the member which belongs there.
pub(super) fn expect<R: Read>(
    entry: &Entry<'_, R>,
    index: usize,
    member: &Member,
) -> Result<(), PortableError> {
    let name = entry.path_bytes();
    let plain = entry.header().entry_type() == EntryType::Regular;
    if *name == *member.name.as_bytes() && plain && entry.size() == member.bytes {
        return Ok(());
    }
    let kind = if plain { "" } else { ", which is no plain file," };
    Err(PortableError::Place {
        position: index + 2,
        found: format!("`{}`{kind} with {} bytes", shown(&name), entry.size()),
        expected: format!("`{}` with {} bytes", shown(member.name.as_bytes()), member.bytes),
    })
}

fn keep<R: Read>(
    mut entry: Entry<'_, R>,
    index: usize,
    member: &Member,
    directory: &Path,
) -> Result<(), PortableError> {
    expect(&entry, index, member)?;
    let written = |source| PortableError::Write { directory: directory.to_owned(), source };
    let mut file = File::options()
        .write(true)
        .create_new(true)
        .open(directory.join(index.to_string()))
        .map_err(written)?;
    let mut reader = VerifiedReader::new(&mut entry, member.digest);
    let (mut buffer, mut left) = (vec![0; 64 * 1024], member.bytes);
    loop {
        // Not `io::copy`, which does not tell a damaged file from a full disk.
        let count = match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            // What was cut off has another digest too; which of both it is makes a difference to whoever looks for it.
            Err(_) if left > 0 => return Err(PortableError::CutOff { name: member.name.clone() }),
            Err(error) => return Err(changed(error, member)),
        };
        left = left.saturating_sub(count as u64);
        file.write_all(&buffer[..count]).map_err(written)?;
    }
    if left > 0 { Err(PortableError::CutOff { name: member.name.clone() }) } else { Ok(()) }
}

fn changed(error: io::Error, member: &Member) -> PortableError {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<DigestMismatch>()) {
        Some(mismatch) => PortableError::Changed { name: member.name.clone(), source: mismatch.clone() },
        None => read_failed(error, &member.name),
    }
}

/// Reads to the end of the file: padding may be there, and nothing else.
fn end(mut rest: io::Take<impl Read>) -> Result<(), PortableError> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match rest.read(&mut buffer) {
            Ok(0) if rest.limit() == 0 => {
                return Err(PortableError::TooLarge { limit: MAX_FILE, what: "bytes" });
            }
            Ok(0) => return Ok(()),
            Ok(count) if buffer[..count].iter().all(|byte| *byte == 0) => {}
            Ok(_) => return Err(PortableError::Trailing),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(PortableError::Read(error)),
        }
    }
}

/// A name for a message: short, and without what steers a terminal.
fn shown(name: &[u8]) -> String {
    let harmless = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    String::from_utf8_lossy(name).chars().take(100).map(harmless).collect()
}
