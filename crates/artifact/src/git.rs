//! Asks `git` for the content of a bare repository, in an environment that nobody can bend.

use std::io::{self, BufRead as _, BufReader, Read, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::commit::CommitId;

/// The longest answer that lists files.
const MAX_LISTING: u64 = 256 << 20;

/// How much of git's complaint is kept.
const MAX_COMPLAINT: usize = 2000;

/// Why git gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// The program is not there.
    #[error("`git` is not installed; Towpath reads repositories with it (apt-get install git)")]
    Missing,
    /// It ran and refused.
    #[error("`git {command}` failed: {complaint}")]
    Refused {
        /// What was asked.
        command: &'static str,
        /// What git says.
        complaint: String,
    },
    /// It gave an answer that nobody expects.
    #[error("`git {command}` gave an answer that cannot be read")]
    Answer {
        /// What was asked.
        command: &'static str,
    },
    /// The answer is longer than allowed.
    #[error("`git {command}` gave more than {MAX_LISTING} bytes")]
    TooLong {
        /// What was asked.
        command: &'static str,
    },
    /// Talking to it failed.
    #[error("failed to talk to `git {command}`")]
    Io {
        /// What was asked.
        command: &'static str,
        /// The system's word.
        #[source]
        source: io::Error,
    },
}

impl GitError {
    fn io(command: &'static str, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::NotFound => Self::Missing,
            _ => Self::Io { command, source },
        }
    }
}

/// A git that reads no configuration but the repository's own, asks nothing, and runs no helper.
fn bare_git(repository: &Path) -> Command {
    let mut git = Command::new("git");
    git.env_clear()
        .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
        .env("GIT_DIR", repository)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_NO_REPLACE_OBJECTS", "1")
        .env("GIT_NO_LAZY_FETCH", "1")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("LC_ALL", "C")
        .args(["-c", "protocol.ext.allow=never", "-c", "core.fsmonitor=false"]);
    git
}

/// Lists every file of a commit: `<mode> <type> <object>\t<path>\0` each.
pub fn list_tree(repository: &Path, commit: &CommitId) -> Result<Vec<u8>, GitError> {
    let mut git = bare_git(repository);
    git.args(["ls-tree", "-r", "-z", "--full-tree", commit.as_str()]);
    run("ls-tree", git)
}

/// Lists the tracked and the not ignored files of a working directory, each ended by a zero byte.
///
/// The user's own configuration counts here: it says what is ignored.
pub fn list_worktree(directory: &Path) -> Result<Vec<u8>, GitError> {
    let mut git = Command::new("git");
    git.current_dir(directory).env("LC_ALL", "C");
    // Set by git for its hooks; they would point somewhere else than `directory`.
    for variable in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX"] {
        git.env_remove(variable);
    }
    git.args(["ls-files", "-c", "-o", "--exclude-standard", "-z"]);
    run("ls-files", git)
}

fn run(command: &'static str, mut git: Command) -> Result<Vec<u8>, GitError> {
    let failed = |error| GitError::io(command, error);
    git.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = git.spawn().map_err(failed)?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    // Both pipes are read at once: git would wait for ever on a full one.
    let complaint = std::thread::spawn(move || read_complaint(stderr));
    let mut answer = Vec::new();
    let read = stdout.map_or(Ok(0), |stdout| stdout.take(MAX_LISTING + 1).read_to_end(&mut answer));
    let status = child.wait().map_err(failed)?;
    let complaint = complaint.join().unwrap_or_default();
    read.map_err(failed)?;
    if answer.len() as u64 > MAX_LISTING {
        return Err(GitError::TooLong { command });
    }
    if status.success() { Ok(answer) } else { Err(GitError::Refused { command, complaint }) }
}

fn read_complaint(stderr: Option<impl Read>) -> String {
    let mut bytes = Vec::new();
    if let Some(mut stderr) = stderr {
        // Best effort: the complaint only explains a failure that the exit code tells.
        let _read = stderr.read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).trim().chars().take(MAX_COMPLAINT).collect()
}

/// A `git cat-file --batch` that gives one object after the other.
pub struct Objects {
    child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

const CAT_FILE: &str = "cat-file --batch";

impl Objects {
    /// Starts git in a bare repository.
    pub fn open(repository: &Path) -> Result<Self, GitError> {
        let mut git = bare_git(repository);
        git.args(["cat-file", "--batch"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = git.spawn().map_err(|error| GitError::io(CAT_FILE, error))?;
        let (Some(requests), Some(answers)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(GitError::Answer { command: CAT_FILE });
        };
        Ok(Self { child, requests, answers: BufReader::with_capacity(64 * 1024, answers) })
    }

    /// Asks for a blob and gives its size; then all of [`Self::content`] has to be read, and [`Self::close`] called.
    pub fn ask(&mut self, object: &str) -> Result<u64, GitError> {
        let failed = |source| GitError::Io { command: CAT_FILE, source };
        self.requests.write_all(format!("{object}\n").as_bytes()).map_err(failed)?;
        let mut header = String::new();
        (&mut self.answers).take(200).read_line(&mut header).map_err(failed)?;
        let mut words = header.split_ascii_whitespace();
        let answer = (words.next(), words.next(), words.next().and_then(|size| size.parse().ok()));
        match answer {
            (Some(name), Some("blob"), Some(size)) if name == object => Ok(size),
            _ => Err(GitError::Refused {
                command: CAT_FILE,
                complaint: format!("{object}: {}", header.trim()),
            }),
        }
    }

    /// The bytes of the blob that was asked for.
    pub fn content(&mut self, size: u64) -> impl Read {
        (&mut self.answers).take(size)
    }

    /// Reads the line feed behind a blob.
    pub fn close(&mut self) -> Result<(), GitError> {
        let mut end = [0];
        self.answers.read_exact(&mut end).map_err(|source| GitError::Io { command: CAT_FILE, source })?;
        if end == *b"\n" { Ok(()) } else { Err(GitError::Answer { command: CAT_FILE }) }
    }
}

impl Drop for Objects {
    fn drop(&mut self) {
        // It has nothing to save; not waiting for it would leave a zombie.
        let _killed = self.child.kill();
        let _waited = self.child.wait();
    }
}
