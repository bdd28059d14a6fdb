//! Reads what Steps wrote to `$TOWPATH_OUTPUT`.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, openat};

/// The most bytes that a Step may write as outputs.
pub const OUTPUT_LIMIT: u64 = 256 * 1024;

/// Why outputs cannot be taken.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// The file cannot be read.
    #[error("failed to read the outputs of the step")]
    Unreadable(#[source] std::io::Error),
    /// It is larger than [`OUTPUT_LIMIT`].
    #[error(
        "the step wrote more than {OUTPUT_LIMIT} bytes to $TOWPATH_OUTPUT; pass large data on as an artifact"
    )]
    TooLarge,
    /// A line is not `NAME=value`.
    #[error("line {line} of $TOWPATH_OUTPUT is not NAME=value: `{text}`")]
    Malformed {
        /// Its number, from 1.
        line: usize,
        /// Its beginning.
        text: String,
    },
}

/// Reads `NAME=value` lines into `outputs`; a later value replaces an earlier one.
///
/// # Errors
///
/// See [`OutputError`].
pub fn read(file: &Path, outputs: &mut BTreeMap<String, String>) -> Result<(), OutputError> {
    let file = match open(file) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(OutputError::Unreadable(error)),
    };
    let mut bytes = Vec::new();
    file.take(OUTPUT_LIMIT + 1).read_to_end(&mut bytes).map_err(OutputError::Unreadable)?;
    if bytes.len() as u64 > OUTPUT_LIMIT {
        return Err(OutputError::TooLarge);
    }
    for (index, line) in String::from_utf8_lossy(&bytes).lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        match line.split_once('=') {
            Some((name, value)) if is_name(name) => outputs.insert(name.to_owned(), value.to_owned()),
            _ => {
                return Err(OutputError::Malformed {
                    line: index + 1,
                    text: line.chars().take(80).collect(),
                });
            }
        };
    }
    Ok(())
}

/// Opens what a Step left as its outputs, unless it is something else by now: a link to a file of the host, a pipe on
/// which the reader would wait for ever.
pub(super) fn open(path: &Path) -> std::io::Result<std::fs::File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = std::fs::File::from(openat(CWD, path, flags, Mode::empty())?);
    let data = file.metadata()?;
    if data.is_file() && data.nlink() == 1 {
        Ok(file)
    } else {
        Err(std::io::Error::other("it is no longer the file that the step was given"))
    }
}

fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outputs(text: &str) -> Result<BTreeMap<String, String>, OutputError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let mut outputs = BTreeMap::new();
        read(file.path(), &mut outputs).map(|()| outputs)
    }

    #[test]
    fn reads_names_and_values() {
        let got = outputs("version=1.2=3\n\nurl=\nversion=2\n").unwrap();
        assert_eq!(got, BTreeMap::from([("version".into(), "2".into()), ("url".into(), String::new())]));
    }

    #[test]
    fn refuses_what_it_cannot_understand() {
        assert!(matches!(outputs("ok=1\nno equals"), Err(OutputError::Malformed { line: 2, .. })));
        assert!(matches!(outputs("1x=1"), Err(OutputError::Malformed { line: 1, .. })));
        assert!(matches!(outputs(&"a=b\n".repeat(100_000)), Err(OutputError::TooLarge)));
    }
}
