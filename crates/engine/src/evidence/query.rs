//! What pages, commands and Gates ask of reports and tests, and who may hush a test.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::de::DeserializeOwned;
use towpath_api::rest::{
    Annotation, Baseline, ContractSummary, FailureText, FindingsSummary, LoadSummary, NewQuarantine,
    Quarantine, ReportRow, RunEvidence, Test, TestFailure, Tests, TestsSummary,
};
use towpath_model::ProjectName;
use towpath_model::reports::ReportKind;
use towpath_model::run::{Run, RunState, Trust};
use towpath_model::test_history::Ending;
use towpath_model::timeline::Entry;
use towpath_report::{Coverage, Finding, Findings, Level};
use towpath_store::core::evidence::{self, Evidence, KeptReport};
use towpath_store::core::tests::{self, KnownTest, Order};
use towpath_store::core::{Connection, releases, runs};

use super::compare;
use crate::{Engine, EngineError, Person};

/// The longest quarantine: after a quarter of a year somebody has to say again that they see to it.
const LONGEST_QUARANTINE: SignedDuration = SignedDuration::from_hours(24 * 90);

/// The most tests in quarantine of one Project.
const MAX_QUARANTINED: usize = 1000;

/// How many Runs are looked at for one to compare with.
const LOOKED_AT: u32 = 30;

/// How many annotations a Run shows.
const MAX_ANNOTATIONS: usize = 500;

/// What the last Attempts of a Run's Jobs say, put together.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) tests: Option<TestsSummary>,
    pub(super) coverage: Option<Coverage>,
    pub(super) findings: Option<Findings>,
    pub(super) finding_jobs: Vec<(String, Findings)>,
    pub(super) load: Vec<LoadSummary>,
    pub(super) contracts: Vec<ContractSummary>,
    /// What Steps say, with the Job and the number of the Attempt.
    pub(super) said: Vec<(String, u32, Findings)>,
}

impl Engine {
    /// What the reports of a Run say, compared with what was before it.
    ///
    /// # Errors
    /// When there is no such Run.
    pub async fn evidence(&self, project: &ProjectName, number: u64) -> Result<RunEvidence, EngineError> {
        let run = self.find_run(project, number).await?;
        let mut reader = self.db().reader().await?;
        let now = known(evidence::of_run(&mut reader, project, number).await?);
        let nothing = now.coverage.is_none() && now.findings.is_none() && now.load.is_empty();
        let baseline = if nothing { None } else { baseline(&mut reader, &run).await? };
        let before = match &baseline {
            Some(baseline) => known(evidence::of_run(&mut reader, project, baseline.run).await?),
            None => Known::default(),
        };
        let failures = tests::failures_of_run(&mut reader, project, number).await?;
        let failures: Vec<TestFailure> = failures.into_iter().map(failure).collect();
        let mut rows = Vec::new();
        for job in &run.jobs {
            for attempt in &job.attempts {
                let kept = evidence::reports(&mut reader, attempt.id).await?;
                rows.extend(kept.into_iter().map(|kept| row(job.name.as_str(), attempt.number, kept)));
            }
        }
        let annotations = annotations(&run, &failures, &now);
        let Known { tests, coverage, findings, finding_jobs: _, mut load, contracts, said: _ } = now;
        compare::load(&mut load, &before.load);
        Ok(RunEvidence {
            run: number,
            baseline,
            tests,
            coverage: coverage.map(|now| compare::coverage(&now, before.coverage.as_ref())),
            findings: findings.map(|now| summary(now, before.findings.as_ref())),
            load,
            contracts,
            failures,
            annotations,
            reports: rows,
        })
    }

