//! One command in a running container: its output as it comes, its end, and its ending when it must end.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::engine::{Engine, EngineError, text};
use super::frames::Frames;
use super::http::{Body, Wait, wait_for};
use super::usage::Usage;
use crate::executor::{Cancel, Stream};

/// How long the engine may take for a small thing.
const CALL: Duration = Duration::from_secs(30);

/// How often the engine is asked whether a command has ended whose output stays open.
const LOOK: Duration = Duration::from_millis(500);

/// How long output is awaited after every process of a command was killed.
const DRAIN: Duration = Duration::from_secs(2);

/// How long an engine may take to tell the exit code once the output is closed.
const EXIT: Duration = Duration::from_secs(20);

/// A running container.
#[derive(Debug, Clone)]
pub(super) struct Container {
    pub(super) engine: Engine,
    pub(super) id: String,
    pub(super) usage: Usage,
}

/// A command for a container.
pub(super) struct Command<'a> {
    pub(super) words: Vec<String>,
    pub(super) env: BTreeMap<String, String>,
    pub(super) directory: Option<String>,
    pub(super) user: Option<String>,
    pub(super) deadline: Instant,
    pub(super) grace: Duration,
    pub(super) cancel: &'a Cancel,
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ExecEnd {
    Exited(i64),
    /// The kernel killed one of its processes for want of memory, and it failed.
    OutOfMemory,
    TimedOut,
    Cancelled,
}

/// How far the ending has come.
#[derive(Debug, Clone, Copy)]
enum Ending {
    NotAsked,
    Asked { timed_out: bool, kill_at: Instant },
    Killed { timed_out: bool },
}

impl Container {
    /// Runs a command and gives its output to `take`. No process of it is left when this returns.
    pub(super) fn run(
        &self,
        command: &Command<'_>,
        take: &mut impl FnMut(Stream, &[u8]),
    ) -> Result<ExecEnd, EngineError> {
        let killed_before = self.usage.killed_for_memory();
        let exec = self.create(command)?;
        let (stream, ahead) = self.start(&exec)?;
        let mut output = Output { stream, frames: Frames::default(), open: true };
        output.frames.push(&ahead, take);
        let ending = self.watch(&exec, command, &mut output, take)?;
        self.end_leftovers();
        output.drain(take);
        match ending {
            Ending::NotAsked => {}
            Ending::Asked { timed_out, .. } | Ending::Killed { timed_out } => {
                return Ok(if timed_out { ExecEnd::TimedOut } else { ExecEnd::Cancelled });
            }
        }
        let code = self.exit_code(&exec)?;
        let starved = code != 0 && (self.usage.killed_for_memory() > killed_before || self.was_starved());
        Ok(if starved { ExecEnd::OutOfMemory } else { ExecEnd::Exited(code) })
    }

    /// Whether a small command, for which nobody waits long, ends with 0.
    pub(super) fn passes(
        &self,
        words: Vec<String>,
        user: Option<String>,
        time: Duration,
    ) -> Result<bool, EngineError> {
        let cancel = Cancel::new();
        let command = Command {
            words,
            env: BTreeMap::new(),
            directory: None,
            user,
            deadline: Instant::now() + time,
            grace: Duration::ZERO,
            cancel: &cancel,
        };
        let exec = self.create(&command)?;
        let (stream, _) = self.start(&exec)?;
        let mut output = Output { stream, frames: Frames::default(), open: true };
        while output.open && Instant::now() < command.deadline {
            output.read_until(None, command.deadline, &mut |_, _| {});
        }
        let state = self.state(&exec)?;
        Ok(state["Running"] == false && state["ExitCode"] == 0)
    }

    fn create(&self, command: &Command<'_>) -> Result<String, EngineError> {
        let Command { words, env, directory, user, .. } = command;
        let mut body = json!({
            "AttachStdout": true,
            "AttachStderr": true,
            "Tty": false,
            "Cmd": words,
            "Env": env.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>(),
        });
        if let Some(directory) = directory {
            body["WorkingDir"] = json!(directory);
        }
        if let Some(user) = user {
            body["User"] = json!(user);
        }
        let path = format!("/containers/{}/exec", self.id);
        let made = self.engine.post("prepare a command", &path, Some(&body), Wait::patiently(CALL))?;
        Ok(text(&made["Id"]).to_owned())
    }

