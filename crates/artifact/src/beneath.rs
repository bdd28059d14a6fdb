//! A directory that nothing written through it can leave.
//!
//! Every path is walked name by name from an open directory, and no name may be a symbolic link:
//! neither one in the archive nor one that was there before can redirect a write.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path};

use rustix::fs::{
    AtFlags, CWD, Mode, OFlags, Timespec, Timestamps, fchmod, futimens, mkdirat, openat, symlinkat, unlinkat,
};
use rustix::io::Errno;

const OPEN_DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// An open directory.
#[derive(Debug)]
pub struct Beneath {
    root: OwnedFd,
}

/// Whether a file may be executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Executable {
    /// Mode 755.
    Yes,
    /// Mode 644.
    No,
}

impl Executable {
    /// The permission bits, before the process's umask.
    #[must_use]
    pub const fn mode(self) -> u32 {
        match self {
            Self::Yes => 0o755,
            Self::No => 0o644,
        }
    }

    /// Reads permission bits: only the owner's execute bit counts, set-uid and the like are dropped.
    #[must_use]
    pub const fn from_mode(mode: u32) -> Self {
        if mode & 0o100 == 0 { Self::No } else { Self::Yes }
    }
}

/// Whether what stands at a name already is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replace {
    /// A file or link is; a directory never.
    Yes,
}

/// A directory below, open: what is made in it needs no walk.
#[derive(Debug)]
pub struct Directory(OwnedFd);

impl Directory {
    /// Creates a file with exactly these permissions.
    pub fn create_file(&self, name: &OsStr, mode: u16, replace: Replace) -> io::Result<File> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let open = || openat(&self.0, name, flags, Mode::from_raw_mode(0o600));
        let file = match (open(), replace) {
            (Err(Errno::EXIST), Replace::Yes) => {
                remove(&self.0, name)?;
                open()
            }
            (opened, _) => opened,
        }?;
        fchmod(&file, Mode::from_raw_mode(u32::from(mode & 0o777)))?;
        Ok(File::from(file))
    }

    /// Opens a plain file for writing, and never a link.
    pub fn open_file(&self, name: &OsStr) -> io::Result<File> {
        let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        Ok(File::from(openat(&self.0, name, flags, Mode::empty())?))
    }

    /// Sets its own permissions and time.
    pub fn set(&self, mode: u16, mtime: i64) -> io::Result<()> {
        fchmod(&self.0, Mode::from_raw_mode(u32::from(mode & 0o777)))?;
        set_time(&self.0, mtime)
    }
}

/// Sets the time of the last change, in nanoseconds since 1970.
pub fn set_time(file: impl AsFd, mtime: i64) -> io::Result<()> {
    let mtime =
        Timespec { tv_sec: mtime.div_euclid(1_000_000_000), tv_nsec: mtime.rem_euclid(1_000_000_000) };
    Ok(futimens(file, &Timestamps { last_access: mtime, last_modification: mtime })?)
}

impl Beneath {
    /// Opens `directory`, which must exist. Here, links on the way are the caller's own and are followed.
    pub fn open(directory: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self { root: openat(CWD, directory, flags, Mode::empty())? })
    }

    /// Creates a directory with its parents; one that exists already is fine.
    pub fn create_directory(&self, path: &Path) -> io::Result<()> {
        self.descend(path).map(|_| ())
    }

    /// Creates a file with its parents. A file or link of that name is replaced, never written through.
    pub fn create_file(&self, path: &Path, executable: Executable) -> io::Result<File> {
        let (parent, name) = self.parent(path)?;
        remove(&parent, name)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(executable.mode());
        Ok(File::from(openat(&parent, name, flags, mode)?))
    }

    /// Creates a symbolic link with its parents. A file or link of that name is replaced.
    pub fn create_symlink(&self, path: &Path, target: &Path) -> io::Result<()> {
        let (parent, name) = self.parent(path)?;
        remove(&parent, name)?;
        Ok(symlinkat(target, &parent, name)?)
    }

    /// Removes a file or a link.
    pub fn remove_file(&self, path: &Path) -> io::Result<()> {
        let (parent, name) = self.parent(path)?;
        remove(&parent, name)
    }

    /// Opens a directory, making it and its parents where they are missing.
    pub fn directory(&self, path: &Path) -> io::Result<Directory> {
        self.descend(path).map(Directory)
    }

    /// Opens the directory of a path, making it where it is missing, and gives the last name.
    pub fn directory_of<'a>(&self, path: &'a Path) -> io::Result<(Directory, &'a OsStr)> {
        self.parent(path).map(|(parent, name)| (Directory(parent), name))
    }

    fn parent<'a>(&self, path: &'a Path) -> io::Result<(OwnedFd, &'a OsStr)> {
        let name = path.file_name().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok((self.descend(path.parent().unwrap_or_else(|| Path::new("")))?, name))
    }

    fn descend(&self, path: &Path) -> io::Result<OwnedFd> {
        let mut directory = self.root.try_clone()?;
        for component in path.components() {
            let Component::Normal(name) = component else {
                return Err(io::Error::from(io::ErrorKind::InvalidInput));
            };
            match mkdirat(&directory, name, Mode::from_raw_mode(0o755)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
            directory =
                openat(&directory, name, OPEN_DIRECTORY, Mode::empty()).map_err(|error| match error {
                    Errno::LOOP | Errno::NOTDIR => not_a_directory(name),
                    _ => error.into(),
                })?;
        }
        Ok(directory)
    }
}

fn not_a_directory(name: &OsStr) -> io::Error {
    let message = format!("`{}` is a link or a file where a directory is needed", name.display());
    io::Error::new(io::ErrorKind::NotADirectory, message)
}

fn remove(parent: &OwnedFd, name: &OsStr) -> io::Result<()> {
    match unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn never_writes_through_a_link() {
        let (inside, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::write(outside.path().join("kept"), b"kept").unwrap();
        symlink(outside.path(), inside.path().join("directory")).unwrap();
        symlink(outside.path().join("kept"), inside.path().join("file")).unwrap();
        let beneath = Beneath::open(inside.path()).unwrap();
        let refused = beneath.create_file(Path::new("directory/kept"), Executable::No).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::NotADirectory);
        assert!(refused.to_string().contains("`directory` is a link"));
        assert!(beneath.create_symlink(Path::new("directory/x"), Path::new("y")).is_err());
        assert!(beneath.create_directory(Path::new("directory/x")).is_err());
        let mut file = beneath.create_file(Path::new("file"), Executable::Yes).unwrap();
        file.write_all(b"new").unwrap();
        assert_eq!(std::fs::read(outside.path().join("kept")).unwrap(), b"kept");
        assert_eq!(std::fs::read(inside.path().join("file")).unwrap(), b"new");
    }
}
