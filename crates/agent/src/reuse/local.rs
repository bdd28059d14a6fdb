//! Entries of `towpath run`: files in a directory of this user, bounded.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use towpath_api::reuse::{Find, Found, FoundEntry, NewEntry, Saved, Verified};
use towpath_artifact::{ContentError, ContentStore, Snapshot};
use towpath_model::Digest;
use towpath_model::reuse::{Candidate, choose, why_missed};

use super::Depot;
use crate::executor::chain;
use crate::process::prune;

/// How many bytes are kept.
const BYTES: u64 = 5 << 30;

/// How many entries are kept.
const ENTRIES: usize = 500;

/// What everything here is written into: one person's own runs.
const SCOPE: &str = "local";

/// A directory of entries.
#[derive(Debug)]
pub struct LocalDepot {
    entries: PathBuf,
    store: ContentStore,
}

/// An entry as it is in its file.
#[derive(Debug, Serialize, Deserialize)]
struct Written {
    entry: NewEntry,
    at: Timestamp,
}

impl LocalDepot {
    /// Opens the directory, and makes it where it is missing.
    ///
    /// # Errors
    /// Fails if it cannot be made.
    pub fn open(directory: &Path) -> Result<Self, ContentError> {
        let store = ContentStore::open_replaceable(&directory.join("blobs"))?;
        Ok(Self { entries: directory.join("entries"), store })
    }

    /// Where the snapshots are.
    #[must_use]
    pub fn store(&self) -> ContentStore {
        self.store.clone()
    }

    /// What there is of a kind and space, the newest first. A file that cannot be read is as good as none.
    fn written(&self, kind: &str, space: &str) -> Vec<Written> {
        let directory = self.place(kind, space);
        let names = fs::read_dir(directory).into_iter().flatten().flatten();
        let mut found: Vec<Written> =
            names.filter_map(|name| serde_json::from_slice(&fs::read(name.path()).ok()?).ok()).collect();
        found.sort_by_key(|written| std::cmp::Reverse(written.at));
        found
    }

    fn place(&self, kind: &str, space: &str) -> PathBuf {
        self.entries.join(kind).join(&Digest::of(space.as_bytes()).hex()[..32])
    }

    /// Keeps the directory within its bounds: entries whose blobs went are found missing later, and run anew.
    fn prune(&self) -> io::Result<()> {
        let mut files: Vec<(SystemTime, PathBuf)> = Vec::new();
        for kind in fs::read_dir(&self.entries)? {
            for space in fs::read_dir(kind?.path())? {
                for file in fs::read_dir(space?.path())? {
                    let file = file?;
                    files.push((file.metadata()?.modified()?, file.path()));
                }
            }
        }
        files.sort();
        for (_, path) in files.iter().take(files.len().saturating_sub(ENTRIES)) {
            fs::remove_file(path)?;
        }
        let fresh = Duration::from_secs(600);
        prune::prune_to(&self.store.root().join("blobs/sha256"), SystemTime::now(), BYTES, fresh).map(drop)
    }
}

impl Depot for LocalDepot {
    fn find(&self, wanted: Find) -> Result<Found, String> {
        let written = self.written(wanted.kind.word(), &wanted.space);
        let candidates: Vec<_> =
            written.iter().map(|written| Candidate { scope: SCOPE, key: &written.entry.key }).collect();
        let chosen = choose(&candidates, &[SCOPE.to_owned()], &wanted.key, &wanted.restore);
        let by = |written: &Written| format!("the run of {}", written.at.strftime("%F %H:%M"));
        let newest = written.first().map(|newest| (newest.entry.parts.clone(), by(newest)));
        let newest = newest.as_ref().map(|(parts, by)| (parts.as_slice(), by.as_str()));
        let why = why_missed(&wanted.parts, newest);
        let entry = chosen.map(|(at, fit)| {
            let written = &written[at];
            FoundEntry {
                id: written.entry.snapshot.to_string(),
                fit,
                key: written.entry.key.clone(),
                snapshot: written.entry.snapshot,
                outputs: written.entry.outputs.clone(),
                by: by(written),
            }
        });
        Ok(Found { entry, why })
    }

    fn fetch(&self, snapshot: Digest, store: &ContentStore) -> Result<(), String> {
        let loaded = Snapshot::load(snapshot, store).map_err(|error| chain(&error))?;
        // Read anew, they are young again, and stay when older ones have to go.
        for digest in loaded.packs.iter().map(|pack| pack.digest).chain([snapshot]) {
            if !store.touch(digest) {
                return Err(format!("{} was removed to keep the cache within its bound", digest.short()));
            }
        }
        Ok(())
    }

    fn save(&self, entry: NewEntry, _: &ContentStore) -> Result<Saved, String> {
        let directory = self.place(entry.kind.word(), &entry.space);
        let id = entry.snapshot.to_string();
        let file = directory.join(format!("{}.json", &Digest::of(entry.key.as_bytes()).hex()[..32]));
        let bytes = serde_json::to_vec(&Written { entry, at: Timestamp::now() })
            .map_err(|error| error.to_string())?;
        let written = fs::create_dir_all(&directory).and_then(|()| {
            let mut temporary = tempfile::NamedTempFile::new_in(&directory)?;
            io::Write::write_all(&mut temporary, &bytes)?;
            temporary.persist(&file).map(drop).map_err(|error| error.error)
        });
        written.map_err(|error| format!("{} cannot be written: {error}", file.display()))?;
        if let Err(error) = self.prune() {
            tracing::warn!("the cache of `towpath run` was not pruned: {error}");
        }
        Ok(Saved::Saved { id })
    }

    fn verified(&self, _: Verified) {
        // It was said in the log, and there is nobody else to tell.
    }
}
