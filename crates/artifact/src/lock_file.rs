//! A file that one process at a time holds locked, and lets go however it ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// The lock, held until this is dropped or the process ends.
#[derive(Debug)]
pub struct LockFile {
    file: File,
}

impl LockFile {
    /// Takes the lock, or returns `None` while another holds it.
    ///
    /// # Errors
    /// When the file cannot be opened or locked.
    pub fn take(path: &Path) -> io::Result<Option<Self>> {
        let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Writes this process's id into the file: whoever wants to end the holder reads there whom to signal.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn sign(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.rewind()?;
        writeln!(self.file, "{}", std::process::id())
    }

    /// Whether some process holds it. The look itself is a shared lock for a moment.
    #[must_use]
    pub fn is_held(path: &Path) -> bool {
        let Ok(file) = OpenOptions::new().write(true).open(path) else { return false };
        file.try_lock_shared().is_err()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holds_it_and_the_next_one_gets_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        assert!(!LockFile::is_held(&path), "nobody has made it yet");
        let mut first = LockFile::take(&path).unwrap().unwrap();
        first.sign().unwrap();
        assert!(LockFile::is_held(&path) && LockFile::take(&path).unwrap().is_none());
        assert_eq!(std::fs::read_to_string(&path).unwrap().trim(), std::process::id().to_string());
        drop(first);
        assert!(!LockFile::is_held(&path));
        assert!(LockFile::take(&path).unwrap().is_some());
    }
}
