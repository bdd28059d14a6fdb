//! One Run: its Jobs, Attempts and Steps, and what can be done with it.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::response::Response;
use serde::Deserialize;
use towpath_artifact::ContentStore;
use towpath_engine::{Engine, EngineError, Person};
use towpath_model::attempt::Attempt;
use towpath_model::run::{JobRun, Run, RunState};
use towpath_model::{AgentId, ArtifactName, AttemptId, Digest, ProjectName};
use towpath_store::core::failures::{Failure, Recurring};
use towpath_ui::view::{
    Action, ActionKind, ArtifactRow, AttemptView, JobView, LogAt, Notice, RunView, StepView, TestCounts,
};
use towpath_ui::{page, routes};

use super::act::{self, Comment, Refusal};
use super::reports::reports;
use super::shell::{Reader, Said, frame, html, live, or_error};
use super::{diagnostic, words};
use crate::app::App;
use crate::auth::csrf::CheckedForm;
use crate::auth::{Action as Deed, Principal};
use crate::problem::Problem;

/// What of a Run is wanted in front.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Asked {
    pub(super) job: Option<String>,
    pub(super) attempt: Option<u32>,
}

/// What a page of a Run needs besides the Run.
struct Around {
    agents: BTreeMap<AgentId, String>,
    failing: BTreeMap<AttemptId, (Failure, Recurring)>,
    lengths: BTreeMap<AttemptId, u64>,
    artifacts: BTreeMap<Digest, ArtifactRow>,
    /// What each Attempt reused, or missed: of a Step by its index, of the whole Job without one.
    reused: Vec<(AttemptId, Option<u32>, String)>,
}

/// Shows a Run.
pub(super) async fn show(
    State(app): State<App>,
    Reader(principal): Reader,
    Path((project, number)): Path<(String, u64)>,
    Query(asked): Query<Asked>,
    Said(said): Said,
) -> Response {
    let shown = said.is_some();
    let page = render(&app, &principal, (&project, number), asked, said).await;
    act::forget(&app, shown, or_error(&app, &principal, page))
}

async fn render(
    app: &App,
    principal: &Principal,
    (project, number): (&str, u64),
    asked: Asked,
    notice: Option<Notice>,
) -> Result<Response, Problem> {
    let project = act::project(principal, project)?;
    let run = app.engine.find_run(&project, number).await?;
    let around = around(app, &run).await?;
    let Asked { job, attempt } = asked;
    let view = RunView {
        shell: frame(app, principal, live(Some(&project)), notice).await?,
        number,
        page: routes::run(project.as_str(), number),
        file: run.finished_at.map(|_| routes::export(project.as_str(), number)),
        imported: None,
        commit: words::commit(&run.cause),
        reference: run.cause.short_reference().to_owned(),
        trigger: words::trigger(&run.cause),
        trust: run.trust.word().to_owned(),
        state: words::run_state(run.state),
        reason: words::some(&run.reason),
        created: run.created_at,
        started: words::started(&run),
        finished: run.finished_at,
        release: run.release.as_ref().map(|release| release.version.clone()),
        jobs: run.jobs.iter().map(|job| job_view(&run, job, &around)).collect(),
        selected: job,
        attempt,
        diagnostics: run.diagnostics.iter().map(|text| diagnostic::parse(text)).collect(),
        actions: actions(
            &run,
            act::refused(principal, Deed::ControlRun, &project).as_deref(),
            resumable(app, &run).await.as_ref(),
        ),
        reports: reports(&app.engine.evidence(&project, number).await?),
        project: project.into(),
    };
    Ok(html(page::run(&view)))
}

