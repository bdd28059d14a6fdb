//! Control groups for Attempts, version 2 or 1: memory, processors and processes, counted over all of an Attempt.
//!
//! A group also finds every process of an Attempt, whatever it did to its session, its parents and its environment.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use towpath_model::JobLimits;

/// The directory that holds the groups of Attempts.
const PARENT: &str = "towpath";

/// The period over which a share of the processors is counted, in microseconds.
const CPU_PERIOD: u64 = 100_000;

/// How long killed processes may take to leave a group.
const PATIENCE: Duration = Duration::from_secs(2);

/// Where this host lets the agent make groups, by what they count; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlGroups {
    /// 1 or 2.
    pub version: u8,
    memory: Option<PathBuf>,
    cpu: Option<PathBuf>,
    processes: Option<PathBuf>,
}

/// A mounted hierarchy of groups and where this process is in it.
#[derive(Debug, PartialEq, Eq)]
struct Hierarchy {
    version: u8,
    controllers: Vec<String>,
    mount: PathBuf,
    own: PathBuf,
}

impl ControlGroups {
    /// Looks for a place by making a group there.
    pub(super) fn detect() -> Result<Self, String> {
        let read = |path: &str| fs::read_to_string(path).map_err(|error| format!("{path}: {error}"));
        Self::detect_in(&hierarchies(&read("/proc/self/mountinfo")?, &read("/proc/self/cgroup")?))
    }

    fn detect_in(hierarchies: &[Hierarchy]) -> Result<Self, String> {
        let mut found = Self { version: 2, memory: None, cpu: None, processes: None };
        let mut reasons = Vec::new();
        for hierarchy in hierarchies {
            match hierarchy.version {
                2 => match below_version_two(hierarchy) {
                    Ok((place, controllers)) => {
                        let place = |name: &str| controllers.contains(name).then(|| place.clone());
                        found.memory = found.memory.or_else(|| place("memory"));
                        found.cpu = found.cpu.or_else(|| place("cpu"));
                        found.processes = found.processes.or_else(|| place("pids"));
                    }
                    Err(reason) => reasons.push(reason),
                },
                _ => {
                    let wanted =
                        |name: &str| hierarchy.controllers.iter().any(|controller| controller == name);
                    if !["memory", "cpu", "pids"].into_iter().any(wanted) {
                        continue;
                    }
                    match trial(&hierarchy.own) {
                        Ok(()) => {
                            found.version = 1;
                            let place = |name: &str| wanted(name).then(|| hierarchy.own.join(PARENT));
                            found.memory = found.memory.or_else(|| place("memory"));
                            found.cpu = found.cpu.or_else(|| place("cpu"));
                            found.processes = found.processes.or_else(|| place("pids"));
                        }
                        Err(reason) => reasons.push(reason),
                    }
                }
            }
        }
        if found.memory.is_some() || found.processes.is_some() {
            Ok(found)
        } else if reasons.is_empty() {
            Err("no hierarchy with memory or pids is mounted".to_owned())
        } else {
            Err(reasons.join("; "))
        }
    }

    /// What it can count, for people.
    pub(super) fn words(&self) -> String {
        let parts = [("memory", &self.memory), ("cpu", &self.cpu), ("processes", &self.processes)];
        let names: Vec<&str> =
            parts.iter().filter(|(_, place)| place.is_some()).map(|(name, _)| *name).collect();
        format!("cgroup v{} ({})", self.version, names.join(", "))
    }

    pub(super) const fn counts_memory(&self) -> bool {
        self.memory.is_some()
    }

    pub(super) const fn counts_cpu(&self) -> bool {
        self.cpu.is_some()
    }

    pub(super) const fn counts_processes(&self) -> bool {
        self.processes.is_some()
    }

    /// Makes a group of this name and sets its limits.
    pub(super) fn create(&self, name: &str, limits: &JobLimits) -> io::Result<Group> {
        let mut group = Group { version: self.version, directories: Vec::new() };
        let places = [
            (&self.memory, limits.memory.is_some()),
            (&self.processes, limits.processes.is_some()),
            (&self.cpu, limits.cpu.is_some()),
        ];
        for (place, wanted) in places {
            let Some(directory) = place.as_ref().filter(|_| wanted).map(|place| place.join(name)) else {
                continue;
            };
            if !group.directories.contains(&directory) {
                fs::create_dir_all(&directory).map_err(|error| named(&directory, &error))?;
                group.directories.push(directory);
            }
        }
        for (file, value) in settings(self.version, limits) {
            let Some(directory) = group.directories.iter().find(|directory| directory.join(file).exists())
            else {
                // Without accounting of swap there is nothing to limit.
                if file == SWAP {
                    continue;
                } else {
                    return Err(io::Error::other(format!("{file} is not there")));
                }
            };
            let path = directory.join(file);
            fs::write(&path, value).map_err(|error| named(&path, &error))?;
        }
        Ok(group)
    }

