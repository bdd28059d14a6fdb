//! Writes the first files of a project, by what stands in its directory.
//!
//! What it writes is meant to be read and changed: it teaches by comments, and it is clean by the
//! linter's own judgement. Files that are there are not touched unless the caller says so.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use towpath_model::ProjectName;
use towpath_model::pipeline::Pipeline;
use towpath_model::policy::EnvironmentDocument;

use crate::parse::PIPELINE_FILE;

mod kind;
mod template;

pub use kind::{Kind, recognise};

/// A file to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewFile {
    /// Relative to the project's directory.
    pub path: PathBuf,
    /// All of it.
    pub text: String,
}

/// What `towpath init` would write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scaffold {
    /// What was recognised.
    pub kind: Kind,
    /// The Project's name, from the directory's.
    pub name: ProjectName,
    /// The files.
    pub files: Vec<NewFile>,
    /// What to do next, for people.
    pub next: String,
}

/// Whether files that are there are written over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overwrite {
    /// They are.
    Yes,
    /// They are not; nothing is written at all.
    No,
}

/// Why nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// Something is there already.
    #[error("{} is there already; nothing was written. `towpath lint` checks it, and `--force` writes over it", .path.display())]
    Exists {
        /// Which file.
        path: PathBuf,
    },
    /// The operating system refused.
    #[error("cannot write {}", .path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Plans the files for a project of some kind.
#[must_use]
pub fn scaffold(directory: &Path, kind: Kind) -> Scaffold {
    let name = project_name(directory);
    let mut files = vec![NewFile {
        path: PathBuf::from(PIPELINE_FILE),
        text: template::pipeline(kind, &name, directory),
    }];
    files.extend(template::environments(&name).into_iter().map(|(environment, text)| NewFile {
        path: PathBuf::from(".towpath").join(format!("{environment}.yaml")),
        text,
    }));
    let next = template::next(kind, &name);
    Scaffold { kind, name, files, next }
}

/// Plans the documents of Environments that the Stages of a pipeline name and nobody has written yet.
#[must_use]
pub fn missing_documents(pipeline: &Pipeline, documents: &[EnvironmentDocument]) -> Scaffold {
    let name = pipeline.name.clone();
    let last = pipeline.stages.last().map(|stage| &stage.environments);
    let mut ports =
        (8080..=u16::MAX).filter(|port| documents.iter().all(|known| known.listen.port() != *port));
    let named: BTreeSet<_> = pipeline.stages.iter().flat_map(|stage| &stage.environments).collect();
    let missing =
        named.into_iter().filter(|named| documents.iter().all(|known| known.environment != **named));
    let files = missing.map(|environment| {
        let is_last = last.is_some_and(|last| last.contains(environment));
        let port = ports.next().unwrap_or_default();
        let text = template::environment(&name, environment.as_str(), port, is_last);
        NewFile { path: PathBuf::from(".towpath").join(format!("{environment}.yaml")), text }
    });
    let files = files.collect();
    let next = template::next(Kind::Unknown, &name);
    Scaffold { kind: Kind::Unknown, name, files, next }
}

/// Writes the files, all or none of those that would overwrite.
///
/// # Errors
/// Fails where a file exists and must not be written over, and where the operating system refuses.
pub fn write(directory: &Path, scaffold: &Scaffold, overwrite: Overwrite) -> Result<(), InitError> {
    let exists = |file: &&NewFile| directory.join(&file.path).symlink_metadata().is_ok();
    if overwrite == Overwrite::No
        && let Some(file) = scaffold.files.iter().find(exists)
    {
        return Err(InitError::Exists { path: file.path.clone() });
    }
    for file in &scaffold.files {
        let path = directory.join(&file.path);
        let failed = |source| InitError::Io { path: file.path.clone(), source };
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(failed)?;
        }
        // A link would be followed out of the project: it is replaced by the file.
        if path.is_symlink() {
            fs::remove_file(&path).map_err(failed)?;
        }
        fs::write(&path, &file.text).map_err(failed)?;
    }
    Ok(())
}

/// The directory's name, as far as it can be one.
fn project_name(directory: &Path) -> ProjectName {
    let directory = directory.canonicalize().unwrap_or_else(|_| directory.to_owned());
    let raw = directory.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    let plain: String =
        raw.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(40).collect();
    let plain = plain.trim_matches('-');
    plain.parse().unwrap_or_else(|_| "app".parse().expect("`app` is a name"))
}

#[cfg(test)]
mod tests;
