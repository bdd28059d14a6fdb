//! The log of one Instance: two files, each of bounded size.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use jiff::Timestamp;

/// The size at which `log` becomes `log.1` and a new one begins.
const ROTATE_AT: u64 = 8 << 20;

/// Writes lines and rotates.
#[derive(Debug)]
pub(super) struct RotatingLog {
    path: PathBuf,
    file: File,
    written: u64,
}

impl RotatingLog {
    pub(super) fn open(path: PathBuf) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(&path)?;
        let written = file.metadata()?.len();
        Ok(Self { path, file, written })
    }

    /// Writes one line. A full disk loses the line and not the Instance.
    pub(super) fn line(&mut self, source: &str, text: &str) {
        let line = format!("{:.3} {source} {text}\n", Timestamp::now());
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
