//! Finds the files that patterns name, without ever leaving the root.

use std::collections::BTreeMap;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::beneath::Executable;
use crate::extract::stays_inside;
use crate::pack::PackError;
use crate::pattern::{Pattern, Segment, name_matches};

/// The most files of one Artifact.
const MAX_FILES: usize = 100_000;

/// The most directory entries that are looked at: `**` several times in one pattern visits a tree many times over.
const MAX_VISITS: usize = 5_000_000;

/// What stands at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selected {
    /// A plain file.
    File,
    /// A symbolic link with this target, which lies inside.
    Link(String),
}

/// Paths relative to the root, in the order of their bytes.
pub type Selection = BTreeMap<String, Selected>;

/// The file that a pattern without wildcards names, through links that stay inside; `None` if it is a directory.
pub fn single_file(root: &Path, pattern: &Pattern) -> Result<Option<PathBuf>, PackError> {
    let path = root.join(relative(pattern));
    let Ok(real) = fs::canonicalize(&path) else {
        return Err(no_match(root, pattern));
    };
    check_inside(root, &path, &real)?;
    let metadata = fs::metadata(&real).map_err(|source| PackError::Read { path: real.clone(), source })?;
    if metadata.is_dir() {
        return Ok(None);
    }
    // The base name is the one that the pattern says, not that of the link's target.
    if real.file_name() == path.file_name() { Ok(Some(real)) } else { renamed(&path) }
}

fn renamed(path: &Path) -> Result<Option<PathBuf>, PackError> {
    let reason = "it is a link to a file of another name; name that file, or use a pattern to keep the link";
    Err(PackError::Unfit { path: path.display().to_string(), reason })
}

fn relative(pattern: &Pattern) -> PathBuf {
    let literal = |segment: &Segment| match segment {
        Segment::Literal(name) => Some(name.clone()),
        Segment::Wildcard(_) | Segment::AnyDepth => None,
    };
    pattern.segments.iter().map_while(literal).collect()
}

/// All files that match any of `patterns`; each pattern must match something.
pub fn select(root: &Path, patterns: &[Pattern]) -> Result<Selection, PackError> {
    let mut search = Search { root, found: Selection::new(), visits: 0 };
    for pattern in patterns {
        let mut matched = false;
        search.walk("", &pattern.segments, &mut matched)?;
        if !matched {
            return Err(no_match(root, pattern));
        }
    }
    Ok(search.found)
}

struct Search<'a> {
    root: &'a Path,
    found: Selection,
    visits: usize,
}

impl Search<'_> {
    fn walk(&mut self, directory: &str, segments: &[Segment], matched: &mut bool) -> Result<(), PackError> {
        let [segment, rest @ ..] = segments else {
            return self.walk(directory, &[Segment::AnyDepth], matched);
        };
        match segment {
            Segment::Literal(name) => self.visit(&join(directory, name), rest, matched),
            Segment::Wildcard(wildcard) => {
                for name in self.names(directory)? {
                    if name_matches(wildcard, &name) {
                        self.visit(&join(directory, &name), rest, matched)?;
                    }
                }
                Ok(())
            }
            Segment::AnyDepth => {
                if !rest.is_empty() {
                    self.walk(directory, rest, matched)?;
                }
                for name in self.names(directory)? {
                    let path = join(directory, &name);
                    if self.is_real_directory(&path) {
                        self.walk(&path, segments, matched)?;
                    } else if rest.is_empty() {
                        self.visit(&path, rest, matched)?;
                    }
                }
                Ok(())
            }
        }
    }

    /// Goes on at `path`, or takes it if nothing of the pattern is left.
    fn visit(&mut self, path: &str, rest: &[Segment], matched: &mut bool) -> Result<(), PackError> {
        let full = self.root.join(path);
        let Ok(metadata) = fs::symlink_metadata(&full) else { return Ok(()) };
        if metadata.is_dir() {
            return self.walk(path, rest, matched);
        }
        if !rest.is_empty() {
            // A link to a directory is on the way: follow it as long as it stays inside.
            return if full.is_dir() { self.follow(&full, path, rest, matched) } else { Ok(()) };
        }
        let selected = if metadata.is_symlink() { link(path, &full)? } else { Selected::File };
        self.found.insert(path.into(), selected);
        *matched = true;
        if self.found.len() > MAX_FILES { Err(PackError::TooMany { limit: MAX_FILES }) } else { Ok(()) }
    }

    fn follow(
        &mut self,
        full: &Path,
        path: &str,
        rest: &[Segment],
        matched: &mut bool,
    ) -> Result<(), PackError> {
        let real = fs::canonicalize(full).map_err(|source| PackError::Read { path: full.into(), source })?;
        check_inside(self.root, full, &real)?;
        if rest.first() == Some(&Segment::AnyDepth) {
            // A loop of links would never end; the files are found where they really are.
            return Ok(());
        }
        self.walk(path, rest, matched)
    }

    fn is_real_directory(&self, path: &str) -> bool {
        fs::symlink_metadata(self.root.join(path)).is_ok_and(|metadata| metadata.is_dir())
    }

    fn names(&mut self, directory: &str) -> Result<Vec<String>, PackError> {
        let full = self.root.join(directory);
        let names = list(&full).map_err(|source| PackError::Read { path: full.clone(), source })?;
        self.visits += names.len() + 1;
        if self.visits > MAX_VISITS {
            return Err(PackError::TooMany { limit: MAX_VISITS });
        }
        names.into_iter().collect()
    }
}

