//! What changed against the Run that another one is compared with.

use std::collections::BTreeMap;

use towpath_api::rest::{CoverageSummary, FileChange, LoadSummary};
use towpath_report::{Coverage, Share};

/// How many files with another coverage are named.
const CHANGED: usize = 50;

/// Coverage with its change.
pub(super) fn coverage(now: &Coverage, before: Option<&Coverage>) -> CoverageSummary {
    let Coverage { format, lines, branches, files: _, problem } = now;
    let pair = |share: Share| [share.covered, share.total];
    CoverageSummary {
        format: format.clone(),
        lines: pair(*lines),
        branches: branches.map(pair),
        basis_points: lines.basis_points(),
        change: before.map(|before| change(before.lines.basis_points(), lines.basis_points())),
        changed: before.map(|before| changed(now, before)).unwrap_or_default(),
        problem: problem.clone(),
    }
}

fn changed(now: &Coverage, before: &Coverage) -> Vec<FileChange> {
    let known: BTreeMap<&str, u64> =
        before.files.iter().map(|file| (file.path.as_str(), file.lines.basis_points())).collect();
    let changed = now.files.iter().filter_map(|file| {
        let (basis_points, before) = (file.lines.basis_points(), *known.get(file.path.as_str())?);
        (basis_points != before).then(|| FileChange { path: file.path.clone(), basis_points, before })
    });
    let mut changed: Vec<FileChange> = changed.collect();
    changed.sort_by_key(|file| change(file.before, file.basis_points));
    changed.truncate(CHANGED);
    changed
}

/// Load tests with their change: those of one file and tool belong together.
pub(super) fn load(now: &mut [LoadSummary], before: &[LoadSummary]) {
    for load in now {
        let same = |other: &&LoadSummary| other.name == load.name && other.tool == load.tool;
        let Some(before) = before.iter().find(same) else { continue };
        let latency = |load: &LoadSummary| load.p99.or(load.p95).or(load.p50);
        // A percentile is compared with the same one only.
        let same_percentile =
            load.p99.is_some() == before.p99.is_some() && load.p95.is_some() == before.p95.is_some();
        load.latency_change = latency(before)
            .zip(latency(load))
            .filter(|_| same_percentile)
            .and_then(|(before, now)| relative(before, now));
        load.rate_change = relative(before.rate_millis, load.rate_millis);
    }
}

/// A change in hundredths of a percent; from nothing there is none.
fn relative(before: u64, now: u64) -> Option<i64> {
    let (before, now) = (i128::from(before), i128::from(now));
    ((now - before) * 10_000).checked_div(before).and_then(|change| i64::try_from(change).ok())
}

pub(super) fn change(before: u64, now: u64) -> i64 {
    now.cast_signed().saturating_sub(before.cast_signed())
}

#[cfg(test)]
mod tests {
    use towpath_report::FileCoverage;

    use super::*;

    fn covered(files: &[(&str, u64, u64)]) -> Coverage {
        let mut coverage = Coverage::default();
        for (path, covered, total) in files {
            let lines = Share { covered: *covered, total: *total };
            coverage.lines.add(lines);
            coverage.files.push(FileCoverage { path: (*path).to_owned(), lines });
        }
        coverage
    }

    #[test]
    fn the_file_that_lost_most_is_named_first() {
        let before = covered(&[("a", 5, 10), ("b", 10, 10), ("c", 1, 1)]);
        let now = covered(&[("a", 6, 10), ("b", 4, 10), ("c", 1, 1), ("new", 0, 10)]);
        let summary = coverage(&now, Some(&before));
        let files: Vec<_> = summary.changed.iter().map(|file| file.path.as_str()).collect();
        assert_eq!((files, summary.change), (vec!["b", "a"], Some(3548 - 7619)));
    }

    #[test]
    fn latencies_are_compared_only_at_one_percentile() {
        let load = |p95, p99| LoadSummary { p95, p99, rate_millis: 2000, ..LoadSummary::default() };
        let mut now = [load(Some(100), Some(120))];
        super::load(&mut now, &[load(Some(100), Some(100))]);
        assert_eq!((now[0].latency_change, now[0].rate_change), (Some(2000), Some(0)));
        let mut now = [load(Some(100), None)];
        super::load(&mut now, &[load(Some(100), Some(100))]);
        assert_eq!(now[0].latency_change, None);
    }
}
