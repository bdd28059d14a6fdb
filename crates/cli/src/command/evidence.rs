//! What the reports of a run say, for people.

use towpath_api::rest::{
    Annotation, ContractSummary, CoverageSummary, FindingsSummary, LoadSummary, RunEvidence,
};

use crate::output;

/// Prints it.
pub fn show(evidence: &RunEvidence) {
    let RunEvidence {
        run: _,
        baseline,
        tests,
        coverage,
        findings,
        load,
        contracts,
        failures,
        annotations,
        reports,
    } = evidence;
    let mut lines = Vec::new();
    if let Some(tests) = tests {
        lines.push(format!(
            "tests: {} passed ({} on retry), {} failed ({} in quarantine), {} skipped",
            tests.passed, tests.retried, tests.failed, tests.quarantined, tests.skipped
        ));
        lines.extend(tests.problem.iter().map(|problem| format!("  {problem}")));
    }
    lines.extend(coverage.iter().map(coverage_line));
    lines.extend(findings.iter().map(findings_line));
    lines.extend(load.iter().map(load_line));
    lines.extend(contracts.iter().map(contract_line));
    if lines.is_empty() && annotations.is_empty() {
        anstream::eprintln!("no job of this run left a report; see `reports` in the guide");
    }
    for line in lines {
        anstream::println!("{line}");
    }
    if let Some(baseline) = baseline {
        anstream::println!("compared with run {} ({})", baseline.run, baseline.what);
    }
    for failure in failures {
        let note = match (failure.quarantined, failure.retried) {
            (true, _) => " (in quarantine)",
            (false, true) => " (passed on retry)",
            (false, false) => "",
        };
        output::text(&format!("\n{} in {}{note}\n  {}", failure.test, failure.job, failure.said.message));
    }
    self::annotations(annotations);
    for report in reports {
        if let Some(problem) = &report.problem {
            anstream::println!("{} {} of {}: {problem}", report.kind, report.name, report.job);
        }
    }
}

/// Prints what was said of places in the source, where something was.
pub fn annotations(annotations: &[Annotation]) {
    let rows = annotations.iter().map(|annotation| {
        let Annotation { level, file: _, line: _, message, source, job } = annotation;
        let who = if source.is_empty() { job.clone() } else { source.clone() };
        [level.clone(), annotation.place().unwrap_or_default(), who, message.clone()]
    });
    let rows: Vec<_> = rows.collect();
    if !rows.is_empty() {
        anstream::println!();
        output::table(["level", "where", "who", "what"], rows, "");
    }
}

fn coverage_line(coverage: &CoverageSummary) -> String {
    let change = coverage.change.map(|change| format!(" ({} points)", signed(change))).unwrap_or_default();
    let [covered, total] = coverage.lines;
    format!("coverage: {} of lines{change}, {covered} of {total}", percent(coverage.basis_points))
}

fn findings_line(findings: &FindingsSummary) -> String {
    let change = findings.errors_change.map(|change| format!(" ({change:+})")).unwrap_or_default();
    format!(
        "findings: {} errors{change}, {} warnings, {} notes ({})",
        findings.errors,
        findings.warnings,
        findings.notes,
        findings.tools.join(", ")
    )
}

fn load_line(load: &LoadSummary) -> String {
    let millis = |micros: Option<u64>| {
        micros.map_or("–".to_owned(), |micros| format!("{:.1} ms", micros as f64 / 1000.0))
    };
    let change = load.latency_change.map(|change| format!(" ({} %)", signed(change))).unwrap_or_default();
    format!(
        "load ({}, {}): {} requests, {} failed, p95 {}, p99 {}{change}, {:.1} a second",
        load.tool,
        load.name,
        load.requests,
        load.failed,
        millis(load.p95),
        millis(load.p99),
        load.rate_millis as f64 / 1000.0
    )
}

fn contract_line(contract: &ContractSummary) -> String {
    let name = |side: &Option<String>| side.clone().unwrap_or_else(|| "?".to_owned());
    let verdict = match (contract.verified, contract.passed) {
        (false, _) => "not verified",
        (true, true) => "kept",
        (true, false) => "broken",
    };
    let mut line = format!("contract {} → {}: {verdict}", name(&contract.consumer), name(&contract.provider));
    for failed in &contract.failed {
        line.push_str(&format!("\n  {failed}"));
    }
    line
}

/// Hundredths of a percent as `87.50 %`.
fn percent(basis_points: u64) -> String {
    format!("{}.{:02} %", basis_points / 100, basis_points % 100)
}

/// Hundredths with their sign.
fn signed(hundredths: i64) -> String {
    let sign = if hundredths < 0 { '-' } else { '+' };
    format!("{sign}{}.{:02}", hundredths.unsigned_abs() / 100, hundredths.unsigned_abs() % 100)
}