fn join(directory: &str, name: &str) -> String {
    if directory.is_empty() { name.into() } else { format!("{directory}/{name}") }
}

fn list(directory: &Path) -> io::Result<Vec<Result<String, PackError>>> {
    let unfit = |name: std::ffi::OsString| PackError::Unfit {
        path: directory.join(name).display().to_string(),
        reason: "its name is not UTF-8",
    };
    fs::read_dir(directory)?
        .map(|entry| entry.map(|entry| entry.file_name().into_string().map_err(unfit)))
        .collect()
}

fn link(path: &str, full: &Path) -> Result<Selected, PackError> {
    let target = fs::read_link(full).map_err(|source| PackError::Read { path: full.into(), source })?;
    if !stays_inside(Path::new(path), &target) {
        return Err(PackError::Escape { path: path.into(), target: target.display().to_string() });
    }
    let unfit = |_| PackError::Unfit { path: path.into(), reason: "its target is not UTF-8" };
    target.into_os_string().into_string().map(Selected::Link).map_err(unfit)
}

fn check_inside(root: &Path, path: &Path, real: &Path) -> Result<(), PackError> {
    if real.starts_with(root) {
        return Ok(());
    }
    let path = path.strip_prefix(root).unwrap_or(path);
    Err(PackError::Escape { path: path.display().to_string(), target: real.display().to_string() })
}

/// Says how far the pattern got, and what is there.
fn no_match(root: &Path, pattern: &Pattern) -> PackError {
    let mut directory = root.to_owned();
    for component in relative(pattern).components() {
        let next = directory.join(component);
        if !next.is_dir() {
            break;
        }
        directory = next;
    }
    let shown = directory.strip_prefix(root).ok().filter(|path| !path.as_os_str().is_empty());
    let place =
        shown.map_or_else(|| "the project's directory".into(), |path| format!("`{}`", path.display()));
    let mut names: Vec<_> = list(&directory).into_iter().flatten().flatten().collect();
    names.sort();
    let instead = match names.len() {
        0 => format!("{place} is empty"),
        count @ 1..=10 => format!("{place} holds {} and nothing else ({count})", names.join(", ")),
        count => format!("{place} holds {} and {} more", names[..10].join(", "), count - 10),
    };
    PackError::NoMatch { pattern: pattern.text.clone(), instead }
}

/// Opens a plain file, and neither a link, a pipe nor a device.
pub fn open_regular(path: &Path) -> Result<File, PackError> {
    let read = |source| PackError::Read { path: path.into(), source };
    // Without NONBLOCK, opening a pipe that nobody writes to would wait for ever.
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let flags = i32::try_from(flags.bits()).expect("flags of open(2) are an int");
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(read)?;
    if file.metadata().map_err(read)?.is_file() {
        return Ok(file);
    }
    Err(PackError::Unfit { path: path.display().to_string(), reason: "it is not a plain file" })
}

/// Whether its owner may execute it.
pub fn executable(metadata: &Metadata) -> Executable {
    Executable::from_mode(metadata.permissions().mode())
}
