//! Writes down what the reports of an Attempt say, and what it means for each test's history.

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;
use serde::Serialize;
use towpath_api::rest::{FailureText, TestTime, TestsSummary};
use towpath_model::attempt::TestCounts;
use towpath_model::reports::ReportKind;
use towpath_model::run::Run;
use towpath_model::test_history::{Ending, Past};
use towpath_model::{AttemptId, RunId};
use towpath_report::{Outcome, TestCase};
use towpath_store::StoreError;
use towpath_store::core::evidence::{self, Evidence, Source};
use towpath_store::core::runs;
use towpath_store::core::tests::{self, KnownTest, TestFailure};

use super::read::Gathered;
use super::{MAX_DETAIL, MAX_FAILURES};
use crate::EngineError;
use crate::unit::Unit;

/// How many of the slowest tests are named.
const SLOWEST: usize = 20;

/// How many tests that passed on retry are named.
const RETRIED: usize = 200;

/// A test that no Run has had for so long is forgotten.
const FORGOTTEN: SignedDuration = SignedDuration::from_hours(24 * 180);

/// How much of the digest of a tree tells it from others.
const TREE: usize = 19;

impl Unit<'_> {
    /// Keeps what an Attempt of a Run left. Gives the counts of its tests, where it has any.
    pub(crate) async fn keep_evidence(
        &mut self,
        run: RunId,
        attempt: AttemptId,
        gathered: Gathered,
    ) -> Result<Option<TestCounts>, EngineError> {
        if gathered.kept.is_empty() {
            return Ok(None);
        }
        let Some(run) = runs::find(&mut self.tx, run).await? else { return Ok(None) };
        let Some(source) = source(&run, attempt) else { return Ok(None) };
        let Gathered { kept, tests, tests_problem, coverage, findings, load, contracts, annotations } =
            gathered;
        evidence::keep(&mut self.tx, attempt, &kept).await?;
        if let Some(coverage) = coverage {
            self.put_evidence(&source, ReportKind::Coverage, &coverage).await?;
        }
        if let Some(findings) = findings {
            self.put_evidence(&source, ReportKind::Sarif, &findings).await?;
        }
        if !load.is_empty() {
            self.put_evidence(&source, ReportKind::Load, &load).await?;
        }
        if !contracts.is_empty() {
            self.put_evidence(&source, ReportKind::Contract, &contracts).await?;
        }
        if let Some(annotations) = annotations.filter(|annotations| !annotations.list.is_empty()) {
            self.put_evidence(&source, ReportKind::Annotations, &annotations).await?;
        }
        if tests.is_none() && tests_problem.is_none() {
            return Ok(None);
        }
        let summary = self.keep_tests(&run, &source, tests.unwrap_or_default(), tests_problem).await?;
        self.put_evidence(&source, ReportKind::Junit, &summary).await?;
        let TestsSummary { passed, failed, skipped, retried, quarantined, .. } = summary;
        Ok(Some(TestCounts { passed, failed, skipped, retried, quarantined }))
    }

    async fn put_evidence(
        &mut self,
        source: &Source,
        kind: ReportKind,
        body: &impl Serialize,
    ) -> Result<(), EngineError> {
        let body = serde_json::to_string(body).map_err(|error| StoreError::Encode(Box::new(error)))?;
        evidence::put(&mut self.tx, &Evidence { source: source.clone(), kind, at: self.now, body }).await?;
        Ok(())
    }

    async fn keep_tests(
        &mut self,
        run: &Run,
        source: &Source,
        cases: Vec<TestCase>,
        problem: Option<String>,
    ) -> Result<TestsSummary, EngineError> {
        let cases = each_once(cases);
        let quarantined = self.quarantined(source).await?;
        let failed_before: BTreeSet<String> =
            tests::failures_of_run(&mut self.tx, &source.project, source.run)
                .await?
                .into_iter()
                .filter(|failure| failure.source.job == source.job && failure.source.number < source.number)
                .map(|failure| failure.test)
                .collect();
        let ids: Vec<&str> = cases.iter().map(|case| case.id.as_str()).collect();
        let mut known = tests::find(&mut self.tx, &source.project, &ids).await?;
        let tree: String =
            run.source.map(|source| source.to_string().chars().take(TREE).collect()).unwrap_or_default();
        let mut summary = TestsSummary { problem, ..TestsSummary::default() };
        let mut changed = Vec::with_capacity(cases.len());
        let mut kept = 0;
        for case in &cases {
            let again = failed_before.contains(&case.id);
            let ending = ending(case.outcome, again);
            let is_quarantined = quarantined.contains(&case.id);
            count(&mut summary, case, ending, is_quarantined);
            if ending == Ending::PassedOnRetry && again {
                tests::retried(&mut self.tx, source, &case.id).await?;
            }
            let fails = case.outcome.is_failure() || case.outcome == Outcome::Flaky;
            if fails && kept < MAX_FAILURES {
                kept += 1;
                let failure = failure(source, case, self.now, is_quarantined)?;
                tests::failed(&mut self.tx, &failure).await?;
            }
            let past = Past { run: source.run, ending, millis: case.millis, tree: tree.clone() };
            let mut test = known.remove(&case.id).unwrap_or_else(|| KnownTest {
                id: case.id.clone(),
                job: source.job.clone(),
                file: None,
                run: source.run,
                seen_at: self.now,
                history: Default::default(),
            });
            test.history.note(past);
            (test.job, test.run, test.seen_at) = (source.job.clone(), source.run, self.now);
            test.file = case.file.clone().or(test.file);
            changed.push(test);
        }
        tests::put(&mut self.tx, &source.project, &changed).await?;
        tests::forget(&mut self.tx, &source.project, self.now.saturating_sub(FORGOTTEN).unwrap_or(self.now))
            .await?;
        summary.slowest = slowest(&cases);
        Ok(summary)
    }

    async fn quarantined(&mut self, source: &Source) -> Result<BTreeSet<String>, EngineError> {
        let now = self.now;
        let all = tests::quarantines(&mut self.tx, &source.project).await?;
        Ok(all.into_iter().filter(|entry| entry.until > now).map(|entry| entry.test).collect())
    }
}

