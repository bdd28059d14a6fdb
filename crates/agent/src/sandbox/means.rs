//! What a host has to confine Steps with, and what it lacks: one report for the log, the labels and `doctor`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::sandbox::bubblewrap::Bubblewrap;
use crate::sandbox::cgroup::ControlGroups;
use crate::sandbox::{Isolation, landlocked, seccomp};

/// What was found by trying.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Means {
    /// The program with the hidden command `sandbox-exec`.
    pub(super) helper: PathBuf,
    /// What the kernel's Landlock offers.
    pub landlock: Option<i32>,
    /// Whether bubblewrap forbids user namespaces below its own.
    pub(super) nested: bool,
    /// Whether system calls are filtered.
    pub seccomp: bool,
    /// Where limits can be kept.
    pub groups: Option<ControlGroups>,
    /// What is not there.
    pub missing: Vec<Missing>,
}

/// A layer that this host lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// Which.
    pub layer: &'static str,
    /// What was found instead.
    pub why: String,
    /// What to do.
    pub advice: &'static str,
}

impl Means {
    pub(super) fn detect(helper: &Path) -> Self {
        let mut missing = Vec::new();
        let mut note = |layer, why: String, advice| missing.push(Missing { layer, why, advice });
        let landlock = landlocked::supported_abi();
        match &landlock {
            Ok(abi) if *abi < 6 => note(
                "landlock",
                format!("the kernel offers version {abi}"),
                "run Linux 6.12 or newer: from version 6 on it keeps jobs from sockets and processes of the host",
            ),
            Ok(_) => {}
            Err(why) => {
                note("landlock", why.clone(), "run a kernel with `landlock` in CONFIG_LSM, 5.13 or newer")
            }
        }
        let filter = seccomp::probe();
        if let Err(why) = &filter {
            note(
                "seccomp",
                why.clone(),
                "run a kernel with CONFIG_SECCOMP_FILTER on x86-64, ARM64 or RISC-V",
            );
        }
        let groups = ControlGroups::detect();
        if let Err(why) = &groups {
            note(
                "cgroup",
                why.clone(),
                "run the agent as root or as a service with `Delegate=yes`; without control groups, limits of memory hold \
                 for each process only, and `limits.cpu` is refused",
            );
        }
        Self {
            helper: helper.to_owned(),
            landlock: landlock.ok(),
            nested: false,
            seccomp: filter.is_ok(),
            groups: groups.ok(),
            missing,
        }
    }

    pub(super) fn found_bubblewrap(&mut self, found: &Bubblewrap) {
        self.nested = found.forbids_nesting;
        if !found.forbids_nesting {
            self.missing.push(Missing {
                layer: "nesting",
                why: "this bubblewrap cannot forbid user namespaces below its own".to_owned(),
                advice: "install bubblewrap 0.8 or newer; until then the filter of system calls alone refuses them",
            });
        }
    }

    pub(super) fn lacks_bubblewrap(&mut self, why: &str) {
        self.missing.push(Missing {
            layer: "bubblewrap",
            why: format!("bubblewrap {why}"),
            advice: "install it (`apt install bubblewrap`), or allow it user namespaces: on Ubuntu with an AppArmor profile \
                     with `userns,`, in a container with fewer restrictions",
        });
    }
}

impl Isolation {
    /// What is found and what is missing, as labels by which a Job can choose (`runs_on: { sandbox: bubblewrap }`) and
    /// from which `towpath doctor` tells what to install.
    #[must_use]
    pub fn labels(&self) -> BTreeMap<String, String> {
        let Means { landlock, seccomp, groups, nested, .. } = self.means();
        let yes = |there: bool| if there { "yes" } else { "none" }.to_owned();
        let mut labels = BTreeMap::from([
            ("sandbox".to_owned(), self.name().to_owned()),
            ("landlock".to_owned(), landlock.map_or_else(|| yes(false), |abi| abi.to_string())),
            ("seccomp".to_owned(), yes(*seccomp)),
            (
                "cgroup".to_owned(),
                groups.as_ref().map_or_else(|| yes(false), |groups| format!("v{}", groups.version)),
            ),
        ]);
        if matches!(self, Self::Bubblewrap { .. }) {
            labels.insert("nesting".to_owned(), if *nested { "forbidden" } else { "filtered" }.to_owned());
        }
        labels
    }
}

/// Kills what an Attempt of an earlier agent process left running in its control group, and removes the group.
pub fn clear_attempt(attempt: &str) {
    if let Ok(groups) = ControlGroups::detect() {
        groups.clear(attempt);
    }
}
