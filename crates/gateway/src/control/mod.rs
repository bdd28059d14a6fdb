//! The control socket, `<data>/gateway/control.sock`: who is there, hand-over to a successor, shutdown.
//!
//! One JSON object per line. Only the gateway's own user can connect: the directory is closed to others.
//!
//! | request | response |
//! |---|---|
//! | `{"op":"probe"}` | [`Presence`] |
//! | `{"op":"shutdown"}` | `{}` once nothing new is accepted; the process ends when it has drained |
//! | `{"op":"hand_over"}` | `Estate`; the older gateway applies nothing more |
//! | `{"op":"sockets"}` | the lock and the listening sockets, as file descriptors |
//! | `{"op":"serving"}` | `{}`; the older gateway accepts nothing more, drains and ends |

mod descriptors;
mod heir;
pub(crate) mod listener;

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use towpath_api::gateway::Routes;
use uuid::Uuid;

use crate::disk::Directory;
pub(crate) use heir::{Inheritance, hand_over};

/// How long a gateway may take to answer on its control socket.
const PATIENCE: Duration = Duration::from_secs(10);

/// The longest line: the routes of a gateway with very many Environments.
const MAX_LINE: usize = 64 * 1024 * 1024;

/// A gateway that is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Presence {
    /// The version of Towpath it runs.
    pub version: String,
    /// Its process id.
    pub pid: u32,
    /// Drawn at its start.
    pub session: Uuid,
    /// The generation of routes that it serves.
    pub generation: u64,
    /// How many worker threads it has.
    pub threads: usize,
}

/// What a successor takes over, besides the file descriptors.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Estate {
    pub(crate) routes: Routes,
    /// In the order in which the sockets follow, after the lock.
    pub(crate) listeners: Vec<SocketAddr>,
}

/// A request on the control socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
enum Op {
    Probe,
    Shutdown,
    HandOver,
    Sockets,
    Serving,
}

#[derive(Debug, Serialize, Deserialize)]
struct Done {}

/// The control socket could not be used.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// It could not be read, written or opened.
    #[error("the gateway's control socket in {} failed", .directory.display())]
    Io {
        /// The gateway's directory.
        directory: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The gateway did not answer in time.
    #[error("the gateway in {} did not answer within {} s", .directory.display(), PATIENCE.as_secs())]
    Silent {
        /// The gateway's directory.
        directory: PathBuf,
    },
}

/// Says which gateway serves a data directory; `None` if none does.
///
/// # Errors
/// When there is one and it does not answer.
pub async fn probe(data: &Path) -> Result<Option<Presence>, ControlError> {
    let directory = Directory::of(data);
    let Some(mut line) = Line::connect(&directory).await? else { return Ok(None) };
    line.ask(Op::Probe).await.map(Some)
}

/// Tells the gateway of a data directory to end once its requests have ended, and says which process it is; `None` if there is
/// none. Its lock is free before it has ended, so that a successor need not wait.
///
/// # Errors
/// When there is one and it does not answer.
pub async fn shutdown(data: &Path) -> Result<Option<i32>, ControlError> {
    let directory = Directory::of(data);
    let Some(mut line) = Line::connect(&directory).await? else { return Ok(None) };
    // 0 is no process: where the system does not say which one answers, nobody can wait for it.
    let process = line.stream.peer_cred().ok().and_then(|peer| peer.pid()).unwrap_or(0);
    line.ask::<Done>(Op::Shutdown).await.map(|_| Some(process))
}

/// One end of a conversation.
pub(crate) struct Line {
    stream: UnixStream,
    directory: PathBuf,
}

impl Line {
    fn new(stream: UnixStream, directory: &Directory) -> Self {
        Self { stream, directory: directory.path().to_owned() }
    }

    /// Calls the gateway; `None` if nobody listens.
    async fn connect(directory: &Directory) -> Result<Option<Self>, ControlError> {
        let result = match Short::of(directory) {
            Ok(short) => UnixStream::connect(short.path("control.sock")).await,
            Err(error) => Err(error),
        };
        match result {
            Ok(stream) => Ok(Some(Self::new(stream, directory))),
            Err(error)
                if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) =>
            {
                Ok(None)
            }
            Err(source) => Err(ControlError::Io { directory: directory.path().to_owned(), source }),
        }
    }

    async fn ask<T: DeserializeOwned>(&mut self, op: Op) -> Result<T, ControlError> {
        let directory = self.directory.clone();
        let conversation = async {
            self.send(&op).await?;
            self.receive().await?.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
        };
        match tokio::time::timeout(PATIENCE, conversation).await {
            Ok(result) => result.map_err(|source| ControlError::Io { directory, source }),
            Err(_) => Err(ControlError::Silent { directory }),
        }
    }

    async fn send(&mut self, message: &impl Serialize) -> io::Result<()> {
        let mut line = serde_json::to_vec(message)?;
        line.push(b'\n');
        self.stream.write_all(&line).await
    }

    /// The next message; `None` at the end. Sides take turns, so nothing follows a line before it is answered.
    async fn receive<T: DeserializeOwned>(&mut self) -> io::Result<Option<T>> {
        let mut line = Vec::new();
        let mut piece = vec![0u8; 4096];
        while !line.ends_with(b"\n") {
            let count = self.stream.read(&mut piece).await?;
            if count == 0 {
                return if line.is_empty() { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
            }
            line.extend_from_slice(&piece[..count]);
            if line.len() > MAX_LINE {
                return Err(io::Error::other("the line is too long"));
            }
        }
        Ok(Some(serde_json::from_slice(&line)?))
    }
}

/// A directory under a name that always fits into a socket address, which has room for 107 bytes only.
pub(crate) struct Short(OwnedFd);

impl Short {
    fn of(directory: &Directory) -> io::Result<Self> {
        use rustix::fs::{Mode, OFlags};
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self(rustix::fs::open(directory.path(), flags, Mode::empty())?))
    }

    fn path(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}/{name}", self.0.as_raw_fd()))
    }
}
