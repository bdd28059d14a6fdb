//! Triggers that stand: starts Runs when a schedule is due, and when another Project seals a Release.
//!
//! Which there are, the pipeline file of a Project's default branch says; they are kept as rows, so that a due time that
//! passed while the server was down is seen at its next start.

use std::time::Duration;

use towpath_model::ProjectName;
use towpath_model::origin::{Origin, ReleaseTrigger, Upstream};
use towpath_model::pipeline::{Pipeline, Triggers};
use towpath_model::run::{Admission, Run, SealedRelease};
use towpath_model::schedule::{self, Due, ScheduleTrigger};
use towpath_model::timeline::{Actor, Entry};
use towpath_store::core::outbox;
use towpath_store::core::projects::{self, Project};
use towpath_store::core::standing::{self, Standing, Trigger};

use crate::error::chain;
use crate::git::{self, CommitFacts};
use crate::push::{Checked, trust};
use crate::unit::{Effect, Unit};
use crate::{Engine, EngineError};

/// The longest sleep, so that a clock that jumps is noticed.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

/// How many Releases may lead to one another before it counts as a circle.
const MAX_DEPTH: u32 = 8;

/// What a standing trigger would run.
struct Tip {
    project: Project,
    reference: String,
    commit: String,
    facts: CommitFacts,
    checked: Checked,
}

impl Engine {
    /// The triggers of a Project that stand, in the order of its file.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn standing_triggers(&self, project: &ProjectName) -> Result<Vec<Standing>, EngineError> {
        let mut reader = self.db().reader().await?;
        Ok(standing::of_project(&mut reader, project).await?)
    }

    /// What starts Runs, as the newest file of the default branch says; `None` where that is broken or missing.
    ///
    /// # Errors
    /// When git or the database fails.
    pub async fn default_triggers(&self, project: &ProjectName) -> Result<Option<Triggers>, EngineError> {
        let tip = self.tip(project, None).await?;
        Ok(tip.ok().and_then(|tip| tip.checked.ok()).map(|(pipeline, _)| pipeline.triggers))
    }

    pub(crate) async fn watch_schedules(&self) {
        loop {
            let sleep = match self.start_due().await {
                Ok(sleep) => sleep,
                Err(error) => {
                    tracing::error!(
                        error = chain(&error),
                        "schedules could not be looked at; they are looked at again in a second"
                    );
                    Duration::from_secs(1)
                }
            };
            let _ = tokio::time::timeout(sleep, self.signals().schedules.notified()).await;
        }
    }

    async fn start_due(&self) -> Result<Duration, EngineError> {
        let due = standing::due(&mut *self.db().reader().await?, self.now()).await?;
        let mut failed = None;
        for standing in due {
            // One that cannot be started keeps no other one waiting.
            failed = self.start_scheduled(&standing).await.err().or(failed);
        }
        if let Some(error) = failed {
            return Err(error);
        }
        let next = standing::next_due(&mut *self.db().reader().await?).await?;
        let until = next
            .map_or(LONGEST_SLEEP, |at| at.duration_since(self.now()).try_into().unwrap_or(Duration::ZERO));
        Ok(until.clamp(Duration::from_millis(5), LONGEST_SLEEP))
    }

    async fn start_scheduled(&self, standing: &Standing) -> Result<(), EngineError> {
        let Trigger::Schedule { schedule, next_at: Some(next) } = &standing.trigger else { return Ok(()) };
        let ScheduleTrigger { cron, branch } = schedule;
        let Some(Due { planned, next: again, words }) = schedule::due(cron, *next, self.now()) else {
            return Ok(());
        };
        let tip = self.tip(&standing.project, branch.as_deref()).await?;
        let mut unit = self.begin().await?;
        // The file may have changed in between: then its new triggers are looked at instead.
        if !unit.still_stands(standing).await? {
            return Ok(());
        }
        let origin = Origin::Schedule { planned, words };
        let what = unit.start_standing(tip, "schedule", origin).await?;
        standing::fired(&mut unit.tx, standing, again, unit.now, &what).await?;
        unit.schedules_changed();
        unit.commit().await
    }

    /// Starts the Runs of the Projects that wait for a Release.
    pub(crate) async fn announce(
        &self,
        effect: i64,
        project: &ProjectName,
        release: &SealedRelease,
        depth: u32,
    ) -> Result<(), EngineError> {
        let waiting = standing::downstream(&mut *self.db().reader().await?, project).await?;
        let fits = |standing: &Standing| match &standing.trigger {
            Trigger::Release(trigger) => ReleaseTrigger::fits(trigger, project, &release.version),
            Trigger::Schedule { .. } => false,
        };
        let mut tips = Vec::new();
        for standing in waiting.into_iter().filter(fits) {
            let tip = self.tip(&standing.project, None).await?;
            tips.push((standing, tip));
        }
        let mut unit = self.begin().await?;
        for (standing, tip) in tips {
            let upstream = Upstream {
                project: project.clone(),
                version: release.version.clone(),
                digest: release.digest.to_string(),
                depth,
            };
            let what = if depth >= MAX_DEPTH {
                unit.refuse_circle(&standing.project, &upstream).await?
            } else {
                unit.start_standing(tip, "release", Origin::Release(upstream)).await?
            };
            standing::fired(&mut unit.tx, &standing, None, unit.now, &what).await?;
        }
        outbox::remove(&mut unit.tx, effect).await?;
        unit.commit().await
    }

    /// The newest commit of a branch; `Err` in words where there is none.
    async fn tip(
        &self,
        name: &ProjectName,
        branch: Option<&str>,
    ) -> Result<Result<Tip, String>, EngineError> {
        let project = projects::find(&mut *self.db().reader().await?, name).await?;
        let project = project.ok_or_else(|| EngineError::not_found(format!("project {name}")))?;
        let repository = git::repository(&self.0.parts.repositories, name);
        let reference = match branch {
            Some(branch) => format!("refs/heads/{branch}"),
            None => repository.default_branch().await?,
        };
        let Some(commit) = repository.resolve(&reference).await? else {
            return Ok(Err(format!("{reference} of {name} does not exist, so nothing was started")));
        };
        let facts = repository.commit(&commit).await?;
        let checked = self.read_pipeline(&repository, &project, &commit, trust(&project, &reference)).await?;
        Ok(Ok(Tip { project, reference, commit, facts, checked }))
    }
}

