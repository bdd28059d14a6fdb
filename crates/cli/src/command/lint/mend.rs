//! `towpath lint --fix`: writes files anew as far as what is meant is sure.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use towpath_config::file::read_pipeline_file;
use towpath_config::{fix, parse_environments};

use super::super::include::IncludeArgs;
use super::super::local::{is_pipeline, shown};
use super::diff::diff;

/// Whether files change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Write {
    /// They do.
    Yes,
    /// It is only shown how they would.
    No,
}

/// Mends each file, and says which.
///
/// # Errors
/// Fails where a file cannot be read or written.
pub fn mend(files: &[PathBuf], include: &IncludeArgs, write: Write, show: bool) -> anyhow::Result<()> {
    for file in files {
        let bytes = read_pipeline_file(file)?;
        // What is no text is a diagnostic, and nothing to mend.
        let Ok(text) = std::str::from_utf8(&bytes) else { continue };
        let name = shown(file);
        let mended = match is_pipeline(file, &bytes) {
            true => {
                let mended = fix::mend(text, |text| {
                    let mut found = include.load(file, &name, text.as_bytes()).1;
                    // Each file is mended by its own name.
                    found.retain(|found| found.file == name);
                    found
                });
                include.pinned(file, &name, &mended)
            }
            false => fix::mend(text, |text| parse_environments(&name, text).1),
        };
        if mended == text {
            continue;
        }
        if show {
            anstream::print!("{}", diff(&name, text, &mended));
        }
        if write == Write::Yes {
            replace(file, &mended)?;
            anstream::eprintln!("mended {name}");
        }
    }
    Ok(())
}

/// Puts a whole new file in the place of the old one, so that an interrupted command leaves either.
fn replace(file: &Path, text: &str) -> anyhow::Result<()> {
    let failed = || format!("failed to write {}", file.display());
    let directory = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut new = tempfile::NamedTempFile::new_in(directory).with_context(failed)?;
    new.write_all(text.as_bytes()).with_context(failed)?;
    let permissions = fs::metadata(file).with_context(failed)?.permissions();
    new.as_file().set_permissions(permissions).with_context(failed)?;
    new.as_file().sync_all().with_context(failed)?;
    new.persist(file).with_context(failed)?;
    Ok(())
}
