//! Finds and kills processes by a marker in their environment.
//!
//! A process group is not enough: `setsid` and a double fork leave it. What a process inherits and
//! seldom changes is its environment, so each Attempt and each Instance puts a marker there.

use std::fs;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// The environment variable that marks the processes of one Attempt.
pub const ATTEMPT_MARKER: &str = "TOWPATH_ATTEMPT";

/// The environment variable that marks the processes of one Service beside an Attempt: its identity, then the Service's name.
///
/// Another one than that of Steps, whose processes are killed after each of them.
pub const SERVICE_MARKER: &str = "TOWPATH_SERVICE";

/// The environment variable that marks the processes of one Instance.
pub const INSTANCE_MARKER: &str = "TOWPATH_INSTANCE";

/// How long killed processes may take to leave the process table.
const KILL_PATIENCE: Duration = Duration::from_secs(2);

/// So many process numbers are looked at one by one.
const FEW: i32 = 32;

/// Selects processes by one environment variable.
#[derive(Debug, Clone)]
pub struct Marker {
    entry: Vec<u8>,
    /// Whether what follows the entry may be anything.
    prefix: bool,
}

impl Marker {
    /// Selects those in whose environment `name` is `value`.
    #[must_use]
    pub fn new(name: &str, value: &str) -> Self {
        Self { entry: format!("{name}={value}").into_bytes(), prefix: false }
    }

    /// Selects those in whose environment `name` begins with `value`.
    #[must_use]
    pub fn beginning(name: &str, value: &str) -> Self {
        Self { prefix: true, ..Self::new(name, value) }
    }

    /// Lists the processes that carry it, except zombies and this process.
    #[must_use]
    pub fn processes(&self) -> Vec<Pid> {
        self.processes_since(0)
    }

    /// Lists those that carry it and were started after the process `earliest`.
    ///
    /// Reading every environment costs a millisecond on a busy host; process numbers grow, so what
    /// a Step left behind has a higher one than the Step, unless the numbers have wrapped round.
    fn processes_since(&self, earliest: i32) -> Vec<Pid> {
        let own = rustix::process::getpid();
        let ours = |pid: i32| Pid::from_raw(pid).filter(|&pid| pid != own && self.is_in(pid));
        match last_pid() {
            // So few that asking for each is cheaper than having the kernel list what runs.
            Some(last) if (earliest..earliest.saturating_add(FEW)).contains(&last) => {
                (earliest..=last).filter_map(ours).collect()
            }
            last => {
                let earliest = if last.is_some_and(|last| last >= earliest) { earliest } else { 0 };
                let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
                entries
                    .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok())
                    .filter(|&pid| pid >= earliest)
                    .filter_map(ours)
                    .collect()
            }
        }
    }

    fn is_in(&self, pid: Pid) -> bool {
        // A zombie has an empty environment, so it is not counted as running.
        fs::read(format!("/proc/{}/environ", pid.as_raw_nonzero()))
            .is_ok_and(|environment| environment.split(|&byte| byte == 0).any(|entry| self.selects(entry)))
    }

    fn selects(&self, entry: &[u8]) -> bool {
        if self.prefix { entry.starts_with(&self.entry) } else { entry == self.entry }
    }

    /// Sends `signal` to every process that carries it, except `spare`.
    pub fn signal(&self, signal: Signal, spare: Option<Pid>) {
        for pid in self.processes().into_iter().filter(|&pid| Some(pid) != spare) {
            // It may have ended since it was listed.
            let _gone = kill_process(pid, signal);
        }
    }

    /// Kills every process that carries it and was started after `earliest`, until none is left.
    ///
    /// Returns how many were killed.
    pub fn kill_all_since(&self, earliest: i32) -> usize {
        let deadline = Instant::now() + KILL_PATIENCE;
        let mut killed = 0;
        loop {
            // Listed again each time: a process can fork between being listed and being killed.
            let left = self.processes_since(earliest);
            if left.is_empty() || Instant::now() > deadline {
                return killed;
            }
            for pid in left {
                killed += usize::from(kill_process(pid, Signal::KILL).is_ok());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Kills every process that carries it, until none is left.
    pub fn kill_all(&self) -> usize {
        self.kill_all_since(0)
    }
}

fn last_pid() -> Option<i32> {
    fs::read_to_string("/proc/loadavg").ok()?.split_whitespace().last()?.parse().ok()
}
