//! A file of a Run that was checked once and is kept: its members are read where they lie.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use tar::Archive;

use super::read::{self, PortableError};
use super::{MAX_DOCUMENT, Manifest, Member};
use crate::verified::VerifiedReader;

/// An open file of a Run. Each member is checked against its digest again when it is read.
#[derive(Debug)]
pub struct Shelved {
    /// What it says of itself.
    pub manifest: Manifest,
    file: File,
    /// Where the bytes of each member begin.
    offsets: Vec<u64>,
}

impl Shelved {
    /// Finds the members, without reading them.
    ///
    /// # Errors
    /// When it is not the file that [`super::open`] let pass.
    pub fn open(file: File) -> Result<Self, PortableError> {
        let mut archive = Archive::new(&file);
        let mut entries = archive.entries_with_seek().map_err(PortableError::Read)?.raw(true);
        let first = entries.next().ok_or_else(|| read::other("it is empty"))?;
        let manifest = read::manifest(first.map_err(PortableError::Read)?)?;
        let mut offsets = Vec::with_capacity(manifest.members.len());
        for (index, member) in manifest.members.iter().enumerate() {
            let cut_off = || PortableError::CutOff { name: member.name.clone() };
            let entry = entries.next().ok_or_else(cut_off)?.map_err(PortableError::Read)?;
            read::expect(&entry, index, member)?;
            offsets.push(entry.raw_file_position());
        }
        Ok(Self { manifest, file, offsets })
    }

    /// The bytes of a document or log.
    ///
    /// # Errors
    /// When it is none of this file, has more than [`MAX_DOCUMENT`] bytes, or was changed since.
    pub fn read(&self, member: &Member) -> io::Result<Vec<u8>> {
        let position = self.manifest.members.iter().position(|known| known == member);
        let offset = position.and_then(|position| self.offsets.get(position)).copied();
        let offset = offset.ok_or(io::ErrorKind::NotFound)?;
        if member.bytes > MAX_DOCUMENT {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let mut bytes = vec![0; usize::try_from(member.bytes).map_err(io::Error::other)?];
        self.file.read_exact_at(&mut bytes, offset)?;
        VerifiedReader::new(bytes.as_slice(), member.digest).drain()?;
        Ok(bytes)
    }
}
