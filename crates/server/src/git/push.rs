//! Push: `git receive-pack`, what it accepted, and the engine's answer on the user's terminal.

use std::io;

use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{ChildStdin, ChildStdout};
use tokio::sync::mpsc;
use towpath_model::ProjectName;
use towpath_model::pattern::fits;
use towpath_model::timeline::Actor;

use super::body::RequestBytes;
use super::command;
use super::fetch::{Service, headers, start, stream_of, turn};
use super::host::GitHost;
use super::packet::{self, Packet};
use super::refs::RefUpdate;
use crate::problem::Problem;

/// The most bytes of commands in front of the pack: about ten thousand refs.
const MAX_COMMANDS: usize = 1 << 20;

/// The most bytes of git's report that are kept to read it.
const MAX_REPORT: usize = 2 << 20;

/// What a client asks for, before the pack.
#[derive(Debug, Default)]
struct Commands {
    updates: Vec<RefUpdate>,
    sideband: bool,
}

/// Takes a push. The work goes on when the client goes away: what git accepted reaches the engine.
pub(super) async fn receive_pack(
    host: &GitHost,
    project: &ProjectName,
    actor: Actor,
    headers_in: &HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let turn = turn(host).await?;
    let mut request = RequestBytes::new(body, headers_in, host.limits.push_bytes);
    let (commands, head) = read_commands(&mut request).await.map_err(|error| match error.kind() {
        io::ErrorKind::FileTooLarge => Problem::too_large("the push", host.limits.push_bytes),
        _ => Problem::invalid(format!("this is not a push: {error}")),
    })?;
    let mut git = command::git();
    let protected = host.sink.protected_refs(project).await;
    let is_protected = |update: &&RefUpdate| protected.iter().any(|pattern| fits(pattern, &update.name));
    // Git itself keeps only branches from being rewound and deleted.
    if let Some(tag) = commands.updates.iter().filter(is_protected).find(|update| update.moves_tag()) {
        let reason = format!("{} is protected; a pushed tag stays what it is", tag.name);
        // Git reads an answer only when it has sent everything.
        while let Ok(Some(_)) = request.next().await {}
        return Ok((headers(Service::ReceivePack, "result"), commands.refused(&reason)).into_response());
    }
    if commands.updates.iter().any(|update| is_protected(&update)) {
        git.args(["-c", "receive.denyNonFastForwards=true", "-c", "receive.denyDeletes=true"]);
    }
    if let Some(protocol) = command::protocol(headers_in.get("git-protocol")) {
        git.env("GIT_PROTOCOL", protocol);
    }
    let max = format!("receive.maxInputSize={}", host.limits.push_bytes);
    git.args(["-c", &max, "receive-pack", "--stateless-rpc"]).arg(host.path(project));
    let (mut child, stdin, stdout) = start(git)?;
    let (sender, receiver) = mpsc::channel(4);
    let (host, project) = (host.clone(), project.clone());
    tokio::spawn(async move {
        let _turn = turn;
        let work = async {
            let (fed, report) = tokio::join!(feed(head, request, stdin), pass_on(stdout, &sender));
            if fed.is_err() {
                // An incomplete push must not look like a complete one: git is killed, not told "the end".
                let _ = child.kill().await;
            }
            report
        };
        let Ok(report) = tokio::time::timeout(host.limits.timeout, work).await else { return };
        let accepted = report.accepted(&commands, &host, &project).await;
        let lines = if accepted.is_empty() {
            Vec::new()
        } else {
            host.sink.on_push(&project, &accepted, &actor).await
        };
        answer(&sender, &commands, report, &lines).await;
    });
    Ok((headers(Service::ReceivePack, "result"), stream_of(receiver)).into_response())
}

async fn read_commands(request: &mut RequestBytes) -> io::Result<(Commands, Bytes)> {
    let malformed = |error| io::Error::new(io::ErrorKind::InvalidData, error);
    let mut head = BytesMut::new();
    let mut commands = Commands::default();
    let mut at = 0;
    loop {
        while let Some((found, length)) = packet::first(&head[at..]).map_err(malformed)? {
            at += length;
            match found {
                Packet::Mark => return Ok((commands, head.freeze())),
                Packet::Data(line) => commands.add(line),
            }
        }
        if head.len() > MAX_COMMANDS {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "too many refs in one push"));
        }
        match request.next().await? {
            Some(chunk) => head.extend_from_slice(&chunk),
            // A client probes with an empty request whether it is let in; git answers that itself.
            None => return Ok((commands, head.freeze())),
        }
    }
}

impl Commands {
    fn add(&mut self, line: &[u8]) {
        let mut halves = line.splitn(2, |byte| *byte == 0);
        let command = halves.next().unwrap_or_default();
        if let Some(capabilities) = halves.next() {
            let capabilities = String::from_utf8_lossy(capabilities);
            self.sideband = capabilities.split_whitespace().any(|word| word == "side-band-64k");
        }
        let Ok(command) = std::str::from_utf8(command) else { return };
        let mut words = command.trim_end().splitn(3, ' ');
        if let (Some(old), Some(new), Some(name)) = (words.next(), words.next(), words.next()) {
            let (old, new) = (object(old), object(new));
            self.updates.push(RefUpdate { name: name.to_owned(), old, new });
        }
    }
}

