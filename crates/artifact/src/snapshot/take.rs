//! Takes a snapshot: looks at every file, reads those that changed, on all processors.

use std::collections::HashMap;
use std::fs::{self, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use sha2::{Digest as _, Sha256};
use towpath_model::Digest;

use super::index::{Known, Stat, nanoseconds};
use super::{Entry, Extent, Kind, PACK, Pack, Root, Snapshot, SnapshotError};
use crate::content::ContentStore;
use crate::extract::Limits;
use crate::select::open_regular;

/// How strongly packs are compressed: the default of zstd, which a disk hardly outruns.
const LEVEL: i32 = 3;

/// How many names of files that were left out are kept.
const MAX_NAMED: usize = 20;

/// What to take a snapshot of, and how.
pub struct Take<'a> {
    /// Directories, and what to take of each: paths relative to it, with all that is below them. The empty path is
    /// the whole directory.
    pub parts: Vec<(Root, Vec<PathBuf>)>,
    /// What is known already: files that look the same are not read, bytes that are the same not stored again.
    pub known: Option<&'a Known>,
    /// The bounds.
    pub limits: Limits,
    /// Says of a part of a file's bytes whether the file must stay out, since it holds a secret; and how long the
    /// longest secret is, for the seams between parts.
    pub refuse: Option<(&'a Refuse<'a>, usize)>,
}

/// Whether bytes must stay out.
pub type Refuse<'a> = dyn Fn(&[u8]) -> bool + Sync + 'a;

/// A snapshot, and what became of it.
#[derive(Debug, Clone, Default)]
pub struct Taken {
    /// The snapshot, and how its files looked.
    pub known: Known,
    /// The first files that were left out, each with the reason.
    pub left_out: Vec<String>,
    /// Bytes of the files that had to be read.
    pub read: u64,
}

/// Takes a snapshot and stores its packs, not its manifest.
///
/// What changes while it is read is in the snapshot as it was read. Sockets, pipes, devices and files that may
/// not be read are left out, and named.
///
/// # Errors
/// Fails if it would be larger than allowed, or the packs cannot be stored.
pub fn take(take: &Take<'_>, store: &ContentStore) -> Result<Taken, SnapshotError> {
    let taken = attempt(take, take.known, store)?;
    let snapshot = &taken.known.snapshot;
    let packed: u64 = snapshot.packs.iter().map(|pack| u64::from(pack.raw)).sum();
    // Packs of long ago of which little is left would be carried along for ever.
    if take.known.is_some() && packed > 2 * snapshot.bytes() + 4 * u64::from(PACK) {
        return attempt(take, None, store);
    }
    Ok(taken)
}

/// A file that has to be read.
struct Unread {
    entry: usize,
    full: PathBuf,
    size: u64,
}

/// What reading a file gave.
struct Stored {
    entry: usize,
    size: u64,
    digest: Digest,
    /// Packs are counted within the batch.
    extents: Extents,
}

enum Extents {
    New(Vec<Extent>),
    Known(Vec<(Pack, Extent)>),
}

/// What a thread made of one batch.
#[derive(Default)]
struct Batch {
    packs: Vec<Pack>,
    files: Vec<Stored>,
    left_out: Vec<(usize, String)>,
}

