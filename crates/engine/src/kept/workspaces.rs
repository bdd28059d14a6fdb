//! The workspaces that a Job's Attempts left.

use std::collections::BTreeMap;

use towpath_model::attempt::{Resume, StepProgress, StepState};
use towpath_model::reuse::EntryKind;
use towpath_model::run::{Run, RunEvent};
use towpath_model::{Digest, ProjectName};
use towpath_store::core::kept::{self, KeptState};

use crate::{Engine, EngineError, Person, order};

/// A workspace that was kept, and what is needed to work in it.
#[derive(Debug, Clone)]
pub struct KeptWorkspace {
    /// The number of the Attempt.
    pub attempt: u32,
    /// The index of the Step after which it was kept.
    pub step: u32,
    /// That Step's name.
    pub step_name: String,
    /// The snapshot.
    pub snapshot: Digest,
    /// Where in it the Project lives.
    pub directory: String,
    /// The environment of the Steps, without secrets.
    pub env: BTreeMap<String, String>,
    /// The names of the secrets that are left out.
    pub secrets: Vec<String>,
    /// The scripts of all Steps.
    pub scripts: Vec<String>,
}

impl Engine {
    /// The kept workspaces of a Job, the newest Attempt first, the last Step first.
    ///
    /// # Errors
    /// When there is no such Run or Job.
    pub async fn kept_workspaces(
        &self,
        project: &ProjectName,
        number: u64,
        name: &str,
    ) -> Result<Vec<KeptWorkspace>, EngineError> {
        let run = self.find_run(project, number).await?;
        let job = run.jobs.iter().find(|job| job.name.as_str() == name);
        let job = job.ok_or_else(|| EngineError::not_found(format!("job `{name}` of {}", run.title())))?;
        let declared = run.pipeline.as_ref().and_then(|pipeline| pipeline.job(&job.name));
        let secrets = declared.map(|job| job.secrets.iter().map(ToString::to_string).collect::<Vec<_>>());
        let secrets = secrets.unwrap_or_default();
        let scripts = declared.map(|job| job.steps.iter().map(|step| step.run.clone()).collect::<Vec<_>>());
        let scripts = scripts.unwrap_or_default();
        let mut found = Vec::new();
        let mut reader = self.db().reader().await?;
        for attempt in job.attempts.iter().rev() {
            let mut entries = kept::of_attempt(&mut reader, attempt.id).await?;
            entries.retain(|entry| entry.kind == EntryKind::Workspace && entry.state == KeptState::Live);
            entries.sort_by_key(|entry| std::cmp::Reverse(entry.step));
            if entries.is_empty() {
                continue;
            }
            let env = order::env_of(self, &run, &job.name)?;
            for entry in entries {
                let step = entry.step.unwrap_or(0);
                let step_name = attempt.steps.get(step as usize).map(|step| step.name.clone());
                found.push(KeptWorkspace {
                    attempt: attempt.number,
                    step,
                    step_name: step_name.unwrap_or_default(),
                    snapshot: entry.snapshot,
                    directory: run.directory.clone(),
                    env: env.clone(),
                    secrets: secrets.clone(),
                    scripts: scripts.clone(),
                });
            }
        }
        Ok(found)
    }

    /// Tries a Job again from a Step on, in the workspace that the Step before it left.
    ///
    /// # Errors
    /// When the Run goes on or sealed a Release, or that workspace is not kept.
    pub async fn resume_job(
        &self,
        project: &ProjectName,
        number: u64,
        name: &str,
        from: Option<u32>,
        run: Option<String>,
        person: &Person,
    ) -> Result<Run, EngineError> {
        let found = self.find_run(project, number).await?;
        let job = found.jobs.iter().find(|job| job.name.as_str() == name);
        let job = job.ok_or_else(|| EngineError::not_found(format!("job `{name}` of {}", found.title())))?;
        if let Some(why) = found.cannot_resume(&job.name) {
            return Err(EngineError::refused(why));
        }
        let failed = job.attempts.last().and_then(|attempt| {
            let did_not_pass =
                |step: &StepProgress| !matches!(step.state, StepState::Passed | StepState::Skipped);
            attempt.steps.iter().position(did_not_pass)
        });
        let failed = failed.and_then(|index| u32::try_from(index).ok());
        // People count from one.
        let from = from.map(|step| step.saturating_sub(1)).or(failed).ok_or_else(|| {
            EngineError::refused(format!("every step of `{name}` passed; say from which one: `--from STEP`"))
        })?;
        if from as usize >= job.steps.len() {
            return Err(EngineError::refused(format!("`{name}` has {} steps", job.steps.len())));
        }
        let resume = match from.checked_sub(1) {
            None if run.is_none() => {
                let why = "it would begin with its first step: try it again with `towpath rerun`";
                return Err(EngineError::refused(why.to_owned()));
            }
            None => Resume { snapshot: None, from, title: "its source".to_owned(), run },
            Some(before) => {
                let kept = self.kept_workspaces(project, number, name).await?;
                let kept = kept.into_iter().find(|kept| kept.step == before).ok_or_else(|| {
                    EngineError::refused(format!(
                        "the workspace after step {} of `{name}` is not kept: those of failed attempts are, for three days, up to \
                         256 MiB; `workspace: always` on the job keeps more",
                        before + 1
                    ))
                })?;
                let title = format!("attempt {}, after step {}", kept.attempt, before + 1);
                Resume { snapshot: Some(kept.snapshot), from, title, run }
            }
        };
        let mut unit = self.begin().await?;
        let event = RunEvent::ResumeRequested { actor: person.actor(), job: job.name.clone(), resume };
        let run = unit.run_event(found.id, event).await?;
        unit.commit().await?;
        Ok(run)
    }

    /// Whether a Project has a kept blob.
    ///
    /// # Errors
    /// When it does not.
    pub async fn kept_may_read(&self, project: &ProjectName, digest: Digest) -> Result<(), EngineError> {
        let mut reader = self.db().reader().await?;
        if kept::has_blob(&mut reader, project, digest).await? {
            return Ok(());
        }
        Err(EngineError::not_found(format!("blob {digest} in what {project} keeps")))
    }
}
