//! Writes a Run as one file.

use std::fs::File;
use std::io::{self, BufWriter, Read, Seek as _, SeekFrom, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use tar::{Builder, EntryType, Header};

use super::{FORMAT, MANIFEST, MAX_BYTES, MAX_MEMBERS, Manifest, Member, VERSION, What};
use crate::verified::describe;

/// Where a file comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The version of the Towpath that writes it.
    pub towpath: String,
    /// The address of the server.
    pub instance: String,
    /// When.
    pub exported_at: Timestamp,
    /// Who.
    pub exported_by: String,
    /// The Project.
    pub project: String,
    /// The Run's number.
    pub run: u64,
}

/// Collects members: the manifest comes first in the file, and their digests are known last.
#[derive(Debug)]
pub struct Writer {
    directory: PathBuf,
    spool: File,
    pub(super) bytes: u64,
    members: Vec<Member>,
    left_out: Vec<String>,
}

impl Writer {
    /// Begins; members wait in a file without a name in `directory`.
    ///
    /// # Errors
    /// When no file can be made there.
    pub fn new(directory: &Path) -> io::Result<Self> {
        let spool = tempfile::tempfile_in(directory)?;
        Ok(Self {
            directory: directory.to_owned(),
            spool,
            bytes: 0,
            members: Vec::new(),
            left_out: Vec::new(),
        })
    }

    /// How many bytes still fit in; none once there are too many members.
    #[must_use]
    pub fn room(&self) -> u64 {
        if self.members.len() < MAX_MEMBERS { MAX_BYTES.saturating_sub(self.bytes) } else { 0 }
    }

    /// Whether it was added before.
    #[must_use]
    pub fn has(&self, what: &What) -> bool {
        self.members.iter().any(|member| member.what == *what)
    }

    /// Says that something did not fit in.
    pub fn leave_out(&mut self, what: String) {
        // A list with an end: whoever reads it has seen by then that much is missing.
        if self.left_out.len() < MAX_MEMBERS {
            self.left_out.push(what);
        }
    }

    /// Adds a member of at most [`Writer::room`] bytes.
    ///
    /// # Errors
    /// When reading or writing fails, or it does not fit in.
    pub fn add(&mut self, what: What, reader: &mut dyn Read) -> io::Result<()> {
        let start = self.bytes;
        let mut bounded = reader.take(self.room().saturating_add(1));
        let count = io::copy(&mut bounded, &mut self.spool)?;
        if count > self.room() || self.members.len() >= MAX_MEMBERS {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it does not fit into the file"));
        }
        self.spool.seek(SeekFrom::Start(start))?;
        let described = describe(&mut (&self.spool).take(count))?;
        self.bytes += count;
        let name = what.name(self.members.len());
        self.members.push(Member { name, bytes: count, digest: described.digest, what });
        Ok(())
    }

    /// Writes the file, which has no name yet either, and returns it at its beginning.
    ///
    /// # Errors
    /// When writing fails.
    pub fn finish(self, head: Head) -> io::Result<File> {
        let Self { directory, mut spool, bytes: _, members, left_out } = self;
        let Head { towpath, instance, exported_at, exported_by, project, run } = head;
        let manifest = Manifest {
            format: FORMAT.to_owned(),
            version: VERSION,
            towpath,
            instance,
            exported_at,
            exported_by,
            project,
            run,
            members,
            left_out,
        };
        let text = serde_json::to_vec_pretty(&manifest)?;
        let mut tar = Builder::new(BufWriter::new(tempfile::tempfile_in(directory)?));
        let at = u64::try_from(exported_at.as_second()).unwrap_or(0);
        append(&mut tar, MANIFEST, text.len() as u64, at, &mut text.as_slice())?;
        spool.seek(SeekFrom::Start(0))?;
        for member in &manifest.members {
            append(&mut tar, &member.name, member.bytes, at, &mut (&spool).take(member.bytes))?;
        }
        let mut file = tar.into_inner()?.into_inner()?;
        file.seek(SeekFrom::Start(0))?;
        Ok(file)
    }
}

fn append<W: Write>(
    tar: &mut Builder<W>,
    name: &str,
    bytes: u64,
    at: u64,
    reader: &mut dyn Read,
) -> io::Result<()> {
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::Regular);
    header.set_path(name)?;
    header.set_mode(0o644);
    header.set_size(bytes);
    header.set_mtime(at);
    header.set_cksum();
    tar.append(&header, reader)
}
