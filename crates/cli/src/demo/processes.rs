//! Every process that the demo started, however far down, so that none of them outlives it.
//!
//! Gateway and Instances are made to outlive the server. The demo adopts what loses its parent, so all of
//! them stay below it in the tree of processes and can be found there.

use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitOptions, getpid, kill_process, set_child_subreaper, waitpid};

/// How long processes may take to end well.
const PATIENCE: Duration = Duration::from_secs(8);

/// Makes this process the parent of every descendant that loses its own.
pub(super) fn adopt_orphans() -> io::Result<()> {
    Ok(set_child_subreaper(Some(getpid()))?)
}

/// How long what was told to end may take to be gone: the gateway tries to tell the server its last measurements
/// for three seconds.
const SETTLE: Duration = Duration::from_secs(8);

/// Ends every descendant when it is dropped, also by a panic.
pub(super) struct Net;

impl Drop for Net {
    fn drop(&mut self) {
        end_all();
    }
}

/// Tells what still runs after everything was told to end.
pub(super) fn left_over() -> Vec<String> {
    let begun = Instant::now();
    while begun.elapsed() < SETTLE && !living().is_empty() {
        std::thread::sleep(Duration::from_millis(20));
    }
    living().into_iter().map(|(pid, process)| describe(pid, &process)).collect()
}

fn describe(pid: i32, process: &Process) -> String {
    let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let line = line.split('\0').collect::<Vec<_>>().join(" ");
    format!("{} ({pid}) is still running: {line}", process.name)
}

/// Asks every descendant to end, and kills those that do not.
fn end_all() {
    let begun = Instant::now();
    signal_all(Signal::TERM);
    while begun.elapsed() < PATIENCE && !living().is_empty() {
        std::thread::sleep(Duration::from_millis(20));
    }
    // Killed again and again: one may start another between being listed and being killed.
    while begun.elapsed() < 2 * PATIENCE && !living().is_empty() {
        signal_all(Signal::KILL);
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn signal_all(signal: Signal) {
    for pid in living().into_keys().filter_map(Pid::from_raw) {
        // It may have ended since it was listed.
        let _gone = kill_process(pid, signal);
    }
}

struct Process {
    parent: i32,
    zombie: bool,
    name: String,
}

/// The descendants that run. Those that ended and were adopted are reaped on the way.
fn living() -> BTreeMap<i32, Process> {
    let own = getpid().as_raw_nonzero().get();
    let mut all = table();
    let below = |pid: i32, all: &BTreeMap<i32, Process>| {
        let mut at = pid;
        while let Some(process) = all.get(&at) {
            if process.parent == own {
                return true;
            }
            at = process.parent;
        }
        false
    };
    let ours: Vec<i32> = all.keys().copied().filter(|&pid| below(pid, &all)).collect();
    for (pid, process) in &all {
        if process.zombie && process.parent == own {
            // One that is waited for elsewhere as well is simply gone by then.
            let _reaped = Pid::from_raw(*pid).map(|pid| waitpid(Some(pid), WaitOptions::NOHANG));
        }
    }
    all.retain(|pid, process| ours.contains(pid) && !process.zombie);
    all
}

fn table() -> BTreeMap<i32, Process> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return BTreeMap::new() };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter_map(|pid| Some((pid, read(pid)?))).collect()
}

/// Reads `/proc/PID/stat`: `PID (NAME) STATE PARENT …`, where the name may hold anything.
fn read(pid: i32) -> Option<Process> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (head, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?;
    let name = head.split_once('(')?.1;
    let parent = fields.next()?.parse().ok()?;
    Some(Process { parent, zombie: matches!(state, "Z" | "X"), name: name.to_owned() })
}
