//! Runs one Step's process: starts it, reads what it prints, ends it when it must end.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::{self, Read, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Component, Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, kill_process_group, pidfd_open};
use towpath_api::agent::StepOrder;

use crate::container::EngineError;
use crate::executor::bound::LogBound;
use crate::executor::{Attempt, Cancel, OutputError, Stream, environment, make_directory};
use crate::processes::Marker;
use crate::sandbox::{self, Cell, Refusal};

/// How long output is awaited after every process of the Step was killed.
///
/// Only a process that Towpath may not kill can hold the pipe open longer.
const DRAIN: Duration = Duration::from_secs(2);

/// How long the kernel may take to end a process after SIGKILL.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long the supervisor of a Step may take to kill what the Step left.
const SUPERVISOR: Duration = Duration::from_secs(6);

/// How much is read at once.
const CHUNK: usize = 64 * 1024;

/// What runs a script that asks for no other `shell`. Every system has it there, and a program with a full path is
/// started without a copy of this process.
const SHELL: &str = "/bin/sh";

/// A longer script is passed as a file: the kernel takes arguments of up to 128 KiB.
pub(super) const LONGEST_ARGUMENT: usize = 64 * 1024;

/// Why a Step did not run.
#[derive(Debug, thiserror::Error)]
pub(super) enum StepError {
    #[error("failed to write its script to {}", path.display())]
    Script {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("its directory `{0}` leads out of the workspace")]
    Outside(String),
    #[error("its directory {} does not exist", .0.display())]
    NoDirectory(PathBuf),
    #[error("its `shell` is empty")]
    NoShell,
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("failed to start `{program}`")]
    Spawn {
        program: String,
        #[source]
        source: io::Error,
    },
    #[error("lost track of its process")]
    Wait(#[source] io::Error),
    #[error(
        "its process {pid} did not end within {PATIENCE:?} of SIGKILL; it hangs in the kernel, perhaps on a dead network disk"
    )]
    Unkillable { pid: u32 },
    #[error(transparent)]
    Outputs(OutputError),
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// How a Step's process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StepEnd {
    Exited(i32),
    Killed(i32),
    /// Its container's memory was used up.
    OutOfMemory,
    TimedOut,
    /// With the signal that ended it.
    Cancelled(i32),
}

/// A Step that is ready to start.
pub(super) struct Prepared {
    command: Command,
    pub(super) output_file: PathBuf,
}

/// Puts the command together, and writes the script where it has to be a file.
pub(super) fn prepare(
    attempt: &Attempt<'_>,
    cell: &Cell<'_>,
    index: u32,
    step: &StepOrder,
    services: Option<&BTreeMap<String, String>>,
) -> Result<Prepared, StepError> {
    let output_file = attempt.scratch.join(format!("outputs/{index}"));
    let directory = directory_of(attempt.directory, step.directory.as_deref())?;
    let environment = environment::of_step(attempt, step, &output_file, services);
    // Some tools refuse to append to a file that is not there yet. The one of annotations is made by whoever has some.
    write_new(&output_file, "").map_err(|source| StepError::Script { path: output_file.clone(), source })?;
    let (program, words) = command_line(attempt, index, step)?;
    let program = match cell.starts_directly() {
        true => full_path(program, environment.get(OsStr::new("PATH"))),
        false => program,
    };
    let mut command = cell.command(&directory, &program, &words, &environment)?;
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    Ok(Prepared { command, output_file })
}

/// Where a Step writes annotations: beside its outputs.
pub(super) fn annotations_of(output_file: &Path) -> PathBuf {
    output_file.with_extension("annotations")
}

/// The program of a Step and its arguments, the script among them.
fn command_line(
    attempt: &Attempt<'_>,
    index: u32,
    step: &StepOrder,
) -> Result<(String, Vec<String>), StepError> {
    let default = || vec![SHELL.to_owned(), "-eu".to_owned()];
    let mut words = step.shell.clone().unwrap_or_else(default);
    if words.is_empty() {
        return Err(StepError::NoShell);
    }
    let program = words.remove(0);
    if step.shell.is_none() && step.run.len() <= LONGEST_ARGUMENT {
        // The last one is what the shell calls itself in its messages.
        words.extend(["-c".to_owned(), step.run.clone(), "sh".to_owned()]);
        return Ok((program, words));
    }
    let scripts = attempt.scratch.join("steps");
    let script = scripts.join(format!("{index}.sh"));
    make_directory(&scripts)
        .and_then(|()| write_new(&script, &step.run))
        .map_err(|source| StepError::Script { path: script.clone(), source })?;
    words.push(script.to_string_lossy().into_owned());
    Ok((program, words))
}

