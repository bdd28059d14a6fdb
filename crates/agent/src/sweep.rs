//! Removes directories on a thread of its own, so that the next Job begins meanwhile.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

/// How many directories may wait. More are removed by whoever brings them, so a disk is not filled by
/// Jobs that end faster than their files go.
const WAITING: usize = 16;

/// Removes directories. All are gone when it has been dropped.
#[derive(Debug)]
pub struct Sweeper {
    /// Taken at the end, which tells the thread.
    directories: Option<SyncSender<PathBuf>>,
    thread: Option<JoinHandle<()>>,
}

impl Sweeper {
    /// Starts its thread.
    ///
    /// # Errors
    /// Fails where the system has no thread left.
    pub fn start() -> io::Result<Self> {
        let (directories, brought) = sync_channel::<PathBuf>(WAITING);
        let sweep = move || brought.iter().for_each(|directory| remove(&directory));
        let thread = std::thread::Builder::new().name("sweeper".to_owned()).spawn(sweep)?;
        Ok(Self { directories: Some(directories), thread: Some(thread) })
    }

    /// Removes `directory` and all in it, soon.
    pub fn remove(&self, directory: PathBuf) {
        let refused = match &self.directories {
            Some(directories) => directories.try_send(directory).err().map(|error| match error {
                std::sync::mpsc::TrySendError::Full(directory)
                | std::sync::mpsc::TrySendError::Disconnected(directory) => directory,
            }),
            None => Some(directory),
        };
        if let Some(directory) = refused {
            remove(&directory);
        }
    }
}

impl Drop for Sweeper {
    fn drop(&mut self) {
        drop(self.directories.take());
        if let Some(thread) = self.thread.take() {
            // It does not panic; were it to, what it left is in a directory of temporary files.
            let _ended = thread.join();
        }
    }
}

fn remove(directory: &Path) {
    // What stays is in a directory of temporary files, which the next run does not meet.
    let _left_behind = std::fs::remove_dir_all(directory);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_gone_in_the_end() {
        let place = tempfile::tempdir().unwrap();
        let sweeper = Sweeper::start().unwrap();
        for number in 0..3 * WAITING {
            let directory = place.path().join(number.to_string());
            std::fs::create_dir_all(directory.join("a/b")).unwrap();
            sweeper.remove(directory);
        }
        drop(sweeper);
        assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 0);
    }
}
