//! Searching the logs of a Project.

use std::sync::Arc;
use std::time::{Duration, Instant};

use towpath_artifact::{LogError, Needle};
use towpath_model::{AttemptId, ProjectName};
use towpath_store::core::runs;

use crate::error::blocking;
use crate::{Engine, EngineError};

/// How many Runs are looked at between two looks at the clock.
const RUNS: u32 = 20;

/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// How many bytes of logs one answer may read.
const BUDGET: u64 = 512 << 20;

/// The most lines of one log in an answer.
const OF_ONE_LOG: usize = 20;

/// A line that holds what was looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogHit {
    /// The Run's number.
    pub run: u64,
    /// The Job.
    pub job: String,
    /// Which Attempt of it, from 1.
    pub attempt: u32,
    /// That Attempt.
    pub id: AttemptId,
    /// The number of the line, from 1.
    pub line: u64,
    /// The line as it is stored.
    pub text: String,
}

/// What a search has found so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSearch {
    /// Lines, those of the newest Run first.
    pub hits: Vec<LogHit>,
    /// How many logs were looked at.
    pub logs: usize,
    /// Where to go on: below the Run of this number. `None` if every log was looked at.
    pub below: Option<u64>,
}

impl Engine {
    /// Looks for a text in the logs of a Project's Runs, newest first, whatever its case and colours. Ends with `limit` lines, after two
    /// seconds, or 512 MiB; then it says where to go on.
    ///
    /// # Errors
    /// When nothing is looked for, or a log or the database cannot be read.
    pub async fn search_logs(
        &self,
        project: &ProjectName,
        text: &str,
        mut below: Option<u64>,
        limit: usize,
    ) -> Result<LogSearch, EngineError> {
        let needle = Needle::new(text)
            .ok_or_else(|| EngineError::refused("say what to look for, in at most 1000 bytes"))?;
        let begun = Instant::now();
        let mut found = LogSearch { hits: Vec::new(), logs: 0, below: None };
        let mut budget = BUDGET;
        loop {
            let page = runs::page(&mut *self.db().reader().await?, Some(project), below, RUNS).await?;
            if page.is_empty() {
                return Ok(found);
            }
            for run in page {
                let spent = begun.elapsed() > PATIENCE || budget == 0;
                if spent || found.hits.len() >= limit {
                    found.below = below;
                    return Ok(found);
                }
                below = Some(run.number);
                let (logs, needle) = (Arc::clone(self.logs()), needle.clone());
                let looked = blocking("searching logs", move || {
                    let mut hits = Vec::new();
                    let mut count = 0;
                    for job in &run.jobs {
                        for attempt in job.attempts.iter().rev() {
                            count += 1;
                            let lines = logs.search(attempt.id, &needle, OF_ONE_LOG, &mut budget)?;
                            hits.extend(lines.into_iter().map(|hit| LogHit {
                                run: run.number,
                                job: job.name.to_string(),
                                attempt: attempt.number,
                                id: attempt.id,
                                line: hit.line,
                                text: hit.text,
                            }));
                        }
                    }
                    Ok::<_, LogError>((hits, count, budget))
                });
                let (hits, count, left) = looked.await?;
                found.hits.extend(hits);
                found.logs += count;
                budget = left;
            }
        }
    }
}
