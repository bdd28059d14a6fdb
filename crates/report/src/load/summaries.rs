//! Summaries in JSON: k6, Gatling, oha; and oha's text.

use serde_json::Value;

use super::{EXPECTED, Load, LoadTool};
use crate::ReportError;
use crate::json::{count, number};

pub(super) fn read(document: &Value) -> Result<Load, ReportError> {
    if let Some(metrics) = document.get("metrics") {
        return k6(metrics);
    }
    if document.pointer("/summary/requestsPerSec").is_some() {
        return oha(document);
    }
    let stats = document.get("stats").unwrap_or(document);
    if stats.get("numberOfRequests").is_some() {
        return gatling(stats);
    }
    Err(ReportError::unknown(EXPECTED, "JSON that none of them writes".to_owned()))
}

/// k6 keeps values beside the metric's name (`--summary-export`) or under `values` (`handleSummary`).
fn k6(metrics: &Value) -> Result<Load, ReportError> {
    let value = |metric: &str, key: &str| {
        let metric = metrics.get(metric)?;
        number(metric.get("values").unwrap_or(metric).get(key)?)
    };
    let requests = value("http_reqs", "count").ok_or_else(|| {
        ReportError::broken("it is of k6, but has no `http_reqs`: the test made no HTTP request")
    })?;
    // `http_req_failed` is a rate whose `passes` are the requests that failed. Older versions call its value `value`.
    let rate = value("http_req_failed", "rate").or_else(|| value("http_req_failed", "value"));
    let failed = value("http_req_failed", "passes").or_else(|| Some(rate? * requests)).unwrap_or(0.0);
    let rate = value("http_reqs", "rate").unwrap_or(0.0);
    let time = |key: &str| value("http_req_duration", key).map(|millis| (millis * 1000.0).round() as u64);
    Ok(Load {
        p50: time("med").or_else(|| time("p(50)")),
        p95: time("p(95)"),
        p99: time("p(99)"),
        mean: time("avg"),
        max: time("max"),
        ..Load::of(LoadTool::K6, requests.round() as u64, failed.round() as u64, rate)
    })
}

/// `js/stats.js`: JavaScript whose first object holds the totals, before a list that is no JSON.
pub(super) fn gatling_script(script: &str) -> Result<Load, ReportError> {
    let broken =
        || ReportError::broken("it begins as Gatling's `stats.js` and has no `stats` that can be read");
    let (_, stats) = script.split_once("stats:").ok_or_else(broken)?;
    let mut documents = serde_json::Deserializer::from_str(stats).into_iter::<Value>();
    let stats = documents.next().and_then(Result::ok).ok_or_else(broken)?;
    gatling(&stats)
}

fn gatling(stats: &Value) -> Result<Load, ReportError> {
    let value = |key: &str, part: &str| stats.get(key).and_then(|value| number(value.get(part)?));
    let requests = value("numberOfRequests", "total")
        .ok_or_else(|| ReportError::broken("it is of Gatling, but `numberOfRequests.total` is no number"))?;
    let time = |key: &str| value(key, "total").map(|millis| (millis * 1000.0).round() as u64);
    let failed = value("numberOfRequests", "ko").unwrap_or(0.0).round() as u64;
    let rate = value("meanNumberOfRequestsPerSecond", "total").unwrap_or(0.0);
    // Gatling's defaults: percentiles1 to 4 are the 50th, 75th, 95th and 99th.
    Ok(Load {
        p50: time("percentiles1"),
        p95: time("percentiles3"),
        p99: time("percentiles4"),
        mean: time("meanResponseTime"),
        max: time("maxResponseTime"),
        ..Load::of(LoadTool::Gatling, requests.round() as u64, failed, rate)
    })
}

fn oha(document: &Value) -> Result<Load, ReportError> {
    let at = |pointer: &str| number(document.pointer(pointer)?);
    let time = |pointer: &str| at(pointer).map(|seconds| (seconds * 1e6).round() as u64);
    let counts = |key: &str| document.get(key).and_then(Value::as_object).into_iter().flatten();
    let answered: u64 = counts("statusCodeDistribution").filter_map(|(_, value)| count(value)).sum();
    let refused: u64 = counts("statusCodeDistribution")
        .filter(|(status, _)| status.starts_with(['4', '5']))
        .filter_map(|(_, value)| count(value))
        .sum();
    let broken: u64 = counts("errorDistribution").filter_map(|(_, value)| count(value)).sum();
    let load = Load::of(
        LoadTool::Oha,
        answered.saturating_add(broken),
        refused.saturating_add(broken),
        at("/summary/requestsPerSec").unwrap_or(0.0),
    );
    Ok(Load {
        p50: time("/latencyPercentiles/p50"),
        p95: time("/latencyPercentiles/p95"),
        p99: time("/latencyPercentiles/p99"),
        mean: time("/summary/average"),
        max: time("/summary/slowest"),
        ..load
    })
}

/// What oha prints without `--output-format json`.
pub(super) fn oha_text(text: &str) -> Result<Load, ReportError> {
    let lines = || text.lines().map(str::trim);
    let value = |name: &str| lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let rate = value("Requests/sec:").and_then(|rate| rate.parse().ok());
    let rate: f64 =
        rate.ok_or_else(|| ReportError::broken("it looks like oha's, but has no `Requests/sec`"))?;
    let time = |text: &str| {
        let (number, unit) = text.split_once(' ')?;
        let scale = match unit.trim() {
            "secs" | "sec" => 1e6,
            "ms" => 1e3,
            "us" | "µs" => 1.0,
            _ => return None,
        };
        Some((number.parse::<f64>().ok()? * scale).round() as u64)
    };
    let percentile = |name: &str| {
        lines().find_map(|line| time(line.strip_prefix(name)?.trim().strip_prefix("in")?.trim()))
    };
    // `[200] 20000 responses`, and `[3] connection refused` under `Error distribution:`.
    let (mut requests, mut failed, mut errors) = (0_u64, 0_u64, false);
    for line in lines().skip_while(|line| !line.starts_with("Status code distribution")) {
        errors |= line.starts_with("Error distribution");
        let Some((inside, rest)) = line.strip_prefix('[').and_then(|line| line.split_once(']')) else {
            continue;
        };
        let Ok(number) = inside.parse::<u64>() else { continue };
        let responses =
            rest.trim().strip_suffix("responses").and_then(|count| count.trim().parse::<u64>().ok());
        match responses {
            Some(count) if !errors => {
                requests = requests.saturating_add(count);
                failed = failed.saturating_add(if number >= 400 { count } else { 0 });
            }
            _ if errors => {
                requests = requests.saturating_add(number);
                failed = failed.saturating_add(number);
            }
            _ => {}
        }
    }
    Ok(Load {
        p50: percentile("50.00%"),
        p95: percentile("95.00%"),
        p99: percentile("99.00%"),
        mean: value("Average:").and_then(time),
        max: value("Slowest:").and_then(time),
        ..Load::of(LoadTool::Oha, requests, failed, rate)
    })
}
