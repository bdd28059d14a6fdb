//! Measurements as the charts of a Rollout want them.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use towpath_api::gateway::latency_edges_micros;
use towpath_engine::Engine;
use towpath_model::Digest;
use towpath_model::environment::{Promotion, Rollout};
use towpath_store::core::measurements::Measurement;
use towpath_ui::view::{Point, Series};

use crate::problem::Problem;

/// How far back the charts of a running Rollout look.
const LIVE: SignedDuration = SignedDuration::from_mins(4);

/// How far back the charts of one that has ended look.
const ENDED: SignedDuration = SignedDuration::from_mins(60);

/// The most points of one line; beyond it, seconds are put together.
const POINTS: i64 = 300;

/// The measurements of a Promotion's Rollout, as of now.
pub(super) async fn of(engine: &Engine, promotion: &Promotion, now: Timestamp) -> Result<Series, Problem> {
    let Some(rollout) = &promotion.rollout else { return Ok(Series::default()) };
    let end = promotion.finished_at.unwrap_or(now);
    let reach = if promotion.finished_at.is_some() { ENDED } else { LIVE };
    let from = rollout.started_at.max(end.saturating_sub(reach).unwrap_or(rollout.started_at));
    let measured = engine.measurements(&promotion.environment, from).await?;
    Ok(series(&measured, promotion, rollout, now))
}

/// Draws both lines, from what was measured up to the Rollout's end.
fn series(measured: &[Measurement], promotion: &Promotion, rollout: &Rollout, now: Timestamp) -> Series {
    let end = promotion.finished_at.unwrap_or(now).as_second();
    let within: Vec<&Measurement> =
        measured.iter().filter(|row| row.second <= end && row.way == "split").collect();
    let span = within.first().map_or(0, |first| end - first.second);
    let width = (span / POINTS).max(0) + 1;
    let line = |wanted: Digest| {
        let rows = within.iter().copied().filter(|row| row.revision == wanted);
        points(rows, width)
    };
    Series {
        now: now.as_millisecond(),
        live: promotion.outcome.is_none(),
        stable: rollout.stable_digest().map(line).unwrap_or_default(),
        candidate: line(promotion.revision.digest),
    }
}

/// Sums over one or more seconds.
#[derive(Default)]
struct Sum {
    requests: u64,
    errors: u64,
    latency: Vec<u64>,
}

/// One line: a point for every `width` seconds in which anything was measured. Gateways measure every second; where seconds
/// are missing, a gateway could not report them (the server was away), and they are in the next point.
fn points<'m>(rows: impl Iterator<Item = &'m Measurement>, width: i64) -> Vec<Point> {
    let mut sums: BTreeMap<i64, Sum> = BTreeMap::new();
    for row in rows {
        let end = row.second + (width - 1) - (row.second + width - 1).rem_euclid(width);
        let sum = sums.entry(end).or_default();
        sum.requests += row.requests;
        sum.errors += row.errors;
        sum.latency.resize(sum.latency.len().max(row.latency.len()), 0);
        sum.latency.iter_mut().zip(&row.latency).for_each(|(all, count)| *all += count);
    }
    let mut before = None;
    let point = |(second, sum): (i64, Sum)| {
        let since = before.replace(second).map_or(width, |before| second - before);
        // One second more or less is how gateways tick.
        let seconds = if since > 2 * width { since } else { width };
        Point {
            t: second * 1000,
            rate: sum.requests as f64 / seconds as f64,
            errors: (sum.requests > 0).then(|| sum.errors as f64 / sum.requests as f64),
            p50: quantile(&sum.latency, 0.5),
            p99: quantile(&sum.latency, 0.99),
        }
    };
    sums.into_iter().map(point).collect()
}

/// A quantile of a histogram in milliseconds, with its place within the bucket taken for even.
fn quantile(counts: &[u64], share: f64) -> Option<f64> {
    let total: u64 = counts.iter().sum();
    if total == 0 {
        return None;
    }
    let edges = latency_edges_micros();
    let wanted = share * total as f64;
    let mut below = 0.0;
    for (index, count) in counts.iter().enumerate() {
        let here = *count as f64;
        if here > 0.0 && below + here >= wanted {
            let lower =
                index.checked_sub(1).and_then(|before| edges.get(before)).copied().unwrap_or(0) as f64;
            // What is slower than the last edge has no upper one; it is shown at that edge.
            let upper = edges.get(index).map_or(lower, |edge| *edge as f64);
            return Some((lower + (upper - lower) * ((wanted - below) / here)) / 1000.0);
        }
        below += here;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(second: i64, requests: u64, errors: u64) -> Measurement {
        let mut latency = vec![0; 74];
        latency[8] = requests;
        let revision = Digest::of(b"candidate");
        let way = "split".to_owned();
        Measurement { second, revision, way, requests, errors, gateway_errors: 0, weight: 50, latency }
    }

    #[test]
    fn a_quantile_lies_within_its_bucket() {
        // Edges are 250 µs · 2^(i/4): bucket 8 is (841 µs, 1 ms].
        let mut counts = vec![0; 74];
        counts[8] = 100;
        let median = quantile(&counts, 0.5).unwrap();
        assert!((0.91..0.93).contains(&median), "{median}");
        counts[12] = 2;
        let p99 = quantile(&counts, 0.99).unwrap();
        assert!((1.68..=2.0).contains(&p99), "{p99}");
        assert_eq!(quantile(&[0; 74], 0.5), None);
        let mut slow = vec![0; 74];
        slow[73] = 1;
        assert_eq!(quantile(&slow, 0.5), Some(65_536.0));
    }

    #[test]
    fn seconds_are_put_together_without_losing_a_request() {
        let rows: Vec<Measurement> = (1..=12).map(|second| row(second, 10, 1)).collect();
        let each = points(rows.iter(), 1);
        assert_eq!((each.len(), each[0].t, each[0].rate), (12, 1000, 10.0));
        let wide = points(rows.iter(), 4);
        assert_eq!(wide.iter().map(|point| point.t).collect::<Vec<_>>(), [4000, 8000, 12_000]);
        assert!(wide.iter().all(|point| point.rate == 10.0 && point.errors == Some(0.1)));
        let gap = points([row(1, 10, 0), row(2, 10, 0), row(8, 60, 0), row(10, 10, 0)].iter(), 1);
        assert!(gap.iter().all(|point| point.rate == 10.0), "six seconds came at once: {gap:?}");
        let idle = points([row(1, 0, 0)].iter(), 1);
        assert_eq!((idle[0].rate, idle[0].errors, idle[0].p50), (0.0, None, None));
    }
}
