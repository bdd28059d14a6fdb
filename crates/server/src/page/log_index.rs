//! Where the lines of a log begin, so that a page of a long log costs no more than one of a short log.
//!
//! Of a log that grows every 256th line is remembered, and it is read on from where the last look ended. A sealed one has an index of its own.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use towpath_artifact::{LogError, LogStore, SealedLog};
use towpath_model::AttemptId;
use towpath_ui::groups::{Group, Groups};

/// One line in so many is remembered.
const STRIDE: u64 = 256;

/// How many logs are remembered. A log of a million lines takes 32 KiB.
const LOGS: usize = 128;

/// How much is read at once.
const CHUNK: usize = 256 * 1024;

/// How much of a line is looked at for a heading.
const HEADING: usize = 1024;

/// What is remembered of logs.
#[derive(Debug, Default)]
pub(crate) struct LogIndex {
    known: Mutex<HashMap<AttemptId, Arc<Mutex<Lines>>>>,
    /// The groups of logs that no longer grow.
    groups: Mutex<HashMap<AttemptId, Arc<[Group]>>>,
}

/// Where the lines of one log begin.
#[derive(Debug, Default)]
struct Lines {
    /// Offsets of the lines 0, 256, 512 …
    offsets: Vec<u64>,
    /// Line feeds so far.
    count: u64,
    /// How far the log was read.
    read: u64,
    groups: Groups,
    /// The beginning of a line that has not ended, as far as it matters to groups.
    begun: Vec<u8>,
}

/// Some lines of a log.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Lined {
    /// The number of the first, from 1.
    pub(crate) first: u64,
    /// Their text, without line feeds.
    pub(crate) lines: Vec<String>,
    /// Lines so far.
    pub(crate) total: u64,
    /// Whether more may come.
    pub(crate) open: bool,
}

impl LogIndex {
    /// Reads up to `limit` lines from line `from` on, counted from 1; a negative one counts from the end.
    pub(crate) fn lines(
        &self,
        logs: &LogStore,
        attempt: AttemptId,
        from: i64,
        limit: usize,
    ) -> Result<Lined, LogError> {
        // Asked first: what comes between the two is read with the next look.
        if let Some(sealed) = logs.sealed(attempt)? {
            self.known.lock().unwrap_or_else(PoisonError::into_inner).remove(&attempt);
            return sealed_lines(logs, attempt, sealed, from, limit);
        }
        let known = self.known(attempt);
        let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
        known.read_on(logs, attempt)?;
        // What has no line feed yet may still grow.
        let total = known.count;
        let (first, limit) = range(from, limit, total);
        let lines = if limit == 0 { Vec::new() } else { known.fetch(logs, attempt, first, limit)? };
        Ok(Lined { first, lines, total, open: true })
    }

    /// The groups of a log so far.
    pub(crate) fn groups(&self, logs: &LogStore, attempt: AttemptId) -> Result<Vec<Group>, LogError> {
        if logs.sealed(attempt)?.is_none() {
            let known = self.known(attempt);
            let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
            known.read_on(logs, attempt)?;
            return Ok(known.groups.found(false));
        }
        if let Some(known) = self.groups.lock().unwrap_or_else(PoisonError::into_inner).get(&attempt) {
            return Ok(known.to_vec());
        }
        let mut groups = Groups::default();
        logs.walk(attempt, 0, |line| {
            groups.line(&String::from_utf8_lossy(&line[..line.len().min(HEADING)]));
            true
        })?;
        let found = groups.found(true);
        let mut known = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= LOGS {
            known.clear();
        }
        known.insert(attempt, found.as_slice().into());
        Ok(found)
    }

    fn known(&self, attempt: AttemptId) -> Arc<Mutex<Lines>> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= LOGS && !known.contains_key(&attempt) {
            // Those that nobody reads just now go; they are read anew when somebody asks.
            known.retain(|_, lines| Arc::strong_count(lines) > 1);
        }
        Arc::clone(known.entry(attempt).or_default())
    }
}

/// The lines of a log that no longer grows.
fn sealed_lines(
    logs: &LogStore,
    attempt: AttemptId,
    sealed: SealedLog,
    from: i64,
    limit: usize,
) -> Result<Lined, LogError> {
    let last = logs.read(attempt, sealed.bytes.saturating_sub(1), 1)?;
    let total = sealed.lines + u64::from(last.first().is_some_and(|byte| *byte != b'\n'));
    let (first, limit) = range(from, limit, total);
    let lines = if limit == 0 { Vec::new() } else { text(logs.lines(attempt, first, limit)?) };
    Ok(Lined { first, lines, total, open: false })
}

/// The number of the first line, from 1, and how many lines there are from it on, `limit` at most.
fn range(from: i64, limit: usize, total: u64) -> (u64, usize) {
    let first = match u64::try_from(from) {
        Ok(from) => from.max(1),
        Err(_) => total.saturating_sub(from.unsigned_abs() - 1).max(1),
    };
    let there = (total + 1).saturating_sub(first);
    (first, limit.min(usize::try_from(there).unwrap_or(usize::MAX)))
}

