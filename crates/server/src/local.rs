//! `run/local.json`: how this user's own agent, gateway and command line find and enter the server.

use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use serde::{Deserialize, Serialize};

/// The content of `run/local.json`.
#[derive(Clone, Serialize, Deserialize)]
pub struct LocalAccess {
    /// The server's address.
    pub url: String,
    /// A bearer token, new at each start of the server.
    pub token: String,
    /// The instance CA's certificate in PEM, where the server speaks HTTPS with one of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authority: Option<String>,
}

impl LocalAccess {
    /// Reads the file of the server that uses `data_dir`.
    ///
    /// # Errors
    /// When there is none, or it belongs to another user.
    pub fn read(data_dir: &Path) -> io::Result<Self> {
        let text = std::fs::read(data_dir.join("run/local.json"))?;
        serde_json::from_slice(&text).map_err(io::Error::other)
    }

    /// Replaces the file, readable by this user only.
    pub(crate) fn write(&self, data_dir: &Path) -> io::Result<()> {
        let path = data_dir.join("run/local.json");
        let fresh = data_dir.join("run/local.json.new");
        match std::fs::remove_file(&fresh) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
        file.write_all(&serde_json::to_vec(self).map_err(io::Error::other)?)?;
        file.sync_all()?;
        std::fs::rename(&fresh, &path)
    }
}

/// Makes a directory that only this user can enter, and its parents.
pub(crate) fn private_dir(path: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}
