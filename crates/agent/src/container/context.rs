//! The files that a Dockerfile is built from, without what `.dockerignore` names.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tar::{EntryType, Header};

/// The most files of a context.
const MAX_FILES: usize = 200_000;

/// Packs a directory for the engine, into a file without a name beside it.
///
/// Times and owners are left out, so that a fresh copy of the same files finds the same layers in the cache.
pub(super) fn pack(context: &Path, dockerfile: &str, spool: &Path) -> io::Result<File> {
    let ignore = fs::read_to_string(context.join(".dockerignore")).unwrap_or_default();
    let ignore = Ignore::parse(&ignore);
    let file = tempfile::tempfile_in(spool)?;
    let mut archive = tar::Builder::new(&file);
    let mut count = 0;
    let mut open = vec![PathBuf::new()];
    while let Some(directory) = open.pop() {
        let mut entries: Vec<_> = fs::read_dir(context.join(&directory))?.collect::<Result<_, _>>()?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let path = directory.join(entry.file_name());
            let kind = entry.file_type()?;
            // The engine needs these two whatever the patterns say.
            let needed = path == Path::new(dockerfile) || path == Path::new(".dockerignore");
            let ignored = ignore.matches(&path) && !needed;
            if kind.is_dir() {
                // Something below may be taken back by a `!` pattern, or be the Dockerfile.
                if !ignored || ignore.takes_back || Path::new(dockerfile).starts_with(&path) {
                    open.push(path.clone());
                }
            }
            if ignored {
                continue;
            }
            count += 1;
            if count > MAX_FILES {
                return Err(io::Error::other(format!(
                    "it has more than {MAX_FILES} files; name what is not needed in .dockerignore"
                )));
            }
            append(&mut archive, &context.join(&path), &path, kind)?;
        }
    }
    archive.finish()?;
    drop(archive);
    Ok(file)
}

fn append(archive: &mut tar::Builder<&File>, from: &Path, path: &Path, kind: fs::FileType) -> io::Result<()> {
    let metadata = fs::symlink_metadata(from)?;
    let mut header = Header::new_gnu();
    header.set_mode(metadata.permissions().mode() & 0o777);
    header.set_size(0);
    if kind.is_symlink() {
        header.set_entry_type(EntryType::Symlink);
        archive.append_link(&mut header, path, fs::read_link(from)?)
    } else if kind.is_dir() {
        header.set_entry_type(EntryType::Directory);
        archive.append_data(&mut header, path, io::empty())
    } else if kind.is_file() {
        header.set_size(metadata.len());
        let file = File::open(from)?;
        archive.append_data(&mut header, path, io::Read::take(file, metadata.len()))
    } else {
        // Sockets, pipes and devices cannot be built from.
        Ok(())
    }
}

/// The patterns of a `.dockerignore`.
#[derive(Debug, Default)]
struct Ignore {
    /// Each with whether it takes back what an earlier one ignored.
    patterns: Vec<(Vec<String>, bool)>,
    takes_back: bool,
}

impl Ignore {
    fn parse(text: &str) -> Self {
        let mut ignore = Self::default();
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (line, back) = line.strip_prefix('!').map_or((line, false), |rest| (rest.trim(), true));
            let parts: Vec<String> =
                line.split('/').filter(|part| !part.is_empty() && *part != ".").map(str::to_owned).collect();
            if !parts.is_empty() {
                ignore.takes_back |= back;
                ignore.patterns.push((parts, back));
            }
        }
        ignore
    }

    /// The last pattern that matches the path or a directory above it decides.
    fn matches(&self, path: &Path) -> bool {
        let parts: Vec<String> =
            path.components().map(|part| part.as_os_str().to_string_lossy().into_owned()).collect();
        let last =
            self.patterns.iter().rev().find(|(pattern, _)| {
                (1..=parts.len()).any(|length| matches_parts(pattern, &parts[..length]))
            });
        last.is_some_and(|(_, back)| !back)
    }
}

fn matches_parts(pattern: &[String], path: &[String]) -> bool {
    match (pattern.split_first(), path.split_first()) {
        (None, None) => true,
        (Some((first, rest)), _) if first == "**" => {
            (0..=path.len()).any(|skipped| matches_parts(rest, &path[skipped..]))
        }
        (Some((first, rest)), Some((name, below))) => {
            matches_name(first.as_bytes(), name.as_bytes()) && matches_parts(rest, below)
        }
        (None, Some(_)) | (Some(_), None) => false,
    }
}

fn matches_name(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern.split_first(), name.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => (0..=name.len()).any(|skipped| matches_name(rest, &name[skipped..])),
        (Some((b'?', rest)), Some((_, after))) => matches_name(rest, after),
        (Some((wanted, rest)), Some((found, after))) => wanted == found && matches_name(rest, after),
        (None, Some(_)) | (Some(_), None) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_pattern_that_matches_decides() {
        let ignore =
            Ignore::parse("# made\ntarget\n*.log\n**/node_modules\n/docs/*\n!docs/keep.md\nv?.txt\n");
        let ignored = |path: &str| ignore.matches(Path::new(path));
        for path in ["target", "target/a/b", "x.log", "a/node_modules/b", "node_modules", "docs/x", "v1.txt"]
        {
            assert!(ignored(path), "{path}");
        }
        for path in ["src/main.rs", "a/x.log", "docs", "docs/keep.md", "v10.txt", "targets"] {
            assert!(!ignored(path), "{path}");
        }
    }

    #[test]
    fn packs_what_is_not_ignored_and_always_the_dockerfile() {
        let place = tempfile::tempdir().unwrap();
        let context = place.path().join("context");
        fs::create_dir_all(context.join("ci/secret")).unwrap();
        for (name, text) in [
            ("ci/Dockerfile", "FROM scratch"),
            ("ci/secret/key", "k"),
            ("app", "a"),
            (".dockerignore", "ci\n.*"),
        ] {
            fs::write(context.join(name), text).unwrap();
        }
        let mut packed = pack(&context, "ci/Dockerfile", place.path()).unwrap();
        io::Seek::rewind(&mut packed).unwrap();
        let mut archive = tar::Archive::new(packed);
        let mut names: Vec<_> = archive
            .entries()
            .unwrap()
            .map(|entry| entry.unwrap().path().unwrap().display().to_string())
            .collect();
        names.sort();
        assert_eq!(names, [".dockerignore", "app", "ci/Dockerfile"]);
    }
}
