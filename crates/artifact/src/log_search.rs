//! Searching the logs of Attempts.

use std::io;

use towpath_model::AttemptId;

use crate::line::text_start;
use crate::log::{LogError, LogStore};
use crate::log_index::fold;

/// How much of a log is read at once.
const CHUNK: usize = 1024 * 1024;

/// Of a longer line only the beginning is searched in a log that is still open.
const LONGEST_LINE: usize = 1024 * 1024;

/// A text that is looked for in what lines say, whatever their case and colours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Needle {
    folded: Vec<u8>,
}

/// A line that holds the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    /// Its number, from 1.
    pub line: u64,
    /// The line as it is stored.
    pub text: String,
}

impl Needle {
    /// What is looked for; `None` for nothing but space, or more than a thousand bytes.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        let folded = text.to_ascii_lowercase().into_bytes();
        (!folded.is_empty() && folded.len() <= 1000).then_some(Self { folded })
    }

    fn in_line(&self, line: &[u8], buffer: &mut Vec<u8>) -> bool {
        fold(line, buffer);
        memchr::memmem::find(buffer, &self.folded).is_some()
    }
}

impl LogStore {
    /// Finds the first `limit` lines of a log that hold `needle`. `budget` is how many bytes of logs may be read, and is reduced by
    /// what was; a search that comes to its end ends early.
    ///
    /// # Errors
    /// Fails if the log cannot be read.
    pub fn search(
        &self,
        attempt: AttemptId,
        needle: &Needle,
        limit: usize,
        budget: &mut u64,
    ) -> Result<Vec<Hit>, LogError> {
        let blocks = match self.index(attempt)? {
            Some(index) => index.candidates(&needle.folded).map_err(|error| self.unread(attempt, error))?,
            None => vec![(0, self.length(attempt)?, 0)],
        };
        let mut hits = Vec::new();
        for (offset, length, line) in blocks {
            if hits.len() >= limit || *budget == 0 {
                break;
            }
            let length = length.min(*budget);
            *budget -= length;
            self.scan(attempt, needle, limit, (offset, length, line), &mut hits)?;
        }
        Ok(hits)
    }

    fn scan(
        &self,
        attempt: AttemptId,
        needle: &Needle,
        limit: usize,
        (mut offset, length, mut number): (u64, u64, u64),
        hits: &mut Vec<Hit>,
    ) -> Result<(), LogError> {
        let end = offset + length;
        let (mut rest, mut buffer) = (Vec::new(), Vec::new());
        let mut look = |line: &[u8], number: u64| {
            if hits.len() < limit && needle.in_line(line, &mut buffer) {
                hits.push(Hit { line: number, text: shown(line) });
            }
            hits.len() < limit
        };
        while offset < end {
            let most = usize::try_from(end - offset).unwrap_or(CHUNK).min(CHUNK);
            let chunk = self.read(attempt, offset, most)?;
            if chunk.is_empty() {
                break;
            }
            offset += chunk.len() as u64;
            for part in chunk.split_inclusive(|byte| *byte == b'\n') {
                let text = part.strip_suffix(b"\n");
                if text.is_none() || !rest.is_empty() {
                    let room = LONGEST_LINE.saturating_sub(rest.len());
                    let more = text.unwrap_or(part);
                    rest.extend_from_slice(&more[..more.len().min(room)]);
                }
                let Some(text) = text else { continue };
                number += 1;
                let goes_on = look(if rest.is_empty() { text } else { &rest }, number);
                rest.clear();
                if !goes_on {
                    return Ok(());
                }
            }
        }
        if !rest.is_empty() {
            look(&rest, number + 1);
        }
        Ok(())
    }

    fn unread(&self, attempt: AttemptId, error: io::Error) -> LogError {
        self.failed(attempt, "search", error)
    }
}

/// A line as an answer holds it: with its time and Step, but not without end.
fn shown(line: &[u8]) -> String {
    const MOST: usize = 2000;
    let end = line.len().min(text_start(line) + MOST);
    String::from_utf8_lossy(&line[..end]).into_owned()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::content::ContentStore;

    fn store() -> (tempfile::TempDir, LogStore, AttemptId) {
        let directory = tempfile::tempdir().unwrap();
        let content = ContentStore::open(&directory.path().join("blobs")).unwrap();
        let logs = LogStore::open(&directory.path().join("logs"), content, 1 << 30).unwrap();
        (directory, logs, AttemptId(Uuid::from_u128(1)))
    }

    fn log() -> String {
        let line = |n: u32| {
            let what =
                if n == 12_345 { "\x1b[31merror:\x1b[0m Lock of the CANAL is stuck" } else { "water flows" };
            format!("2026-11-21T14:03:07.000001Z 01o {what} {n}\n")
        };
        (1..=20_000).map(line).collect()
    }

    #[test]
    fn a_line_is_found_in_an_open_log_a_sealed_one_and_one_without_its_index() {
        let (directory, logs, attempt) = store();
        logs.append(attempt, 1, 0, log().as_bytes()).unwrap();
        let needle = Needle::new("ERROR: lock of the canal").unwrap();
        let found = |budget: &mut u64| logs.search(attempt, &needle, 10, budget).unwrap();
        let open = found(&mut u64::MAX.clone());
        assert_eq!(open.len(), 1);
        assert_eq!(open[0].line, 12_345);
        assert!(open[0].text.ends_with("is stuck 12345"), "{}", open[0].text);
        logs.seal(attempt).unwrap();
        let mut budget = 1 << 30;
        assert_eq!(found(&mut budget), open);
        assert!((1 << 30) - budget < 300_000, "read {} bytes", (1 << 30) - budget);
        let index = directory.path().join("logs").join(attempt.to_string()).join("index");
        std::fs::write(&index, b"torn").unwrap();
        assert_eq!(found(&mut budget), open);
        std::fs::remove_file(&index).unwrap();
        assert_eq!(found(&mut budget), open);
        assert!(index.exists());
    }

    #[test]
    fn a_search_stops_at_its_bounds() {
        let (_directory, logs, attempt) = store();
        logs.append(attempt, 1, 0, log().as_bytes()).unwrap();
        logs.seal(attempt).unwrap();
        let water = Needle::new("water").unwrap();
        let mut budget = 1 << 30;
        let few = logs.search(attempt, &water, 5, &mut budget).unwrap();
        assert_eq!(few.iter().map(|hit| hit.line).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
        let mut budget = 1000;
        assert!(logs.search(attempt, &water, 5000, &mut budget).unwrap().len() < 30);
        assert_eq!(budget, 0);
        let none = Needle::new("no boat says this").unwrap();
        let mut budget = 1 << 30;
        assert!(logs.search(attempt, &none, 5, &mut budget).unwrap().is_empty());
        assert_eq!(budget, 1 << 30, "the index was not used");
    }

    #[test]
    fn time_and_step_are_no_part_of_what_a_line_says() {
        let (_directory, logs, attempt) = store();
        logs.append(attempt, 1, 0, b"2026-11-21T14:03:07.000001Z 01o hello\n").unwrap();
        for (text, found) in [("2026", 0), ("01o", 0), ("ello", 1)] {
            let needle = Needle::new(text).unwrap();
            assert_eq!(logs.search(attempt, &needle, 5, &mut 1000).unwrap().len(), found, "{text}");
        }
        assert_eq!(Needle::new("  "), None);
    }
}