    /// Kills what an Attempt of an earlier agent left in its group and those of its Services, and removes them.
    pub(super) fn clear(&self, attempt: &str) {
        let names = |place: &PathBuf| fs::read_dir(place).into_iter().flatten().flatten().collect::<Vec<_>>();
        let mut directories: Vec<PathBuf> = [&self.memory, &self.processes, &self.cpu]
            .into_iter()
            .flatten()
            .flat_map(names)
            .filter(|entry| entry.file_name().to_string_lossy().starts_with(attempt))
            .map(|entry| entry.path())
            .collect();
        directories.sort();
        directories.dedup();
        drop(Group { version: self.version, directories });
    }
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// Reads where groups are mounted and where this process is.
fn hierarchies(mountinfo: &str, own: &str) -> Vec<Hierarchy> {
    let mounts = mountinfo.lines().filter_map(|line| {
        let (place, kind) = line.split_once(" - ")?;
        let (root, mount) = (place.split(' ').nth(3)?, place.split(' ').nth(4)?);
        let mut kind = kind.split(' ');
        let version = match kind.next()? {
            "cgroup" => 1,
            "cgroup2" => 2,
            _ => return None,
        };
        let controllers: Vec<String> = kind.nth(1)?.split(',').map(str::to_owned).collect();
        let path = own.lines().find_map(|line| {
            let mut fields = line.splitn(3, ':');
            let (_, names, path) = (fields.next()?, fields.next()?, fields.next()?);
            let is_it = match version {
                2 => names.is_empty(),
                _ => names.split(',').any(|name| controllers.iter().any(|controller| controller == name)),
            };
            is_it.then_some(path)
        })?;
        // A container sees its own part of the tree, mounted from further down.
        let below = Path::new(path).strip_prefix(root).or_else(|_| Path::new(path).strip_prefix("/")).ok()?;
        let mount = PathBuf::from(mount);
        let own = Some(mount.join(below)).filter(|own| own.is_dir()).unwrap_or_else(|| mount.clone());
        Some(Hierarchy { version, controllers, mount, own })
    });
    mounts.collect()
}

fn trial(directory: &Path) -> Result<(), String> {
    let parent = directory.join(PARENT);
    let trial = parent.join(format!("trial-{}", std::process::id()));
    let made = fs::create_dir_all(&trial).and_then(|()| fs::remove_dir(&trial));
    made.map_err(|error| format!("{}: {error}", parent.display()))
}

/// Finds the place for groups of version 2 and switches the controllers on down to it.
///
/// Only the root group may hold both processes and groups with limits. Elsewhere this process first steps down into a
/// group of its own, which is what `Delegate=yes` allows; it does so only where it is alone.
fn below_version_two(hierarchy: &Hierarchy) -> Result<(PathBuf, String), String> {
    let Hierarchy { mount, own, .. } = hierarchy;
    let available = fs::read_to_string(mount.join("cgroup.controllers")).unwrap_or_default();
    if !available.split_whitespace().any(|name| matches!(name, "memory" | "pids")) {
        return Err(format!("{} has neither memory nor pids", mount.display()));
    }
    let is_root = rustix::process::geteuid().is_root();
    let top = if is_root { mount } else { own };
    if top != mount {
        step_down(top)?;
    }
    trial(top)?;
    let parent = top.join(PARENT);
    let wanted: Vec<String> = available
        .split_whitespace()
        .filter(|name| matches!(*name, "memory" | "pids" | "cpu"))
        .map(|name| format!("+{name}"))
        .collect();
    for directory in [top, &parent] {
        let control = directory.join("cgroup.subtree_control");
        fs::write(&control, wanted.join(" ")).map_err(|error| format!("{}: {error}", control.display()))?;
    }
    let controllers = fs::read_to_string(parent.join("cgroup.subtree_control")).unwrap_or_default();
    Ok((parent, controllers))
}

fn step_down(own: &Path) -> Result<(), String> {
    let procs = own.join("cgroup.procs");
    let failed = |error: io::Error| format!("{}: {error}", procs.display());
    let me = std::process::id().to_string();
    let members = fs::read_to_string(&procs).map_err(failed)?;
    if members.lines().any(|pid| pid != me) {
        return Err(format!(
            "{} holds other processes, so no limits can be set below it; run the agent as a service with `Delegate=yes`",
            own.display()
        ));
    }
    if members.is_empty() {
        return Ok(());
    }
    let leaf = own.join("towpath-agent");
    fs::create_dir_all(&leaf).and_then(|()| fs::write(leaf.join("cgroup.procs"), me)).map_err(failed)
}

const SWAP: &str = "memory.memsw.limit_in_bytes";

/// Which file gets which value, in this order.
fn settings(version: u8, limits: &JobLimits) -> Vec<(&'static str, String)> {
    let JobLimits { memory, cpu, processes, disk: _ } = limits;
    let mut settings = Vec::new();
    if let Some(bytes) = memory {
        if version == 2 {
            settings.extend([("memory.max", bytes.to_string()), ("memory.swap.max", "0".to_owned())]);
        } else {
            settings.extend([("memory.limit_in_bytes", bytes.to_string()), (SWAP, bytes.to_string())]);
        }
    }
    if let Some(thousandths) = cpu {
        let quota = u64::from(*thousandths) * CPU_PERIOD / 1000;
        if version == 2 {
            settings.push(("cpu.max", format!("{quota} {CPU_PERIOD}")));
        } else {
            settings.push(("cpu.cfs_period_us", CPU_PERIOD.to_string()));
            settings.push(("cpu.cfs_quota_us", quota.to_string()));
        }
    }
    if let Some(count) = processes {
        settings.push(("pids.max", count.to_string()));
    }
    settings
}

/// The group of one Attempt. When this is dropped, its processes are killed and it goes.
#[derive(Debug)]
pub(crate) struct Group {
    version: u8,
    directories: Vec<PathBuf>,
}

impl Group {
    /// The files that take a process which joins by writing `0`.
    pub(super) fn entrances(&self) -> Vec<PathBuf> {
        self.directories.iter().map(|directory| directory.join("cgroup.procs")).collect()
    }

