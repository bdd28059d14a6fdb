//! The gateway's directory: the lock, the last desired state, where the control socket is.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use towpath_api::gateway::Routes;

/// `<data>/gateway`.
#[derive(Debug, Clone)]
pub struct Directory(PathBuf);

/// Something about the gateway's directory went wrong.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// It could not be made, locked, read or written.
    #[error("cannot {action} {}", .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The last desired state cannot be understood.
    #[error("{} is damaged", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
}

impl Directory {
    /// The gateway's part of a data directory.
    #[must_use]
    pub fn of(data: &Path) -> Self {
        Self(data.join("gateway"))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    fn io(&self, action: &'static str, name: &str) -> impl FnOnce(io::Error) -> DiskError + use<> {
        let path = self.0.join(name);
        move |source| DiskError::Io { action, path, source }
    }

    /// Makes it, for this user only.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn create(&self) -> Result<(), DiskError> {
        use std::os::unix::fs::DirBuilderExt;
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.0);
        made.map_err(self.io("make", ""))
    }

    /// Takes the lock that only one serving gateway has; `None` if another has it.
    ///
    /// # Errors
    /// When the lock file cannot be opened.
    pub fn lock(&self) -> Result<Option<File>, DiskError> {
        let options = OpenOptions::new().create(true).truncate(false).write(true).open(self.0.join("lock"));
        let file = options.map_err(self.io("open", "lock"))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(self.io("lock", "lock")(error)),
        }
    }

    /// Reads the last desired state.
    ///
    /// # Errors
    /// When it cannot be read or understood.
    pub fn load(&self) -> Result<Option<Routes>, DiskError> {
        let path = self.0.join("routes.json");
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.io("read", "routes.json")(error)),
        };
        serde_json::from_slice(&bytes).map(Some).map_err(|source| DiskError::Damaged { path, source })
    }

    /// Writes desired state so that a crash at any moment leaves the older or the newer one, whole.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save(&self, routes: &Routes) -> Result<(), DiskError> {
        let write = || -> io::Result<()> {
            let temporary = self.0.join("routes.json.new");
            let mut file = File::create(&temporary)?;
            file.write_all(&serde_json::to_vec(routes)?)?;
            file.sync_all()?;
            fs::rename(&temporary, self.0.join("routes.json"))?;
            File::open(&self.0)?.sync_all()
        };
        write().map_err(self.io("write", "routes.json"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_state_and_one_lock() {
        let data = tempfile::tempdir().unwrap();
        let directory = Directory::of(data.path());
        directory.create().unwrap();
        assert_eq!(directory.load().unwrap(), None);
        let routes = Routes { generation: 7, routes: Vec::new() };
        directory.save(&routes).unwrap();
        assert_eq!(directory.load().unwrap(), Some(routes));

        let lock = directory.lock().unwrap().expect("it is free");
        assert!(directory.lock().unwrap().is_none(), "it is taken");
        drop(lock);
        assert!(directory.lock().unwrap().is_some(), "it is free again");

        fs::write(directory.path().join("routes.json"), "{").unwrap();
        assert!(matches!(directory.load(), Err(DiskError::Damaged { .. })));
    }
}
