//! Clone and fetch: `git upload-pack`, and the list of refs for both directions.

use std::process::Stdio;

use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures_util::stream;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderName};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStdin, ChildStdout};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use towpath_model::ProjectName;

use super::body::RequestBytes;
use super::command;
use super::host::{GitError, GitHost};
use crate::problem::Problem;

/// The most bytes of wishes that a client may send.
const MAX_WISHES: u64 = 64 << 20;

/// How much of git's output is read at once.
const CHUNK: usize = 64 * 1024;

/// One of git's two services.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Service {
    UploadPack,
    ReceivePack,
}

impl Service {
    /// Finds a service by the name that clients use.
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "git-upload-pack" => Some(Self::UploadPack),
            "git-receive-pack" => Some(Self::ReceivePack),
            _ => None,
        }
    }

    pub(super) const fn subcommand(self) -> &'static str {
        match self {
            Self::UploadPack => "upload-pack",
            Self::ReceivePack => "receive-pack",
        }
    }
}

/// Git's answers are never stored on the way.
pub(super) fn headers(service: Service, what: &str) -> [(HeaderName, String); 2] {
    let kind = format!("application/x-git-{}-{what}", service.subcommand());
    [(CONTENT_TYPE, kind), (CACHE_CONTROL, "no-cache".to_owned())]
}

/// Waits for a turn to run git.
pub(super) async fn turn(host: &GitHost) -> Result<OwnedSemaphorePermit, Problem> {
    let waiting =
        tokio::time::timeout(std::time::Duration::from_secs(60), host.turns.clone().acquire_owned());
    match waiting.await {
        Ok(Ok(turn)) => Ok(turn),
        _ => Err(Problem::unavailable("too many git operations at once").hint("try again in a minute")),
    }
}

/// Lists the refs, as the first request of every git operation asks.
pub(super) async fn advertise(
    host: &GitHost,
    project: &ProjectName,
    service: Service,
    headers_in: &HeaderMap,
) -> Result<Response, Problem> {
    let _turn = turn(host).await?;
    let mut git = command::git();
    if let Some(protocol) = command::protocol(headers_in.get("git-protocol")) {
        git.env("GIT_PROTOCOL", protocol);
    }
    git.args([service.subcommand(), "--stateless-rpc", "--advertise-refs"]).arg(host.path(project));
    let listed = command::output(git, service.subcommand()).await?;
    let line = format!("# service=git-{}\n", service.subcommand());
    let mut answer = format!("{:04x}{line}0000", line.len() + 4).into_bytes();
    answer.extend(listed);
    Ok((headers(service, "advertisement"), answer).into_response())
}

/// Answers a clone or fetch.
pub(super) async fn upload_pack(
    host: &GitHost,
    project: &ProjectName,
    headers_in: &HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let turn = turn(host).await?;
    let mut git = command::git();
    if let Some(protocol) = command::protocol(headers_in.get("git-protocol")) {
        git.env("GIT_PROTOCOL", protocol);
    }
    git.args(["upload-pack", "--stateless-rpc"]).arg(host.path(project));
    let (child, stdin, stdout) = start(git)?;
    let request = RequestBytes::new(body, headers_in, MAX_WISHES);
    let (sender, receiver) = mpsc::channel(4);
    let timeout = host.limits.timeout;
    tokio::spawn(async move {
        let _turn = turn;
        let work = async {
            tokio::join!(feed(request, stdin), pump(stdout, sender));
        };
        // The child dies with this task, in time or not.
        let _child: Child = child;
        let _ = tokio::time::timeout(timeout, work).await;
    });
    Ok((headers(Service::UploadPack, "result"), stream_of(receiver)).into_response())
}

/// Starts git with its input and output in our hands.
pub(super) fn start(mut git: tokio::process::Command) -> Result<(Child, ChildStdin, ChildStdout), GitError> {
    git.stdin(Stdio::piped()).stderr(Stdio::null());
    let mut child = git.spawn().map_err(GitError::Start)?;
    let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(GitError::Start(std::io::Error::other("git has no pipes")));
    };
    Ok((child, stdin, stdout))
}

async fn feed(mut request: RequestBytes, mut stdin: ChildStdin) {
    while let Ok(Some(chunk)) = request.next().await {
        if stdin.write_all(&chunk).await.is_err() {
            break;
        }
    }
}

async fn pump(mut stdout: ChildStdout, sender: mpsc::Sender<Bytes>) {
    let mut buffer = vec![0; CHUNK];
    while let Ok(length @ 1..) = stdout.read(&mut buffer).await {
        if sender.send(Bytes::copy_from_slice(&buffer[..length])).await.is_err() {
            break;
        }
    }
}

/// Makes a body of what a task sends.
pub(super) fn stream_of(receiver: mpsc::Receiver<Bytes>) -> Body {
    Body::from_stream(stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|chunk| (Ok::<_, std::io::Error>(chunk), receiver))
    }))
}