    /// The tests of a Project whose name contains `like`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn tests(
        &self,
        project: &ProjectName,
        like: &str,
        order: Order,
        offset: u32,
        limit: u32,
    ) -> Result<Tests, EngineError> {
        let mut reader = self.db().reader().await?;
        let mut listed =
            tests::list(&mut reader, project, like, order, offset, limit.saturating_add(1)).await?;
        let more = listed.len() > limit as usize;
        listed.truncate(limit as usize);
        let counts = tests::counts(&mut reader, project).await?;
        let quarantined = self.quarantines(&mut reader, project).await?;
        let by_test: BTreeMap<&str, &Quarantine> =
            quarantined.iter().map(|entry| (entry.test.as_str(), entry)).collect();
        let count = |health: &str| counts.get(health).copied().unwrap_or(0);
        let tests = listed.into_iter().map(|known| {
            let entry = by_test.get(known.id.as_str()).map(|entry| (*entry).clone());
            shown(known, entry)
        });
        Ok(Tests {
            stable: count("stable"),
            failing: count("failing"),
            flaky: count("flaky"),
            skipped: count("skipped"),
            tests: tests.collect(),
            quarantined,
            more,
        })
    }

    /// One test with its last failures.
    ///
    /// # Errors
    /// When no report of the Project ever named it.
    pub async fn test(&self, project: &ProjectName, id: &str) -> Result<Test, EngineError> {
        let mut reader = self.db().reader().await?;
        let known = tests::find(&mut reader, project, &[id]).await?.remove(id);
        let known = known.ok_or_else(|| EngineError::not_found(format!("test `{id}` of {project}")))?;
        let quarantined = self.quarantines(&mut reader, project).await?;
        let mut test = shown(known, quarantined.into_iter().find(|entry| entry.test == id));
        let failures = tests::failures_of_test(&mut reader, project, id).await?;
        test.last_failures = failures.into_iter().map(failure).collect();
        Ok(test)
    }

    async fn quarantines(
        &self,
        reader: &mut Connection,
        project: &ProjectName,
    ) -> Result<Vec<Quarantine>, EngineError> {
        let now = self.now();
        let all = tests::quarantines(reader, project).await?;
        let entry = |entry: tests::Quarantine| {
            let tests::Quarantine { test, owner, reason, by, since, until } = entry;
            Quarantine { test, owner, reason, by, since, until, expired: until <= now }
        };
        Ok(all.into_iter().map(entry).collect())
    }

    /// Puts a test into quarantine: until then its failures fail no Job.
    ///
    /// # Errors
    /// When its time is over already or too long, or a word is missing.
    pub async fn quarantine_test(
        &self,
        project: &ProjectName,
        new: NewQuarantine,
        person: &Person,
    ) -> Result<(), EngineError> {
        let NewQuarantine { test, owner, reason, until } = new;
        for (what, text, limit) in [("test", &test, 1000), ("owner", &owner, 100), ("reason", &reason, 500)] {
            if text.trim().is_empty() || text.len() > limit {
                return Err(EngineError::invalid(format!(
                    "`{what}` must have 1 to {limit} bytes; nothing was changed"
                )));
            }
        }
        let mut unit = self.begin().await?;
        let now = unit.now;
        if until <= now || until.duration_since(now) > LONGEST_QUARANTINE {
            return Err(EngineError::invalid(format!(
                "a quarantine ends between now and 90 days from now, and {until:.0} is not; nothing was changed"
            )));
        }
        let known = tests::quarantines(&mut unit.tx, project).await?;
        if known.len() >= MAX_QUARANTINED && !known.iter().any(|entry| entry.test == test) {
            return Err(EngineError::refused(format!(
                "{project} has {MAX_QUARANTINED} tests in quarantine already; mend some, and take them out"
            )));
        }
        let entry = tests::Quarantine { test, owner, reason, by: person.login.clone(), since: now, until };
        tests::quarantine(&mut unit.tx, project, &entry).await?;
        let text = format!(
            "{} put test {} of {project} into quarantine until {until:.0}: {} (owner: {})",
            person.login, entry.test, entry.reason, entry.owner
        );
        let recorded = Entry::new("test-quarantined", person.actor(), text)
            .fact("test", &entry.test)
            .fact("owner", &entry.owner)
            .fact("until", until);
        unit.record(Some(project), None, &format!("project:{project}"), recorded).await?;
        unit.commit().await
    }

    /// Takes a test out of quarantine: its failures count again.
    ///
    /// # Errors
    /// When it is in none.
    pub async fn release_test(
        &self,
        project: &ProjectName,
        test: &str,
        person: &Person,
    ) -> Result<(), EngineError> {
        let mut unit = self.begin().await?;
        if !tests::release(&mut unit.tx, project, test).await? {
            return Err(EngineError::not_found(format!("a quarantine of test `{test}` in {project}")));
        }
        let text = format!("{} took test {test} of {project} out of quarantine", person.login);
        let entry = Entry::new("test-released", person.actor(), text).fact("test", test);
        unit.record(Some(project), None, &format!("project:{project}"), entry).await?;
        unit.commit().await
    }
}

