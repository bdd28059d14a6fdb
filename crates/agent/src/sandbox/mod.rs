//! Confines what a Step's processes may touch.
//!
//! Bubblewrap gives a Step its own process, IPC and network namespaces; Landlock, the floor, needs
//! no privilege and no program. Both start from nothing and add: the system and the toolchains
//! are readable, the Attempt's own directory and the Project's cache are writable, the rest does not
//! exist. Towpath's own data is denied even where it lies below something readable.

mod bubblewrap;
mod landlocked;
mod policy;

use std::path::{Path, PathBuf};
use std::process::Command;

pub use self::landlocked::exec_main;
pub(crate) use self::policy::CACHES;
pub use self::policy::Policy;

/// How Steps are confined on this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Isolation {
    /// By the program `bwrap`, which was seen to work.
    Bubblewrap {
        /// Where it is.
        program: PathBuf,
    },
    /// By Landlock, applied by this program itself before it becomes the Step's.
    Landlock {
        /// What the kernel offers; 4 and more can deny the network, 6 and more can deny signals.
        abi: i32,
        /// The program whose hidden command `sandbox-exec` calls [`exec_main`].
        helper: PathBuf,
    },
    /// Not at all.
    Host,
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

/// A Step asks for what the confinement in use cannot give.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// `network: none` on an old kernel without bubblewrap.
    #[error(
        "the job says `network: none`, and Landlock ABI {abi} of this kernel cannot deny the network (4 can); \
         install bubblewrap on this host or let the job run elsewhere"
    )]
    Network {
        /// What the kernel offers.
        abi: i32,
    },
    /// The rules could not be written for the helper.
    #[error("failed to describe the sandbox")]
    Policy(#[source] serde_json::Error),
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
        let bubblewrap = match bubblewrap::probe() {
            Ok(program) => return Ok(Self::Bubblewrap { program }),
            Err(reason) => reason,
        };
        match landlocked::supported_abi() {
            Ok(abi) => Ok(Self::Landlock { abi, helper: helper.to_owned() }),
            Err(landlock) => Err(NoIsolation { bubblewrap, landlock }),
        }
    }

    /// Landlock if the kernel has it, even where bubblewrap is there.
    ///
    /// # Errors
    ///
    /// Says why not.
    pub fn landlock(helper: &Path) -> Result<Self, NoIsolation> {
        match landlocked::supported_abi() {
            Ok(abi) => Ok(Self::Landlock { abi, helper: helper.to_owned() }),
            Err(landlock) => Err(NoIsolation { bubblewrap: "was not asked for".to_owned(), landlock }),
        }
    }

    /// The name that logs and pages show.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Bubblewrap { .. } => "bubblewrap",
            Self::Landlock { .. } => "landlock",
            Self::Host => "host",
        }
    }

    /// A command that runs `program` with `arguments` in `directory`, confined.
    ///
    /// # Errors
    ///
    /// Fails closed where `policy` asks for more than this confinement can do.
    pub fn command(
        &self,
        policy: &Policy,
        directory: &Path,
        program: &str,
        arguments: &[String],
    ) -> Result<Command, Refusal> {
        let mut command = match self {
            Self::Bubblewrap { program: bwrap } => bubblewrap::command(bwrap, policy, directory),
            Self::Landlock { abi, helper } => landlocked::command(helper, *abi, policy)?,
            Self::Host => {
                let mut command = Command::new(program);
                command.args(arguments);
                return Ok(command);
            }
        };
        command.arg("--").arg(program).args(arguments);
        Ok(command)
    }
}
