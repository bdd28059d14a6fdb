//! A push becomes Runs.

use std::collections::BTreeMap;

use towpath_config::PIPELINE_FILE;
use towpath_model::input;
use towpath_model::origin::Origin;
use towpath_model::pattern::fits;
use towpath_model::pipeline::Pipeline;
use towpath_model::plan::{self, Occasion};
use towpath_model::run::{Admission, Cause, NewRun, Run, RunEvent, RunState, Trust};
use towpath_model::timeline::{Actor, Entry};
use towpath_model::{Digest, ProjectName, RunId};
use towpath_store::core::projects::{self, Project};
use towpath_store::core::{environments, runs, verdicts};
use towpath_store::git_refs;

use crate::git::{self, CommitFacts};
use crate::history::Unstarted;
use crate::unit::Unit;
use crate::{Engine, EngineError, Person};

/// A ref that a push changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefChange {
    /// The full name: `refs/heads/main`.
    pub name: String,
    /// What it was; `None` if it is new.
    pub old: Option<String>,
    /// What it is; `None` if it was deleted.
    pub new: Option<String>,
}

pub(crate) type Checked = Result<(Pipeline, Digest), Vec<String>>;

impl Engine {
    /// Starts Runs for what was pushed. Says, for the pusher's terminal, what became of it.
    ///
    /// Saying the same again starts nothing twice.
    ///
    /// # Errors
    /// When git or the database fails; the refs stay unhandled and are looked at again at the next start.
    pub async fn pushed(
        &self,
        project: &ProjectName,
        changes: &[RefChange],
        actor: &Actor,
    ) -> Result<Vec<String>, EngineError> {
        let mut reader = self.db().reader().await?;
        let project = projects::find(&mut reader, project).await?;
        let project = project.ok_or_else(|| EngineError::not_found("the project"))?;
        let source = towpath_store::core::sources::find(&mut reader, &project.name).await?;
        drop(reader);
        if source.is_some_and(|source| source.contact_at.is_none()) {
            // The first look at a source takes what is there as known.
            return Ok(Vec::new());
        }
        let mut lines = Vec::new();
        for change in changes {
            match &change.new {
                Some(commit) => lines.extend(self.ref_moved(&project, change, commit, actor).await?),
                None => self.ref_deleted(&project, change, actor).await?,
            }
        }
        Ok(lines)
    }

    async fn ref_deleted(
        &self,
        project: &Project,
        change: &RefChange,
        actor: &Actor,
    ) -> Result<(), EngineError> {
        let repository = git::repository(&self.0.parts.repositories, &project.name);
        if repository.resolve(&change.name).await?.is_some() {
            // Told late: it was made again in between.
            return Ok(());
        }
        let mut unit = self.begin().await?;
        git_refs::handled(&mut unit.tx, project.name.as_str(), &change.name, None, unit.now).await?;
        verdicts::forget(&mut unit.tx, &project.name, &change.name).await?;
        let text = format!("{} deleted {}", actor.name(), change.name);
        let subject = format!("ref:{}/{}", project.name, change.name);
        unit.record(Some(&project.name), None, &subject, Entry::new("ref-deleted", actor.clone(), text))
            .await?;
        unit.commit().await
    }

    async fn ref_moved(
        &self,
        project: &Project,
        change: &RefChange,
        commit: &str,
        actor: &Actor,
    ) -> Result<Vec<String>, EngineError> {
        let repository = git::repository(&self.0.parts.repositories, &project.name);
        // A tag object points at a commit; everything is told of the commit.
        let Some(commit) = repository.resolve(commit).await? else { return Ok(Vec::new()) };
        // Told late, of two pushes at once: the newer one says what the ref is now.
        let newest = repository.resolve(&change.name).await?.as_ref() == Some(&commit);
        let facts = repository.commit(&commit).await?;
        let trusted = trust(project, &change.name);
        let checked = self.read_pipeline(&repository, project, &commit, trusted).await?;
        let why_not = match &checked {
            Ok((pipeline, _)) => self.not_triggered(project, pipeline, change, &commit).await?,
            Err(_) => None,
        };
        let default = repository.default_branch().await?;
        let mut unit = self.begin().await?;
        if git_refs::find(&mut unit.tx, project.name.as_str(), &change.name).await? == change.new {
            return Ok(Vec::new());
        }
        if newest {
            let new = change.new.as_deref();
            git_refs::handled(&mut unit.tx, project.name.as_str(), &change.name, new, unit.now).await?;
            if let (Ok((pipeline, _)), true) = (&checked, change.name == default) {
                unit.keep_standing(project, pipeline).await?;
            }
        }
        if let Some(why) = why_not {
            let text = format!("{} moved {} to {}; no Run: {why}", actor.name(), change.name, short(&commit));
            let subject = format!("ref:{}/{}", project.name, change.name);
            let occasion = Occasion {
                event: event_of(&change.name).to_owned(),
                reference: change.name.clone(),
                changed: None,
                trust: trust(project, &change.name),
                origin: None,
            };
            let (old, title) = (change.old.as_deref(), facts.subject.as_str());
            let unstarted =
                Unstarted { occasion: &occasion, commit: &commit, subject: title, old, why: &why };
            let entry = unstarted.note(Entry::new("pushed", actor.clone(), text));
            unit.record(Some(&project.name), None, &subject, entry).await?;
            unit.commit().await?;
            return Ok(vec![format!("no Run for {}: {why}", change.name)]);
        }
        let cause = unit.cause(event_of(&change.name), &change.name, &commit, facts, actor.clone()).await?;
        let (run, lines) = unit.start_run(project, cause, Admission::Free, checked).await?;
        tracing::info!(run.id = %run.id, project = %project.name, run.number = run.number, "a push started a run");
        unit.commit().await?;
        Ok(lines)
    }