/// The Run to compare with: that of the newest Release before, else the newest one on a protected ref that passed.
async fn baseline(reader: &mut Connection, run: &Run) -> Result<Option<Baseline>, EngineError> {
    let mut on_protected = None;
    for earlier in runs::page(reader, Some(&run.project), Some(run.number), LOOKED_AT).await? {
        let counts = earlier.trust == Trust::Protected && earlier.state == RunState::Passed;
        if !counts || evidence::of_run(reader, &run.project, earlier.number).await?.is_empty() {
            continue;
        }
        if let Some(release) = &earlier.release {
            let what = format!("Release {}", release.version);
            return Ok(Some(Baseline { run: earlier.number, what }));
        }
        let what = earlier.cause.short_reference().to_owned();
        on_protected.get_or_insert(Baseline { run: earlier.number, what });
    }
    if on_protected.is_some() {
        return Ok(on_protected);
    }
    // The newest Release may be older than what was looked at.
    for release in releases::page(reader, &run.project, None, LOOKED_AT).await? {
        if let Some(sealing) = runs::find(reader, release.run).await?
            && sealing.number < run.number
        {
            return Ok(Some(Baseline { run: sealing.number, what: format!("Release {}", release.version) }));
        }
    }
    Ok(None)
}

/// Puts together what the Jobs say: of each Job its last Attempt that says something of a kind.
pub(super) fn known(all: Vec<Evidence>) -> Known {
    let mut last: BTreeMap<(String, ReportKind), Evidence> = BTreeMap::new();
    for evidence in all {
        last.insert((evidence.source.job.to_string(), evidence.kind), evidence);
    }
    let mut known = Known::default();
    let mut coverage = Vec::new();
    for ((job, kind), evidence) in last {
        match kind {
            ReportKind::Junit => add_tests(known.tests.get_or_insert_default(), &evidence),
            ReportKind::Coverage => coverage.extend(body::<Coverage>(&evidence)),
            ReportKind::Sarif => known.finding_jobs.extend(body(&evidence).map(|findings| (job, findings))),
            ReportKind::Annotations => {
                let said = body::<Findings>(&evidence);
                known.said.extend(said.map(|said| (job, evidence.source.number, said)));
            }
            ReportKind::Load => known.load.extend(body::<Vec<LoadSummary>>(&evidence).unwrap_or_default()),
            ReportKind::Contract => {
                known.contracts.extend(body::<Vec<ContractSummary>>(&evidence).unwrap_or_default());
            }
        }
    }
    known.coverage = Coverage::together(coverage);
    known.findings = Findings::together(known.finding_jobs.iter().map(|(_, findings)| findings.clone()));
    known
}

/// A summary as it was written. One that an older version wrote and nobody can read any more says nothing.
fn body<T: DeserializeOwned>(evidence: &Evidence) -> Option<T> {
    match serde_json::from_str(&evidence.body) {
        Ok(body) => Some(body),
        Err(error) => {
            tracing::warn!(attempt.id = %evidence.source.attempt, %error, "its evidence could not be read");
            None
        }
    }
}

fn add_tests(sum: &mut TestsSummary, evidence: &Evidence) {
    let Some(more) = body::<TestsSummary>(evidence) else { return };
    let TestsSummary {
        passed,
        failed,
        skipped,
        retried,
        quarantined,
        millis,
        slowest,
        retried_tests,
        problem,
    } = more;
    sum.passed += passed;
    sum.failed += failed;
    sum.skipped += skipped;
    sum.retried += retried;
    sum.quarantined += quarantined;
    sum.millis = sum.millis.saturating_add(millis);
    sum.slowest.extend(slowest);
    sum.slowest.sort_by_key(|slow| std::cmp::Reverse(slow.millis));
    sum.slowest.truncate(20);
    sum.retried_tests.extend(retried_tests);
    sum.retried_tests.truncate(200);
    sum.problem = sum.problem.take().or(problem);
}

fn summary(now: Findings, before: Option<&Findings>) -> FindingsSummary {
    let Findings { tools, errors, warnings, notes, suppressed, list: _, problem } = now;
    FindingsSummary {
        tools,
        errors,
        warnings,
        notes,
        suppressed,
        errors_change: before.map(|before| compare::change(before.errors, errors)),
        problem,
    }
}

