//! What a failed Attempt said in the end: told from its log once, and known when it comes again.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use towpath_artifact::{LogError, LogStore, Stream, parse_line};
use towpath_model::attempt::{Attempt, AttemptState, StepState};
use towpath_model::{AttemptId, ProjectName};
use towpath_report::{ErrorLine, Found, signature};
use towpath_store::core::attempts::{Owner, QueuedAttempt};
use towpath_store::core::failures::{self, Failure, Recurring};
use towpath_store::core::{agents, runs};

use crate::unit::Unit;
use crate::{Engine, EngineError};

/// How much of the end of a log is looked at. What went wrong stands there, but for programs that write megabytes after it.
const END: u64 = 4 << 20;

/// How much is read at once.
const CHUNK: usize = 1 << 20;

/// The most bytes of a line that are kept.
const WORDS: usize = 500;

/// The line that each Step would be remembered for.
pub(crate) type LastWords = BTreeMap<u32, Found>;

/// Reads the end of a sealed log.
pub(crate) fn last_words(logs: &LogStore, attempt: AttemptId) -> Result<LastWords, LogError> {
    let Some(sealed) = logs.sealed(attempt)? else { return Ok(LastWords::new()) };
    let mut offset = sealed.bytes.saturating_sub(END);
    let mut bytes = Vec::new();
    while offset < sealed.bytes {
        let chunk = logs.read(attempt, offset, CHUNK)?;
        if chunk.is_empty() {
            break;
        }
        offset += chunk.len() as u64;
        bytes.extend(chunk);
    }
    // Counted from the end, where the log may have been cut within a line.
    let feeds = bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
    let mut number = sealed.lines - feeds.min(sealed.lines);
    let mut lines: BTreeMap<u32, ErrorLine> = BTreeMap::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        number += 1;
        let Some(line) = parse_line(line).filter(|line| line.stream != Stream::System) else { continue };
        let step = u32::from(line.step);
        let text = String::from_utf8_lossy(line.text);
        lines.entry(step).or_insert_with(|| ErrorLine::of_step(step)).look(number, step, &text);
    }
    Ok(lines.into_iter().filter_map(|(step, line)| Some((step, line.found()?.clone()))).collect())
}

/// The Step that an Attempt failed in.
pub(crate) fn failed_step(attempt: &Attempt) -> Option<usize> {
    attempt.steps.iter().position(|step| {
        matches!(step.state, StepState::Failed { .. } | StepState::Killed { .. } | StepState::TimedOut)
    })
}

impl Unit<'_> {
    /// Notes how an Attempt of a Run failed, if it did.
    pub(crate) async fn note_failure(
        &mut self,
        held: &QueuedAttempt,
        words: &LastWords,
    ) -> Result<(), EngineError> {
        let Owner::Run(run) = &held.owner else { return Ok(()) };
        let Some(run) = runs::find(&mut self.tx, *run).await? else { return Ok(()) };
        let found = run
            .jobs
            .iter()
            .find_map(|job| Some((job, job.attempts.iter().find(|attempt| attempt.id == held.id)?)));
        let Some((job, attempt)) = found else { return Ok(()) };
        if !matches!(attempt.state, AttemptState::Failed | AttemptState::TimedOut) {
            return Ok(());
        }
        let Some(step) = failed_step(attempt) else { return Ok(()) };
        let Some(line) = u32::try_from(step).ok().and_then(|step| words.get(&step)).cloned() else {
            return Ok(());
        };
        let agent = match attempt.agent {
            Some(id) => agents::find(&mut self.tx, id).await?.map(|agent| agent.hostname),
            None => None,
        };
        let failure = Failure {
            attempt: held.id,
            project: run.project.clone(),
            signature: signature(&line.text),
            words: clip(line.text),
            line: line.number,
            run: run.number,
            job: job.name.to_string(),
            number: attempt.number,
            step: attempt.steps[step].name.clone(),
            agent: agent.unwrap_or_default(),
            commit: run.cause.commit.clone(),
            at: self.now,
        };
        failures::note(&mut self.tx, &failure).await?;
        Ok(())
    }
}

fn clip(mut text: String) -> String {
    let end = (0..=WORDS.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    text.truncate(end);
    text
}

impl Engine {
    /// How the Attempts of a Run failed, and how often each failure was seen until then.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn failures_of_run(
        &self,
        project: &ProjectName,
        run: u64,
    ) -> Result<Vec<(Failure, Recurring)>, EngineError> {
        let mut db = self.db().snapshot().await?;
        let mut known = Vec::new();
        for failure in failures::of_run(&mut db, project, run).await? {
            let seen = failures::recurring(&mut db, project, &failure.signature, failure.at).await?;
            known.extend(seen.map(|seen| (failure, seen)));
        }
        Ok(known)
    }

    /// What failed in a Project in the last days, the most frequent first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn frequent_failures(
        &self,
        project: &ProjectName,
        days: u32,
        limit: u32,
    ) -> Result<Vec<Recurring>, EngineError> {
        let now = self.now();
        let since = now - SignedDuration::from_hours(24 * i64::from(days));
        let mut db = self.db().snapshot().await?;
        Ok(failures::most_frequent(&mut db, project, since, now, limit).await?)
    }
}

#[cfg(test)]
mod tests {
    use towpath_artifact::ContentStore;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn the_line_is_found_with_its_number_in_the_end_of_a_long_log() {
        let directory = tempfile::tempdir().unwrap();
        let content = ContentStore::open(&directory.path().join("blobs")).unwrap();
        let logs = LogStore::open(&directory.path().join("logs"), content, 1 << 30).unwrap();
        let id = AttemptId(Uuid::from_u128(1));
        let line = |n: u64, text: &str| format!("2026-11-21T14:03:07.000001Z 01o {text} {n}\n");
        let mut log: String = (1..=150_000).map(|n| line(n, "water flows through the lock")).collect();
        assert!(log.len() as u64 > END);
        log += &line(150_001, "error: the gate is stuck after");
        log += &line(150_002, "bye");
        log += "2026-11-21T14:03:07.000001Z 01s exit code 1";
        logs.append(id, 1, 0, log.as_bytes()).unwrap();
        assert!(last_words(&logs, id).unwrap().is_empty(), "it may still grow");
        logs.seal(id).unwrap();
        let words = last_words(&logs, id).unwrap();
        let text = "error: the gate is stuck after 150001".to_owned();
        assert_eq!(words, [(1, Found { number: 150_001, text })].into());
    }
}
