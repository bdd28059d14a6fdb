//! A Run as one file: a tar that any Towpath opens, and that says of every byte which it must be.
//!
//! First comes `manifest.json`, which names every other entry in its order, with its length and SHA-256. Then come
//! `run.json`, `evidence.json`, the logs and the reports. All entries are plain files. What is in `run.json` is not known
//! here: the API has its shape.

mod read;
mod shelf;
mod write;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use towpath_model::Digest;

pub use read::{Opened, PortableError, open};
pub use shelf::Shelved;
pub use write::{Head, Writer};

/// What the manifest calls the format.
pub const FORMAT: &str = "towpath-run";

/// The version of the format that is written, and the only one that is read.
pub const VERSION: u32 = 1;

/// The name of the first entry.
pub const MANIFEST: &str = "manifest.json";

/// The most bytes of all members together.
///
/// Whoever is sent such a file opens it on a laptop, and a server takes it in while others wait.
pub const MAX_BYTES: u64 = 256 << 20;

/// The most members: a Run of 256 Jobs, each tried a few times with a few reports.
pub const MAX_MEMBERS: usize = 4000;

/// The most bytes of `run.json`, and of `evidence.json`, which are read into memory.
pub const MAX_DOCUMENT: u64 = 32 << 20;

/// The most bytes of the manifest.
const MAX_MANIFEST: u64 = 4 << 20;

/// The most bytes of a whole file: members, manifest, and a header with padding for each.
pub const MAX_FILE: u64 = MAX_BYTES + MAX_MANIFEST + (MAX_MEMBERS as u64 + 4) * 1024;

/// What the file says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Always [`FORMAT`].
    pub format: String,
    /// Always [`VERSION`].
    pub version: u32,
    /// The version of the Towpath that wrote it.
    pub towpath: String,
    /// The address of the server that it comes from.
    pub instance: String,
    /// When it was exported.
    pub exported_at: Timestamp,
    /// Who did it.
    pub exported_by: String,
    /// The Project there.
    pub project: String,
    /// The Run's number there.
    pub run: u64,
    /// Every other entry, in order.
    pub members: Vec<Member>,
    /// For people: what did not fit in.
    pub left_out: Vec<String>,
}

impl Manifest {
    /// The member of that kind, where there is one.
    #[must_use]
    pub fn find(&self, what: &What) -> Option<&Member> {
        self.members.iter().find(|member| member.what == *what)
    }
}

/// An entry of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its name in the tar.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// Its SHA-256.
    pub digest: Digest,
    /// What it is.
    #[serde(flatten)]
    pub what: What,
}

/// What a member is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum What {
    /// The Run with its Jobs, Attempts and Steps, as the API shows it.
    Run,
    /// What its reports say, as the API shows it.
    Evidence,
    /// The log of an Attempt.
    Log {
        /// The Job.
        job: String,
        /// The number of the Attempt.
        attempt: u32,
    },
    /// A report as the Job left it.
    Report {
        /// The Job.
        job: String,
        /// The number of the Attempt.
        attempt: u32,
        /// Its path in the workspace.
        path: String,
    },
}

impl What {
    /// The name in the tar of the member at `index`: for people who open it by hand, never used as a path by Towpath.
    fn name(&self, index: usize) -> String {
        let plain = |text: &str| -> String {
            let plain = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' };
            text.chars().map(plain).take(32).collect()
        };
        match self {
            Self::Run => "run.json".to_owned(),
            Self::Evidence => "evidence.json".to_owned(),
            Self::Log { job, attempt } => format!("logs/{index:04}-{}-{attempt}.log", plain(job)),
            Self::Report { job, attempt, path } => {
                let last = path.rsplit('/').next().unwrap_or_default();
                format!("reports/{index:04}-{}-{attempt}-{}", plain(job), plain(last))
            }
        }
    }
}

#[cfg(test)]
mod tests;
