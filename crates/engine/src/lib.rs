//! Loads state, asks the model, commits, performs effects.
//!
//! Everything that changes goes the same way: an event comes in, the aggregate is loaded in a
//! write transaction, the model decides, and the new state, the timeline entries and the effects
//! are committed together (`unit.rs`). Effects are performed afterwards, at least once (`perform.rs`);
//! their results come back as events. After a crash the same loop simply goes on.

mod admission;
mod agents;
mod apply;
mod ask;
mod bases;
mod belief;
mod check_runs;
mod checks;
mod containers;
mod dispatch;
mod doctor;
mod error;
mod evidence;
mod facts;
mod failures;
mod figures;
pub mod gateways;
mod git;
mod history;
mod hosts;
mod imported;
mod incidents;
mod insights;
mod instances;
pub mod kept;
mod lease;
mod live;
pub mod notify;
mod order;
mod outgoing;
mod passable;
mod people;
mod perform;
mod pipeline;
mod policy_changes;
mod portable;
mod promote;
mod push;
mod query;
mod report;
mod retries;
mod revoke;
mod route;
mod runs;
mod seal;
mod search;
mod secrets;
mod signals;
mod signing;
mod source;
mod standing;
mod suspects;
pub mod told;
mod unit;
mod version;
mod watch;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use towpath_artifact::{ContentStore, LogStore, PublicKeyRoot, ReleaseKey, Vault};
use towpath_config::CelEvaluator;
use towpath_model::retry::RetryClass;
use towpath_store::Db;

pub use agents::model_report;
pub use apply::{Applied, ApplyReport, Pending};
pub use dispatch::{OLDEST_AGENT, QueueEntry, QueueView, standing_of};
pub use doctor::{Finding, Weight as FindingWeight};
pub use error::EngineError;
pub use figures::{ProjectDelivery, Watched};
pub use imported::Taken;
pub use incidents::NewIncident;
pub use insights::DeliveryInsights;
pub use outgoing::{Allowed, InvalidAllowed};
pub use people::Person;
pub use policy_changes::PolicyBallot;
pub use promote::PromoteRequest;
pub use push::RefChange;
pub use query::{EnvironmentStatus, Journey, JourneyStep, LogPage};
pub use retries::RetryInsights;
pub use revoke::{Revoked, RevokedPlace};
pub use search::{LogHit, LogSearch};
pub use signals::Signals;
pub use source::app::github_app;
pub use source::{Delivered, Hint, SourceSecrets};

/// What an engine is made of.
#[derive(Debug)]
pub struct Parts {
    /// The database.
    pub db: Db,
    /// Blobs.
    pub content: ContentStore,
    /// Logs of Attempts.
    pub logs: Arc<LogStore>,
    /// What is kept from one Attempt for later ones.
    pub keeping: kept::Keeping,
    /// Seals and opens secrets.
    pub vault: Vault,
    /// Signs Releases.
    pub release_key: ReleaseKey,
    /// The directory of the bare repositories.
    pub repositories: PathBuf,
    /// The address that people and git clients use, with a `/` at its end.
    pub public_url: String,
    /// Whether Jobs may ask for `executor: host`.
    pub allow_host_executor: bool,
    /// What documents may have the server speak to, besides public addresses.
    pub outgoing: Vec<Allowed>,
    /// What sends mail; nothing does where there is none.
    pub smtp: Option<notify::Smtp>,
    /// How many retries of a class a Project may have in a week, where that is not the usual number.
    pub retry_budget: BTreeMap<RetryClass, u32>,
    /// The clock.
    pub clock: fn() -> Timestamp,
}

/// The engine; clones share it.
#[derive(Debug, Clone)]
pub struct Engine(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    parts: Parts,
    trusted: PublicKeyRoot,
    /// Files of Runs that other servers exported. Nothing else is in there, so that what is removed can be nobody else's.
    imports: ContentStore,
    evaluator: CelEvaluator,
    signals: Signals,
    live: live::Live,
    looking: source::Looking,
    app_tokens: source::app::Made,
    dispatcher: dispatch::Dispatcher,
    web: reqwest::Client,
    /// For checks through the listeners of Environments.
    listeners: reqwest::Client,
    outgoing: outgoing::Outgoing,
    /// Held to read where a kept blob is taken in, and to write where some are removed.
    sweeping: tokio::sync::RwLock<()>,
    /// Wakes the sweep of kept bytes.
    sweep: tokio::sync::Notify,
}

impl Engine {
    /// Makes an engine. [`Engine::run`] brings it to life.
    ///
    /// # Errors
    /// When the HTTP client for checks cannot be made.
    pub fn new(parts: Parts) -> Result<Self, EngineError> {
        let trusted = parts.release_key.public().clone();
        let started = (parts.clock)();
        let web = checks::client()?;
        let listeners = checks::listener_client()?;
        let imports = ContentStore::open(&parts.content.root().with_file_name("imported"))?;
        let outgoing = outgoing::Outgoing::new(parts.outgoing.clone())?;
        Ok(Self(Arc::new(Inner {
            parts,
            trusted,
            imports,
            evaluator: CelEvaluator,
            signals: Signals::default(),
            live: live::Live::new(started),
            looking: source::Looking::default(),
            app_tokens: source::app::Made::default(),
            dispatcher: dispatch::Dispatcher::default(),
            web,
            listeners,
            outgoing,
            sweeping: tokio::sync::RwLock::default(),
            sweep: tokio::sync::Notify::new(),
        })))
    }

    /// Performs effects, watches leases and the clock, until `stop` completes.
    pub async fn run(&self, stop: impl Future<Output = ()>) {
        tokio::select! {
            () = stop => {}
            () = self.perform_forever(perform::Lane::Work) => {}
            () = self.perform_forever(perform::Lane::Messages) => {}
            () = self.watch_clock() => {}
            () = self.watch_leases() => {}
            () = self.watch_hosts() => {}
            () = self.watch_schedules() => {}
            () = self.watch_sources() => {}
            () = self.sweep_forever() => {}
        }
    }

    /// The database, for what is not the engine's: people, sessions, tokens.
    #[must_use]
    pub fn db(&self) -> &Db {
        &self.0.parts.db
    }

    /// Blobs.
    #[must_use]
    pub fn content(&self) -> &ContentStore {
        &self.0.parts.content
    }

    /// Logs of Attempts.
    #[must_use]
    pub fn logs(&self) -> &Arc<LogStore> {
        &self.0.parts.logs
    }

    /// The public key that Releases are verified with.
    #[must_use]
    pub fn release_key(&self) -> &PublicKeyRoot {
        &self.0.trusted
    }

    /// Wakes whoever waits for news.
    #[must_use]
    pub fn signals(&self) -> &Signals {
        &self.0.signals
    }

    /// The address that people and git clients use, with a `/` at its end.
    #[must_use]
    pub fn public_url(&self) -> &str {
        &self.0.parts.public_url
    }

    fn now(&self) -> Timestamp {
        (self.0.parts.clock)()
    }
}
