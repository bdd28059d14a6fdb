//! What starts, stops and lists the agents of a pool.

use std::io;

use super::command::Commands;
use super::options::PoolOptions;
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
}

impl Driver {
    pub(super) fn new(app: &App, options: &PoolOptions, allow_unsandboxed: bool) -> Self {
        match &options.hooks {
            None => Self::Process(Processes::new(&app.data_dir, options, allow_unsandboxed)),
            Some(hooks) => Self::Command(Commands::new(options, hooks.clone())),
        }
    }

    /// The names of all members that there are, started by this server or before it.
    pub(super) async fn list(&mut self) -> Result<Vec<String>, DriverError> {
        match self {
            Self::Process(processes) => processes.list().await,
            Self::Command(commands) => commands.list().await,
        }
    }

    /// Starts a member, whose agent joins with a token.
    pub(super) async fn start(&mut self, member: &str, token: &str) -> Result<(), DriverError> {
        match self {
            Self::Process(processes) => processes.start(member, token),
            Self::Command(commands) => commands.start(member, token).await,
        }
    }

    /// Stops a member, and removes what is left of it.
    pub(super) async fn stop(&mut self, member: &str) -> Result<(), DriverError> {
        match self {
            Self::Process(processes) => processes.stop(member).await,
            Self::Command(commands) => commands.stop(member).await,
        }
    }
}