/// Collects what the Run itself does not know.
async fn around(app: &App, run: &Run) -> Result<Around, Problem> {
    let agents = app.engine.agents().await?;
    let agents = agents.into_iter().map(|(agent, _)| (agent.id, agent.hostname)).collect();
    let attempts: Vec<AttemptId> =
        run.jobs.iter().flat_map(|job| &job.attempts).map(|attempt| attempt.id).collect();
    let failures = app.engine.failures_of_run(&run.project, run.number).await?;
    let failing = failures.into_iter().map(|known| (known.0.attempt, known)).collect();
    let manifests: Vec<(ArtifactName, Digest)> = run
        .jobs
        .iter()
        .flat_map(|job| &job.artifacts)
        .map(|(name, digest)| (name.clone(), *digest))
        .collect();
    let (logs, content) = (Arc::clone(app.engine.logs()), app.engine.content().clone());
    let read = tokio::task::spawn_blocking(move || {
        // A log that cannot be read is told where it is shown; the page does without.
        let lengths = attempts.into_iter().map(|id| (id, logs.length(id).unwrap_or(0))).collect();
        let artifacts = manifests.iter().map(|(name, digest)| (*digest, artifact(&content, name, *digest)));
        (lengths, artifacts.collect())
    });
    let (lengths, artifacts) = read.await.map_err(|error| Problem::internal(&error))?;
    let uses = app.engine.kept_uses(&run.project, run.id).await?;
    let reused = uses.iter().map(|(used, entry)| {
        let by = entry.as_ref().map(towpath_engine::kept::writer);
        (used.attempt, used.step, towpath_engine::kept::words(used, by.as_deref()))
    });
    Ok(Around { agents, failing, lengths, artifacts, reused: reused.collect() })
}

/// An Artifact with its size, as its manifest tells it.
pub(super) fn artifact(content: &ContentStore, name: &ArtifactName, digest: Digest) -> ArtifactRow {
    let manifest = content.read(digest, 1 << 20).ok();
    let manifest: Option<serde_json::Value> = manifest.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let layers = manifest.as_ref().and_then(|manifest| manifest.get("layers")?.as_array());
    let size = |layer: &serde_json::Value| layer.get("size").and_then(serde_json::Value::as_u64);
    let (bytes, kind) = match layers {
        Some(layers) => (layers.iter().filter_map(size).sum(), "files"),
        None => (0, "missing from the content store"),
    };
    ArtifactRow { name: name.to_string(), digest: digest.to_string(), bytes, kind: kind.to_owned() }
}

fn job_view(run: &Run, job: &JobRun, around: &Around) -> JobView {
    let declared = run.pipeline.as_ref().and_then(|pipeline| pipeline.job(&job.name));
    let needs = declared.map(|declared| declared.needs.iter().map(ToString::to_string).collect());
    let tests = job.attempts.iter().rev().find_map(|attempt| attempt.tests).map(|tests| TestCounts {
        passed: tests.passed.into(),
        failed: tests.failed.into(),
        skipped: tests.skipped.into(),
    });
    let cell = declared.and_then(|declared| declared.cell.as_ref());
    JobView {
        of: cell.map(|cell| cell.of.to_string()),
        label: cell.map(towpath_model::matrix::Cell::label),
        commands: commands(run, job),
        name: job.name.to_string(),
        needs: needs.unwrap_or_default(),
        state: words::job_state(job.state, job.attempts.last().map(|attempt| attempt.state)),
        reason: words::some(&job.reason),
        attempts: job.attempts.iter().map(|attempt| attempt_view(attempt, around)).collect(),
        tests,
        artifacts: job
            .artifacts
            .values()
            .filter_map(|digest| around.artifacts.get(digest).cloned())
            .collect(),
    }
}

/// How to go on from a Job that failed, on a terminal.
fn commands(run: &Run, job: &JobRun) -> Vec<String> {
    if job.state != towpath_model::run::JobState::Failed || run.cannot_resume(&job.name).is_some() {
        return Vec::new();
    }
    let place = format!("{}/{}", run.title(), job.name);
    vec![format!("towpath resume {place} --edit"), format!("towpath shell {place}")]
}

/// How it ended, and whether it was tried again.
fn attempt_reason(attempt: &Attempt) -> String {
    match &attempt.retry {
        Some(note) if note.again.is_some() || !note.refusal.is_empty() => {
            format!("{} ({})", attempt.message, note.words())
        }
        _ => attempt.message.clone(),
    }
}

