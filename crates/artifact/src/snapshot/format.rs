//! The bytes of a manifest: zstd over a plain binary form, so that 50,000 entries are read in milliseconds.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Component, Path, PathBuf};

use towpath_model::Digest;

use super::{Entry, Extent, Kind, MAX_MANIFEST, PACK, Pack, Snapshot, SnapshotError};

const MAGIC: &[u8] = b"towpath-snapshot 1\n";

/// The longest path or target, as Linux has it.
const MAX_PATH: usize = 4096;

const DIRECTORY: u8 = 0;
const FILE: u8 = 1;
const LINK: u8 = 2;

impl Snapshot {
    /// The manifest's bytes. The same snapshot gives the same bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut plain = Vec::with_capacity(64 + self.packs.len() * 40 + self.entries.len() * 128);
        plain.extend_from_slice(MAGIC);
        number(&mut plain, self.packs.len());
        for pack in &self.packs {
            plain.extend_from_slice(pack.digest.as_raw());
            plain.extend_from_slice(&pack.stored.to_le_bytes());
            plain.extend_from_slice(&pack.raw.to_le_bytes());
        }
        number(&mut plain, self.entries.len());
        for entry in &self.entries {
            encode_entry(&mut plain, entry);
        }
        zstd::bulk::compress(&plain, 3).expect("memory is compressed into memory of its bound")
    }

    /// Reads a manifest and checks all that its entries and packs say of each other.
    ///
    /// # Errors
    /// Fails at the first thing that cannot be.
    pub fn decode(bytes: &[u8]) -> Result<Self, SnapshotError> {
        let refuse = |what: &str| SnapshotError::Manifest(what.to_owned());
        let decoder = zstd::stream::Decoder::new(bytes).map_err(|error| refuse(&error.to_string()))?;
        let mut plain = Vec::new();
        std::io::Read::read_to_end(&mut std::io::Read::take(decoder, MAX_MANIFEST + 1), &mut plain)
            .map_err(|error| refuse(&error.to_string()))?;
        if plain.len() as u64 > MAX_MANIFEST {
            return Err(SnapshotError::TooMuch { limit: MAX_MANIFEST, what: "bytes of manifest" });
        }
        let mut reader = Reader(plain.strip_prefix(MAGIC).ok_or_else(|| refuse("it is of another kind"))?);
        let snapshot =
            reader.snapshot().ok_or_else(|| refuse("it ends early, or a value is out of range"))?;
        if !reader.0.is_empty() {
            return Err(refuse("something follows its end"));
        }
        snapshot.consistent()?;
        Ok(snapshot)
    }

    /// Checks what the parts say of each other.
    fn consistent(&self) -> Result<(), SnapshotError> {
        let mut last: Option<&Entry> = None;
        for entry in &self.entries {
            let refuse = |what: &str| {
                SnapshotError::Manifest(format!(
                    "`{}` {what}",
                    entry.path.display().to_string().escape_default()
                ))
            };
            if !is_plain(&entry.path) {
                return Err(refuse("is not a path below a directory"));
            }
            if let Some(last) = last {
                if last.path.as_os_str() >= entry.path.as_os_str() {
                    return Err(refuse("is there twice, or out of order"));
                }
                // Sorted by bytes, what is below a file need not follow it at once; restoring refuses
                // that too, since no name on the way may be anything but a directory.
                if entry.path.starts_with(&last.path) && last.kind != Kind::Directory {
                    return Err(refuse("lies below something that is no directory"));
                }
            }
            last = Some(entry);
            let Kind::File { size, extents, .. } = &entry.kind else { continue };
            let fits = |extent: &Extent| {
                let pack = self.packs.get(extent.pack as usize);
                let end = extent.offset.checked_add(extent.length);
                extent.length > 0 && pack.zip(end).is_some_and(|(pack, end)| end <= pack.raw)
            };
            let total: u64 = extents.iter().map(|extent| u64::from(extent.length)).sum();
            if !extents.iter().all(fits) || total != *size {
                return Err(refuse("has bytes that are not in the packs"));
            }
        }
        if self.packs.iter().any(|pack| pack.raw > PACK || u64::from(pack.stored) > 2 * u64::from(PACK)) {
            return Err(SnapshotError::Manifest("a pack is larger than packs are".to_owned()));
        }
        Ok(())
    }
}

