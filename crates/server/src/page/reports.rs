//! What the reports of a Run say, in lines for its page.

use towpath_api::rest::{Annotation, ContractSummary, LoadSummary, RunEvidence};
use towpath_ui::view::{AnnotationRow, ReportsView, Tone};

/// How many places are shown; the command line lists all.
const SHOWN: usize = 30;

pub(super) fn reports(evidence: &RunEvidence) -> ReportsView {
    let RunEvidence { baseline, tests, coverage, findings, load, contracts, annotations, .. } = evidence;
    let mut lines = Vec::new();
    let mut line = |what: &str, tone, text| lines.push((what.to_owned(), tone, text));
    if let Some(tests) = tests {
        let failed = tests.failed.saturating_sub(tests.quarantined);
        let mut text =
            format!("{} passed, {} failed, {} left out", tests.passed, tests.failed, tests.skipped);
        for (count, words) in
            [(tests.retried, "passed on retry"), (tests.quarantined, "failed in quarantine")]
        {
            if count > 0 {
                text.push_str(&format!(", {count} {words}"));
            }
        }
        text.push_str(&problem(tests.problem.as_deref()));
        line(
            "Tests",
            if failed > 0 {
                Tone::Bad
            } else if tests.retried > 0 {
                Tone::Warn
            } else {
                Tone::Good
            },
            text,
        );
    }
    if let Some(coverage) = coverage {
        let change = coverage.change.map(|change| format!(" ({})", points(change))).unwrap_or_default();
        let text =
            format!("{}{change}{}", percent(coverage.basis_points), problem(coverage.problem.as_deref()));
        line(
            "Coverage",
            if coverage.change.is_some_and(|change| change < 0) { Tone::Warn } else { Tone::Calm },
            text,
        );
    }
    if let Some(found) = findings {
        let change = found.errors_change.filter(|change| *change != 0);
        let change = change.map(|change| format!(" ({change:+} errors)")).unwrap_or_default();
        let text = format!(
            "{} errors, {} warnings, {} notes{change}{}",
            found.errors,
            found.warnings,
            found.notes,
            problem(found.problem.as_deref())
        );
        line("Findings", if found.errors > 0 { Tone::Bad } else { Tone::Calm }, text);
    }
    for load in load {
        line("Load", Tone::Calm, load_words(load));
    }
    for ContractSummary { name, consumer, provider, verified, passed, .. } in contracts {
        let between = consumer.as_ref().zip(provider.as_ref());
        let between =
            between.map_or_else(|| name.clone(), |(consumer, provider)| format!("{consumer} → {provider}"));
        let (tone, word) = match (verified, passed) {
            (true, true) => (Tone::Good, "kept"),
            (true, false) => (Tone::Bad, "broken"),
            (false, _) => (Tone::Warn, "not verified"),
        };
        line("Contract", tone, format!("{between}: {word}"));
    }
    if let Some(baseline) = baseline.as_ref().filter(|_| !lines.is_empty()) {
        lines.push((
            "Compared with".to_owned(),
            Tone::Calm,
            format!("{} (#{})", baseline.what, baseline.run),
        ));
    }
    let more = annotations.len().saturating_sub(SHOWN);
    ReportsView { lines, annotations: annotations.iter().take(SHOWN).map(row).collect(), more }
}

fn row(annotation: &Annotation) -> AnnotationRow {
    let Annotation { level, file: _, line: _, message, source, job } = annotation;
    let tone = match level.as_str() {
        "error" => Tone::Bad,
        "warning" => Tone::Warn,
        _ => Tone::Calm,
    };
    AnnotationRow {
        tone,
        level: level.clone(),
        place: annotation.place(),
        message: message.clone(),
        source: if source.is_empty() { format!("in {job}") } else { format!("{source}, in {job}") },
    }
}

fn problem(problem: Option<&str>) -> String {
    problem.map(|problem| format!("; not all could be read: {problem}")).unwrap_or_default()
}

fn load_words(load: &LoadSummary) -> String {
    let millis = |micros: u64| format!("{}.{} ms", micros / 1000, micros % 1000 / 100);
    let mut words = format!("{}: {} requests, {} failed", load.name, load.requests, load.failed);
    for (what, time) in [("p50", load.p50), ("p95", load.p95), ("p99", load.p99)] {
        if let Some(time) = time {
            words.push_str(&format!(", {what} {}", millis(time)));
        }
    }
    if let Some(change) = load.latency_change {
        words.push_str(&format!(" ({})", points(change)));
    }
    words
}

fn percent(basis_points: u64) -> String {
    format!("{}.{:02}%", basis_points / 100, basis_points % 100)
}

/// A change in hundredths of a percent: `+1.50%`.
fn points(change: i64) -> String {
    let sign = if change < 0 { '-' } else { '+' };
    format!("{sign}{}", percent(change.unsigned_abs()))
}