fn annotations(run: &Run, failures: &[TestFailure], known: &Known) -> Vec<Annotation> {
    // Of a Job that was tried again only what its last Attempt says is still true.
    let last = |failure: &&TestFailure| {
        let job = run.jobs.iter().find(|job| job.name.as_str() == failure.job);
        let number = job.and_then(|job| job.attempts.iter().rev().find(|attempt| attempt.tests.is_some()));
        number.is_some_and(|attempt| attempt.number == failure.attempt)
    };
    let tests = failures.iter().filter(|failure| !failure.retried).filter(last).filter_map(|failure| {
        Some(Annotation {
            level: if failure.quarantined { "note" } else { "error" }.to_owned(),
            file: Some(failure.said.file.clone()?),
            line: Some(failure.said.line?),
            message: failure.said.message.clone(),
            source: failure.test.clone(),
            job: failure.job.clone(),
        })
    });
    let found =
        known.finding_jobs.iter().flat_map(|(job, findings)| findings.list.iter().map(move |one| (job, one)));
    let found = found.filter_map(|(job, finding)| {
        let source = if finding.rule.is_empty() {
            finding.tool.clone()
        } else {
            format!("{} {}", finding.tool, finding.rule)
        };
        Some(Annotation {
            level: finding.level.word().to_owned(),
            file: Some(finding.file.clone()?),
            line: Some(finding.line?),
            message: finding.message.clone(),
            source,
            job: job.clone(),
        })
    });
    let still_true = |(job, number, _): &&(String, u32, Findings)| {
        let job = run.jobs.iter().find(|known| known.name.as_str() == job);
        job.and_then(|job| job.attempts.last()).is_some_and(|attempt| attempt.number == *number)
    };
    let said = known.said.iter().filter(still_true);
    let said = said.flat_map(|(job, _, said)| said.list.iter().map(move |one| spoken(job, one)));
    let mut all: Vec<Annotation> = tests.chain(found).chain(said).collect();
    let rank = |annotation: &Annotation| {
        [Level::Error, Level::Warning, Level::Note].iter().position(|level| level.word() == annotation.level)
    };
    all.sort_by(|a, b| rank(a).cmp(&rank(b)).then_with(|| (&a.file, a.line).cmp(&(&b.file, b.line))));
    all.truncate(MAX_ANNOTATIONS);
    all
}

/// What a Step said, which may be of no place.
fn spoken(job: &str, finding: &Finding) -> Annotation {
    let Finding { level, tool, rule, message, file, line } = finding;
    Annotation {
        level: level.word().to_owned(),
        file: file.clone(),
        line: *line,
        message: message.clone(),
        source: if rule.is_empty() { tool.clone() } else { rule.clone() },
        job: job.to_owned(),
    }
}

fn row(job: &str, attempt: u32, kept: KeptReport) -> ReportRow {
    let KeptReport { file, problem } = kept;
    ReportRow {
        job: job.to_owned(),
        attempt,
        kind: file.kind.word().to_owned(),
        name: file.name,
        digest: file.digest.to_string(),
        bytes: file.bytes,
        problem,
    }
}

fn failure(failure: tests::TestFailure) -> TestFailure {
    let tests::TestFailure { test, source, at, quarantined, retried, body } = failure;
    let said: FailureText = serde_json::from_str(&body).unwrap_or_default();
    TestFailure {
        test,
        run: source.run,
        job: source.job.to_string(),
        attempt: source.number,
        at,
        quarantined,
        retried,
        said,
    }
}

fn shown(known: KnownTest, quarantine: Option<Quarantine>) -> Test {
    let KnownTest { id, job, file, run, seen_at: _, history } = known;
    let letter = |ending| match ending {
        Ending::Passed => 'p',
        Ending::PassedOnRetry => 'r',
        Ending::Failed => 'f',
        Ending::Skipped => 's',
    };
    Test {
        id,
        job: job.to_string(),
        file,
        run,
        health: history.health().word().to_owned(),
        runs: history.runs,
        failures: history.failures,
        retried: history.retried,
        failures_per_mille: history.failures_per_mille(),
        flips: history.flips(),
        millis: history.expected_millis(),
        recent: history.recent.iter().map(|past| letter(past.ending)).collect(),
        quarantine,
        last_failures: Vec::new(),
    }
}

/// The tests whose failures fail nothing now.
pub(crate) async fn hushed(
    db: &mut Connection,
    project: &ProjectName,
    now: Timestamp,
) -> Result<Vec<String>, EngineError> {
    let all = tests::quarantines(db, project).await?;
    Ok(all.into_iter().filter(|entry| entry.until > now).map(|entry| entry.test).collect())
}
