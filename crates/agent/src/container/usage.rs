//! What the kernel says of a container: how many processes it has, and whether one was killed for want of memory.
//!
//! Read from its control group, as engines tell of it late or only of the first process.

use std::fs;
use std::path::PathBuf;

/// Where the control groups of a container are.
#[derive(Debug, Clone, Default)]
pub(super) struct Usage {
    memory: Option<PathBuf>,
    pids: Option<PathBuf>,
}

impl Usage {
    /// Finds them by the container's first process. Where the kernel does not show them, nothing is known.
    pub(super) fn of(pid: u64) -> Self {
        let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
        Self { memory: group(&groups, "memory"), pids: group(&groups, "pids") }
    }

    /// How many processes were killed for want of memory so far.
    pub(super) fn killed_for_memory(&self) -> u64 {
        let Some(memory) = &self.memory else { return 0 };
        let files = ["memory.events", "memory.oom_control"];
        files.iter().find_map(|file| counter(&fs::read_to_string(memory.join(file)).ok()?)).unwrap_or(0)
    }

    /// How many processes and threads there are.
    pub(super) fn processes(&self) -> Option<u64> {
        fs::read_to_string(self.pids.as_ref()?.join("pids.current")).ok()?.trim().parse().ok()
    }
}

/// The directory of a controller, in version 2 or version 1.
fn group(groups: &str, controller: &str) -> Option<PathBuf> {
    groups.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next()?, parts.next()?);
        let own = controllers.is_empty() || controllers.split(',').any(|name| name == controller);
        let directory = PathBuf::from("/sys/fs/cgroup").join(controllers).join(path.trim_start_matches('/'));
        // A host with both versions names a group of version 2 that has no files of this controller.
        (own && directory.is_dir()).then_some(directory)
    })
}

fn counter(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_counters_of_both_versions() {
        assert_eq!(counter("low 0\nhigh 0\noom 3\noom_kill 2\noom_group_kill 0\n"), Some(2));
        assert_eq!(counter("oom_kill_disable 0\nunder_oom 0\noom_kill 1\n"), Some(1));
        assert_eq!(counter("oom_kill_disable 0\n"), None);
        assert_eq!(Usage::default().processes(), None);
    }
}