fn attempt_view(attempt: &Attempt, around: &Around) -> AttemptView {
    let said = |step: Option<u32>| {
        let own = around.reused.iter().filter(move |(id, of, _)| *id == attempt.id && *of == step);
        own.map(|(_, _, text)| text.clone())
    };
    let steps = (0_u32..).zip(&attempt.steps).map(|(index, step)| {
        let (state, note) = words::step_state(&step.state);
        let note = said(Some(index)).chain(note).reduce(|one, other| format!("{one}; {other}"));
        StepView {
            name: step.name.clone(),
            state,
            note,
            started: step.started_at,
            finished: step.finished_at,
        }
    });
    let agent = attempt.agent.map(|id| around.agents.get(&id).cloned().unwrap_or_else(|| id.to_string()));
    AttemptView {
        log: Some(LogAt {
            lines: routes::log(&attempt.id.to_string()),
            text: routes::log_text(&attempt.id.to_string()),
            groups: routes::log_groups(&attempt.id.to_string()),
        }),
        number: attempt.number,
        state: words::attempt_state(attempt.state),
        reason: words::some(&attempt_reason(attempt)),
        agent,
        isolation: attempt.isolation.clone(),
        images: attempt
            .images
            .iter()
            .map(|image| (image.role.clone(), image.reference.clone(), image.digest.clone()))
            .collect(),
        started: attempt.started_at,
        finished: attempt.finished_at,
        steps: steps.collect(),
        log_bytes: around.lengths.get(&attempt.id).copied().unwrap_or(attempt.log_bytes),
        failing_line: around.failing.get(&attempt.id).map(|(failure, _)| failure.line),
        seen: around.failing.get(&attempt.id).and_then(|(_, known)| seen(known)),
        reuse: said(None).collect(),
    }
}

/// How often something failed like that.
fn seen(known: &Recurring) -> Option<String> {
    if known.count < 2 {
        return None;
    }
    let commit = known.first.commit.get(..8).unwrap_or(&known.first.commit);
    let host = if known.first.agent.is_empty() {
        String::new()
    } else {
        format!(", first on {}", known.first.agent)
    };
    Some(format!("`{}`: seen {} times since commit {commit}{host}.", known.last.signature, known.count))
}

/// The first Job that can go on from the Step that failed, and which Step that is, counted from 1.
async fn resumable(app: &App, run: &Run) -> Option<(String, u32)> {
    let failed = run.jobs.iter().filter(|job| job.state == towpath_model::run::JobState::Failed);
    for job in failed.filter(|job| run.cannot_resume(&job.name).is_none()) {
        let Some(step) = job.attempts.last().and_then(words::failed_step) else { continue };
        let kept = app.engine.kept_workspaces(&run.project, run.number, job.name.as_str()).await;
        // A list that cannot be read costs the button, and not the page.
        if kept.unwrap_or_default().iter().any(|kept| kept.step + 1 == step) {
            return Some((job.name.to_string(), step + 1));
        }
    }
    None
}

