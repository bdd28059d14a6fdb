//! Reads the reports of an Attempt.

use std::sync::Arc;

use towpath_api::agent::{AttemptEvent, AttemptReport};
use towpath_api::rest::{ContractSummary, LoadSummary};
use towpath_artifact::ContentStore;
use towpath_model::AttemptId;
use towpath_model::reports::{ReportFile, ReportKind};
use towpath_report::{Contract, Coverage, Findings, Load, MAX_BYTES, Report, TestCase, read};
use towpath_store::core::evidence::KeptReport;

use super::{MAX_LISTED, shorten};
use crate::error::{blocking, chain};
use crate::{Engine, EngineError};

/// The most reports of one Attempt that are read, and the most bytes of all of them.
const MAX_REPORTS: usize = 1000;
const MAX_ALL: u64 = 256 << 20;

/// What the reports of an Attempt say.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    pub(super) kept: Vec<KeptReport>,
    pub(super) tests: Option<Vec<TestCase>>,
    /// What is wrong with its JUnit files.
    pub(super) tests_problem: Option<String>,
    pub(super) coverage: Option<Coverage>,
    pub(super) findings: Option<Findings>,
    pub(super) load: Vec<LoadSummary>,
    pub(super) contracts: Vec<ContractSummary>,
    pub(super) annotations: Option<Findings>,
}

impl Engine {
    /// Reads what an ended Attempt left; nothing where it has not ended, or left nothing.
    pub(crate) async fn gather(
        &self,
        attempt: AttemptId,
        report: &AttemptReport,
    ) -> Result<Gathered, EngineError> {
        let files = report.events.iter().find_map(|event| match &event.event {
            AttemptEvent::Finished { reports, .. } => Some(reports.clone()),
            AttemptEvent::Started { .. }
            | AttemptEvent::Images { .. }
            | AttemptEvent::Hindered { .. }
            | AttemptEvent::StepStarted { .. }
            | AttemptEvent::StepFinished { .. } => None,
        });
        let files = files.unwrap_or_default();
        if files.is_empty() {
            return Ok(Gathered::default());
        }
        let content = Arc::new(self.content().clone());
        blocking("reading reports", move || Ok::<_, EngineError>(gather(&content, attempt, files))).await
    }
}

/// What several reports of one Attempt say of the same, before it is put together.
#[derive(Default)]
struct Parts {
    coverage: Vec<Coverage>,
    findings: Vec<Findings>,
    annotations: Vec<Findings>,
}

fn gather(content: &ContentStore, attempt: AttemptId, files: Vec<ReportFile>) -> Gathered {
    let mut gathered = Gathered::default();
    let mut parts = Parts::default();
    let mut left = MAX_ALL;
    for file in files.into_iter().take(MAX_REPORTS) {
        let problem = match left.checked_sub(file.bytes) {
            Some(rest) => {
                left = rest;
                match read_one(content, &file) {
                    Ok(report) => gathered.take(&file, report, &mut parts),
                    Err(why) => Some(why),
                }
            }
            None => Some(format!("more than {MAX_ALL} bytes of reports; this one was not read")),
        };
        if let (ReportKind::Junit, Some(problem)) = (file.kind, &problem) {
            gathered.tests_problem.get_or_insert_with(|| format!("{}: {problem}", file.name));
        }
        gathered.kept.push(KeptReport { file, problem });
    }
    gathered.coverage = Coverage::together(parts.coverage);
    gathered.findings = Findings::together(parts.findings);
    gathered.annotations = Findings::together(parts.annotations);
    gathered.tidy(attempt);
    gathered
}

fn read_one(content: &ContentStore, file: &ReportFile) -> Result<Report, String> {
    let bytes = content.read(file.digest, MAX_BYTES as u64).map_err(|error| chain(&error))?;
    read(file.kind, &bytes).map_err(|error| error.to_string())
}

impl Gathered {
    /// Takes in what one report says. Says what is wrong with it.
    fn take(&mut self, file: &ReportFile, report: Report, parts: &mut Parts) -> Option<String> {
        match report {
            Report::Tests(report) => {
                self.tests.get_or_insert_default().extend(report.cases);
                report.problem
            }
            Report::Coverage(one) => {
                let problem = one.problem.clone();
                parts.coverage.push(one);
                problem
            }
            Report::Findings(one) => {
                let problem = one.problem.clone();
                parts.findings.push(one);
                problem
            }
            Report::Annotations(one) => {
                let problem = one.problem.clone();
                parts.annotations.push(one);
                problem
            }
            Report::Load(one) => {
                self.load.push(load(file, &one));
                None
            }
            Report::Contract(one) => {
                self.contracts.push(contract(file, one));
                None
            }
        }
    }

    /// Shortens paths and lists.
    fn tidy(&mut self, attempt: AttemptId) {
        for case in self.tests.iter_mut().flatten() {
            case.file = case.file.take().map(|file| shorten(&file, attempt));
        }
        if let Some(coverage) = &mut self.coverage {
            coverage.files.iter_mut().for_each(|file| file.path = shorten(&file.path, attempt));
            // What is least covered is what is looked for.
            coverage.files.sort_by_key(|file| file.lines.basis_points());
            coverage.files.truncate(MAX_LISTED);
        }
        for findings in [&mut self.findings, &mut self.annotations].into_iter().flatten() {
            for finding in &mut findings.list {
                finding.file = finding.file.take().map(|file| shorten(&file, attempt));
            }
            findings.list.truncate(MAX_LISTED);
        }
    }
}

fn load(file: &ReportFile, load: &Load) -> LoadSummary {
    let Load { tool, requests, failed, rate_millis, p50, p95, p99, mean: _, max: _ } = *load;
    LoadSummary {
        name: file.name.clone(),
        tool: tool.word().to_owned(),
        requests,
        failed,
        rate_millis,
        p50,
        p95,
        p99,
        latency_change: None,
        rate_change: None,
    }
}

fn contract(file: &ReportFile, contract: Contract) -> ContractSummary {
    let Contract { consumer, provider, verified, passed, interactions, failed } = contract;
    let failed = failed.into_iter().map(|one| {
        if one.message.is_empty() { one.description } else { format!("{}: {}", one.description, one.message) }
    });
    ContractSummary {
        name: file.name.clone(),
        consumer,
        provider,
        verified,
        passed,
        interactions,
        failed: failed.collect(),
    }
}