    /// Kills every process in it, whatever it forks meanwhile.
    pub(super) fn kill(&self) {
        let kill = |directory: &PathBuf| fs::write(directory.join("cgroup.kill"), "1").is_ok();
        if self.version == 2 && self.directories.iter().all(kill) {
            self.wait_until_empty();
            return;
        }
        let deadline = Instant::now() + PATIENCE;
        loop {
            let members = self.members();
            if members.is_empty() || Instant::now() > deadline {
                return;
            }
            for pid in members {
                // It may have ended since it was listed.
                let _gone = kill_process(pid, Signal::KILL);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn wait_until_empty(&self) {
        let deadline = Instant::now() + PATIENCE;
        while !self.members().is_empty() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn members(&self) -> Vec<Pid> {
        let text =
            |directory: &PathBuf| fs::read_to_string(directory.join("cgroup.procs")).unwrap_or_default();
        let text: String = self.directories.iter().map(text).collect();
        text.lines().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)).collect()
    }

    /// How often the kernel had to enforce a limit: kills for want of memory, refused forks.
    pub(super) fn enforced(&self) -> (u64, u64) {
        let count = |file: &str, name: &str| {
            self.directories.iter().find_map(|directory| {
                let text = fs::read_to_string(directory.join(file)).ok()?;
                text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
            })
        };
        let memory = if self.version == 2 { "memory.events" } else { "memory.oom_control" };
        (count(memory, "oom_kill").unwrap_or(0), count("pids.events", "max").unwrap_or(0))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
        for directory in &self.directories {
            // A process that was killed stays in its group until its parent has taken note.
            let deadline = Instant::now() + Duration::from_millis(200);
            while fs::remove_dir(directory).is_err() && directory.exists() && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_hierarchies_of_both_versions() {
        let mountinfo = "\
30 23 0:26 / /sys/fs/cgroup rw,nosuid - tmpfs tmpfs rw,mode=755
31 30 0:27 / /sys/fs/cgroup/pids rw,nosuid shared:9 - cgroup cgroup rw,pids
32 30 0:28 /docker/abc /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
33 30 0:29 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw";
        let found = hierarchies(mountinfo, "9:pids:/user\n8:memory:/docker/abc\n0::/");
        let mounts: Vec<(u8, &str)> =
            found.iter().map(|hierarchy| (hierarchy.version, hierarchy.mount.to_str().unwrap())).collect();
        assert_eq!(
            mounts,
            [(1, "/sys/fs/cgroup/pids"), (1, "/sys/fs/cgroup/memory"), (2, "/sys/fs/cgroup/unified")]
        );
    }

    #[test]
    fn limits_become_files() {
        let limits = JobLimits { memory: Some(64 << 20), cpu: Some(1500), processes: Some(50), disk: None };
        let two = settings(2, &limits);
        assert!(two.contains(&("memory.max", "67108864".to_owned())));
        assert!(two.contains(&("cpu.max", "150000 100000".to_owned())));
        assert!(two.contains(&("pids.max", "50".to_owned())));
        let one = settings(1, &limits);
        assert_eq!(one[0].0, "memory.limit_in_bytes", "swap cannot be limited before memory: {one:?}");
        assert!(one.contains(&("cpu.cfs_quota_us", "150000".to_owned())));
    }

    #[test]
    fn says_why_there_are_none() {
        assert_eq!(ControlGroups::detect_in(&[]).unwrap_err(), "no hierarchy with memory or pids is mounted");
        let root = tempfile::tempdir().unwrap();
        let here = |version, controllers: &[&str]| Hierarchy {
            version,
            controllers: controllers.iter().map(|&name| name.to_owned()).collect(),
            mount: root.path().to_owned(),
            own: root.path().join("missing\0"),
        };
        assert!(ControlGroups::detect_in(&[here(2, &[])]).unwrap_err().contains("neither memory nor pids"));
        assert!(ControlGroups::detect_in(&[here(1, &["memory"])]).unwrap_err().contains("missing"));
    }
}