fn attempt(take: &Take<'_>, known: Option<&Known>, store: &ContentStore) -> Result<Taken, SnapshotError> {
    let now = SystemTime::now();
    let mut found = Found { limits: take.limits, ..Found::default() };
    for (root, paths) in &take.parts {
        for path in paths {
            found.look(root, path)?;
        }
    }
    found.entries.sort_by(|left, right| left.0.path.as_os_str().cmp(right.0.path.as_os_str()));
    found.entries.dedup_by(|later, earlier| later.0.path == earlier.0.path);
    let reuse = Reuse::new(known, store);
    let mut unread = Vec::new();
    let mut packs = Packs::default();
    for (at, (entry, stat, full)) in found.entries.iter_mut().enumerate() {
        let Kind::File { size, .. } = entry.kind else { continue };
        match stat.as_ref().and_then(|stat| reuse.unchanged(&entry.path, stat)) {
            Some((digest, extents)) => {
                entry.kind = Kind::File { size, digest, extents: packs.refer(&extents) }
            }
            None => unread.push(Unread { entry: at, full: full.clone(), size }),
        }
    }
    let batches = into_batches(unread);
    let done = read_all(&batches, &reuse, take, store)?;
    let mut left_out = found.left_out;
    let mut gone = Vec::new();
    let mut read = 0;
    for batch in done {
        let numbers: Vec<u32> = batch.packs.iter().map(|pack| packs.number(*pack)).collect();
        for Stored { entry, size, digest, extents } in batch.files {
            read += size;
            let extents = match extents {
                Extents::Known(extents) => packs.refer(&extents),
                Extents::New(mut extents) => {
                    extents.iter_mut().for_each(|extent| extent.pack = numbers[extent.pack as usize]);
                    extents
                }
            };
            found.entries[entry].0.kind = Kind::File { size, digest, extents };
        }
        for (entry, reason) in batch.left_out {
            left_out.push(reason);
            gone.push(entry);
        }
    }
    gone.sort_unstable();
    let kept = found.entries.into_iter().enumerate().filter(|(at, _)| gone.binary_search(at).is_err());
    let (entries, stats) = kept.map(|(_, (entry, stat, _))| (entry, stat)).unzip();
    left_out.truncate(MAX_NAMED);
    let snapshot = Snapshot { packs: packs.list, entries };
    // Compared with the clock of before the first look: what changed since may not be in the snapshot.
    Ok(Taken { known: Known::new(snapshot, stats, now), left_out, read })
}

/// The packs of the snapshot under construction.
#[derive(Default)]
struct Packs {
    list: Vec<Pack>,
    numbers: HashMap<Pack, u32>,
}

impl Packs {
    fn number(&mut self, pack: Pack) -> u32 {
        let list = &mut self.list;
        *self.numbers.entry(pack).or_insert_with(|| {
            list.push(pack);
            u32::try_from(list.len() - 1).unwrap_or(u32::MAX)
        })
    }

    fn refer(&mut self, extents: &[(Pack, Extent)]) -> Vec<Extent> {
        extents.iter().map(|(pack, extent)| Extent { pack: self.number(*pack), ..*extent }).collect()
    }
}

/// What of an earlier snapshot can be referred to.
struct Reuse<'a> {
    known: Option<&'a Known>,
    here: Vec<bool>,
    by_digest: HashMap<Digest, &'a [Extent]>,
}

impl<'a> Reuse<'a> {
    fn new(known: Option<&'a Known>, store: &ContentStore) -> Self {
        let packs = known.map_or(&[][..], |known| &known.snapshot.packs);
        let here: Vec<bool> = packs.iter().map(|pack| store.contains(pack.digest)).collect();
        let mut by_digest = HashMap::new();
        for entry in known.iter().flat_map(|known| &known.snapshot.entries) {
            if let Kind::File { digest, extents, .. } = &entry.kind
                && extents.iter().all(|extent| here[extent.pack as usize])
            {
                by_digest.insert(*digest, extents.as_slice());
            }
        }
        Self { known, here, by_digest }
    }

    fn unchanged(&self, path: &Path, stat: &Stat) -> Option<(Digest, Vec<(Pack, Extent)>)> {
        let Kind::File { digest, extents, .. } = &self.known?.unchanged(path, stat)?.kind else {
            return None;
        };
        let all = extents.iter().all(|extent| self.here[extent.pack as usize]);
        if all { Some((*digest, self.with_packs(extents)?)) } else { None }
    }

    fn same(&self, digest: &Digest) -> Option<Vec<(Pack, Extent)>> {
        self.with_packs(self.by_digest.get(digest)?)
    }

    fn with_packs(&self, extents: &[Extent]) -> Option<Vec<(Pack, Extent)>> {
        let packs = &self.known?.snapshot.packs;
        extents.iter().map(|extent| Some((*packs.get(extent.pack as usize)?, *extent))).collect()
    }
}

/// What the directories hold, by name and look only.
#[derive(Default)]
struct Found {
    limits: Limits,
    entries: Vec<(Entry, Option<Stat>, PathBuf)>,
    bytes: u64,
    left_out: Vec<String>,
}

