//! Whole stories of the artifact layer, with real files, real git and hostile archives.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod corpus;
mod full_disk;
mod hostile;
mod packing;
mod snapshots;
mod trees;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// Everything below `root`: `path`, what it is, and its content, in order.
fn list(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut pending = vec![root.to_owned()];
    while let Some(directory) = pending.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            let metadata = fs::symlink_metadata(&path).unwrap();
            let name = path.strip_prefix(root).unwrap().display().to_string();
            if metadata.is_dir() {
                found.push(format!("{name}/"));
                pending.push(path);
            } else if metadata.is_symlink() {
                found.push(format!("{name} -> {}", fs::read_link(&path).unwrap().display()));
            } else {
                let mark = if metadata.permissions().mode() & 0o100 == 0 { "" } else { "*" };
                found.push(format!("{name}{mark} = {}", String::from_utf8_lossy(&fs::read(&path).unwrap())));
            }
        }
    }
    found.sort();
    found
}

/// Writes files; a name that ends in `*` is executable.
fn write(root: &Path, files: &[(&str, &str)]) {
    for (name, content) in files {
        let path = root.join(name.trim_end_matches('*'));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        let mode = if name.ends_with('*') { 0o755 } else { 0o644 };
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }
}

/// An error with all its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let source = error.source().map(|source| format!(": {}", chain(source)));
    format!("{error}{}", source.unwrap_or_default())
}
