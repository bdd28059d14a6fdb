//! The files of one directory at a commit, such as migrations: many small ones, read by one git.

use std::io::Read as _;
use std::path::Path;

use towpath_artifact::{GitError, Objects};
use towpath_config::migrations::{MAX_FILE, MAX_FILES, MigrationFile};

use super::Repository;
use crate::EngineError;
use crate::error::blocking;

/// The most bytes of all files of a directory.
const MAX_BYTES: u64 = 64 << 20;

impl Repository {
    /// The SQL files in a directory, without those below it; in words why there are none.
    pub(crate) async fn files_in(
        &self,
        commit: &str,
        directory: &str,
    ) -> Result<Result<Vec<MigrationFile>, String>, EngineError> {
        let below = format!("{directory}/");
        let listed = ["ls-tree", "-z", "--end-of-options", commit, "--", &below];
        let Some(out) = self.ask_all(&listed).await?.filter(|out| !out.is_empty()) else {
            return Ok(Err(format!("there is no directory {directory} in this commit")));
        };
        let text = String::from_utf8_lossy(&out);
        let entries = text.split('\0').filter_map(|entry| entry.split_once('\t'));
        let wanted: Vec<(String, String)> =
            entries.filter_map(|(facts, path)| plain_file(facts, path)).collect();
        if wanted.len() > MAX_FILES {
            return Ok(Err(format!(
                "{directory} holds {} files; at most {MAX_FILES} are read",
                wanted.len()
            )));
        }
        let repository = self.0.clone();
        blocking("reading migrations", move || {
            let read = read(&repository, wanted);
            read.map_err(|error| EngineError::internal("git could not read the migrations", error))
        })
        .await
    }
}

/// The object and the file name of a line of `ls-tree`, for SQL in a plain file. A symbolic link is none.
fn plain_file(facts: &str, path: &str) -> Option<(String, String)> {
    let mut words = facts.split(' ');
    let (mode, kind, object) = (words.next()?, words.next()?, words.next()?);
    let name = path.rsplit('/').next()?;
    let plain = matches!(mode, "100644" | "100755") && kind == "blob" && name.ends_with(".sql");
    plain.then(|| (object.to_owned(), name.to_owned()))
}

fn read(
    repository: &Path,
    wanted: Vec<(String, String)>,
) -> Result<Result<Vec<MigrationFile>, String>, GitError> {
    let mut objects = Objects::open(repository)?;
    let mut files = Vec::with_capacity(wanted.len());
    let mut left = MAX_BYTES;
    for (object, name) in wanted {
        let size = objects.ask(&object)?;
        if size > left || size > MAX_FILE as u64 {
            return Ok(Err(format!(
                "{name} has {size} bytes; at most {MAX_FILE} of one file and {MAX_BYTES} of all are read"
            )));
        }
        left -= size;
        let mut bytes = Vec::new();
        objects
            .content(size)
            .read_to_end(&mut bytes)
            .map_err(|source| GitError::Io { command: "cat-file --batch", source })?;
        objects.close()?;
        files.push(MigrationFile { name, bytes });
    }
    Ok(Ok(files))
}
