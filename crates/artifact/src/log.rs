//! The logs of Attempts: appended at an offset, synced before they are acknowledged, sealed at the end.
//!
//! `<logs>/<attempt>/<fence>.<base>.log` is an open log. Offsets of an agent count from `base`, the
//! length at which its lease began: an Attempt that is given to another agent goes on in the same
//! file, under a new name, and nothing that was acknowledged is lost. `<logs>/<attempt>/sealed.json`
//! names the blob that a sealed log has become, and `index` helps to find lines in it. Every step is one rename, so a crash between two
//! leaves a state from which the next call goes on.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use towpath_model::{AttemptId, Digest};

use crate::content::{ContentError, ContentStore};
use crate::files;
use crate::log_index::{Builder, LogIndex};

/// How many logs are kept open; beyond it, those that nobody uses just now are closed.
const MAX_OPEN: usize = 512;

const SEALED: &str = "sealed.json";

const INDEX: &str = "index";

/// All logs of a server.
#[derive(Debug)]
pub struct LogStore {
    directory: PathBuf,
    content: ContentStore,
    max_bytes: u64,
    open: Mutex<HashMap<AttemptId, Arc<OpenLog>>>,
}

/// What a log has become.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SealedLog {
    /// Its length.
    pub bytes: u64,
    /// Its line feeds.
    pub lines: u64,
    /// Its blob.
    pub digest: Digest,
}

/// Why a log was not written or read.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// A newer lease has begun.
    #[error("the log of attempt {attempt} belongs to lease {current}; lease {fence} is over")]
    Fenced {
        /// The Attempt.
        attempt: AttemptId,
        /// The lease that asked.
        fence: u64,
        /// The newest lease.
        current: u64,
    },
    /// It was sealed.
    #[error("the log of attempt {attempt} is sealed; nothing can be added")]
    Sealed {
        /// The Attempt.
        attempt: AttemptId,
    },
    /// It is as long as it may be.
    #[error("the log of attempt {attempt} has reached its limit of {limit} bytes; what follows is not kept")]
    Full {
        /// The Attempt.
        attempt: AttemptId,
        /// The bound.
        limit: u64,
    },
    /// No space, or the system refused.
    #[error("failed to keep the log of attempt {attempt}")]
    Store {
        /// The Attempt.
        attempt: AttemptId,
        /// Why.
        #[source]
        source: ContentError,
    },
}

type IndexBuilder = Builder<BufWriter<tempfile::NamedTempFile>>;

#[derive(Debug)]
struct OpenLog {
    file: File,
    /// The length that is on disk; what lies behind was never acknowledged.
    length: AtomicU64,
    lease: Mutex<Lease>,
}

/// Who may append, and where its offsets count from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Lease {
    fence: u64,
    base: u64,
}

impl Lease {
    fn file_name(self) -> String {
        format!("{}.{}.log", self.fence, self.base)
    }

    fn parse(file_name: &str) -> Option<Self> {
        let (fence, base) = file_name.strip_suffix(".log")?.split_once('.')?;
        Some(Self { fence: fence.parse().ok()?, base: base.parse().ok()? })
    }
}

impl LogStore {
    /// Opens the logs below `directory`. Sealed ones go to `content`; none grows beyond `max_bytes`.
    ///
    /// # Errors
    /// Fails if the directory cannot be made.
    pub fn open(directory: &Path, content: ContentStore, max_bytes: u64) -> Result<Self, ContentError> {
        files::create_private_directory(directory)
            .map_err(|error| ContentError::io("create", directory, error))?;
        Ok(Self { directory: directory.into(), content, max_bytes, open: Mutex::default() })
    }

    /// Appends `bytes` at `offset`, which counts from the beginning of the lease, and syncs.
    ///
    /// Returns the lease's length on disk. Where `offset` is not the end, nothing is written and the
    /// agent goes on from the length returned: sending again what was acknowledged does no harm.
    ///
    /// # Errors
    /// Fails if the lease is over, the log is sealed or full, or the disk refuses; nothing is added then.
    pub fn append(&self, attempt: AttemptId, fence: u64, offset: u64, bytes: &[u8]) -> Result<u64, LogError> {
        let log = self.entry(attempt, Some(fence))?.ok_or(LogError::Sealed { attempt })?;
        let mut lease = lock(&log.lease);
        self.take_over(attempt, fence, &log, &mut lease)?;
        // A seal that came in between has taken the file away.
        if self.sealed(attempt)?.is_some() {
            return Err(LogError::Sealed { attempt });
        }
        let length = log.length.load(Ordering::Acquire);
        let end = length - lease.base;
        if offset != end || bytes.is_empty() {
            return Ok(end);
        }
        let total = length + bytes.len() as u64;
        if total > self.max_bytes {
            return Err(LogError::Full { attempt, limit: self.max_bytes });
        }
        if let Err(error) = log.file.write_all_at(bytes, length).and_then(|()| log.file.sync_data()) {
            // Best effort: what lies behind `length` is overwritten by the next append anyway.
            let _truncated = log.file.set_len(length);
            return Err(self.failed(attempt, "write to", error));
        }
        log.length.store(total, Ordering::Release);
        Ok(total - lease.base)
    }