impl Commands {
    /// The report that nothing was taken, as git writes it.
    fn refused(&self, reason: &str) -> Vec<u8> {
        let mut report = packet::of(b"unpack ok\n");
        for update in &self.updates {
            report.extend(packet::of(format!("ng {} {reason}\n", update.name).as_bytes()));
        }
        report.extend_from_slice(b"0000");
        if !self.sideband {
            return report;
        }
        let banded = |part: &[u8]| packet::of(&[b"\x01", part].concat());
        let mut answer: Vec<u8> = report.chunks(60_000).flat_map(banded).collect();
        answer.extend_from_slice(b"0000");
        answer
    }
}

/// An object's name, or `None` for the zeros that stand for nothing.
fn object(text: &str) -> Option<String> {
    (!text.bytes().all(|byte| byte == b'0')).then(|| text.to_owned())
}

async fn feed(head: Bytes, mut request: RequestBytes, mut stdin: ChildStdin) -> io::Result<()> {
    stdin.write_all(&head).await?;
    while let Some(chunk) = request.next().await? {
        stdin.write_all(&chunk).await?;
    }
    stdin.shutdown().await
}

/// What git answered: its report, and what is held back until the engine's lines are in.
#[derive(Default)]
struct Report {
    /// Band 1: git's own report, packet by packet.
    inner: BytesMut,
    /// What has not been passed on yet.
    rest: BytesMut,
}

/// Passes git's answer on, but for its last mark.
async fn pass_on(mut stdout: ChildStdout, sender: &mpsc::Sender<Bytes>) -> Report {
    let mut report = Report::default();
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = stdout.read(&mut buffer).await {
        report.rest.extend_from_slice(&buffer[..length]);
        while let Ok(Some((Packet::Data(data), length))) = packet::first(&report.rest) {
            if let [1, data @ ..] = data
                && report.inner.len() + data.len() <= MAX_REPORT
            {
                report.inner.extend_from_slice(data);
            }
            let chunk = report.rest.split_to(length).freeze();
            // A client that went away does not stop the work.
            let _ = sender.send(chunk).await;
        }
    }
    report
}

impl Report {
    /// Which of the commands git carried out.
    async fn accepted(&self, commands: &Commands, host: &GitHost, project: &ProjectName) -> Vec<RefUpdate> {
        let changed = commands.updates.iter().filter(|update| update.old != update.new);
        if commands.sideband {
            let names = self.ok_names();
            return changed.filter(|update| names.contains(&update.name)).cloned().collect();
        }
        // Without the side band the report is not framed for us; the refs themselves tell.
        let Ok(refs) = host.refs(project).await else { return Vec::new() };
        let now = |name: &str| refs.iter().find(|(found, _)| found == name).map(|(_, object)| object);
        changed.filter(|update| now(&update.name) == update.new.as_ref()).cloned().collect()
    }

    fn ok_names(&self) -> Vec<String> {
        let mut names = Vec::new();
        let mut at = 0;
        while let Ok(Some((Packet::Data(line), length))) = packet::first(&self.inner[at..]) {
            at += length;
            if let Some(name) = line.strip_prefix(b"ok ") {
                names.push(String::from_utf8_lossy(name).trim_end().to_owned());
            }
        }
        names
    }
}

async fn answer(sender: &mpsc::Sender<Bytes>, commands: &Commands, report: Report, lines: &[String]) {
    if commands.sideband {
        for line in lines {
            let _ = sender.send(packet::terminal_line(line).into()).await;
        }
    }
    if !report.rest.is_empty() {
        let _ = sender.send(report.rest.freeze()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_commands_and_capabilities() {
        let mut commands = Commands::default();
        let zeros = "0".repeat(40);
        let one = "1".repeat(40);
        commands.add(format!("{zeros} {one} refs/heads/main\0 report-status side-band-64k\n").as_bytes());
        commands.add(format!("{one} {zeros} refs/heads/a b\n").as_bytes());
        assert!(commands.sideband);
        assert_eq!(commands.updates[0].old, None);
        assert_eq!(commands.updates[0].new, Some(one.clone()));
        assert_eq!(commands.updates[1].name, "refs/heads/a b");
        assert_eq!(commands.updates[1].new, None);
    }

    #[test]
    fn finds_what_git_accepted() {
        let inner = b"000eunpack ok\n0017ok refs/heads/main\n001cng refs/heads/old denied0000";
        let report = Report { inner: BytesMut::from(&inner[..]), rest: BytesMut::new() };
        assert_eq!(report.ok_names(), ["refs/heads/main"]);
    }
}
