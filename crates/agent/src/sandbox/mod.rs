//! Confines what a Step's processes may touch.
//!
//! Bubblewrap gives a Step its own user, process, IPC and network namespaces; Landlock, the floor, needs no privilege and
//! no program, and stands inside bubblewrap too. A filter of system calls and limits come on top. All start from
//! nothing and add: the system and the toolchains are readable, the Attempt's own directories and the Project's cache are
//! writable, the rest does not exist. Towpath's own data is denied even where it lies below something readable.
//!
//! Nothing of a Step, its environment least of all, reaches a process that is not yet confined: what the Step gets is
//! handed over by a descriptor and taken up behind the last wall (`entry`).

mod bubblewrap;
mod cell;
mod cgroup;
mod entry;
mod landlocked;
mod limits;
mod means;
mod policy;
mod seccomp;
mod supervise;

use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(crate) use self::cell::Cell;
pub use self::cgroup::ControlGroups;
pub(crate) use self::cgroup::Group;
pub use self::entry::exec_main;
pub use self::means::{Means, Missing, clear_attempt};
pub use self::policy::Policy;
pub(crate) use self::policy::{CACHES, own_program};
pub(crate) use self::supervise::END;

/// How Steps are confined on this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Isolation {
    /// By the program `bwrap`, which was seen to work, with what else this host has.
    Bubblewrap {
        /// Where it is.
        program: PathBuf,
        /// What else there is.
        means: Arc<Means>,
    },
    /// By Landlock, applied by this program itself before it becomes the Step's.
    Landlock {
        /// What the kernel offers; 6 and more can deny signals.
        abi: i32,
        /// What else there is.
        means: Arc<Means>,
    },
    /// Not at all: a Step has the rights of the agent's user. Limits hold here too.
    Host {
        /// Whether somebody stays to end what a Step leaves behind.
        watch: Watch,
        /// What else there is.
        means: Arc<Means>,
    },
}

/// Whether a process stays with each unconfined Step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Watch {
    /// It catches every process of the Step, whatever it did to its session and environment.
    Stay,
    /// A Step's processes are found by their environment. For `towpath run`, where Jobs are the person's own and a start
    /// shall cost no more than that of a shell.
    Go,
}

/// Neither way to confine Steps works on this host.
#[derive(Debug, thiserror::Error)]
#[error(
    "this host cannot confine jobs: bubblewrap {bubblewrap}, and {landlock}. Install bubblewrap \
     (Debian, Ubuntu: `apt install bubblewrap`; Fedora: `dnf install bubblewrap`; Alpine: `apk add bubblewrap`) or run a \
     kernel with Landlock (5.13 or newer, `landlock` in CONFIG_LSM). To run jobs unconfined, with all rights of this \
     user, start with --allow-unsandboxed"
)]
pub struct NoIsolation {
    bubblewrap: String,
    landlock: String,
}

/// A Step asks for what this host cannot give.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// `network: none` where nothing can deny the network.
    #[error(
        "the job says `network: none`, and this host has neither bubblewrap nor a filter of system calls to deny it; \
         install bubblewrap on this host or let the job run elsewhere"
    )]
    Network,
    /// A limit that cannot be kept.
    #[error(
        "the job asks for `limits.{key}`, and this host has no control groups that the agent may use: {why}. Run the agent \
         as root or as a service with `Delegate=yes`, let the job run elsewhere, or remove the limit"
    )]
    Limit {
        /// Which.
        key: &'static str,
        /// Why nothing else keeps it.
        why: &'static str,
    },
    /// The control group could not be made, though others could when the agent started.
    #[error("the attempt's control group could not be made, so its limits would not hold")]
    Group(#[source] std::io::Error),
    /// The filter of system calls does not exist for this processor.
    #[error("there is no filter of system calls for this processor")]
    NoFilter,
    /// The kernel refused the filter.
    #[error("the filter of system calls was not taken")]
    Filter(#[source] seccompiler::Error),
    /// What the Step gets could not be handed over.
    #[error("failed to describe the sandbox")]
    HandOver(#[source] std::io::Error),
}

impl Isolation {
    /// Finds the strongest confinement that really works here, by trying it.
    ///
    /// `helper` is the program with the hidden command `sandbox-exec`: usually the current one.
    ///
    /// # Errors
    ///
    /// Says what is missing and how to get it.
    pub fn detect(helper: &Path) -> Result<Self, NoIsolation> {
        let mut means = Means::detect(helper);
        let bubblewrap = match bubblewrap::probe() {
            Ok(found) => {
                means.found_bubblewrap(&found);
                return Ok(Self::Bubblewrap { program: found.program, means: Arc::new(means) });
            }
            Err(reason) => reason,
        };
        means.lacks_bubblewrap(&bubblewrap);
        Self::landlock_of(means, bubblewrap)
    }

    /// Landlock if the kernel has it, even where bubblewrap is there.
    ///
    /// # Errors
    ///
    /// Says why not.
    pub fn landlock(helper: &Path) -> Result<Self, NoIsolation> {
        Self::landlock_of(Means::detect(helper), "was not asked for".to_owned())
    }

    fn landlock_of(means: Means, bubblewrap: String) -> Result<Self, NoIsolation> {
        match means.landlock {
            Some(abi) => Ok(Self::Landlock { abi, means: Arc::new(means) }),
            None => Err(NoIsolation { bubblewrap, landlock: "the kernel has no Landlock".to_owned() }),
        }
    }

    /// No confinement, on purpose.
    #[must_use]
    pub fn host(helper: &Path, watch: Watch) -> Self {
        Self::Host { watch, means: Arc::new(Means::detect(helper)) }
    }

    /// The name that logs and pages show.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Bubblewrap { .. } => "bubblewrap",
            Self::Landlock { .. } => "landlock",
            Self::Host { .. } => "host",
        }
    }

    /// Whether Steps have the rights of the agent's user.
    #[must_use]
    pub const fn is_host(&self) -> bool {
        matches!(self, Self::Host { .. })
    }

    /// What this host offers.
    #[must_use]
    pub fn means(&self) -> &Means {
        match self {
            Self::Bubblewrap { means, .. } | Self::Landlock { means, .. } | Self::Host { means, .. } => means,
        }
    }
}