    /// How much of its log the lease `fence` has had acknowledged.
    ///
    /// # Errors
    /// Fails if the lease is over or the log cannot be read.
    pub fn acknowledged(&self, attempt: AttemptId, fence: u64) -> Result<u64, LogError> {
        self.append(attempt, fence, 0, &[])
    }

    /// The whole log's length; 0 if there is none.
    ///
    /// # Errors
    /// Fails if the log cannot be looked at.
    pub fn length(&self, attempt: AttemptId) -> Result<u64, LogError> {
        if let Some(sealed) = self.sealed(attempt)? {
            return Ok(sealed.bytes);
        }
        let log = self.entry(attempt, None)?;
        Ok(log.map_or(0, |log| log.length.load(Ordering::Acquire)))
    }

    /// Reads at most `max` bytes from `offset` on, sealed or not; none at the end.
    ///
    /// # Errors
    /// Fails if the log cannot be read.
    pub fn read(&self, attempt: AttemptId, offset: u64, max: usize) -> Result<Vec<u8>, LogError> {
        let open = match self.sealed(attempt)? {
            Some(sealed) => return self.read_sealed(attempt, sealed, offset, max),
            None => self.entry(attempt, None)?,
        };
        let Some(log) = open else {
            // Sealed since it was asked for, or nothing was ever written.
            return match self.sealed(attempt)? {
                Some(sealed) => self.read_sealed(attempt, sealed, offset, max),
                None => Ok(Vec::new()),
            };
        };
        let length = log.length.load(Ordering::Acquire);
        read_at(&log.file, offset, max, length).map_err(|error| self.failed(attempt, "read", error))
    }

    /// Ends the log and makes it a blob. Sealing again gives the same.
    ///
    /// # Errors
    /// Fails if the blob cannot be stored; the log stays as it was then, and can be sealed later.
    pub fn seal(&self, attempt: AttemptId) -> Result<SealedLog, LogError> {
        // Made if it is not there, so that there is always a lease to hold: an append waits, then finds
        // the log sealed.
        let log = self.entry(attempt, Some(0))?;
        let guard = log.as_ref().map(|log| lock(&log.lease));
        let sealed = match self.sealed(attempt)? {
            Some(sealed) => sealed,
            None => self.write_seal(attempt, log.as_deref())?,
        };
        self.remove_open_files(attempt).map_err(|error| self.failed(attempt, "remove", error))?;
        drop(guard);
        lock(&self.open).remove(&attempt);
        Ok(sealed)
    }