    /// Why a push starts no Run, if so.
    async fn not_triggered(
        &self,
        project: &Project,
        pipeline: &Pipeline,
        change: &RefChange,
        commit: &str,
    ) -> Result<Option<String>, EngineError> {
        let is_branch = change.name.starts_with("refs/heads/");
        if !is_branch && !change.name.starts_with("refs/tags/") {
            return Ok(Some("it is neither a branch nor a tag".to_owned()));
        }
        let by_path = pipeline.triggers.push.as_ref().is_some_and(|push| !push.paths.is_empty());
        let changed = match &change.old {
            Some(old) if is_branch && by_path => {
                let repository = git::repository(&self.0.parts.repositories, &project.name);
                repository.changed_paths(old, commit).await?
            }
            _ => None,
        };
        let occasion = Occasion {
            event: event_of(&change.name).to_owned(),
            reference: change.name.clone(),
            changed,
            trust: trust(project, &change.name),
            origin: None,
        };
        let (starts, reason) = plan::starts(pipeline, &occasion);
        Ok((!starts).then_some(reason))
    }

    /// Starts a Run by hand, on a ref or a commit of the Project.
    ///
    /// # Errors
    /// When there is no such Project or ref, or the pipeline does not allow it.
    pub async fn start_run(
        &self,
        project: &ProjectName,
        reference: &str,
        inputs: &BTreeMap<String, String>,
        person: &Person,
    ) -> Result<Run, EngineError> {
        let mut reader = self.db().reader().await?;
        let known = projects::find(&mut reader, project).await?;
        let project = known.ok_or_else(|| EngineError::not_found(format!("project {project}")))?;
        drop(reader);
        let repository = git::repository(&self.0.parts.repositories, &project.name);
        let full = match reference {
            "" => repository.default_branch().await?,
            full if full.starts_with("refs/") => full.to_owned(),
            branch => format!("refs/heads/{branch}"),
        };
        let commit = repository.resolve(&full).await?;
        let commit = commit.ok_or_else(|| EngineError::not_found(format!("{full} of {}", project.name)))?;
        let facts = repository.commit(&commit).await?;
        let checked = self.read_pipeline(&repository, &project, &commit, trust(&project, &full)).await?;
        if checked.as_ref().is_ok_and(|(pipeline, _)| !pipeline.triggers.manual) {
            return Err(EngineError::refused(
                "the pipeline has no `on: manual`; add it to start Runs by hand",
            ));
        }
        let declared = checked.as_ref().map(|(pipeline, _)| pipeline.triggers.inputs.as_slice());
        let inputs = input::resolve(declared.unwrap_or_default(), inputs).map_err(|problems| {
            EngineError::invalid(format!("the Run was not started: {}", problems.join("; ")))
        });
        // What a broken file declares cannot be known; its Run says what is broken.
        let inputs = if checked.is_ok() { inputs? } else { BTreeMap::new() };
        let mut unit = self.begin().await?;
        let mut cause = unit.cause("manual", &full, &commit, facts, person.actor()).await?;
        cause.inputs = inputs;
        let (run, _) = unit.start_run(&project, cause, Admission::Free, checked).await?;
        unit.commit().await?;
        Ok(run)
    }
}