/// Where an Attempt of a Run belongs.
pub(super) fn source(run: &Run, attempt: AttemptId) -> Option<Source> {
    run.jobs.iter().find_map(|job| {
        let found = job.attempts.iter().find(|found| found.id == attempt)?;
        Some(Source {
            project: run.project.clone(),
            run: run.number,
            job: job.name.clone(),
            attempt,
            number: found.number,
        })
    })
}

/// Several files may hold one test, as where a suite was run twice. The worst of them counts.
fn each_once(cases: Vec<TestCase>) -> Vec<TestCase> {
    let mut once: BTreeMap<String, TestCase> = BTreeMap::new();
    for case in cases {
        match once.get_mut(&case.id) {
            Some(known) if !known.outcome.is_failure() && case.outcome.is_failure() => *known = case,
            Some(_) => {}
            None => drop(once.insert(case.id.clone(), case)),
        }
    }
    once.into_values().collect()
}

/// How a test ended, where `again` says that it failed in an earlier Attempt of this Job at the same tree.
const fn ending(outcome: Outcome, again: bool) -> Ending {
    match outcome {
        Outcome::Passed if again => Ending::PassedOnRetry,
        Outcome::Passed => Ending::Passed,
        Outcome::Flaky => Ending::PassedOnRetry,
        Outcome::Failed | Outcome::Errored => Ending::Failed,
        Outcome::Skipped => Ending::Skipped,
    }
}

fn count(summary: &mut TestsSummary, case: &TestCase, ending: Ending, quarantined: bool) {
    match ending {
        Ending::Passed => summary.passed += 1,
        Ending::PassedOnRetry => {
            summary.passed += 1;
            summary.retried += 1;
            if summary.retried_tests.len() < RETRIED {
                summary.retried_tests.push(case.id.clone());
            }
        }
        Ending::Failed => {
            summary.failed += 1;
            summary.quarantined += u32::from(quarantined);
        }
        Ending::Skipped => summary.skipped += 1,
    }
    summary.millis = summary.millis.saturating_add(case.millis.unwrap_or(0));
}

fn slowest(cases: &[TestCase]) -> Vec<TestTime> {
    let timed = cases.iter().filter_map(|case| Some((case.millis.filter(|millis| *millis > 0)?, &case.id)));
    let mut timed: Vec<_> = timed.collect();
    timed.sort_unstable_by_key(|(millis, id)| (std::cmp::Reverse(*millis), *id));
    timed.into_iter().take(SLOWEST).map(|(millis, id)| TestTime { test: id.clone(), millis }).collect()
}

fn failure(
    source: &Source,
    case: &TestCase,
    at: jiff::Timestamp,
    quarantined: bool,
) -> Result<TestFailure, EngineError> {
    let said = case.failures.first().cloned().unwrap_or_default();
    let cut = said.detail.floor_char_boundary(MAX_DETAIL);
    let text = FailureText {
        message: said.message,
        detail: said.detail[..cut].to_owned(),
        file: case.file.clone(),
        line: case.line,
    };
    let body = serde_json::to_string(&text).map_err(|error| StoreError::Encode(Box::new(error)))?;
    let retried = case.outcome == Outcome::Flaky;
    Ok(TestFailure { test: case.id.clone(), source: source.clone(), at, quarantined, retried, body })
}
