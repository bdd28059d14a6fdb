//! Watches over a Step where no process namespace does: whatever it starts, however far it goes from its parents,
//! session and environment, comes back to this process when its own parent ends, and is killed with the Step.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, WaitStatus, getpid, kill_process, pidfd_open, set_child_subreaper,
    set_parent_process_death_signal, wait,
};

use crate::sandbox::entry::{Entry, SUBCOMMAND, hand_over};

/// Tells the supervisor to end everything now.
pub(crate) const END: Signal = Signal::QUIT;

/// How long killed processes may take to leave.
const PATIENCE: Duration = Duration::from_secs(5);

/// Starts the next stage below itself and stays until nothing of it is left.
pub(super) fn supervise(
    entry: Entry,
    environment: &BTreeMap<OsString, OsString>,
    arguments: &[OsString],
) -> Result<ExitCode, String> {
    let failed = |what: &'static str| move |error: std::io::Error| format!("{what}: {error}");
    set_child_subreaper(Some(getpid())).map_err(|error| format!("stragglers cannot be caught: {error}"))?;
    // When the agent dies, even by SIGKILL, so does everything that it was running.
    set_parent_process_death_signal(Some(END)).map_err(|error| format!("not tied to the agent: {error}"))?;
    let (told, tell) = UnixStream::pair().map_err(failed("no pipe for signals"))?;
    signal_hook::low_level::pipe::register(END.as_raw(), tell).map_err(failed("no signals"))?;
    // The group gets TERM first; the Step decides what that means, and this process stays to see it.
    signal_hook::flag::register(Signal::TERM.as_raw(), Arc::<AtomicBool>::default())
        .map_err(failed("no signals"))?;
    let handed = hand_over(&Entry { supervise: false, ..entry }, environment)
        .map_err(failed("nothing can be handed over"))?;
    let program = std::env::current_exe().map_err(failed("this program cannot be found"))?;
    let child = Command::new(program).arg(SUBCOMMAND).args(arguments).stdin(Stdio::from(handed)).spawn();
    let step = Pid::from_child(&child.map_err(failed("the next stage does not start"))?);
    let status = watch(step, &told)?;
    end_all();
    Ok(pass_on(status))
}

/// Waits until the Step ends or everything shall end. `None` when it was told.
fn watch(step: Pid, told: &UnixStream) -> Result<Option<WaitStatus>, String> {
    let exit = pidfd_open(step, PidfdFlags::empty()).map_err(|error| format!("lost the step: {error}"))?;
    loop {
        let mut sources =
            [PollFd::new(&exit, PollFlags::IN), PollFd::from_borrowed_fd(told.as_fd(), PollFlags::IN)];
        match poll(&mut sources, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(format!("the step cannot be watched: {error}")),
        }
        if !sources[1].revents().is_empty() {
            return Ok(None);
        }
        // Orphans end here too; they are reaped on the way.
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            if pid == step {
                return Ok(Some(status));
            }
        }
    }
}

/// Kills children until there are none. A grandchild whose parent is killed becomes a child.
fn end_all() {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match wait(WaitOptions::NOHANG) {
            Err(Errno::INTR) | Ok(Some(_)) => continue,
            Err(_) => return,
            Ok(None) => {}
        }
        if Instant::now() > deadline {
            return;
        }
        for child in children() {
            let _gone = kill_process(child, Signal::KILL);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn children() -> Vec<Pid> {
    let own = getpid();
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let pids =
        entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok().and_then(Pid::from_raw));
    pids.filter(|&pid| parent(pid) == Some(own)).collect()
}

fn parent(pid: Pid) -> Option<Pid> {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    // The name, in brackets, may hold anything: `pid (name) state parent …`.
    let (_, after) = stat.rsplit_once(") ")?;
    Pid::from_raw(after.split(' ').nth(1)?.parse().ok()?)
}

/// Ends as the Step ended.
fn pass_on(status: Option<WaitStatus>) -> ExitCode {
    let Some(status) = status else { return ExitCode::FAILURE };
    if let Some(signal) = status.terminating_signal().and_then(Signal::from_named_raw) {
        let _not_survived = signal_hook::low_level::emulate_default_handler(signal.as_raw());
        let _not_survived = kill_process(getpid(), signal);
    }
    ExitCode::from(status.exit_status().and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}