fn text(lines: Vec<Vec<u8>>) -> Vec<String> {
    lines.iter().map(|line| String::from_utf8_lossy(line).into_owned()).collect()
}

impl Lines {
    fn read_on(&mut self, logs: &LogStore, attempt: AttemptId) -> Result<(), LogError> {
        if self.offsets.is_empty() {
            self.offsets.push(0);
        }
        loop {
            let chunk = logs.read(attempt, self.read, CHUNK)?;
            if chunk.is_empty() {
                return Ok(());
            }
            let mut start = 0;
            for (at, _) in chunk.iter().enumerate().filter(|(_, byte)| **byte == b'\n') {
                self.begin_line(&chunk[start..at]);
                self.groups.line(&String::from_utf8_lossy(&self.begun));
                self.begun.clear();
                start = at + 1;
                self.count += 1;
                if self.count.is_multiple_of(STRIDE) {
                    self.offsets.push(self.read + start as u64);
                }
            }
            self.begin_line(&chunk[start..]);
            self.read += chunk.len() as u64;
        }
    }

    /// Remembers the next bytes of a line, as far as a heading can reach.
    fn begin_line(&mut self, bytes: &[u8]) {
        let room = HEADING.saturating_sub(self.begun.len());
        self.begun.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn fetch(
        &self,
        logs: &LogStore,
        attempt: AttemptId,
        first: u64,
        limit: usize,
    ) -> Result<Vec<String>, LogError> {
        let block = (first - 1) / STRIDE;
        let offset = usize::try_from(block).ok().and_then(|block| self.offsets.get(block)).copied();
        Ok(text(logs.lines_from(attempt, offset.unwrap_or(0), (first - 1) % STRIDE, limit)?))
    }
}

#[cfg(test)]
mod tests {
    use towpath_artifact::ContentStore;
    use uuid::Uuid;

    use super::*;

    fn store() -> (tempfile::TempDir, LogStore, AttemptId) {
        let directory = tempfile::tempdir().unwrap();
        let content = ContentStore::open(&directory.path().join("blobs")).unwrap();
        let logs = LogStore::open(&directory.path().join("logs"), content, 1 << 30).unwrap();
        (directory, logs, AttemptId(Uuid::from_u128(1)))
    }

    fn line(number: u64) -> String {
        format!("2026-11-21T14:03:07.000001Z 01o line {number}")
    }

    #[test]
    fn finds_any_line_of_a_log_that_grows() {
        let (_directory, logs, attempt) = store();
        let index = LogIndex::default();
        let mut end = 0;
        let mut append = |text: &str| end = logs.append(attempt, 1, end, text.as_bytes()).unwrap();
        let many: String = (1..=20_000).map(|number| line(number) + "\n").collect();
        append(&many);
        let page = index.lines(&logs, attempt, 10_001, 500).unwrap();
        assert_eq!((page.first, page.lines.len(), page.total, page.open), (10_001, 500, 20_000, true));
        assert_eq!((&page.lines[0], &page.lines[499]), (&line(10_001), &line(10_500)));
        append("begun");
        assert_eq!(index.lines(&logs, attempt, -1, 5).unwrap().lines, [line(20_000)]);
        append(" and done\nlast");
        assert_eq!(index.lines(&logs, attempt, 20_001, 5).unwrap().lines, ["begun and done"]);
        logs.seal(attempt).unwrap();
        assert_eq!(index.groups(&logs, attempt).unwrap(), []);
        let end = index.lines(&logs, attempt, -2, 500).unwrap();
        assert_eq!((end.first, end.total, end.open), (20_001, 20_002, false));
        assert_eq!(end.lines, ["begun and done", "last"]);
        assert_eq!(index.lines(&logs, attempt, 20_003, 5).unwrap().lines, [""; 0]);
    }

    #[test]
    fn groups_are_the_same_while_a_log_grows_and_after_it() {
        let (_directory, logs, attempt) = store();
        let index = LogIndex::default();
        let mut end = 0;
        let mut append = |text: &str| end = logs.append(attempt, 1, end, text.as_bytes()).unwrap();
        let at = "2026-11-21T14:03:07.000001Z 01o";
        append(&format!("{at} one\n{at} ::gro"));
        assert_eq!(index.groups(&logs, attempt).unwrap(), []);
        append(&format!("up::make\n{at} two\n"));
        let group = |last| Group { first: 2, last, folded: true };
        assert_eq!(index.groups(&logs, attempt).unwrap(), [group(None)]);
        append(&format!("{at} ::endgroup::\n{at} three\n"));
        assert_eq!(index.groups(&logs, attempt).unwrap(), [group(Some(4))]);
        logs.seal(attempt).unwrap();
        assert_eq!(index.groups(&logs, attempt).unwrap(), [group(Some(4))]);
        assert_eq!(index.groups(&logs, attempt).unwrap(), [group(Some(4))], "from memory");
    }
}