impl Found {
    fn look(&mut self, root: &Root, path: &Path) -> Result<(), SnapshotError> {
        let mut pending = vec![path.to_owned()];
        while let Some(relative) = pending.pop() {
            let full =
                if relative.as_os_str().is_empty() { root.path.clone() } else { root.path.join(&relative) };
            let read = |source| SnapshotError::Read { path: full.clone(), source };
            let metadata = match fs::symlink_metadata(&full) {
                Ok(metadata) => metadata,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(source) => return Err(read(source)),
            };
            if metadata.is_dir() {
                match fs::read_dir(&full) {
                    Ok(names) => {
                        for name in names {
                            pending.push(relative.join(name.map_err(read)?.file_name()));
                        }
                    }
                    Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                        self.left_out.push(format!("{} (it may not be read)", relative.display()));
                    }
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    Err(source) => return Err(read(source)),
                }
            }
            if !relative.as_os_str().is_empty() {
                self.note(root, &relative, &full, &metadata)?;
            }
            if self.entries.len() as u64 + pending.len() as u64 > self.limits.entries {
                return Err(SnapshotError::TooMuch { limit: self.limits.entries, what: "entries" });
            }
        }
        Ok(())
    }

    fn note(
        &mut self,
        root: &Root,
        relative: &Path,
        full: &Path,
        metadata: &Metadata,
    ) -> Result<(), SnapshotError> {
        let kind = if metadata.is_dir() {
            Kind::Directory
        } else if metadata.is_symlink() {
            let read = |source| SnapshotError::Read { path: full.to_owned(), source };
            Kind::Link(fs::read_link(full).map_err(read)?)
        } else if metadata.is_file() {
            self.bytes = self.bytes.saturating_add(metadata.len());
            if self.bytes > self.limits.bytes {
                return Err(SnapshotError::TooMuch { limit: self.limits.bytes, what: "bytes" });
            }
            Kind::File { size: metadata.len(), digest: Digest::from_raw([0; 32]), extents: Vec::new() }
        } else {
            self.left_out.push(format!("{} (neither a file, a directory nor a link)", relative.display()));
            return Ok(());
        };
        let mut entry = Entry {
            path: Path::new(root.name).join(relative),
            mode: u16::try_from(metadata.mode() & 0o777).unwrap_or(0o644),
            mtime: nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
            kind,
        };
        if matches!(entry.kind, Kind::Link(_)) {
            // Nobody asks a link when it was made, and its permissions mean nothing.
            (entry.mode, entry.mtime) = (0o777, 0);
        }
        let stat = metadata.is_file().then(|| Stat::of(metadata));
        self.entries.push((entry, stat, full.to_owned()));
        Ok(())
    }
}

/// Groups files in their order, so that the same files always give the same packs.
fn into_batches(unread: Vec<Unread>) -> Vec<Vec<Unread>> {
    let mut batches: Vec<Vec<Unread>> = Vec::new();
    let mut filled = u64::from(PACK);
    for file in unread {
        // Headers of many empty files count too: no batch holds more than some ten thousand files.
        let cost = file.size + 256;
        if filled + cost > u64::from(PACK) {
            batches.push(Vec::new());
            filled = 0;
        }
        filled += cost;
        if let Some(batch) = batches.last_mut() {
            batch.push(file);
        }
    }
    batches
}

fn read_all(
    batches: &[Vec<Unread>],
    reuse: &Reuse<'_>,
    take: &Take<'_>,
    store: &ContentStore,
) -> Result<Vec<Batch>, SnapshotError> {
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<(usize, Result<Batch, SnapshotError>)>> = Mutex::new(Vec::new());
    let work = || {
        let mut reader = Reader { reuse, take, store, buffer: Vec::new(), carried: Vec::new() };
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(batch) = batches.get(at) else { return };
            let result = reader.batch(batch);
            let failed = result.is_err();
            done.lock().unwrap_or_else(PoisonError::into_inner).push((at, result));
            if failed {
                next.store(batches.len(), Ordering::Relaxed);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..super::restore::threads().min(batches.len()) {
            scope.spawn(work);
        }
        work();
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, batch)| batch).collect()
}

/// One thread that reads files and fills packs.
struct Reader<'a> {
    reuse: &'a Reuse<'a>,
    take: &'a Take<'a>,
    store: &'a ContentStore,
    buffer: Vec<u8>,
    /// The end of the former part of a large file, in which a secret may begin.
    carried: Vec<u8>,
}