    /// What the log has become, if it is sealed.
    ///
    /// # Errors
    /// Fails if that cannot be read.
    pub fn sealed(&self, attempt: AttemptId) -> Result<Option<SealedLog>, LogError> {
        let path = self.path(attempt).join(SEALED);
        match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|error| {
                let source = ContentError::Layout { path, reason: error.to_string() };
                LogError::Store { attempt, source }
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.failed(attempt, "read", error)),
        }
    }

    fn read_sealed(
        &self,
        attempt: AttemptId,
        sealed: SealedLog,
        offset: u64,
        max: usize,
    ) -> Result<Vec<u8>, LogError> {
        let read = File::open(self.content.path(sealed.digest))
            .and_then(|file| read_at(&file, offset, max, sealed.bytes));
        read.map_err(|error| self.failed(attempt, "read", error))
    }

    fn write_seal(&self, attempt: AttemptId, log: Option<&OpenLog>) -> Result<SealedLog, LogError> {
        let store = |source| LogError::Store { attempt, source };
        let bytes = log.map_or(0, |log| log.length.load(Ordering::Acquire));
        let mut writer = self.content.writer(bytes).map_err(store)?;
        let directory = self.path(attempt);
        let failed = |action, error| self.failed(attempt, action, error);
        fs::create_dir_all(&directory).map_err(|error| failed("seal", error))?;
        let mut index = self.new_index(attempt)?;
        let mut lines = 0;
        let mut offset = 0;
        while let Some(log) = log.filter(|_| offset < bytes) {
            let chunk =
                read_at(&log.file, offset, 1 << 20, bytes).map_err(|e| self.failed(attempt, "read", e))?;
            lines += chunk.iter().filter(|byte| **byte == b'\n').count() as u64;
            offset += chunk.len() as u64;
            writer.write_all(&chunk).map_err(|error| failed("copy", error))?;
            index.take(&chunk).map_err(|error| failed("index", error))?;
        }
        let sealed = SealedLog { bytes, lines, digest: writer.finish(None).map_err(store)? };
        self.keep_index(attempt, index)?;
        let json = serde_json::to_vec(&sealed).expect("a sealed log is plain JSON");
        files::replace(&directory.join(SEALED), &json)
            .and_then(|()| files::sync_directory(&self.directory))
            .map_err(|error| failed("seal", error))?;
        Ok(sealed)
    }

    fn new_index(&self, attempt: AttemptId) -> Result<IndexBuilder, LogError> {
        let file = tempfile::NamedTempFile::new_in(self.path(attempt));
        file.map(|file| Builder::new(BufWriter::new(file)))
            .map_err(|error| self.failed(attempt, "index", error))
    }

    /// Puts an index in its place. It is not synced: one that a crash has cut off is made again.
    fn keep_index(&self, attempt: AttemptId, index: IndexBuilder) -> Result<File, LogError> {
        let kept = index.finish().and_then(|out| {
            let file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
            file.persist(self.path(attempt).join(INDEX)).map_err(|error| error.error)
        });
        kept.map_err(|error| self.failed(attempt, "index", error))
    }

    /// The index of a sealed log; `None` while it is open. Made again from the log where it is missing.
    ///
    /// # Errors
    /// Fails if the log cannot be read, or a new index cannot be written.
    pub fn index(&self, attempt: AttemptId) -> Result<Option<LogIndex>, LogError> {
        let Some(sealed) = self.sealed(attempt)? else { return Ok(None) };
        let failed = |error| self.failed(attempt, "index", error);
        match File::open(self.path(attempt).join(INDEX)) {
            Ok(file) => {
                if let Some(index) = LogIndex::open(file, sealed.bytes).map_err(failed)? {
                    return Ok(Some(index));
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
        let mut index = self.new_index(attempt)?;
        let mut offset = 0;
        while offset < sealed.bytes {
            let chunk = self.read_sealed(attempt, sealed, offset, 1 << 20)?;
            if chunk.is_empty() {
                break;
            }
            offset += chunk.len() as u64;
            index.take(&chunk).map_err(failed)?;
        }
        LogIndex::open(self.keep_index(attempt, index)?, sealed.bytes).map_err(failed)
    }

    fn remove_open_files(&self, attempt: AttemptId) -> io::Result<()> {
        for (path, _) in open_files(&self.path(attempt))? {
            fs::remove_file(path)?;
        }
        Ok(())
    }

    /// The open log; made if `create` names a lease to make it for. `None` if there is none, or it is sealed.
    fn entry(&self, attempt: AttemptId, create: Option<u64>) -> Result<Option<Arc<OpenLog>>, LogError> {
        let mut open = lock(&self.open);
        if let Some(log) = open.get(&attempt) {
            return Ok(Some(Arc::clone(log)));
        }
        if self.sealed(attempt)?.is_some() {
            return Ok(None);
        }
        let failed = |error| self.failed(attempt, "open", error);
        let directory = self.path(attempt);
        let (path, lease) = match (open_files(&directory).map_err(failed)?.pop(), create) {
            (Some(found), _) => found,
            (None, None) => return Ok(None),
            (None, Some(fence)) => {
                let lease = Lease { fence, base: 0 };
                (directory.join(lease.file_name()), lease)
            }
        };
        let log = Arc::new(self.open_file(&directory, &path, lease).map_err(failed)?);
        if open.len() >= MAX_OPEN {
            open.retain(|_, log| Arc::strong_count(log) > 1);
        }
        open.insert(attempt, Arc::clone(&log));
        Ok(Some(log))
    }

    fn open_file(&self, directory: &Path, path: &Path, lease: Lease) -> io::Result<OpenLog> {
        fs::create_dir_all(directory)?;
        let file = File::options().read(true).write(true).create(true).truncate(false).open(path)?;
        // What a crash left unsynced may stay: the agent is told its length only after this.
        file.sync_all()?;
        files::sync_directory(directory)?;
        files::sync_directory(&self.directory)?;
        let length = file.metadata()?.len();
        Ok(OpenLog { file, length: AtomicU64::new(length), lease: Mutex::new(lease) })
    }

    /// Lets a newer lease go on from here, and refuses an older one.
    fn take_over(
        &self,
        attempt: AttemptId,
        fence: u64,
        log: &OpenLog,
        lease: &mut Lease,
    ) -> Result<(), LogError> {
        if fence < lease.fence {
            return Err(LogError::Fenced { attempt, fence, current: lease.fence });
        }
        if fence == lease.fence {
            return Ok(());
        }
        if self.sealed(attempt)?.is_some() {
            return Err(LogError::Sealed { attempt });
        }
        let next = Lease { fence, base: log.length.load(Ordering::Acquire) };
        let directory = self.path(attempt);
        fs::rename(directory.join(lease.file_name()), directory.join(next.file_name()))
            .and_then(|()| files::sync_directory(&directory))
            .map_err(|error| self.failed(attempt, "rename", error))?;
        *lease = next;
        Ok(())
    }

    fn path(&self, attempt: AttemptId) -> PathBuf {
        self.directory.join(attempt.to_string())
    }

    pub(crate) fn failed(&self, attempt: AttemptId, action: &'static str, error: io::Error) -> LogError {
        LogError::Store { attempt, source: ContentError::io(action, &self.path(attempt), error) }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic elsewhere cannot leave half a change: every change here is a single assignment.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn open_files(directory: &Path) -> io::Result<Vec<(PathBuf, Lease)>> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        if let Some(lease) = entry.file_name().to_str().and_then(Lease::parse) {
            found.push((entry.path(), lease));
        }
    }
    Ok(found)
}

fn read_at(file: &File, offset: u64, max: usize, length: u64) -> io::Result<Vec<u8>> {
    let count = usize::try_from(length.saturating_sub(offset)).unwrap_or(usize::MAX).min(max);
    let mut bytes = vec![0; count];
    file.read_exact_at(&mut bytes, offset)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tempfile::TempDir;
    use uuid::Uuid;

    use super::*;

    const ATTEMPT: AttemptId = AttemptId(Uuid::from_u128(1));

    fn open(directory: &TempDir) -> LogStore {
        let content = ContentStore::open(&directory.path().join("blobs")).unwrap();
        LogStore::open(&directory.path().join("logs"), content, 1000).unwrap()
    }

    fn names(directory: &TempDir) -> Vec<String> {
        let attempt = directory.path().join("logs").join(ATTEMPT.to_string());
        let entries = fs::read_dir(attempt).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn appends_at_the_end_and_says_where_that_is() {
        let directory = tempfile::tempdir().unwrap();
        let logs = open(&directory);
        assert_eq!(logs.length(ATTEMPT).unwrap(), 0);
        assert_eq!(logs.read(ATTEMPT, 0, 10).unwrap(), b"");
        assert_eq!(logs.append(ATTEMPT, 1, 0, b"hello ").unwrap(), 6);
        assert_eq!(logs.append(ATTEMPT, 1, 0, b"hello ").unwrap(), 6);
        assert_eq!(logs.append(ATTEMPT, 1, 9, b"far").unwrap(), 6);
        assert_eq!(logs.append(ATTEMPT, 1, 6, b"world\n").unwrap(), 12);
        assert_eq!(logs.read(ATTEMPT, 6, 5).unwrap(), b"world");
        assert_eq!(logs.read(ATTEMPT, 12, 5).unwrap(), b"");
        assert_eq!(logs.read(ATTEMPT, 99, 5).unwrap(), b"");
        assert_eq!(open(&directory).acknowledged(ATTEMPT, 1).unwrap(), 12);
    }

    #[test]
    fn a_newer_lease_goes_on_and_an_older_one_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let logs = open(&directory);
        logs.append(ATTEMPT, 1, 0, b"first\n").unwrap();
        assert_eq!(logs.append(ATTEMPT, 2, 0, b"second\n").unwrap(), 7);
        let refused = logs.append(ATTEMPT, 1, 6, b"late").unwrap_err();
        assert!(matches!(refused, LogError::Fenced { fence: 1, current: 2, .. }), "{refused:?}");
        let again = open(&directory);
        assert_eq!(again.acknowledged(ATTEMPT, 2).unwrap(), 7);
        assert!(matches!(again.append(ATTEMPT, 1, 6, b"late"), Err(LogError::Fenced { .. })));
        assert_eq!(again.read(ATTEMPT, 0, 100).unwrap(), b"first\nsecond\n");
    }

    #[test]
    fn a_sealed_log_reads_the_same_and_takes_no_more() {
        let directory = tempfile::tempdir().unwrap();
        let logs = open(&directory);
        logs.append(ATTEMPT, 1, 0, b"one\ntwo\n").unwrap();
        let sealed = logs.seal(ATTEMPT).unwrap();
        assert_eq!(sealed, SealedLog { bytes: 8, lines: 2, digest: Digest::of(b"one\ntwo\n") });
        assert_eq!(logs.seal(ATTEMPT).unwrap(), sealed);
        assert_eq!(logs.read(ATTEMPT, 4, 3).unwrap(), b"two");
        assert_eq!(logs.length(ATTEMPT).unwrap(), 8);
        assert!(matches!(logs.append(ATTEMPT, 1, 8, b"x"), Err(LogError::Sealed { .. })));
        assert!(matches!(logs.append(ATTEMPT, 2, 0, b"x"), Err(LogError::Sealed { .. })));
        assert_eq!(names(&directory), ["index", "sealed.json"]);
        let never = AttemptId(Uuid::from_u128(2));
        assert_eq!(logs.seal(never).unwrap().bytes, 0);
    }

    #[test]
    fn a_crash_within_the_seal_leaves_it_resumable() {
        let directory = tempfile::tempdir().unwrap();
        let logs = open(&directory);
        logs.append(ATTEMPT, 1, 0, b"one\n").unwrap();
        // After the blob was stored: the log is still open.
        logs.content.put(b"one\n").unwrap();
        assert_eq!(open(&directory).append(ATTEMPT, 1, 4, b"two\n").unwrap(), 8);
        // After the seal was written, before the open file was removed.
        let logs = open(&directory);
        let log = logs.entry(ATTEMPT, None).unwrap().unwrap();
        let sealed = logs.write_seal(ATTEMPT, Some(&log)).unwrap();
        assert_eq!(names(&directory).len(), 3);
        let logs = open(&directory);
        assert!(matches!(logs.append(ATTEMPT, 1, 8, b"x"), Err(LogError::Sealed { .. })));
        assert_eq!(logs.read(ATTEMPT, 0, 100).unwrap(), b"one\ntwo\n");
        assert_eq!(logs.seal(ATTEMPT).unwrap(), sealed);
        assert_eq!(names(&directory), ["index", "sealed.json"]);
    }

    #[test]
    fn stops_at_its_limit() {
        let directory = tempfile::tempdir().unwrap();
        let logs = open(&directory);
        logs.append(ATTEMPT, 1, 0, &[b'x'; 999]).unwrap();
        assert!(matches!(logs.append(ATTEMPT, 1, 999, b"yz"), Err(LogError::Full { limit: 1000, .. })));
        assert_eq!(logs.append(ATTEMPT, 1, 999, b"y").unwrap(), 1000);
    }

    #[test]
    fn what_is_acknowledged_while_it_is_sealed_is_in_the_seal() {
        for _ in 0..20 {
            let directory = tempfile::tempdir().unwrap();
            let logs = open(&directory);
            let acknowledged = std::thread::scope(|scope| {
                let writer = scope.spawn(|| {
                    let mut length = 0;
                    while let Ok(next) = logs.append(ATTEMPT, 1, length, b"x") {
                        length = next;
                    }
                    length
                });
                while logs.length(ATTEMPT).unwrap() < 3 {
                    std::thread::yield_now();
                }
                logs.seal(ATTEMPT).unwrap();
                writer.join().unwrap()
            });
            assert_eq!(logs.length(ATTEMPT).unwrap(), acknowledged);
            assert_eq!(names(&directory), ["index", "sealed.json"]);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        /// An agent that loses answers, and a server that is started again, at any time.
        #[test]
        fn nothing_acknowledged_is_lost(steps in prop::collection::vec((1..40_usize, 0..4_u8), 1..20)) {
            let directory = tempfile::tempdir().unwrap();
            let text: Vec<u8> = (0..800_u32).map(|n| u8::try_from(n % 251).unwrap()).collect();
            let (mut logs, mut known, mut acknowledged) = (open(&directory), 0_usize, 0_usize);
            for (count, fault) in steps {
                let end = (known + count).min(text.len());
                let length = logs.append(ATTEMPT, 1, known as u64, &text[known..end]).unwrap();
                acknowledged = acknowledged.max(usize::try_from(length).unwrap());
                match fault {
                    0 => logs = open(&directory),
                    1 => {}
                    _ => known = usize::try_from(length).unwrap(),
                }
            }
            let kept = logs.read(ATTEMPT, 0, 1000).unwrap();
            prop_assert!(kept.len() >= acknowledged);
            prop_assert_eq!(&kept[..], &text[..kept.len()]);
            logs.seal(ATTEMPT).unwrap();
            prop_assert_eq!(logs.read(ATTEMPT, 0, 1000).unwrap(), kept);
        }
    }
}
