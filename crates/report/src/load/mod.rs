//! Load tests: how many requests, how fast, how many failed.

mod jmeter;
mod summaries;
mod wrk;

use serde::{Deserialize, Serialize};

use crate::ReportError;
use crate::xml::text_of;

const EXPECTED: &str = "k6's, Gatling's and oha's JSON, JMeter's CSV, and what wrk and oha print";

/// The outcome of a load test. Times are in microseconds, rates in thousandths of a request a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Load {
    /// What made the load.
    pub tool: LoadTool,
    /// Requests in all.
    pub requests: u64,
    /// Requests that failed.
    pub failed: u64,
    /// Requests a second, times 1,000.
    pub rate_millis: u64,
    /// Half of the requests were at least this fast.
    pub p50: Option<u64>,
    /// 95 of 100 were.
    pub p95: Option<u64>,
    /// 99 of 100 were.
    pub p99: Option<u64>,
    /// The mean.
    pub mean: Option<u64>,
    /// The slowest.
    pub max: Option<u64>,
}

/// What makes load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LoadTool {
    /// k6: `--summary-export`, or `JSON.stringify(data)` in `handleSummary`.
    K6,
    /// JMeter: a JTL file in CSV.
    Jmeter,
    /// Gatling: `js/stats.json`, `js/stats.js`, `js/global_stats.json`.
    Gatling,
    /// wrk and wrk2, with `--latency`.
    Wrk,
    /// oha: `--output-format json`, or what it prints.
    Oha,
}

impl LoadTool {
    /// Its name.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::K6 => "k6",
            Self::Jmeter => "JMeter",
            Self::Gatling => "Gatling",
            Self::Wrk => "wrk",
            Self::Oha => "oha",
        }
    }
}

impl Load {
    fn of(tool: LoadTool, requests: u64, failed: u64, rate: f64) -> Self {
        let rate_millis = (rate * 1000.0).round() as u64;
        Self {
            tool,
            requests,
            failed: failed.min(requests),
            rate_millis,
            p50: None,
            p95: None,
            p99: None,
            mean: None,
            max: None,
        }
    }
}

/// Reads a report of any of the tools.
pub(crate) fn read(bytes: &[u8]) -> Result<Load, ReportError> {
    let text = text_of(bytes);
    let start = text.trim_start();
    if let Some(stats) = start.strip_prefix("var stats =") {
        return summaries::gatling_script(stats);
    }
    if start.starts_with('{') {
        return summaries::read(&crate::json::parse(start.as_bytes())?);
    }
    if let Some(load) = wrk::read(start) {
        return Ok(load);
    }
    if start.lines().next().is_some_and(|line| line.contains("timeStamp") && line.contains("elapsed")) {
        return jmeter::read(start);
    }
    if start.lines().any(|line| line.trim_end() == "Summary:") {
        return summaries::oha_text(start);
    }
    let found = if start.is_empty() { "empty" } else { "text that none of them writes" };
    Err(ReportError::unknown(EXPECTED, found.to_owned()))
}