/// Where `program` is found in PATH; itself where it is not, so that the start says so.
fn full_path(program: String, path: Option<&OsString>) -> String {
    if program.contains('/') {
        return program;
    }
    let found = std::env::split_paths(path.map_or(OsStr::new(""), OsString::as_os_str))
        .filter(|directory| directory.is_absolute())
        .map(|directory| directory.join(&program))
        .find(|file| rustix::fs::access(file, rustix::fs::Access::EXEC_OK).is_ok() && file.is_file());
    found.and_then(|file| file.into_os_string().into_string().ok()).unwrap_or(program)
}

/// Writes a file in the place of whatever an earlier Step left there: a link would lead this hand elsewhere.
pub(super) fn write_new(path: &Path, text: &str) -> io::Result<()> {
    match std::fs::File::create_new(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            std::fs::remove_file(path)?;
            std::fs::File::create_new(path)?.write_all(text.as_bytes())
        }
        made => made?.write_all(text.as_bytes()),
    }
}

pub(super) fn directory_of(root: &Path, relative: Option<&str>) -> Result<PathBuf, StepError> {
    let Some(relative) = relative else { return existing(root.to_owned()) };
    let within =
        Path::new(relative).components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    if !within {
        return Err(StepError::Outside(relative.to_owned()));
    }
    existing(root.join(relative))
}

fn existing(directory: PathBuf) -> Result<PathBuf, StepError> {
    if directory.is_dir() { Ok(directory) } else { Err(StepError::NoDirectory(directory)) }
}

impl Prepared {
    pub(super) fn spawn(&mut self) -> Result<Child, StepError> {
        let program = self.command.get_program().to_string_lossy().into_owned();
        self.command.spawn().map_err(|source| StepError::Spawn { program, source })
    }
}

/// A Step's process, being watched.
pub(super) struct StepRun<'a> {
    pub(super) child: Child,
    pub(super) step: u32,
    pub(super) deadline: Instant,
    pub(super) grace: Duration,
    pub(super) cancel: &'a Cancel,
    pub(super) marker: &'a Marker,
    pub(super) cell: &'a Cell<'a>,
}

/// Who wanted the Step to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    Time,
    Cancel,
}

/// How far the ending of a Step has come.
#[derive(Debug, Clone, Copy)]
enum Ending {
    NotAsked,
    Asked { cause: Cause, kill_at: Instant },
    Killed { cause: Cause, give_up_at: Instant },
}

impl StepRun<'_> {
    /// Reads output until the process has ended. Every process of the Step is gone afterwards.
    pub(super) fn supervise(mut self, bound: &mut LogBound<'_>) -> Result<StepEnd, StepError> {
        bound.begin_step();
        let mut pipes =
            Pipes { stdout: self.child.stdout.take().map(file), stderr: self.child.stderr.take().map(file) };
        let watched = self.watch(&mut pipes, bound);
        // Before the process is reaped, while its number cannot belong to another group.
        self.kill();
        let status = self.child.wait().map_err(StepError::Wait)?;
        let ending = watched?;
        self.drain(&mut pipes, bound);
        let signal = status.signal().unwrap_or(Signal::TERM.as_raw());
        Ok(match ending {
            Ending::NotAsked => match status.code() {
                Some(code) => StepEnd::Exited(code),
                None => StepEnd::Killed(signal),
            },
            Ending::Asked { cause: Cause::Time, .. } | Ending::Killed { cause: Cause::Time, .. } => {
                StepEnd::TimedOut
            }
            Ending::Asked { cause: Cause::Cancel, .. } | Ending::Killed { cause: Cause::Cancel, .. } => {
                StepEnd::Cancelled(signal)
            }
        })
    }

    fn watch(&self, pipes: &mut Pipes, bound: &mut LogBound<'_>) -> Result<Ending, StepError> {
        let exit =
            pidfd_open(self.pid(), PidfdFlags::empty()).map_err(|error| StepError::Wait(error.into()))?;
        let mut ending = Ending::NotAsked;
        let mut buffer = vec![0; CHUNK];
        loop {
            let asked = matches!(ending, Ending::NotAsked).then(|| self.cancel.descriptor());
            let cancel = asked.transpose().map_err(StepError::Wait)?;
            let ready =
                pipes.wait(Some(exit.as_fd()), cancel, self.next_moment(ending)).map_err(StepError::Wait)?;
            pipes.read(ready, &mut buffer, &mut |stream, bytes| bound.take(self.step, stream, bytes));
            if ready.exit {
                return Ok(ending);
            }
            ending = self.advance(ending, ready.cancel)?;
        }
    }

    const fn next_moment(&self, ending: Ending) -> Instant {
        match ending {
            Ending::NotAsked => self.deadline,
            Ending::Asked { kill_at, .. } => kill_at,
            Ending::Killed { give_up_at, .. } => give_up_at,
        }
    }

    fn advance(&self, ending: Ending, cancelled: bool) -> Result<Ending, StepError> {
        let now = Instant::now();
        let due = now >= self.next_moment(ending);
        match ending {
            Ending::NotAsked if cancelled || due => {
                self.terminate();
                let cause = if cancelled { Cause::Cancel } else { Cause::Time };
                Ok(Ending::Asked { cause, kill_at: now + self.grace })
            }
            Ending::Asked { cause, .. } if due => {
                self.kill();
                Ok(Ending::Killed { cause, give_up_at: now + PATIENCE })
            }
            Ending::Killed { .. } if due => Err(StepError::Unkillable { pid: self.child.id() }),
            Ending::NotAsked | Ending::Asked { .. } | Ending::Killed { .. } => Ok(ending),
        }
    }

    /// Asks every process of the Step to end.
    fn terminate(&self) {
        let wrapper = self.cell.wraps().then(|| self.pid());
        if !self.cell.wraps() {
            let _gone = kill_process_group(self.pid(), Signal::TERM);
        }
        self.marker.signal(Signal::TERM, wrapper);
    }

    /// Kills the group, and what has left it.
    fn kill(&self) {
        if self.cell.watches() && kill_process(self.pid(), sandbox::END).is_ok() {
            // It kills what no group and no marker shows, and ends itself; where it cannot, the next lines do.
            self.wait_for_exit(SUPERVISOR);
        }
        let _gone = kill_process_group(self.pid(), Signal::KILL);
        self.cell.kill();
        self.marker.kill_all_since(self.pid().as_raw_nonzero().get());
    }

    fn wait_for_exit(&self, within: Duration) {
        let Ok(exit) = pidfd_open(self.pid(), PidfdFlags::empty()) else { return };
        let time = Timespec::try_from(within).unwrap_or(Timespec { tv_sec: 1, tv_nsec: 0 });
        let _ended = poll(&mut [PollFd::new(&exit, PollFlags::IN)], Some(&time));
    }

    fn drain(&self, pipes: &mut Pipes, bound: &mut LogBound<'_>) {
        let until = Instant::now() + DRAIN;
        let mut buffer = vec![0; CHUNK];
        while pipes.are_open() && Instant::now() < until {
            let Ok(ready) = pipes.wait(None, None, until) else { return };
            pipes.read(ready, &mut buffer, &mut |stream, bytes| bound.take(self.step, stream, bytes));
        }
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }
}

