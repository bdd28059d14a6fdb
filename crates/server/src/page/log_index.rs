//! Where the lines of a log begin, so that a page of a long log costs no more than one of a short log.
//!
//! Every 256th line is remembered. A log that grows is read on from where the last look ended.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use towpath_artifact::{LogError, LogStore};
use towpath_model::AttemptId;
use towpath_ui::log::FailingLine;

/// One line in so many is remembered.
const STRIDE: u64 = 256;

/// How many logs are remembered. A log of a million lines takes 32 KiB.
const LOGS: usize = 128;

/// How much is read at once.
const CHUNK: usize = 256 * 1024;

/// The most that one page of lines may hold.
const PAGE: usize = 4 * 1024 * 1024;

/// What is remembered of logs.
#[derive(Debug, Default)]
pub(crate) struct LogIndex {
    known: Mutex<HashMap<AttemptId, Arc<Mutex<Lines>>>>,
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
    /// The bytes behind the last line feed.
    rest: u64,
    /// The line to jump to, once it was asked for.
    failing: Option<Option<u64>>,
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
        let open = logs.sealed(attempt)?.is_none();
        let known = self.known(attempt);
        let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
        known.read_on(logs, attempt)?;
        // What has no line feed yet may still grow.
        let total = known.count + u64::from(!open && known.rest > 0);
        let first = match u64::try_from(from) {
            Ok(from) => from.max(1),
            Err(_) => total.saturating_sub(from.unsigned_abs() - 1).max(1),
        };
        let lines = if first > total {
            Vec::new()
        } else {
            let limit = limit.min(usize::try_from(total - first + 1).unwrap_or(usize::MAX));
            known.fetch(logs, attempt, first, limit)?
        };
        Ok(Lined { first, lines, total, open })
    }

    /// The line to jump to in the log of a failed Attempt. Asked of a log that no longer grows.
    pub(crate) fn failing(
        &self,
        logs: &LogStore,
        attempt: AttemptId,
        step: u32,
    ) -> Result<Option<u64>, LogError> {
        if logs.sealed(attempt)?.is_none() {
            return Ok(None);
        }
        let known = self.known(attempt);
        let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(failing) = known.failing {
            return Ok(failing);
        }
        let mut failing = FailingLine::of_step(step);
        let mut number = 0;
        walk(logs, attempt, 0, |line| {
            number += 1;
            failing.look(number, &String::from_utf8_lossy(line));
            true
        })?;
        known.failing = Some(failing.found());
        Ok(failing.found())
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
            for (at, _) in chunk.iter().enumerate().filter(|(_, byte)| **byte == b'\n') {
                self.count += 1;
                if self.count.is_multiple_of(STRIDE) {
                    self.offsets.push(self.read + at as u64 + 1);
                }
            }
            let behind = chunk.iter().rev().take_while(|byte| **byte != b'\n').count();
            self.rest = if behind == chunk.len() { self.rest + behind as u64 } else { behind as u64 };
            self.read += chunk.len() as u64;
        }
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
        let mut skip = (first - 1) % STRIDE;
        let (mut lines, mut size) = (Vec::new(), 0);
        walk(logs, attempt, offset.unwrap_or(0), |line| {
            if skip > 0 {
                skip -= 1;
                return true;
            }
            size += line.len();
            lines.push(String::from_utf8_lossy(line).into_owned());
            lines.len() < limit && size < PAGE
        })?;
        Ok(lines)
    }
}

/// Gives each line from an offset on, the last one also without its line feed, until `take` has enough.
fn walk(
    logs: &LogStore,
    attempt: AttemptId,
    mut offset: u64,
    mut take: impl FnMut(&[u8]) -> bool,
) -> Result<(), LogError> {
    let mut rest = Vec::new();
    loop {
        let chunk = logs.read(attempt, offset, CHUNK)?;
        if chunk.is_empty() {
            if !rest.is_empty() {
                take(&rest);
            }
            return Ok(());
        }
        offset += chunk.len() as u64;
        for part in chunk.split_inclusive(|byte| *byte == b'\n') {
            match part.split_last() {
                Some((b'\n', line)) if rest.is_empty() => {
                    if !take(line) {
                        return Ok(());
                    }
                }
                Some((b'\n', line)) => {
                    rest.extend_from_slice(line);
                    if !take(&rest) {
                        return Ok(());
                    }
                    rest.clear();
                }
                _ => rest.extend_from_slice(part),
            }
        }
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
        let end = index.lines(&logs, attempt, -2, 500).unwrap();
        assert_eq!((end.first, end.total, end.open), (20_001, 20_002, false));
        assert_eq!(end.lines, ["begun and done", "last"]);
        assert_eq!(index.lines(&logs, attempt, 20_003, 5).unwrap().lines, [""; 0]);
    }

    #[test]
    fn the_failing_line_is_told_once_the_log_is_whole() {
        let (_directory, logs, attempt) = store();
        let index = LogIndex::default();
        let text = format!("{}\n2026-11-21T14:03:08.000001Z 01e error: no\n{}\n", line(1), line(3));
        logs.append(attempt, 1, 0, text.as_bytes()).unwrap();
        assert_eq!(index.failing(&logs, attempt, 1).unwrap(), None);
        logs.seal(attempt).unwrap();
        assert_eq!(index.failing(&logs, attempt, 1).unwrap(), Some(2));
        assert_eq!(LogIndex::default().failing(&logs, attempt, 7).unwrap(), None);
    }
}