/// Cancel while it runs; again, once it has failed; on from where it failed.
fn actions(run: &Run, refused: Option<&str>, resumable: Option<&(String, u32)>) -> Vec<Action> {
    let page = routes::run(run.project.as_str(), run.number);
    let action = |kind, label: &str, consequence: String| {
        Action::on(&page, kind, label, consequence).unless(refused.map(str::to_owned))
    };
    let names = |wanted: fn(&JobRun) -> bool| {
        let names: Vec<String> =
            run.jobs.iter().filter(|job| wanted(job)).map(|job| format!("`{}`", job.name)).collect();
        if names.is_empty() { "no job".to_owned() } else { names.join(", ") }
    };
    let mut actions = Vec::new();
    if run.state == RunState::AwaitingApproval {
        let consequence = format!(
            "Runs commit {} of somebody who may not push to the repository, without secrets and without sealing anything. \
             Look at what it changes first.",
            run.cause.short_commit()
        );
        actions.push(action(ActionKind::Allow, "Let it run", consequence));
    }
    if !run.state.is_final() {
        let open = names(|job| !job.state.is_final());
        let consequence = format!(
            "Ends {open} of {}: running steps get TERM, then KILL. Nothing is sealed. Jobs that have passed stay as they are.",
            run.title()
        );
        actions.push(action(ActionKind::Cancel, "Cancel", consequence));
    }
    if run.can_rerun() {
        let again = names(|job| job.state != towpath_model::run::JobState::Passed);
        let label = if run.state == RunState::Failed { "Rerun what failed" } else { "Rerun" };
        let consequence = format!(
            "Tries {again} of {} again at the same commit {}. Jobs that have passed are not run again.",
            run.title(),
            run.cause.short_commit()
        );
        actions.push(action(ActionKind::Rerun, label, consequence));
    }
    if let Some((job, step)) = resumable {
        let consequence = format!(
            "Tries `{job}` again from step {step}, in the workspace as it was before it; steps before that are not run. To edit the \
             command first: `towpath resume {}/{job} --edit`. To look around there: `towpath shell {}/{job}`.",
            run.title(),
            run.title()
        );
        let resume = action(ActionKind::Resume, &format!("Resume {job} from step {step}"), consequence);
        actions.push(resume.sending("job", job));
    }
    actions
}

/// Cancels a Run.
pub(super) async fn cancel(
    State(app): State<App>,
    Path((project, number)): Path<(String, u64)>,
    form: CheckedForm<Comment>,
) -> Response {
    let comment = form.fields.comment.trim();
    control(&app, &form.principal, (&project, number), async |engine, project, person| {
        let run = engine.cancel_run(project, number, comment, &person).await?;
        Ok(format!("{} was cancelled.", run.title()))
    })
    .await
}

/// Lets a Run of a fork go on.
pub(super) async fn allow(
    State(app): State<App>,
    Path((project, number)): Path<(String, u64)>,
    form: CheckedForm<Comment>,
) -> Response {
    control(&app, &form.principal, (&project, number), async |engine, project, person| {
        let run = engine.allow_run(project, number, &person).await?;
        Ok(format!("{} may run.", run.title()))
    })
    .await
}

/// Tries a Run again.
pub(super) async fn rerun(
    State(app): State<App>,
    Path((project, number)): Path<(String, u64)>,
    form: CheckedForm<Comment>,
) -> Response {
    control(&app, &form.principal, (&project, number), async |engine, project, person| {
        let run = engine.rerun(project, number, &person).await?;
        Ok(format!("{} is tried again.", run.title()))
    })
    .await
}

/// Which Job shall go on.
#[derive(Debug, Deserialize)]
pub(super) struct Resumed {
    job: String,
}

/// Lets a Job go on from the Step that failed.
pub(super) async fn resume(
    State(app): State<App>,
    Path((project, number)): Path<(String, u64)>,
    form: CheckedForm<Resumed>,
) -> Response {
    let job = &form.fields.job;
    control(&app, &form.principal, (&project, number), async |engine, project, person| {
        let run = engine.resume_job(project, number, job, None, None, &person).await?;
        Ok(format!("{} goes on with {job}.", run.title()))
    })
    .await
}

/// Does something to a Run for somebody who may, then shows its page with what was done, or with why nothing was.
async fn control(
    app: &App,
    principal: &Principal,
    at: (&str, u64),
    deed: impl AsyncFnOnce(&Engine, &ProjectName, Person) -> Result<String, EngineError>,
) -> Response {
    let done = async {
        let project = act::project(principal, at.0)?;
        let _permit = principal.may(Deed::ControlRun, Some(&project))?;
        Ok(deed(&app.engine, &project, act::person(principal, &project)).await?)
    };
    match done.await {
        Ok(said) => act::done(app, &routes::run(at.0, at.1), &said),
        Err(Refusal::Instead(problem)) => or_error(app, principal, Err(problem)),
        Err(Refusal::OnPage(reason)) => {
            let page = render(app, principal, at, Asked::default(), act::not_done(reason)).await;
            act::conflict(app, principal, page)
        }
    }
}
