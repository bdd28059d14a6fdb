//! What came of it.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::client::Called;
use crate::histogram::Histogram;

/// The most versions that are told apart; the rest are counted together.
const MAX_VERSIONS: usize = 100;

/// How a request failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// No connection.
    Connect,
    /// No whole response in time.
    Timeout,
    /// The connection ended too early.
    Broken,
    /// Not HTTP.
    Malformed,
    /// A status of 500 or more.
    ServerError,
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Connect => "no connection",
            Self::Timeout => "timed out",
            Self::Broken => "broken off",
            Self::Malformed => "not HTTP",
            Self::ServerError => "status 5xx",
        })
    }
}

/// What came of a load, so far or at its end. Latencies are in milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LoadReport {
    /// How long it ran, in seconds.
    pub seconds: f64,
    /// Requests that ended, well or not.
    pub requests: u64,
    /// Requests that ended, per second.
    pub rate: f64,
    /// Requests that failed, in all.
    pub failed: u64,
    /// Requests that failed, by how.
    pub failures: BTreeMap<FailureKind, u64>,
    /// Responses by the first digit of their status: `2xx`.
    pub statuses: BTreeMap<String, u64>,
    /// Requests that were made again because a resting connection had been closed.
    pub retried: u64,
    /// Half of all took no longer.
    pub p50: f64,
    /// Nine in ten took no longer.
    pub p90: f64,
    /// 99 in 100 took no longer.
    pub p99: f64,
    /// None took longer.
    pub max: f64,
    /// By the version that answered, as `LoadPlan::version_header` told it; `-` where none did.
    pub versions: BTreeMap<String, VersionReport>,
}

/// What came of the requests that one version answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionReport {
    /// All.
    pub requests: u64,
    /// Those that failed.
    pub failed: u64,
}

/// The counters behind a report.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    requests: u64,
    retried: u64,
    failures: BTreeMap<FailureKind, u64>,
    statuses: [u64; 10],
    versions: BTreeMap<String, VersionReport>,
    latency: Histogram,
}

impl Tally {
    pub(crate) fn add(&mut self, called: &Called, took: Duration) {
        let Called { status, version, failure, retried } = called;
        self.requests += 1;
        self.retried += u64::from(*retried);
        if let Some(status) = status {
            self.statuses[usize::from(status / 100).min(9)] += 1;
        }
        if let Some(failure) = failure {
            *self.failures.entry(*failure).or_default() += 1;
        }
        let version = self.version(version.as_deref().unwrap_or("-"));
        version.requests += 1;
        version.failed += u64::from(failure.is_some());
        self.latency.add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }

    fn version(&mut self, name: &str) -> &mut VersionReport {
        let known = self.versions.contains_key(name) || self.versions.len() < MAX_VERSIONS;
        self.versions.entry(if known { name } else { "others" }.to_owned()).or_default()
    }

    pub(crate) fn report(&self, elapsed: Duration) -> LoadReport {
        let millis = |micros: u64| micros as f64 / 1000.0;
        let seconds = elapsed.as_secs_f64();
        let classes = self.statuses.iter().enumerate().filter(|(_, count)| **count > 0);
        LoadReport {
            seconds,
            requests: self.requests,
            rate: if seconds > 0.0 { self.requests as f64 / seconds } else { 0.0 },
            failed: self.failures.values().sum(),
            failures: self.failures.clone(),
            statuses: classes.map(|(class, count)| (format!("{class}xx"), *count)).collect(),
            retried: self.retried,
            p50: millis(self.latency.quantile(0.5)),
            p90: millis(self.latency.quantile(0.9)),
            p99: millis(self.latency.quantile(0.99)),
            max: millis(self.latency.longest()),
            versions: self.versions.clone(),
        }
    }
}

impl fmt::Display for LoadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seconds, requests, rate, failed, p50, p90, p99, max, .. } = self;
        writeln!(f, "requests   {requests:>10}   in {seconds:.1} s, {rate:.0}/s")?;
        writeln!(f, "failed     {failed:>10}   {:.3} %", percent(*failed, *requests))?;
        for (kind, count) in &self.failures {
            writeln!(f, "           {count:>10}   {kind}")?;
        }
        for (class, count) in &self.statuses {
            writeln!(f, "status {class} {count:>10}")?;
        }
        if self.retried > 0 {
            writeln!(f, "retried    {:>10}   on a new connection", self.retried)?;
        }
        writeln!(f, "latency    p50 {p50:.2} ms   p90 {p90:.2} ms   p99 {p99:.2} ms   max {max:.2} ms")?;
        for (version, VersionReport { requests: got, failed }) in &self.versions {
            let share = percent(*got, *requests);
            writeln!(f, "version    {version:<20} {got:>10} ({share:.2} %), {failed} failed")?;
        }
        Ok(())
    }
}

fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 * 100.0 / whole as f64 }
}
