//! What can go wrong, sorted by whose it is.

use towpath_artifact::{ContentError, LogError, VaultError};
use towpath_model::environment::{self, Ground};
use towpath_store::StoreError;

/// Why the engine did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// There is no such thing.
    #[error("{what} does not exist")]
    NotFound {
        /// What was looked for, with its name.
        what: String,
    },
    /// It cannot be granted as things are. Nothing was changed.
    #[error("{reason}")]
    Refused {
        /// What is wrong and what to do.
        reason: String,
    },
    /// The person who asks may not; somebody else may. Nothing was changed.
    #[error("{reason}")]
    Forbidden {
        /// Why, and who may.
        reason: String,
    },
    /// What was given is not right.
    #[error("{reason}")]
    Invalid {
        /// What is wrong and where.
        reason: String,
    },
    /// The Attempt belongs to somebody else, or is over.
    #[error("{reason}")]
    Fenced {
        /// Why.
        reason: String,
    },
    /// The database failed.
    #[error("the database failed")]
    Store(#[from] StoreError),
    /// The content store failed.
    #[error("the content store failed")]
    Content(#[from] ContentError),
    /// A log could not be written or read.
    #[error("the log store failed")]
    Log(#[from] LogError),
    /// A secret could not be sealed or opened.
    #[error("the vault failed")]
    Vault(#[from] VaultError),
    /// Something of Towpath itself went wrong.
    #[error("{what}")]
    Internal {
        /// What was being done.
        what: String,
        /// What went wrong.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl EngineError {
    pub(crate) fn not_found(what: impl Into<String>) -> Self {
        Self::NotFound { what: what.into() }
    }

    pub(crate) fn refused(reason: impl Into<String>) -> Self {
        Self::Refused { reason: reason.into() }
    }

    pub(crate) fn invalid(reason: impl Into<String>) -> Self {
        Self::Invalid { reason: reason.into() }
    }

    pub(crate) fn internal(
        what: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Internal { what: what.into(), source: source.into() }
    }
}

impl From<environment::Refused> for EngineError {
    fn from(refused: environment::Refused) -> Self {
        let environment::Refused { ground, reason } = refused;
        match ground {
            Ground::State => Self::Refused { reason },
            Ground::Person => Self::Forbidden { reason },
        }
    }
}

/// The causes of an error in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// Runs blocking work on its own thread.
pub(crate) async fn blocking<T, E>(
    what: &str,
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, EngineError>
where
    T: Send + 'static,
    E: Send + 'static,
    EngineError: From<E>,
{
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(EngineError::from),
        Err(panic) => Err(EngineError::internal(format!("{what} did not finish"), panic)),
    }
}
