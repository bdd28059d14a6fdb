//! The customers: a load generator on production, and what it saw.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use jiff::Timestamp;
use tokio::task::JoinHandle;
use towpath_load::{FailureKind, Load, LoadPlan, LoadReport, VersionReport};

/// Requests each second: enough for a sound verdict in seconds.
pub(super) const RATE: f64 = 1200.0;

/// How the versions of the shop name themselves.
pub(super) const VERSIONS: [&str; 3] = ["1.0.0", "2.0.0", "3.0.0"];

/// How often the load is looked at to know when a version answered last.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Load on production, under way.
pub(super) struct Traffic {
    load: Arc<Load>,
    last: Arc<Mutex<BTreeMap<String, Timestamp>>>,
    watcher: JoinHandle<()>,
}

/// Notes when each version answered last.
async fn watch(load: Arc<Load>, last: Arc<Mutex<BTreeMap<String, Timestamp>>>) {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    loop {
        for (version, report) in load.snapshot().versions {
            if counts.insert(version.clone(), report.requests) != Some(report.requests) {
                last.lock().unwrap_or_else(PoisonError::into_inner).insert(version, Timestamp::now());
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// What the customers saw.
pub(super) struct Seen {
    /// By the version that answered.
    pub(super) versions: BTreeMap<String, VersionReport>,
    /// All requests.
    pub(super) requests: u64,
    /// Requests that nobody answered, or that the gateway answered itself for want of somebody else.
    pub(super) unanswered: u64,
    /// Half of all took no longer, in milliseconds.
    pub(super) p50: f64,
    /// 99 in 100 took no longer, in milliseconds.
    pub(super) p99: f64,
}

impl Traffic {
    /// Starts the load.
    pub(super) fn start(production: &str) -> anyhow::Result<Self> {
        let plan = LoadPlan {
            rate: Some(RATE),
            connections: 32,
            timeout: Duration::from_secs(10),
            ..LoadPlan::new(format!("{production}/order"))
        };
        let load = Arc::new(towpath_load::start(plan).context("failed to start the load")?);
        let last = Arc::default();
        let watcher = tokio::spawn(watch(Arc::clone(&load), Arc::clone(&last)));
        Ok(Self { load, last, watcher })
    }

    /// When a version answered last, to a few milliseconds.
    pub(super) fn last_answer(&self, version: &str) -> Option<Timestamp> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).get(version).copied()
    }

    /// What was seen so far.
    pub(super) fn so_far(&self) -> Seen {
        Seen::of(&self.load.snapshot())
    }

    /// Ends the load.
    pub(super) async fn finish(self) -> Seen {
        let Self { load, last: _, watcher } = self;
        load.stop();
        watcher.abort();
        let _aborted = watcher.await;
        match Arc::try_unwrap(load) {
            Ok(load) => Seen::of(&load.finish().await),
            // The watcher held the only other one, and has ended.
            Err(load) => Seen::of(&load.snapshot()),
        }
    }
}

impl Seen {
    fn of(report: &LoadReport) -> Self {
        // Every answer of the shop names its version; the gateway's own answers do not.
        let nameless = report.versions.get("-").map_or(0, |nameless| nameless.requests);
        let broken = report.failures.iter().filter(|(kind, _)| **kind != FailureKind::ServerError);
        let broken: u64 = broken.map(|(_, count)| count).sum();
        Self {
            versions: report.versions.clone(),
            requests: report.requests,
            unanswered: nameless.max(broken),
            p50: report.p50,
            p99: report.p99,
        }
    }

    /// What one version answered.
    pub(super) fn version(&self, version: &str) -> VersionReport {
        self.versions.get(version).copied().unwrap_or_default()
    }

    /// What one version answered since `earlier`.
    pub(super) fn since(&self, earlier: &Self, version: &str) -> VersionReport {
        let (now, then) = (self.version(version), earlier.version(version));
        VersionReport { requests: now.requests - then.requests, failed: now.failed - then.failed }
    }
}
