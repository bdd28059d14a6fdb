//! A control group of an Instance's own, where the host has cgroup v2 and lets this user make one.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use towpath_model::InstanceId;
use towpath_model::pipeline::Limits;

/// Where cgroup v2 is mounted.
const ROOT: &str = "/sys/fs/cgroup";

/// The group below the root that holds those of all Instances.
const PARENT: &str = "towpath";

/// The period over which a share of the processors is counted, in microseconds.
const CPU_PERIOD: u64 = 100_000;

/// The control group of one Instance. It goes when this is dropped and no process is left in it.
#[derive(Debug)]
pub(super) struct Cgroup {
    path: PathBuf,
}

impl Cgroup {
    /// Makes the group and sets the limits.
    ///
    /// # Errors
    ///
    /// Says what is missing on this host, for the Instance's log.
    pub(super) fn create(instance: InstanceId, limits: &Limits) -> Result<Self, String> {
        Self::create_in(Path::new(ROOT), instance, limits)
    }

    fn create_in(root: &Path, instance: InstanceId, limits: &Limits) -> Result<Self, String> {
        if !root.join("cgroup.controllers").exists() {
            return Err("this host has no cgroup v2 at /sys/fs/cgroup".to_owned());
        }
        let parent = root.join(PARENT);
        let path = parent.join(instance.to_string());
        let failed = |what: &Path| {
            let what = what.display().to_string();
            move |error: io::Error| format!("{what}: {error}")
        };
        fs::create_dir_all(&parent).map_err(failed(&parent))?;
        for directory in [root, &parent] {
            let control = directory.join("cgroup.subtree_control");
            fs::write(&control, "+cpu +memory +pids").map_err(failed(&control))?;
        }
        fs::create_dir_all(&path).map_err(failed(&path))?;
        for (file, value) in settings(limits) {
            let file = path.join(file);
            fs::write(&file, value).map_err(failed(&file))?;
        }
        Ok(Self { path })
    }

    /// The file that takes the number of a process which joins.
    pub(super) fn entrance(&self) -> PathBuf {
        self.path.join("cgroup.procs")
    }

    /// Kills every process in it, whatever it forks meanwhile.
    pub(super) fn kill(&self) {
        // Kernels before 5.14 lack the file; there the marker finds the processes.
        let _not_offered = fs::write(self.path.join("cgroup.kill"), "1");
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // A group in which a process is still ending stays; the next start uses it again.
        let _in_use = fs::remove_dir(&self.path);
    }
}

/// Which file gets which value.
fn settings(limits: &Limits) -> Vec<(&'static str, String)> {
    let Limits { memory, cpu, processes } = limits;
    let mut settings = Vec::new();
    if let Some(bytes) = memory {
        settings.push(("memory.max", bytes.to_string()));
    }
    if let Some(thousandths) = cpu {
        settings.push(("cpu.max", format!("{} {CPU_PERIOD}", u64::from(*thousandths) * CPU_PERIOD / 1000)));
    }
    if let Some(count) = processes {
        settings.push(("pids.max", count.to_string()));
    }
    settings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_become_files() {
        let root = tempfile::tempdir().unwrap();
        let instance = InstanceId(uuid::Uuid::from_u128(1));
        let limits = Limits { memory: Some(64 << 20), cpu: Some(1500), processes: Some(50) };
        assert!(Cgroup::create_in(root.path(), instance, &limits).is_err(), "there is no cgroup v2");
        fs::write(root.path().join("cgroup.controllers"), "cpu memory pids").unwrap();
        let cgroup = Cgroup::create_in(root.path(), instance, &limits).unwrap();
        let read = |name: &str| fs::read_to_string(cgroup.path.join(name)).unwrap();
        assert_eq!(read("memory.max"), "67108864");
        assert_eq!(read("cpu.max"), "150000 100000");
        assert_eq!(read("pids.max"), "50");
    }
}
