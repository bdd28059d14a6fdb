//! The log of one Instance: two files, each of bounded size.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;

/// The size at which `log` becomes `log.1` and a new one begins.
const ROTATE_AT: u64 = 8 << 20;

/// How much of the end of a log is read for its last line.
const TAIL: u64 = 256 << 10;

/// A log that several threads write to.
#[derive(Debug, Clone)]
pub(super) struct SharedLog(Arc<Mutex<RotatingLog>>);

impl SharedLog {
    pub(super) fn open(path: PathBuf) -> io::Result<Self> {
        Ok(Self(Arc::new(Mutex::new(RotatingLog::open(path)?))))
    }

    /// Writes one line. A full disk loses the line and not the Instance.
    pub(super) fn line(&self, source: &str, text: &str) {
        let stamp = format!("{:.3}", Timestamp::now());
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(&stamp, source, text);
    }

    /// Writes a line of an output that was printed then.
    pub(super) fn line_of(&self, at: Timestamp, source: &str, text: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(&format!("{at:.6}"), source, text);
    }
}

/// When the last line of an output was printed that the log at `path` has.
pub(super) fn last_printed(path: &Path) -> Option<Timestamp> {
    [path.to_owned(), path.with_extension("1")].iter().find_map(|path| {
        let mut file = File::open(path).ok()?;
        let length = file.metadata().ok()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL))).ok()?;
        let mut bytes = Vec::new();
        file.take(TAIL).read_to_end(&mut bytes).ok()?;
        let text = String::from_utf8_lossy(&bytes);
        text.lines().rev().find_map(|line| {
            let (stamp, rest) = line.split_once(' ')?;
            let is_output = rest.starts_with("out ") || rest.starts_with("err ");
            stamp.parse().ok().filter(|_| is_output)
        })
    })
}

/// Writes lines and rotates.
#[derive(Debug)]
struct RotatingLog {
    path: PathBuf,
    file: File,
    written: u64,
}

impl RotatingLog {
    fn open(path: PathBuf) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(&path)?;
        let written = file.metadata()?.len();
        Ok(Self { path, file, written })
    }

    fn write(&mut self, stamp: &str, source: &str, text: &str) {
        let line = format!("{stamp} {source} {text}\n");
        if self.written > ROTATE_AT {
            let _kept_growing = self.rotate();
        }
        if self.file.write_all(line.as_bytes()).is_ok() {
            self.written += line.len() as u64;
        }
    }

    fn rotate(&mut self) -> io::Result<()> {
        fs::rename(&self.path, self.path.with_extension("1"))?;
        *self = Self::open(self.path.clone())?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_printed_last() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("log");
        assert_eq!(last_printed(&path), None);
        let log = SharedLog::open(path.clone()).unwrap();
        log.line("towpath", "started");
        assert_eq!(last_printed(&path), None, "that line is not its program's");
        let at: Timestamp = "2026-11-21T10:00:00.123456789Z".parse().unwrap();
        log.line_of(at, "err", "out of luck");
        log.line("towpath", "out of order");
        assert_eq!(last_printed(&path), Some("2026-11-21T10:00:00.123456Z".parse().unwrap()));
        fs::rename(&path, path.with_extension("1")).unwrap();
        assert!(last_printed(&path).is_some(), "it is in the older file");
    }
}
