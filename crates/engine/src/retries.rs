//! Retries: what a Project has had of each class, the end of a pause, and how they went.

use jiff::SignedDuration;
use towpath_model::retry::{BUDGET_SPAN, RetryClass, Spending};
use towpath_model::run::RunEvent;
use towpath_model::{AttemptId, ProjectName, RunId};
use towpath_store::core::attempts::{Owner, QueuedAttempt};
use towpath_store::core::retries::{self, JobRetries};
use towpath_store::core::{outbox, runs};

use crate::failures::{LastWords, failed_step};
use crate::unit::Unit;
use crate::{Engine, EngineError};

/// How the retries of a Project went.
#[derive(Debug, Clone)]
pub struct RetryInsights {
    /// What the Project had of each class in the last week, and may have.
    pub spending: Vec<Spending>,
    /// By class and Job, the most frequent first.
    pub jobs: Vec<JobRetries>,
}

impl Engine {
    fn retry_budget(&self, class: RetryClass) -> u32 {
        self.0.parts.retry_budget.get(&class).copied().unwrap_or_else(|| class.usual_budget())
    }

    async fn spending(
        &self,
        db: &mut towpath_store::core::Connection,
        project: &ProjectName,
    ) -> Result<Vec<Spending>, EngineError> {
        let spent = retries::spent(db, project, self.now() - BUDGET_SPAN).await?;
        let spending = RetryClass::ALL.into_iter().map(|class| {
            let spent = spent.iter().find(|(of, _)| *of == class).map_or(0, |(_, spent)| *spent);
            Spending { class, spent, budget: self.retry_budget(class) }
        });
        Ok(spending.collect())
    }

    /// Queues the Attempt that waited for the end of a pause.
    pub(crate) async fn pause_over(
        &self,
        effect: i64,
        run: RunId,
        attempt: AttemptId,
    ) -> Result<(), EngineError> {
        let mut unit = self.begin().await?;
        unit.run_event(run, RunEvent::PauseOver { attempt }).await?;
        outbox::remove(&mut unit.tx, effect).await?;
        unit.commit().await
    }

    /// How the retries of a Project went in the last days.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn retries(
        &self,
        project: &ProjectName,
        days: u32,
        limit: u32,
    ) -> Result<RetryInsights, EngineError> {
        let since = self.now() - SignedDuration::from_hours(24 * i64::from(days));
        let mut db = self.db().snapshot().await?;
        let spending = self.spending(&mut db, project).await?;
        let jobs = retries::by_job(&mut db, project, since, limit).await?;
        Ok(RetryInsights { spending, jobs })
    }
}

impl Unit<'_> {
    /// Tells a Run what is known of an Attempt that is about to end, so that it can decide about a retry.
    pub(crate) async fn attempt_ending(
        &mut self,
        held: &QueuedAttempt,
        words: &LastWords,
    ) -> Result<(), EngineError> {
        let Owner::Run(id) = &held.owner else { return Ok(()) };
        let words = match words.is_empty() {
            true => None,
            false => {
                let run = runs::find(&mut self.tx, *id).await?;
                let attempts = run.iter().flat_map(|run| &run.jobs).flat_map(|job| &job.attempts);
                let attempt = attempts.into_iter().find(|attempt| attempt.id == held.id);
                let step = attempt.and_then(failed_step).and_then(|step| u32::try_from(step).ok());
                step.and_then(|step| words.get(&step)).map(|found| found.text.clone())
            }
        };
        let spending = self.engine.spending(&mut self.tx, &held.project).await?;
        let event = RunEvent::AttemptEnding { attempt: held.id, words, spending };
        self.run_event(*id, event).await?;
        Ok(())
    }
}