impl Unit<'_> {
    pub(crate) async fn cause(
        &mut self,
        event: &str,
        reference: &str,
        commit: &str,
        facts: CommitFacts,
        actor: Actor,
    ) -> Result<Cause, EngineError> {
        let mut makers: Vec<String> = actor.login().map(str::to_owned).into_iter().collect();
        for mail in &facts.mails {
            let logins = towpath_store::people::users::logins_of_mail(&mut self.tx, mail).await?;
            makers.extend(logins);
        }
        makers.sort_unstable();
        makers.dedup();
        Ok(Cause {
            event: event.to_owned(),
            reference: reference.to_owned(),
            commit: commit.to_owned(),
            subject: facts.subject,
            author: facts.author,
            makers,
            actor,
            inputs: BTreeMap::new(),
            origin: None,
        })
    }

    /// Makes a Run and says, for a terminal, what will happen.
    pub(crate) async fn start_run(
        &mut self,
        project: &Project,
        mut cause: Cause,
        admission: Admission,
        checked: Checked,
    ) -> Result<(Run, Vec<String>), EngineError> {
        let trust = match &cause.origin {
            // Told by whoever fetched it, never by its name.
            Some(Origin::PullRequest(request)) => request.trust,
            _ => trust(project, &cause.reference),
        };
        if let (Ok((pipeline, _)), true) = (&checked, cause.event != "manual") {
            cause.inputs = input::defaults(&pipeline.triggers.inputs);
        }
        let number = runs::next_number(&mut self.tx, &project.name).await?;
        let id = RunId(uuid::Uuid::now_v7());
        let directory = project.directory.clone();
        let new = NewRun {
            id,
            project: project.name.clone(),
            number,
            directory,
            cause,
            trust,
            pipeline: checked,
            admission,
        };
        let (mut run, handled) = Run::start(new, self.now);
        self.store_run(&mut run, handled).await?;
        if run.pipeline.as_ref().is_some_and(|pipeline| pipeline.cancel_superseded) {
            self.supersede_older(&run).await?;
        }
        let mut lines =
            vec![format!("Run {} {}p/{}/runs/{number}", run.title(), self.engine.public_url(), run.project)];
        if run.state == RunState::AwaitingApproval {
            lines.push(run.reason.clone());
        } else if run.state == RunState::Invalid {
            lines.push(format!("{PIPELINE_FILE} has mistakes; nothing was run. Mend it and push again:"));
            lines.extend(run.diagnostics.iter().flat_map(|text| text.lines()).map(str::to_owned));
        } else {
            lines.extend(self.outlook(&run).await?);
        }
        Ok((run, lines))
    }

    /// A newer Run of the same ref ends older ones that have sealed nothing yet.
    async fn supersede_older(&mut self, newer: &Run) -> Result<(), EngineError> {
        for id in runs::unfinished(&mut self.tx, &newer.project).await? {
            let Some(older) = runs::find(&mut self.tx, id).await? else { continue };
            let same =
                older.cause.reference == newer.cause.reference && older.cause.event == newer.cause.event;
            if same && older.number < newer.number {
                let reason = format!("{} is newer on the same ref", newer.title());
                self.run_event(id, RunEvent::CancelRequested { actor: Actor::Towpath, reason }).await?;
            }
        }
        Ok(())
    }

    /// What will happen, for the pusher's terminal.
    async fn outlook(&mut self, run: &Run) -> Result<Vec<String>, EngineError> {
        let Some(pipeline) = &run.pipeline else { return Ok(Vec::new()) };
        let jobs: Vec<&str> = pipeline.jobs.iter().map(|job| job.name.as_str()).collect();
        let mut lines = vec![format!("jobs: {}", jobs.join(", "))];
        if !run.seals() {
            lines.push("no Release: only a protected ref of a project with workloads seals one".to_owned());
            return Ok(lines);
        }
        let known = environments::all(&mut self.tx, Some(&run.project)).await?;
        for stage in &pipeline.stages {
            for name in &stage.environments {
                let Some(environment) = known.iter().find(|known| known.key.environment == *name) else {
                    lines
                        .push(format!("{name}: has no document yet (`towpath apply` makes the environment)"));
                    continue;
                };
                let gates = environment
                    .policy
                    .document
                    .gates
                    .iter()
                    .chain(&stage.gates)
                    .map(towpath_model::pipeline::Gate::words);
                let gates: Vec<String> = gates.collect();
                let waits = if gates.is_empty() {
                    "no gates".to_owned()
                } else {
                    format!("waits for {}", gates.join("; "))
                };
                lines.push(format!("{name}: {waits}"));
            }
        }
        Ok(lines)
    }
}

/// What a change of a ref is to the pipeline.
fn event_of(reference: &str) -> &'static str {
    if reference.starts_with("refs/tags/") { "tag" } else { "push" }
}

/// What a Project trusts a ref with.
pub(crate) fn trust(project: &Project, reference: &str) -> Trust {
    if !reference.starts_with("refs/heads/") && !reference.starts_with("refs/tags/") {
        // What is neither branch nor tag was not pushed by anybody who may push.
        return Trust::Fork;
    }
    let protected = project.protected_refs.iter().any(|pattern| fits(pattern, reference));
    if protected { Trust::Protected } else { Trust::Internal }
}

fn short(commit: &str) -> &str {
    commit.get(..7).unwrap_or(commit)
}
