//! What people and the outbox do with Runs.

use towpath_artifact::{CommitId, Limits, store_commit_tree};
use towpath_model::run::{Run, RunEvent, RunState};
use towpath_model::{ProjectName, RunId};
use towpath_store::core::{outbox, runs};

use crate::error::{blocking, chain};
use crate::{Engine, EngineError, Person, git};

impl Engine {
    /// Packs the source tree of a Run.
    pub(crate) async fn prepare_source(&self, effect: i64, id: RunId) -> Result<(), EngineError> {
        let mut reader = self.db().reader().await?;
        let run =
            runs::find(&mut reader, id).await?.ok_or_else(|| EngineError::not_found(format!("run {id}")))?;
        drop(reader);
        let repository = git::repository(&self.0.parts.repositories, &run.project).0;
        let content = self.content().clone();
        let commit = run.cause.commit.clone();
        let packed = blocking("packing the source", move || {
            let commit =
                CommitId::try_from(commit).map_err(|error| EngineError::invalid(error.to_string()))?;
            store_commit_tree(&repository, &commit, Limits::default(), &content).map_err(|error| {
                EngineError::invalid(format!("the source could not be packed: {}", chain(&error)))
            })
        })
        .await;
        let event = match packed {
            Ok(source) => RunEvent::SourcePrepared { source, bases: self.bases(&run).await? },
            Err(EngineError::Invalid { reason: message }) => RunEvent::SourceFailed { message },
            Err(error) => return Err(error),
        };
        let mut unit = self.begin().await?;
        unit.run_event(id, event).await?;
        outbox::remove(&mut unit.tx, effect).await?;
        unit.commit().await
    }

    /// Queues the Jobs that wait for a concurrency group: the queue holds them back.
    pub(crate) async fn leave_group_to_queue(
        &self,
        effect: i64,
        id: RunId,
        group: String,
    ) -> Result<(), EngineError> {
        let mut unit = self.begin().await?;
        unit.run_event(id, RunEvent::GroupLeftToQueue { group }).await?;
        outbox::remove(&mut unit.tx, effect).await?;
        unit.commit().await
    }

    /// Ends a Run.
    ///
    /// # Errors
    /// When there is no such Run, or it has ended.
    pub async fn cancel_run(
        &self,
        project: &ProjectName,
        number: u64,
        reason: &str,
        person: &Person,
    ) -> Result<Run, EngineError> {
        let mut unit = self.begin().await?;
        let run = unit.run_by_number(project, number).await?;
        if run.state.is_final() {
            return Err(EngineError::refused(format!(
                "{} has ended already: it {}",
                run.title(),
                run.state.word()
            )));
        }
        let words = if reason.is_empty() { String::new() } else { format!(": {reason}") };
        let reason = format!("{} cancelled it{words}", person.login);
        let run = unit.run_event(run.id, RunEvent::CancelRequested { actor: person.actor(), reason }).await?;
        unit.commit().await?;
        Ok(run)
    }

    /// Lets a Run go on that waits for somebody to have looked at it.
    ///
    /// # Errors
    /// When there is no such Run, or it does not wait for that.
    pub async fn allow_run(
        &self,
        project: &ProjectName,
        number: u64,
        person: &Person,
    ) -> Result<Run, EngineError> {
        let mut unit = self.begin().await?;
        let run = unit.run_by_number(project, number).await?;
        if run.state != RunState::AwaitingApproval {
            return Err(EngineError::refused(format!(
                "{} waits for no approval: it is {}",
                run.title(),
                run.state.word()
            )));
        }
        let run = unit.run_event(run.id, RunEvent::Approved { actor: person.actor() }).await?;
        unit.commit().await?;
        Ok(run)
    }

    /// Tries again what had not passed in a Run.
    ///
    /// # Errors
    /// When there is no such Run, or everything in it passed or still runs.
    pub async fn rerun(
        &self,
        project: &ProjectName,
        number: u64,
        person: &Person,
    ) -> Result<Run, EngineError> {
        let mut unit = self.begin().await?;
        let run = unit.run_by_number(project, number).await?;
        if !run.can_rerun() {
            let why = "only a Run that failed or was cancelled can be tried again; push again for a new one";
            return Err(EngineError::refused(format!("{} {}: {why}", run.title(), run.state.word())));
        }
        let run = unit.run_event(run.id, RunEvent::RerunRequested { actor: person.actor() }).await?;
        unit.commit().await?;
        Ok(run)
    }
}

impl crate::unit::Unit<'_> {
    async fn run_by_number(&mut self, project: &ProjectName, number: u64) -> Result<Run, EngineError> {
        let run = runs::by_number(&mut self.tx, project, number).await?;
        run.ok_or_else(|| EngineError::not_found(format!("run {project}#{number}")))
    }
}
