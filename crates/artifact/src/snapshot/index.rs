//! What is known of files already, so that those that did not change are not read again.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{Entry, Snapshot};

/// How coarse the clock of a file system may be: what changed within it of a look may change again unseen.
const TICK: Duration = Duration::from_millis(20);

/// What tells that a file was not touched.
///
/// The time of the last change of its inode is part of it: programs can set any mtime, but not that one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    inode: u64,
    size: u64,
    mtime: i64,
    ctime: i64,
    mode: u32,
}

impl Stat {
    /// Reads what a look at the file says.
    #[must_use]
    pub fn of(metadata: &Metadata) -> Self {
        Self {
            inode: metadata.ino(),
            size: metadata.size(),
            mtime: nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
            ctime: nanoseconds(metadata.ctime(), metadata.ctime_nsec()),
            mode: metadata.mode(),
        }
    }
}

/// Nanoseconds since 1970; times that a number cannot hold become the nearest that it can.
pub(super) fn nanoseconds(seconds: i64, rest: i64) -> i64 {
    seconds.saturating_mul(1_000_000_000).saturating_add(rest)
}

/// A snapshot together with how its files looked when it was taken or restored.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// The snapshot.
    pub snapshot: Snapshot,
    /// Beside its entries, in their order: how a file looked; `None` where nothing may be concluded from that.
    pub stats: Vec<Option<Stat>>,
}

impl Known {
    /// Keeps of `stats` what may be relied on from now on.
    #[must_use]
    pub fn new(snapshot: Snapshot, mut stats: Vec<Option<Stat>>, now: SystemTime) -> Self {
        stats.resize(snapshot.entries.len(), None);
        let settled = now.checked_sub(TICK).and_then(|then| then.duration_since(UNIX_EPOCH).ok());
        let settled = settled.map_or(0, |then| i64::try_from(then.as_nanos()).unwrap_or(i64::MAX));
        for stat in &mut stats {
            *stat = stat.filter(|stat| stat.ctime < settled);
        }
        Self { snapshot, stats }
    }

    /// The entry of a file that looks as it did.
    pub(super) fn unchanged(&self, path: &Path, stat: &Stat) -> Option<&Entry> {
        let at = self
            .snapshot
            .entries
            .binary_search_by(|entry| entry.path.as_os_str().cmp(path.as_os_str()))
            .ok()?;
        (self.stats.get(at)?.as_ref()? == stat).then(|| &self.snapshot.entries[at])
    }
}