impl Unit<'_> {
    /// Writes down what the file of the default branch says of times and of other Projects.
    pub(crate) async fn keep_standing(
        &mut self,
        project: &Project,
        pipeline: &Pipeline,
    ) -> Result<(), EngineError> {
        let schedules = pipeline.triggers.schedules.iter().map(|schedule| Trigger::Schedule {
            schedule: schedule.clone(),
            next_at: schedule.cron.due_after(self.now),
        });
        let releases = pipeline.triggers.releases.iter().cloned().map(Trigger::Release);
        let triggers: Vec<Trigger> = schedules.chain(releases).collect();
        standing::replace(&mut self.tx, &project.name, &triggers).await?;
        self.schedules_changed();
        Ok(())
    }

    /// Queues the news of a Release for the Projects that wait for it.
    pub(crate) async fn announce_later(
        &mut self,
        run: &Run,
        release: &SealedRelease,
    ) -> Result<(), EngineError> {
        if standing::downstream(&mut self.tx, &run.project).await?.is_empty() {
            return Ok(());
        }
        let depth = match &run.cause.origin {
            Some(Origin::Release(upstream)) => upstream.depth.saturating_add(1),
            Some(Origin::PullRequest(_) | Origin::Schedule { .. }) | None => 0,
        };
        let effect = Effect::Announce { project: run.project.clone(), release: release.clone(), depth };
        self.push_effect("release", &run.project, &release.version, &effect).await
    }

    async fn still_stands(&mut self, standing: &Standing) -> Result<bool, EngineError> {
        let now = standing::of_project(&mut self.tx, &standing.project).await?;
        Ok(now.iter().any(|other| other.position == standing.position && other.trigger == standing.trigger))
    }

    /// Starts a Run of a tip. Says, for people, what came of it.
    async fn start_standing(
        &mut self,
        tip: Result<Tip, String>,
        event: &str,
        origin: Origin,
    ) -> Result<String, EngineError> {
        let Tip { project, reference, commit, facts, checked } = match tip {
            Ok(tip) => tip,
            Err(why) => return Ok(why),
        };
        let mut cause = self.cause(event, &reference, &commit, facts, Actor::Towpath).await?;
        cause.origin = Some(origin);
        let (run, _) = self.start_run(&project, cause, Admission::Free, checked).await?;
        tracing::info!(run.id = %run.id, project = %run.project, run.number = run.number, event, "a trigger started a run");
        Ok(format!("started {}", run.title()))
    }

    async fn refuse_circle(
        &mut self,
        project: &ProjectName,
        upstream: &Upstream,
    ) -> Result<String, EngineError> {
        let Upstream { project: other, version, digest: _, depth } = upstream;
        let text = format!(
            "{project} was not started by {other} {version}: {depth} Releases led to it one after the other, which looks like a \
             circle; take one `on: release` out"
        );
        let entry = Entry::new("release-circle", Actor::Towpath, text.clone());
        self.record(Some(project), None, &format!("project:{project}"), entry).await?;
        Ok(text)
    }
}