impl Reader<'_> {
    fn batch(&mut self, files: &[Unread]) -> Result<Batch, SnapshotError> {
        let mut batch = Batch::default();
        self.buffer.clear();
        for file in files {
            match self.file(file, &mut batch)? {
                Ok(stored) => batch.files.push(stored),
                Err(reason) => {
                    let name = file.full.file_name().unwrap_or_default().display().to_string();
                    batch.left_out.push((file.entry, format!("{name} ({reason})")));
                }
            }
        }
        self.flush(&mut batch)?;
        Ok(batch)
    }

    /// Reads one file into the pack, or into packs of its own where it is larger than one.
    fn file(&mut self, file: &Unread, batch: &mut Batch) -> Result<Result<Stored, String>, SnapshotError> {
        let opened = match open_regular(&file.full) {
            Ok(opened) => opened,
            Err(error) => return Ok(Err(reason_of(&error))),
        };
        let (packs_before, begin) = (batch.packs.len(), self.buffer.len());
        let mut source = opened.take(file.size);
        let mut hasher = Sha256::new();
        self.carried.clear();
        let (mut size, mut extents, mut from) = (0_u64, Vec::new(), begin);
        loop {
            let room = (PACK as usize).saturating_sub(self.buffer.len()) as u64;
            let wanted = room.min(file.size - size);
            if let Err(error) = (&mut source).take(wanted).read_to_end(&mut self.buffer) {
                batch.packs.truncate(packs_before);
                self.buffer.truncate(begin.min(self.buffer.len()));
                return Ok(Err(error.to_string()));
            }
            if self.holds_a_secret(from) {
                batch.packs.truncate(packs_before);
                self.buffer.truncate(begin.min(from));
                return Ok(Err("a secret is in it".to_owned()));
            }
            let part = &self.buffer[from..];
            hasher.update(part);
            let count = part.len();
            if count > 0 {
                extents.push(Extent {
                    pack: u32::try_from(batch.packs.len()).unwrap_or(u32::MAX),
                    offset: u32::try_from(from).unwrap_or(u32::MAX),
                    length: u32::try_from(count).unwrap_or(u32::MAX),
                });
            }
            size += count as u64;
            if count as u64 == wanted && size < file.size {
                self.flush(batch)?;
                from = 0;
            } else {
                break;
            }
        }
        let digest = Digest::from_raw(hasher.finalize().into());
        let extents = match self.reuse.same(&digest) {
            Some(known) => {
                // What was put into the pack for it is taken out again.
                batch.packs.truncate(packs_before);
                self.buffer.truncate(if extents.len() > 1 { 0 } else { begin });
                Extents::Known(known)
            }
            None => Extents::New(extents),
        };
        Ok(Ok(Stored { entry: file.entry, size, digest, extents }))
    }

    /// Looks at what was read last, and at where it joins what was read before.
    fn holds_a_secret(&mut self, from: usize) -> bool {
        let Some((refuse, overlap)) = self.take.refuse else { return false };
        let part = &self.buffer[from..];
        let mut seam = std::mem::take(&mut self.carried);
        seam.extend_from_slice(&part[..part.len().min(overlap)]);
        self.carried = part[part.len().saturating_sub(overlap)..].to_vec();
        refuse(part) || refuse(&seam)
    }

    /// Stores the pack.
    fn flush(&mut self, batch: &mut Batch) -> Result<(), SnapshotError> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let bytes = zstd::bulk::compress(&self.buffer, LEVEL)
            .map_err(|source| SnapshotError::Write { path: "a pack".to_owned(), source })?;
        let digest = self.store.put_or_touch(&bytes)?;
        batch.packs.push(Pack {
            digest,
            stored: u32::try_from(bytes.len()).unwrap_or(u32::MAX),
            raw: u32::try_from(self.buffer.len()).unwrap_or(u32::MAX),
        });
        self.buffer.clear();
        Ok(())
    }
}

fn reason_of(error: &crate::pack::PackError) -> String {
    match error {
        crate::pack::PackError::Read { source, .. } => source.to_string(),
        other => other.to_string(),
    }
}
