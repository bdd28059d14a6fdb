//! Reads files without being led astray.
//!
//! A repository is untrusted: its `towpath.yaml` may be a link to a file of the server's.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::parse::MAX_FILE;

/// Why a file was not read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It is not there.
    #[error("there is no {path}; run `towpath init` to write one")]
    Missing {
        /// Which.
        path: PathBuf,
    },
    /// It points elsewhere.
    #[error(
        "{path} is a symbolic link, which is not followed: what it points to may not belong to the repository; put the file itself there"
    )]
    Symlink {
        /// Which.
        path: PathBuf,
    },
    /// It is a directory, a pipe or a device.
    #[error("{path} is not a file")]
    NotAFile {
        /// Which.
        path: PathBuf,
    },
    /// It is beyond the bound.
    #[error("{path} has more than {MAX_FILE} bytes; move scripts into files of their own and call them")]
    TooLarge {
        /// Which.
        path: PathBuf,
    },
    /// The operating system refused.
    #[error("cannot read {path}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Reads a pipeline file or an environment document. Links and anything but plain files are refused.
///
/// # Errors
/// Fails as [`ReadError`] says.
pub fn read_pipeline_file(path: &Path) -> Result<Vec<u8>, ReadError> {
    let named = || path.to_owned();
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => ReadError::Missing { path: named() },
        _ => ReadError::Io { path: named(), source },
    };
    let kind = fs::symlink_metadata(path).map_err(failed)?.file_type();
    if kind.is_symlink() {
        return Err(ReadError::Symlink { path: named() });
    }
    if !kind.is_file() {
        return Err(ReadError::NotAFile { path: named() });
    }
    let mut bytes = Vec::new();
    let bound = u64::try_from(MAX_FILE).unwrap_or(u64::MAX) + 1;
    File::open(path).and_then(|file| file.take(bound).read_to_end(&mut bytes)).map_err(failed)?;
    if bytes.len() > MAX_FILE {
        return Err(ReadError::TooLarge { path: named() });
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_plain_files_only() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        fs::write(path("plain"), "name: shop\n").unwrap();
        fs::write(path("large"), vec![b'#'; MAX_FILE + 1]).unwrap();
        std::os::unix::fs::symlink(path("plain"), path("link")).unwrap();
        assert_eq!(read_pipeline_file(&path("plain")).unwrap(), b"name: shop\n");
        assert!(matches!(read_pipeline_file(&path("link")), Err(ReadError::Symlink { .. })));
        assert!(matches!(read_pipeline_file(&path("none")), Err(ReadError::Missing { .. })));
        assert!(matches!(read_pipeline_file(&path("large")), Err(ReadError::TooLarge { .. })));
        assert!(matches!(read_pipeline_file(directory.path()), Err(ReadError::NotAFile { .. })));
    }
}
