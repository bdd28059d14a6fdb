//! What wrk and wrk2 print.

use super::{Load, LoadTool};

/// Reads wrk's output; `None` where it is something else.
pub(super) fn read(text: &str) -> Option<Load> {
    let lines = || text.lines().map(str::trim);
    let total = lines().find(|line| line.contains(" requests in ") && line.ends_with("read"))?;
    let requests: u64 = total.split_whitespace().next()?.parse().ok()?;
    let rate: f64 = lines().find_map(|line| line.strip_prefix("Requests/sec:"))?.trim().parse().ok()?;
    let refused = lines().find_map(|line| line.strip_prefix("Non-2xx or 3xx responses:"));
    let refused: u64 = refused.and_then(|count| count.trim().parse().ok()).unwrap_or(0);
    // `Socket errors: connect 0, read 1, write 0, timeout 2`: these requests are not among those that were counted.
    let broken = lines().find_map(|line| line.strip_prefix("Socket errors:")).unwrap_or_default();
    let broken: u64 = broken
        .split(',')
        .filter_map(|part| part.split_whitespace().nth(1)?.parse::<u64>().ok())
        .fold(0, u64::saturating_add);
    let latency = lines().find_map(|line| line.strip_prefix("Latency "));
    let mut latency = latency.unwrap_or_default().split_whitespace();
    let mean = latency.next().and_then(micros);
    let max = latency.nth(1).and_then(micros);
    // wrk writes ` 99%`, wrk2 ` 99.000%`.
    let percentile = |percent: f64| {
        lines().find_map(|line| {
            let (share, time) = line.split_once('%')?;
            (share.trim().parse::<f64>().ok()? == percent).then(|| micros(time.trim()))?
        })
    };
    let (p50, p95, p99) = (percentile(50.0), percentile(95.0), percentile(99.0));
    let load = Load::of(LoadTool::Wrk, requests.saturating_add(broken), refused.saturating_add(broken), rate);
    Some(Load { p50, p95, p99, mean, max, ..load })
}

/// `3.58ms`, `910.00us`, `1.20s`, `1.50m`.
fn micros(text: &str) -> Option<u64> {
    let unit = text.find(|c: char| c.is_ascii_alphabetic())?;
    let number: f64 = text[..unit].parse().ok()?;
    let scale = match &text[unit..] {
        "us" => 1.0,
        "ms" => 1e3,
        "s" => 1e6,
        "m" => 60e6,
        "h" => 3600e6,
        _ => return None,
    };
    (number >= 0.0).then(|| (number * scale).round() as u64)
}
