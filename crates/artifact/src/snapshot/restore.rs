//! Makes the files of a snapshot again, trusting none of its bytes, on all processors.
//!
//! Every name is walked from an open directory and none may be a link, so nothing is written outside,
//! whatever the snapshot says and whatever was there before.

use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use super::{Entry, Extent, Kind, Known, PACK, Pack, Root, Snapshot, SnapshotError, Stat, below};
use crate::beneath::{Beneath, Directory, Replace, set_time};
use crate::content::ContentStore;
use crate::extract::Limits;

/// How many threads read or write files: more would wait for the same disk.
const MAX_THREADS: usize = 8;

pub(super) fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(MAX_THREADS)
}

/// Makes the files of `snapshot` below the directories of `roots`, which exist. Packs come from `store`.
///
/// A file or link of the same name is replaced. Modes and times are those of the snapshot.
///
/// # Errors
/// Fails at the first thing that is refused or cannot be made; what was made before stays.
pub fn restore(
    snapshot: &Snapshot,
    store: &ContentStore,
    roots: &[Root],
    limits: Limits,
) -> Result<Known, SnapshotError> {
    snapshot.check(limits)?;
    let roots: Vec<(&str, Beneath)> = roots
        .iter()
        .map(|root| {
            let opened = Beneath::open(&root.path);
            opened.map(|opened| (root.name, opened)).map_err(|source| write_failed(&root.path, source))
        })
        .collect::<Result<_, _>>()?;
    let restoring = Restoring { snapshot, store, roots };
    restoring.directories()?;
    let stats = restoring.files()?;
    restoring.finish()?;
    Ok(Known::new(snapshot.clone(), stats, SystemTime::now()))
}

struct Restoring<'a> {
    snapshot: &'a Snapshot,
    store: &'a ContentStore,
    roots: Vec<(&'a str, Beneath)>,
}

/// Whole files of one pack, or parts of large files.
struct Task {
    pack: Pack,
    parts: Vec<Part>,
}

/// Some bytes of a pack that belong into a file.
#[derive(Clone, Copy)]
struct Part {
    /// Which entry.
    entry: usize,
    /// The bytes.
    extent: Extent,
    /// Where in the file they begin.
    offset: u64,
}

impl Restoring<'_> {
    fn root(&self, path: &Path) -> Result<&Beneath, SnapshotError> {
        let name = path.components().next().map(|part| part.as_os_str());
        let found = self.roots.iter().find(|(root, _)| name == Some(root.as_ref()));
        found.map(|(_, beneath)| beneath).ok_or_else(|| {
            SnapshotError::Manifest(format!("`{}` lies in a directory that is not asked for", path.display()))
        })
    }

    /// Makes directories, links, empty files, and large files without their bytes.
    fn directories(&self) -> Result<(), SnapshotError> {
        for entry in &self.snapshot.entries {
            let (root, path) = (self.root(&entry.path)?, below(&entry.path));
            let made = match &entry.kind {
                Kind::Directory => root.create_directory(path),
                Kind::Link(target) => root.create_symlink(path, target),
                Kind::File { extents, size, .. } if extents.len() != 1 => {
                    root.directory_of(path).and_then(|(directory, name)| {
                        directory.create_file(name, entry.mode, Replace::Yes)?.set_len(*size)
                    })
                }
                Kind::File { .. } => Ok(()),
            };
            made.map_err(|source| write_failed(path, source))?;
        }
        Ok(())
    }

    fn files(&self) -> Result<Vec<Option<Stat>>, SnapshotError> {
        let mut by_pack: Vec<Vec<Part>> = vec![Vec::new(); self.snapshot.packs.len()];
        for (at, entry) in self.snapshot.entries.iter().enumerate() {
            let Kind::File { extents, .. } = &entry.kind else { continue };
            let mut offset = 0;
            for extent in extents {
                let list = by_pack.get_mut(extent.pack as usize);
                let list = list.ok_or_else(|| SnapshotError::Manifest("a pack is missing".into()))?;
                list.push(Part { entry: at, extent: *extent, offset });
                offset += u64::from(extent.length);
            }
        }
        let tasks: Vec<Task> = self
            .snapshot
            .packs
            .iter()
            .zip(by_pack)
            .filter(|(_, parts)| !parts.is_empty())
            .map(|(pack, parts)| Task { pack: *pack, parts })
            .collect();
        let (next, failure) = (AtomicUsize::new(0), Mutex::new(None));
        let stats = Mutex::new(vec![None; self.snapshot.entries.len()]);
        let work = || {
            let mut writer = Writer { restoring: self, parent: None, plain: Vec::new() };
            while let Some(task) = tasks.get(next.fetch_add(1, Ordering::Relaxed)) {
                match writer.task(task) {
                    Ok(found) => {
                        let mut stats = stats.lock().unwrap_or_else(PoisonError::into_inner);
                        found.into_iter().for_each(|(at, stat)| stats[at] = Some(stat));
                    }
                    Err(error) => {
                        next.store(tasks.len(), Ordering::Relaxed);
                        failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                    }
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..threads().min(tasks.len()) {
                scope.spawn(work);
            }
            work();
        });
        match failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(error) => Err(error),
            None => Ok(stats.into_inner().unwrap_or_else(PoisonError::into_inner)),
        }
    }

    /// Gives large files and directories their times, and directories their modes: from the deepest, which the
    /// others' modes might lock away.
    fn finish(&self) -> Result<(), SnapshotError> {
        for entry in self.snapshot.entries.iter().rev() {
            let (root, path) = (self.root(&entry.path)?, below(&entry.path));
            let done = match &entry.kind {
                Kind::Directory => {
                    root.directory(path).and_then(|directory| directory.set(entry.mode, entry.mtime))
                }
                Kind::File { extents, .. } if extents.len() != 1 => root
                    .directory_of(path)
                    .and_then(|(directory, name)| directory.open_file(name))
                    .and_then(|file| set_time(&file, entry.mtime)),
                Kind::File { .. } | Kind::Link(_) => Ok(()),
            };
            done.map_err(|source| write_failed(path, source))?;
        }
        Ok(())
    }
}

