//! Lines of a log, from any place in it on.

use towpath_model::AttemptId;

use crate::log::{LogError, LogStore};

/// How much is read at once.
const CHUNK: usize = 256 * 1024;

/// The most bytes that one look at lines gives.
const PAGE: usize = 4 * 1024 * 1024;

impl LogStore {
    /// Up to `limit` lines of a sealed log from line `first` on, counted from 1, without their line feeds. Its index says where
    /// to begin, so a line far behind costs no more than the first.
    ///
    /// # Errors
    /// Fails if the log or its index cannot be read.
    pub fn lines(&self, attempt: AttemptId, first: u64, limit: usize) -> Result<Vec<Vec<u8>>, LogError> {
        let wanted = first.saturating_sub(1);
        let (offset, before) = self.index(attempt)?.map_or((0, 0), |index| index.before(wanted));
        self.lines_from(attempt, offset, wanted - before, limit)
    }

    /// Up to `limit` lines from an offset on, but for the first few.
    ///
    /// # Errors
    /// Fails if the log cannot be read.
    pub fn lines_from(
        &self,
        attempt: AttemptId,
        offset: u64,
        mut skip: u64,
        limit: usize,
    ) -> Result<Vec<Vec<u8>>, LogError> {
        let (mut lines, mut size) = (Vec::new(), 0);
        self.walk(attempt, offset, |line| {
            if skip > 0 {
                skip -= 1;
                return true;
            }
            size += line.len();
            lines.push(line.to_vec());
            lines.len() < limit && size < PAGE
        })?;
        Ok(lines)
    }

    /// Gives each line from an offset on, the last one also without its line feed, until `take` has enough.
    ///
    /// # Errors
    /// Fails if the log cannot be read.
    pub fn walk(
        &self,
        attempt: AttemptId,
        mut offset: u64,
        mut take: impl FnMut(&[u8]) -> bool,
    ) -> Result<(), LogError> {
        let mut rest = Vec::new();
        loop {
            let chunk = self.read(attempt, offset, CHUNK)?;
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
}