/// The read ends of a Step's outputs, until they are closed.
struct Pipes {
    stdout: Option<std::fs::File>,
    stderr: Option<std::fs::File>,
}

/// What happened while waiting.
#[derive(Debug, Clone, Copy, Default)]
struct Ready {
    stdout: bool,
    stderr: bool,
    exit: bool,
    cancel: bool,
}

impl Pipes {
    const fn are_open(&self) -> bool {
        self.stdout.is_some() || self.stderr.is_some()
    }

    /// Waits until a pipe, the exit or the cancellation has news, or until the moment has come.
    fn wait(
        &self,
        exit: Option<BorrowedFd<'_>>,
        cancel: Option<BorrowedFd<'_>>,
        until: Instant,
    ) -> io::Result<Ready> {
        let sources =
            [self.stdout.as_ref().map(AsFd::as_fd), self.stderr.as_ref().map(AsFd::as_fd), exit, cancel];
        let mut fds: Vec<PollFd<'_>> =
            sources.iter().flatten().map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN)).collect();
        let left = until.saturating_duration_since(Instant::now());
        // Far deadlines are cut: the loop comes round again, and the kernel's type cannot overflow.
        let left = Timespec::try_from(left.min(Duration::from_secs(3600)))
            .unwrap_or(Timespec { tv_sec: 1, tv_nsec: 0 });
        match poll(&mut fds, Some(&left)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let mut results = fds.iter().map(|fd| !fd.revents().is_empty());
        let mut of = |source: &Option<BorrowedFd<'_>>| source.is_some() && results.next().unwrap_or(false);
        Ok(Ready {
            stdout: of(&sources[0]),
            stderr: of(&sources[1]),
            exit: of(&sources[2]),
            cancel: of(&sources[3]),
        })
    }

    fn read(&mut self, ready: Ready, buffer: &mut [u8], take: &mut impl FnMut(Stream, &[u8])) {
        if ready.stdout {
            read_one(&mut self.stdout, buffer, |bytes| take(Stream::Stdout, bytes));
        }
        if ready.stderr {
            read_one(&mut self.stderr, buffer, |bytes| take(Stream::Stderr, bytes));
        }
    }
}

/// Reads once; at the end of the stream, or when it fails, closes it.
fn read_one(pipe: &mut Option<std::fs::File>, buffer: &mut [u8], take: impl FnOnce(&[u8])) {
    let Some(file) = pipe else { return };
    match file.read(buffer) {
        Ok(0) => *pipe = None,
        Ok(count) => take(&buffer[..count]),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
        Err(_) => *pipe = None,
    }
}

fn file(pipe: impl Into<std::os::fd::OwnedFd>) -> std::fs::File {
    pipe.into().into()
}
