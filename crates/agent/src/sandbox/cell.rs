//! The place that one Attempt is confined to: its control group, and the commands that start Steps within.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use crate::processes::{ATTEMPT_MARKER, SERVICE_MARKER};
use crate::sandbox::cgroup::{ControlGroups, Group};
use crate::sandbox::entry::{self, Entry};
use crate::sandbox::limits::{self, Kept};
use crate::sandbox::{Isolation, Policy, Refusal, Watch, bubblewrap, landlocked, seccomp};

/// Joins the control groups, then becomes what follows. The shell starts in a tenth of the time of this program.
const JOIN: &str = r#"while [ "$1" != -- ]; do echo 0 >"$1"; shift; done; shift; exec "$@""#;

/// One Attempt's place. Its processes are gone when this is dropped, if the host has control groups.
#[derive(Debug)]
pub(crate) struct Cell<'a> {
    isolation: &'a Isolation,
    policy: &'a Policy,
    kept: Kept,
    group: Option<Arc<Group>>,
}

impl<'a> Cell<'a> {
    /// Makes it, with a control group of this name. Fails closed where `policy` asks for more than this host can do.
    pub(crate) fn new(isolation: &'a Isolation, policy: &'a Policy, name: &str) -> Result<Self, Refusal> {
        let means = isolation.means();
        let mut cell = Self::beside(isolation, policy, None)?;
        let has_group =
            !matches!(isolation, Isolation::Host { watch: Watch::Go, .. }) || !policy.limits.is_empty();
        let create = |groups: &ControlGroups| groups.create(name, &cell.kept.group).map_err(Refusal::Group);
        let group = means.groups.as_ref().filter(|_| has_group).map(create).transpose()?;
        cell.group = group.map(Arc::new);
        Ok(cell)
    }

    /// For an Attempt whose Steps are confined by somebody else: a container engine.
    pub(crate) fn elsewhere(isolation: &'a Isolation, policy: &'a Policy) -> Self {
        Self { isolation, policy, kept: Kept::default(), group: None }
    }

    /// Makes another one with a group that is there.
    pub(crate) fn beside(
        isolation: &'a Isolation,
        policy: &'a Policy,
        group: Option<Arc<Group>>,
    ) -> Result<Self, Refusal> {
        let means = isolation.means();
        if !policy.network && matches!(isolation, Isolation::Landlock { .. }) && !means.seccomp {
            return Err(Refusal::Network);
        }
        let kept = limits::keep(&policy.limits, means.groups.as_ref())?;
        Ok(Self { isolation, policy, kept, group })
    }

    /// The control group, for what outlives this.
    pub(crate) fn into_group(self) -> Option<Arc<Group>> {
        self.group
    }

    /// A command that runs `program` with `arguments` and exactly this environment in `directory`, confined.
    pub(crate) fn command(
        &self,
        directory: &Path,
        program: &str,
        arguments: &[String],
        environment: &BTreeMap<OsString, OsString>,
    ) -> Result<Command, Refusal> {
        let means = self.isolation.means();
        let entrances = self.group.as_deref().map(Group::entrances).unwrap_or_default();
        let helper = means.helper.as_os_str();
        let mut entry = Entry { process: self.kept.process, ..Entry::default() };
        let mut command = match self.isolation {
            Isolation::Bubblewrap { program: bwrap, .. } => {
                entry.landlock = means.landlock.map(|abi| landlocked::inside_bubblewrap(abi, self.policy));
                entry.sockets = means.seccomp.then_some(seccomp::Sockets { unix: true, internet: true });
                let options = bubblewrap::options(self.policy, directory, &means.helper, means.nested);
                let mut command = joining(&entrances, bwrap.as_os_str());
                command.args(options).args(["--", bubblewrap::ENTRY]);
                command
            }
            Isolation::Landlock { abi, .. } => {
                let sockets = seccomp::Sockets { unix: false, internet: self.policy.network };
                entry.landlock = Some(landlocked::alone(*abi, self.policy));
                entry.sockets = means.seccomp.then_some(sockets);
                entry.supervise = true;
                entry.entrances = entrances;
                Command::new(helper)
            }
            Isolation::Host { .. } if self.starts_directly() => {
                let mut command = Command::new(program);
                command
                    .args(arguments)
                    .env_clear()
                    .envs(environment)
                    .current_dir(directory)
                    .stdin(Stdio::null());
                return Ok(command);
            }
            Isolation::Host { watch, .. } => {
                entry.supervise = *watch == Watch::Stay;
                entry.keeps_capabilities = true;
                entry.entrances = entrances;
                Command::new(helper)
            }
        };
        // Towpath's own, by which processes are found.
        let is_marker = |name: &OsString| name == ATTEMPT_MARKER || name == SERVICE_MARKER;
        let markers = environment.iter().filter(|(name, _)| is_marker(name));
        let handed = entry::hand_over(&entry, environment).map_err(Refusal::HandOver)?;
        command
            .arg(entry::SUBCOMMAND)
            .arg("--")
            .arg(program)
            .args(arguments)
            // What a Step's environment says is for the Step: a loader would obey it before the walls stand.
            .env_clear()
            .envs(markers)
            .stdin(Stdio::from(handed));
        if !matches!(self.isolation, Isolation::Bubblewrap { .. }) {
            command.current_dir(directory);
        }
        Ok(command)
    }

    /// Kills what is left in the control group.
    pub(crate) fn kill(&self) {
        if let Some(group) = &self.group {
            group.kill();
        }
    }

    /// Says which limits the kernel had to enforce.
    pub(crate) fn enforced(&self) -> Option<String> {
        let (memory, processes) = self.group.as_ref()?.enforced();
        let Kept { group: limits, .. } = &self.kept;
        let mut words = Vec::new();
        if let Some(bytes) = limits.memory.filter(|_| memory > 0) {
            let size = limits::size(bytes);
            words.push(format!("{memory} of its processes were killed at the limit of {size} of memory"));
        }
        if let Some(count) = limits.processes.filter(|_| processes > 0) {
            words.push(format!("{processes} more processes than the {count} allowed were refused"));
        }
        (!words.is_empty()).then(|| words.join("; "))
    }

    /// Whether the Step's program is started as it is.
    pub(crate) fn starts_directly(&self) -> bool {
        matches!(self.isolation, Isolation::Host { watch: Watch::Go, .. }) && self.policy.limits.is_empty()
    }

    /// Whether the started process watches over the Step, and ends it when it is told to.
    pub(crate) const fn watches(&self) -> bool {
        matches!(self.isolation, Isolation::Landlock { .. } | Isolation::Host { watch: Watch::Stay, .. })
    }

    /// Whether the started process is a sandbox, which would take its content down without grace.
    pub(crate) const fn wraps(&self) -> bool {
        matches!(self.isolation, Isolation::Bubblewrap { .. })
    }
}

fn joining(entrances: &[std::path::PathBuf], program: &OsStr) -> Command {
    if entrances.is_empty() {
        return Command::new(program);
    }
    let mut command = Command::new("/bin/sh");
    command.args(["-efc", JOIN, "sh"]).args(entrances).arg("--").arg(program);
    command
}