    fn start(&self, exec: &str) -> Result<(UnixStream, Vec<u8>), EngineError> {
        let body = json!({ "Detach": false, "Tty": false }).to_string().into_bytes();
        let headers = vec![("Connection", "Upgrade".to_owned()), ("Upgrade", "tcp".to_owned())];
        let path = format!("/exec/{exec}/start");
        let answer = self.engine.open(
            "start a command",
            "POST",
            &path,
            headers,
            Body::Json(body),
            Wait::patiently(CALL),
        )?;
        Ok(answer.into_stream())
    }

    fn watch(
        &self,
        exec: &str,
        command: &Command<'_>,
        output: &mut Output,
        take: &mut impl FnMut(Stream, &[u8]),
    ) -> Result<Ending, EngineError> {
        let mut ending = Ending::NotAsked;
        let mut look_at = Instant::now() + LOOK;
        loop {
            let cancel = matches!(ending, Ending::NotAsked).then_some(command.cancel);
            let moment = match ending {
                Ending::NotAsked => command.deadline,
                Ending::Asked { kill_at, .. } => kill_at,
                Ending::Killed { .. } => return Ok(ending),
            };
            let cancelled = output.read_until(cancel, moment.min(look_at), take);
            if !output.open {
                return Ok(ending);
            }
            let now = Instant::now();
            if now >= look_at {
                // A process that was left in the background keeps the output open.
                if self.state(exec)?["Running"] == false {
                    return Ok(ending);
                }
                look_at = now + LOOK;
            }
            ending = match ending {
                Ending::NotAsked if cancelled || now >= command.deadline => {
                    self.signal("TERM");
                    Ending::Asked { timed_out: !cancelled, kill_at: now + command.grace }
                }
                Ending::Asked { timed_out, kill_at } if now >= kill_at => {
                    self.signal("KILL");
                    Ending::Killed { timed_out }
                }
                Ending::NotAsked | Ending::Asked { .. } | Ending::Killed { .. } => ending,
            };
        }
    }

    /// Kills what the command left in the background.
    fn end_leftovers(&self) {
        // The first process is the keeper.
        if self.usage.processes() != Some(1) {
            self.signal("KILL");
        }
    }

    /// Sends a signal to every process but the container's first.
    fn signal(&self, signal: &str) {
        let words = vec!["sh".to_owned(), "-c".to_owned(), format!("kill -s {signal} -- -1")];
        // Root, so that what changed its user is reached too. Where it fails, the container's removal ends everything.
        let _best_effort = self.passes(words, Some("0".to_owned()), Duration::from_secs(5));
    }

    fn state(&self, exec: &str) -> Result<Value, EngineError> {
        self.engine.get("look at a command", &format!("/exec/{exec}/json"), Wait::patiently(CALL))
    }

    fn exit_code(&self, exec: &str) -> Result<i64, EngineError> {
        let until = Instant::now() + EXIT;
        loop {
            let state = self.state(exec)?;
            if state["Running"] == false || Instant::now() > until {
                return Ok(state["ExitCode"].as_i64().unwrap_or(-1));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Whether the container as a whole died for want of memory.
    fn was_starved(&self) -> bool {
        let path = format!("/containers/{}/json", self.id);
        let container: Result<Value, _> =
            self.engine.get("look at a container", &path, Wait::patiently(CALL));
        container.is_ok_and(|container| container["State"]["OOMKilled"] == true)
    }
}

/// The output of a command.
struct Output {
    stream: UnixStream,
    frames: Frames,
    open: bool,
}

impl Output {
    /// Reads once, where something comes before the moment. Says whether the Attempt was cancelled.
    fn read_until(
        &mut self,
        cancel: Option<&Cancel>,
        until: Instant,
        take: &mut impl FnMut(Stream, &[u8]),
    ) -> bool {
        let asked = cancel.map(Cancel::descriptor).transpose();
        let waited = asked.and_then(|cancel| wait_for(Some(self.stream.as_fd()), cancel, until));
        let (readable, cancelled) = waited.unwrap_or((true, false));
        if readable {
            let mut buffer = vec![0; 64 * 1024];
            match self.stream.read(&mut buffer) {
                Ok(0) => self.open = false,
                Ok(count) => self.frames.push(&buffer[..count], take),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => self.open = false,
            }
        }
        cancelled
    }

    fn drain(&mut self, take: &mut impl FnMut(Stream, &[u8])) {
        let until = Instant::now() + DRAIN;
        while self.open && Instant::now() < until {
            self.read_until(None, until, take);
        }
    }
}
