//! What starts, stops and lists the agents of a pool.

use std::io;

use super::command::Commands;
use super::docker::Containers;
use super::options::{DriverKind, PoolOptions};
use super::process::Processes;
use crate::app::App;

/// Why a driver did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub(super) enum DriverError {
    /// A file or process of this host.
    #[error("{what} failed: {source}")]
    Io {
        /// What was done.
        what: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A hook.
    #[error("the hook `{hook}` {what}")]
    Hook {
        /// Its command line.
        hook: String,
        /// What it did.
        what: String,
    },
    /// A container engine.
    #[error(transparent)]
    Engine(#[from] towpath_agent::container::AgentsError),
    /// It panicked.
    #[error("the driver did not finish: {0}")]
    Unfinished(#[from] tokio::task::JoinError),
}

impl DriverError {
    /// Says what was done when the system refused.
    pub(super) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}

/// How the agents of one pool are started and stopped.
pub(super) enum Driver {
    Process(Processes),
    Command(Commands),
    Docker(Containers),
}

impl Driver {
    pub(super) fn new(app: &App, options: &PoolOptions, allow_unsandboxed: bool) -> Self {
        match &options.kind {
            DriverKind::Process => Self::Process(Processes::new(&app.data_dir, options, allow_unsandboxed)),
            DriverKind::Command(hooks) => Self::Command(Commands::new(options, hooks.clone())),
            DriverKind::Docker(containers) => {
                Self::Docker(Containers::new(&app.data_dir, options, containers))
            }
        }
    }

    /// The names of all members that there are, started by this server or before it.
    pub(super) async fn list(&mut self) -> Result<Vec<String>, DriverError> {
        match self {
            Self::Process(processes) => processes.list().await,
            Self::Command(commands) => commands.list().await,
            Self::Docker(containers) => containers.list().await,
        }
    }

    /// Starts a member, whose agent joins with a token.
    pub(super) async fn start(&mut self, member: &str, token: &str) -> Result<(), DriverError> {
        match self {
            Self::Process(processes) => processes.start(member, token),
            Self::Command(commands) => commands.start(member, token).await,
            Self::Docker(containers) => containers.start(member, token).await,
        }
    }

    /// Stops a member, and removes what is left of it.
    pub(super) async fn stop(&mut self, member: &str) -> Result<(), DriverError> {
        match self {
            Self::Process(processes) => processes.stop(member).await,
            Self::Command(commands) => commands.stop(member).await,
            Self::Docker(containers) => containers.stop(member).await,
        }
    }
}
