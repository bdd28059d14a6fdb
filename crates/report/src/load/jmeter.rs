//! JMeter's JTL in CSV: one line a sample.
//!
//! Percentiles are exact. Only the time of each sample is kept, so a test of ten million samples takes 80 MB at
//! most, and the bound on a report's bytes holds it far below.

use super::{Load, LoadTool};
use crate::ReportError;

pub(super) fn read(text: &str) -> Result<Load, ReportError> {
    let mut lines = text.lines();
    let header = fields(lines.next().unwrap_or_default());
    let column = |name: &str| header.iter().position(|field| field == name);
    let (Some(stamp), Some(elapsed)) = (column("timeStamp"), column("elapsed")) else {
        return Err(ReportError::broken("its first line names no `timeStamp` and `elapsed`"));
    };
    let success = column("success");
    let mut times: Vec<u64> = Vec::new();
    let (mut failed, mut first, mut last) = (0, u64::MAX, 0);
    let mut quoted = String::new();
    for line in lines {
        // A failure message may hold line breaks between its quotes.
        if !quoted.is_empty() || line.matches('"').count() % 2 == 1 {
            quoted.push_str(line);
            if quoted.matches('"').count() % 2 == 1 && quoted.len() < 64 << 10 {
                quoted.push(' ');
                continue;
            }
        }
        let whole = if quoted.is_empty() { line.to_owned() } else { std::mem::take(&mut quoted) };
        let fields = fields(&whole);
        let number = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok());
        let (Some(at), Some(took)) = (number(stamp), number(elapsed)) else { continue };
        if success.and_then(|at| fields.get(at)).is_some_and(|word| word.eq_ignore_ascii_case("false")) {
            failed += 1;
        }
        (first, last) = (first.min(at), last.max(at.saturating_add(took)));
        times.push(took.saturating_mul(1000));
    }
    if times.is_empty() {
        return Err(ReportError::broken("it holds no sample"));
    }
    times.sort_unstable();
    let seconds = last.saturating_sub(first).max(1) as f64 / 1000.0;
    let requests = times.len() as u64;
    let at = |percent: usize| times.get((times.len() * percent).div_ceil(100).saturating_sub(1)).copied();
    let sum: u128 = times.iter().map(|time| u128::from(*time)).sum();
    Ok(Load {
        p50: at(50),
        p95: at(95),
        p99: at(99),
        mean: u64::try_from(sum / times.len() as u128).ok(),
        max: times.last().copied(),
        ..Load::of(LoadTool::Jmeter, requests, failed, requests as f64 / seconds)
    })
}

/// The fields of a line, with `""` within quotes.
fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    for c in line.trim_end_matches('\r').chars() {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            _ => {
                if let Some(field) = fields.last_mut() {
                    field.push(c);
                }
            }
        }
    }
    fields
}