/// Whether every part of a path is a plain name, and there is more than the root's.
fn is_plain(path: &Path) -> bool {
    let bytes = path.as_os_str().as_bytes();
    let plain = path.components().all(|part| matches!(part, Component::Normal(_)));
    let exact = path.components().collect::<PathBuf>().as_os_str() == path.as_os_str();
    plain && exact && !bytes.contains(&0) && path.components().count() > 1
}

fn encode_entry(plain: &mut Vec<u8>, entry: &Entry) {
    text(plain, &entry.path);
    plain.extend_from_slice(&entry.mode.to_le_bytes());
    plain.extend_from_slice(&entry.mtime.to_le_bytes());
    match &entry.kind {
        Kind::Directory => plain.push(DIRECTORY),
        Kind::Link(target) => {
            plain.push(LINK);
            text(plain, target);
        }
        Kind::File { size, digest, extents } => {
            plain.push(FILE);
            plain.extend_from_slice(&size.to_le_bytes());
            plain.extend_from_slice(digest.as_raw());
            number(plain, extents.len());
            for Extent { pack, offset, length } in extents {
                for value in [pack, offset, length] {
                    plain.extend_from_slice(&value.to_le_bytes());
                }
            }
        }
    }
}

fn number(plain: &mut Vec<u8>, value: usize) {
    plain.extend_from_slice(&u32::try_from(value).unwrap_or(u32::MAX).to_le_bytes());
}

fn text(plain: &mut Vec<u8>, path: &Path) {
    let bytes = path.as_os_str().as_bytes();
    plain.extend_from_slice(&u16::try_from(bytes.len()).unwrap_or(u16::MAX).to_le_bytes());
    plain.extend_from_slice(bytes);
}

/// What is left to be read. Every answer is `None` where the bytes end too early.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn snapshot(&mut self) -> Option<Snapshot> {
        let packs = self.list(40, Self::pack)?;
        let entries = self.list(13, Self::entry)?;
        Some(Snapshot { packs, entries })
    }

    fn pack(&mut self) -> Option<Pack> {
        Some(Pack { digest: self.digest()?, stored: self.u32()?, raw: self.u32()? })
    }

    fn entry(&mut self) -> Option<Entry> {
        let path = self.path()?;
        let mode = u16::from_le_bytes(self.bytes()?);
        let mtime = i64::from_le_bytes(self.bytes()?);
        let kind = match u8::from_le_bytes(self.bytes()?) {
            DIRECTORY => Kind::Directory,
            LINK => Kind::Link(self.path()?),
            FILE => Kind::File {
                size: u64::from_le_bytes(self.bytes()?),
                digest: self.digest()?,
                extents: self.list(12, Self::extent)?,
            },
            _ => return None,
        };
        (mode <= 0o777).then_some(Entry { path, mode, mtime, kind })
    }

    fn extent(&mut self) -> Option<Extent> {
        Some(Extent { pack: self.u32()?, offset: self.u32()?, length: self.u32()? })
    }

    /// A list whose items take at least `least` bytes each, so that no count asks for more memory than came.
    fn list<T>(&mut self, least: usize, read: impl Fn(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let count = self.u32()? as usize;
        if count.checked_mul(least)? > self.0.len() {
            return None;
        }
        (0..count).map(|_| read(self)).collect()
    }

    fn path(&mut self) -> Option<PathBuf> {
        let length = usize::from(u16::from_le_bytes(self.bytes()?));
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        let fits = !bytes.is_empty() && bytes.len() <= MAX_PATH && !bytes.contains(&0);
        fits.then(|| PathBuf::from(OsString::from_vec(bytes.to_vec())))
    }

    fn digest(&mut self) -> Option<Digest> {
        self.bytes().map(Digest::from_raw)
    }

    fn u32(&mut self) -> Option<u32> {
        self.bytes().map(u32::from_le_bytes)
    }

    fn bytes<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (bytes, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*bytes)
    }
}