/// One thread that takes packs apart.
struct Writer<'a> {
    restoring: &'a Restoring<'a>,
    /// The directory of the last file: neighbours mostly share it.
    parent: Option<(PathBuf, Directory)>,
    plain: Vec<u8>,
}

impl Writer<'_> {
    fn task(&mut self, task: &Task) -> Result<Vec<(usize, Stat)>, SnapshotError> {
        self.unpack(task.pack)?;
        let plain = std::mem::take(&mut self.plain);
        let mut stats = Vec::with_capacity(task.parts.len());
        for Part { entry: at, extent, offset } in &task.parts {
            let entry = &self.restoring.snapshot.entries[*at];
            let bytes = plain.get(extent.offset as usize..(extent.offset + extent.length) as usize);
            let bytes = bytes.ok_or_else(|| SnapshotError::Manifest("a pack is too short".into()))?;
            let written =
                self.part(entry, *offset, bytes).map_err(|source| write_failed(&entry.path, source))?;
            stats.extend(written.map(|stat| (*at, stat)));
        }
        self.plain = plain;
        Ok(stats)
    }

    fn unpack(&mut self, pack: Pack) -> Result<(), SnapshotError> {
        let compressed = self.restoring.store.read(pack.digest, u64::from(pack.stored))?;
        self.plain.clear();
        self.plain.reserve(pack.raw.min(PACK) as usize);
        let broken = |what: String| SnapshotError::Manifest(format!("pack {}: {what}", pack.digest));
        // Never more than the capacity is written, whatever the compressed bytes say of themselves.
        let plain = zstd::bulk::Decompressor::new()
            .and_then(|mut zstd| zstd.decompress_to_buffer(&compressed, &mut self.plain))
            .map_err(|error| broken(error.to_string()))?;
        if plain == pack.raw as usize { Ok(()) } else { Err(broken("it has another length".to_owned())) }
    }

    /// Writes a whole small file, or a part of a large one, whose look is not remembered.
    fn part(&mut self, entry: &Entry, offset: u64, bytes: &[u8]) -> io::Result<Option<Stat>> {
        let Kind::File { extents, .. } = &entry.kind else { return Ok(None) };
        let name = entry.path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        let directory = self.parent_of(&entry.path)?;
        if extents.len() == 1 {
            let file = directory.create_file(name, entry.mode, Replace::Yes)?;
            io::Write::write_all(&mut &file, bytes)?;
            set_time(&file, entry.mtime)?;
            return Ok(Some(Stat::of(&file.metadata()?)));
        }
        let file = directory.open_file(name)?;
        file.write_all_at(bytes, offset)?;
        Ok(None)
    }

    fn parent_of(&mut self, path: &Path) -> io::Result<&Directory> {
        let parent = path.parent().unwrap_or(Path::new(""));
        if self.parent.as_ref().is_none_or(|(known, _)| known != parent) {
            let root = self.restoring.root(path).map_err(io::Error::other)?;
            self.parent = Some((parent.to_owned(), root.directory_of(below(path))?.0));
        }
        let opened = self.parent.as_ref().map(|(_, directory)| directory);
        opened.ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

fn write_failed(path: &Path, source: io::Error) -> SnapshotError {
    SnapshotError::Write { path: path.display().to_string(), source }
}
