//! Finds what a snapshot shall hold, following no link.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::pattern::{Pattern, Segment, name_matches};

use super::SnapshotError;

/// The most directory entries that are looked at for one list of patterns.
const MAX_VISITS: usize = 2_000_000;

/// The paths below `root` that `patterns` name, relative to it, without what lies below them.
///
/// A pattern that matches nothing gives nothing: a cache may name what is not there yet. Links are never followed.
///
/// # Errors
/// Fails if a pattern cannot be one, or a directory cannot be read.
pub fn expand(root: &Path, patterns: &[String]) -> Result<BTreeSet<PathBuf>, SnapshotError> {
    let mut search = Search { root, found: BTreeSet::new(), visits: 0 };
    for text in patterns {
        let pattern = Pattern::parse(text)?;
        search.at(PathBuf::new(), &pattern.segments)?;
    }
    Ok(search.found)
}

struct Search<'a> {
    root: &'a Path,
    found: BTreeSet<PathBuf>,
    visits: usize,
}

impl Search<'_> {
    fn at(&mut self, path: PathBuf, segments: &[Segment]) -> Result<(), SnapshotError> {
        let Some((segment, rest)) = segments.split_first() else {
            self.found.insert(path);
            return Ok(());
        };
        match segment {
            Segment::Literal(name) => {
                let path = path.join(name);
                let Ok(metadata) = fs::symlink_metadata(self.root.join(&path)) else { return Ok(()) };
                if rest.is_empty() || metadata.is_dir() { self.at(path, rest) } else { Ok(()) }
            }
            Segment::Wildcard(wildcard) => {
                for (name, is_directory) in self.names(&path)? {
                    let matches = name.to_str().is_some_and(|name| name_matches(wildcard, name));
                    if matches && (rest.is_empty() || is_directory) {
                        self.at(path.join(name), rest)?;
                    }
                }
                Ok(())
            }
            // At the end it is everything below, so each name at this place.
            Segment::AnyDepth if rest.is_empty() => {
                for (name, _) in self.names(&path)? {
                    self.found.insert(path.join(name));
                }
                Ok(())
            }
            Segment::AnyDepth => {
                self.at(path.clone(), rest)?;
                for (name, is_directory) in self.names(&path)? {
                    if is_directory {
                        self.at(path.join(name), segments)?;
                    }
                }
                Ok(())
            }
        }
    }

    fn names(&mut self, directory: &Path) -> Result<Vec<(std::ffi::OsString, bool)>, SnapshotError> {
        let full = self.root.join(directory);
        let names = list(&full);
        let names = match names {
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                Vec::new()
            }
            names => names.map_err(|source| SnapshotError::Read { path: full, source })?,
        };
        self.visits += names.len() + 1;
        if self.visits > MAX_VISITS {
            return Err(SnapshotError::TooMuch {
                limit: MAX_VISITS as u64,
                what: "directory entries to look at",
            });
        }
        Ok(names)
    }
}

fn list(directory: &Path) -> io::Result<Vec<(std::ffi::OsString, bool)>> {
    fs::read_dir(directory)?
        .map(|entry| {
            let entry = entry?;
            Ok((entry.file_name(), entry.file_type()?.is_dir()))
        })
        .collect()
}
