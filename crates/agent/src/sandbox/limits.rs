//! From the limits of a Job to what this host can keep: control groups where there are some, else what each process
//! may use; refused where neither can.

use std::sync::LazyLock;

use serde::{Deserialize, Serialize};
use towpath_model::JobLimits;

use crate::sandbox::cgroup::ControlGroups;
use crate::sandbox::{Isolation, Refusal};

/// Processes and threads of an Attempt that asks for no limit: far more than builds need, far fewer than a fork bomb.
const DEFAULT_PROCESSES: u32 = 8192;

/// What stays for the rest of the host when a Job asks for no limit of memory: a tenth, and at least this.
const LEFT_FOR_THE_HOST: u64 = 512 << 20;

/// What one process may use; inherited by those it starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct ProcessLimits {
    /// Bytes of a file.
    pub(super) file: Option<u64>,
    /// Bytes of private memory.
    pub(super) memory: Option<u64>,
    /// Processes and threads of the same user.
    pub(super) processes: Option<u64>,
}

/// How the limits are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Kept {
    /// By control groups.
    pub(super) group: JobLimits,
    /// By limits of each process.
    pub(super) process: ProcessLimits,
}

/// Decides how `asked` is kept on a host with these `groups`.
pub(super) fn keep(asked: &JobLimits, groups: Option<&ControlGroups>) -> Result<Kept, Refusal> {
    let counts = |what: fn(&ControlGroups) -> bool| groups.is_some_and(what);
    let mut kept = Kept::default();
    let JobLimits { memory, cpu, processes, disk } = *asked;
    if counts(ControlGroups::counts_memory) {
        kept.group.memory = memory.or_else(default_memory);
    } else {
        kept.process.memory = memory;
    }
    if counts(ControlGroups::counts_processes) {
        kept.group.processes = Some(processes.unwrap_or(DEFAULT_PROCESSES));
    } else if !is_root() {
        kept.process.processes = Some(processes.unwrap_or(DEFAULT_PROCESSES).into());
    } else if processes.is_some() {
        return Err(Refusal::Limit {
            key: "processes",
            why: "the kernel does not count the processes of root",
        });
    }
    if counts(ControlGroups::counts_cpu) {
        kept.group.cpu = cpu;
    } else if cpu.is_some() {
        return Err(Refusal::Limit { key: "cpu", why: "a process by itself has no share of the processors" });
    }
    kept.process.file = disk;
    Ok(kept)
}

impl Kept {
    /// For people and provenance.
    pub(super) fn words(&self, disk: Option<u64>) -> Vec<String> {
        let mut words = Vec::new();
        let Self { group, process } = self;
        words.extend(group.memory.map(|bytes| format!("memory {}", size(bytes))));
        words.extend(group.cpu.map(|cpu| format!("cpu {}", f64::from(cpu) / 1000.0)));
        words.extend(group.processes.map(|count| format!("{count} processes")));
        words.extend(process.memory.map(|bytes| format!("memory {} for each process (rlimit)", size(bytes))));
        words.extend(process.processes.map(|count| format!("{count} processes (rlimit)")));
        words.extend(disk.map(|bytes| format!("disk {}", size(bytes))));
        words
    }
}

impl Isolation {
    /// What an Attempt gets here, for its record: executor, layers and limits.
    ///
    /// # Errors
    ///
    /// Refuses limits that this host cannot keep.
    pub fn describe(&self, limits: &JobLimits, network: bool) -> Result<String, Refusal> {
        let means = self.means();
        let kept = keep(limits, means.groups.as_ref())?;
        let mut parts = vec![self.name().to_owned()];
        if !self.is_host() {
            match self {
                Self::Bubblewrap { .. } => {
                    parts.extend(means.landlock.map(|abi| format!("landlock {abi}")));
                    parts.extend(means.nested.then(|| "no nested namespaces".to_owned()));
                }
                Self::Landlock { .. } => parts.extend(means.landlock.map(|abi| format!("ABI {abi}"))),
                Self::Host { .. } => {}
            }
            parts.extend(means.seccomp.then(|| "seccomp".to_owned()));
            parts.push(if network { "network" } else { "no network" }.to_owned());
        }
        parts.extend(kept.words(limits.disk));
        parts.extend(means.groups.as_ref().map(ControlGroups::words));
        Ok(parts.join(", "))
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn default_memory() -> Option<u64> {
    /// The kernel counts it at each look, which takes longer than all else that is decided here.
    static ALL: LazyLock<Option<u64>> = LazyLock::new(|| {
        let text = std::fs::read_to_string("/proc/meminfo").ok()?;
        let kilobytes: u64 = text
            .lines()
            .find_map(|line| line.strip_prefix("MemTotal:"))?
            .split_whitespace()
            .next()?
            .parse()
            .ok()?;
        Some(kilobytes * 1024)
    });
    (*ALL).and_then(|all| all.checked_sub((all / 10).max(LEFT_FOR_THE_HOST)))
}

#[expect(clippy::cast_precision_loss, reason = "shown with one decimal at most")]
pub(super) fn size(bytes: u64) -> String {
    const UNITS: &[(u64, &str)] = &[(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let (unit, name) = UNITS.iter().find(|(unit, _)| bytes >= *unit).unwrap_or(&(1, "bytes"));
    if bytes.is_multiple_of(*unit) {
        format!("{} {name}", bytes / unit)
    } else {
        format!("{:.1} {name}", bytes as f64 / *unit as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_processors_needs_a_control_group() {
        let asked = JobLimits { cpu: Some(500), ..JobLimits::default() };
        let refusal = keep(&asked, None).unwrap_err().to_string();
        assert!(refusal.contains("`limits.cpu`") && refusal.contains("control groups"), "{refusal}");
    }

    #[test]
    fn without_control_groups_memory_is_kept_for_each_process_and_says_so() {
        let asked = JobLimits { memory: Some(3 << 29), disk: Some(1 << 30), ..JobLimits::default() };
        let kept = keep(&asked, None).unwrap();
        assert_eq!((kept.process.memory, kept.process.file), (Some(3 << 29), Some(1 << 30)));
        let words = kept.words(asked.disk).join(", ");
        assert!(words.contains("memory 1.5 GiB for each process (rlimit)"), "{words}");
        assert!(words.contains("disk 1 GiB"), "{words}");
    }
}
