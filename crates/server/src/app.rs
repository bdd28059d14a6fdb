//! What every handler needs.

use std::ops::Deref;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;
use towpath_artifact::Authority;
use towpath_engine::Engine;
use towpath_store::Db;
use url::Url;

use crate::auth::limiter::LoginLimiter;
use crate::git::GitHost;
use crate::metrics::Metrics;
use crate::page::LogIndex;
use crate::pools::Pools;
use crate::scrape::Scraped;

/// The server's shared state; clones share it.
#[derive(Clone)]
pub struct App(Arc<Shared>);

/// What [`App`] holds.
pub struct Shared {
    /// Where all state lives.
    pub data_dir: PathBuf,
    /// What decides and acts.
    pub engine: Engine,
    /// The database.
    pub db: Db,
    /// The repositories.
    pub git: GitHost,
    /// Slows down whoever guesses passwords.
    pub limiter: LoginLimiter,
    /// How the outside reaches this server.
    pub public_url: Url,
    /// Whether that is HTTPS.
    pub tls: bool,
    /// How agents of other hosts reach this server; `None` where they cannot.
    pub agents_url: Option<Url>,
    /// Names the server and lets agents in.
    pub authority: Arc<Authority>,
    /// The hash of the token in `run/local.json`.
    pub local_token: [u8; 32],
    /// The clock.
    pub clock: fn() -> Timestamp,
    /// Where the lines of logs begin.
    pub(crate) log_index: LogIndex,
    /// Pools of agents.
    pub(crate) pools: Pools,
    /// What `/metrics` shows.
    pub metrics: Metrics,
    /// What it showed last.
    pub(crate) scraped: Scraped,
    /// Whether it shows that to this host without a token.
    pub open_metrics: bool,
    /// Fires when the server begins to stop; long answers end then.
    pub stopping: CancellationToken,
}

impl App {
    /// Wraps the state.
    #[must_use]
    pub fn new(shared: Shared) -> Self {
        Self(Arc::new(shared))
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// The session cookie's name. `__Host-` makes browsers refuse it from anything but this very host over TLS.
    #[must_use]
    pub fn cookie_name(&self) -> &'static str {
        if self.tls { "__Host-towpath" } else { "towpath" }
    }
}

impl Deref for App {
    type Target = Shared;
    fn deref(&self) -> &Shared {
        &self.0
    }
}
