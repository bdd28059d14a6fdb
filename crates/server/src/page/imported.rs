//! A Run that another server exported, as its file tells it.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use towpath_api::rest::{Attempt, ImportedDetail, ImportedRun, Job};
use towpath_model::ProjectName;
use towpath_ui::groups::{Group, Groups};
use towpath_ui::view::{
    Action, ActionKind, ArtifactRow, AttemptView, ImportedView, JobView, LogAt, Notice, ReportsView, RunView,
    StepView, TestCounts,
};
use towpath_ui::{log, page, routes};

use super::act::{self, Comment, Refusal};
use super::reports::reports;
use super::run::Asked;
use super::shell::{Reader, Said, frame, html, or_error};
use super::{diagnostic, words};
use crate::app::App;
use crate::auth::csrf::CheckedForm;
use crate::auth::{Action as Deed, Principal};
use crate::problem::Problem;
use crate::rest::LogOf;

/// The most lines in one answer.
const MOST: usize = 2000;

/// Shows an imported Run.
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
    let detail = app.engine.imported_run(&project, number).await?;
    let ImportedDetail { imported, run, evidence, .. } = &detail;
    let origin = &imported.origin;
    let Asked { job, attempt } = asked;
    let page = routes::imported(project.as_str(), number);
    let view = RunView {
        // Nothing of it changes any more.
        shell: frame(app, principal, None, notice).await?,
        number,
        file: Some(routes::imported_file(project.as_str(), number)),
        imported: Some(from(&detail)),
        commit: words::commit(&run.cause),
        reference: run.cause.short_reference().to_owned(),
        trigger: words::trigger(&run.cause),
        trust: run.trust.word().to_owned(),
        state: words::run_state(run.state),
        reason: words::some(&run.reason),
        created: run.created_at,
        started: origin.started_at,
        finished: run.finished_at,
        release: None,
        jobs: run.jobs.iter().map(|job| job_view(&detail, job)).collect(),
        selected: job,
        attempt,
        diagnostics: run.diagnostics.iter().map(|text| diagnostic::parse(text)).collect(),
        actions: vec![remove_action(principal, &project, &page, imported)],
        reports: evidence.as_ref().map_or_else(ReportsView::default, reports),
        page,
        project: project.into(),
    };
    Ok(html(page::run(&view)))
}

fn from(detail: &ImportedDetail) -> ImportedView {
    let ImportedDetail { imported, run, left_out, .. } = detail;
    let origin = &imported.origin;
    ImportedView {
        instance: origin.instance.clone(),
        title: format!("{}#{}", origin.project, origin.run),
        exported_by: origin.exported_by.clone(),
        exported: origin.exported_at,
        by: imported.imported_by.clone(),
        at: imported.imported_at,
        digest: imported.digest.clone(),
        release: run.release.as_ref().map(|release| release.version.clone()),
        left_out: left_out.clone(),
    }
}

fn job_view(detail: &ImportedDetail, job: &Job) -> JobView {
    let tests = job.attempts.iter().rev().find_map(|attempt| attempt.tests).map(|tests| TestCounts {
        passed: tests.passed.into(),
        failed: tests.failed.into(),
        skipped: tests.skipped.into(),
    });
    let why = (!job.why.is_empty()).then(|| format!("It ran: {}", job.why));
    let reason =
        words::some(&job.reason).into_iter().chain(why).reduce(|one, other| format!("{one}. {other}"));
    let artifact = |(name, digest): (&String, &String)| ArtifactRow {
        name: name.clone(),
        digest: digest.clone(),
        bytes: 0,
        kind: "did not come along".to_owned(),
    };
    JobView {
        of: None,
        label: None,
        commands: Vec::new(),
        name: job.name.clone(),
        needs: job.needs.clone(),
        state: words::job_state(job.state, job.attempts.last().map(|attempt| attempt.state)),
        reason,
        attempts: job.attempts.iter().map(|attempt| attempt_view(detail, job, attempt)).collect(),
        tests,
        artifacts: job.artifacts.iter().map(artifact).collect(),
    }
}

fn attempt_view(detail: &ImportedDetail, job: &Job, attempt: &Attempt) -> AttemptView {
    let ImportedRun { project, number, .. } = &detail.imported;
    let steps = attempt.steps.iter().map(|step| {
        let (state, note) = words::step_state(&step.state);
        StepView {
            name: step.name.clone(),
            state,
            note,
            started: step.started_at,
            finished: step.finished_at,
        }
    });
    let log = detail.logs.iter().find(|log| log.job == job.name && log.attempt == attempt.number);
    let retry = attempt.retry.as_ref().filter(|retry| retry.again);
    let reason = match retry {
        Some(retry) => format!("{} ({})", attempt.message, retry.words),
        None => attempt.message.clone(),
    };
    AttemptView {
        log: log.map(|_| LogAt {
            lines: routes::imported_log(project, *number, &job.name, attempt.number),
            text: routes::imported_log_text(project, *number, &job.name, attempt.number),
            groups: routes::imported_log_groups(project, *number, &job.name, attempt.number),
        }),
        number: attempt.number,
        state: words::attempt_state(attempt.state),
        reason: words::some(&reason),
        agent: attempt.agent.clone(),
        isolation: attempt.isolation.clone(),
        images: attempt
            .images
            .iter()
            .map(|image| (image.role.clone(), image.reference.clone(), image.digest.clone()))
            .collect(),
        started: attempt.started_at,
        finished: attempt.finished_at,
        steps: steps.collect(),
        log_bytes: log.map_or(0, |log| log.bytes),
        failing_line: None,
        reuse: attempt.resumed.iter().map(|resumed| format!("went on {resumed}")).collect(),
        seen: None,
    }
}

fn remove_action(principal: &Principal, project: &ProjectName, page: &str, imported: &ImportedRun) -> Action {
    let origin = &imported.origin;
    let consequence = format!(
        "This copy of `{}#{}` and its file are removed here. The server that made it keeps what it has.",
        origin.project, origin.run
    );
    Action {
        kind: ActionKind::Remove,
        label: "Remove".to_owned(),
        url: routes::act(page, ActionKind::Remove),
        consequence,
        fields: Vec::new(),
        refused: act::refused(principal, Deed::ControlRun, project),
    }
}

/// Forgets an imported Run.
pub(super) async fn remove(
    State(app): State<App>,
    Path((project, number)): Path<(String, u64)>,
    form: CheckedForm<Comment>,
) -> Response {
    let principal = &form.principal;
    let done = async {
        let project = act::project(principal, &project)?;
        let _permit = principal.may(Deed::ControlRun, Some(&project))?;
        app.engine.remove_imported(&project, number, &act::person(principal, &project)).await?;
        Ok(format!("Imported run {number} was removed."))
    };
    match done.await {
        Ok(said) => act::done(&app, &routes::project(&project), &said),
        Err(Refusal::Instead(problem)) => or_error(&app, principal, Err(problem)),
        Err(Refusal::OnPage(reason)) => {
            let page =
                render(&app, principal, (&project, number), Asked::default(), act::not_done(reason)).await;
            act::conflict(&app, principal, page)
        }
    }
}

/// Which lines.
#[derive(Deserialize)]
pub(super) struct Wanted {
    #[serde(default)]
    from: i64,
    limit: Option<usize>,
}

/// Answers with lines as HTML, as [`towpath_ui::log`] describes it. Such a log is short enough to be read whole.
pub(super) async fn lines(
    State(app): State<App>,
    principal: Principal,
    Path((project, number)): Path<(ProjectName, u64)>,
    Query(LogOf { job, attempt }): Query<LogOf>,
    Query(Wanted { from, limit }): Query<Wanted>,
) -> Result<Response, Problem> {
    let _permit = principal.may(Deed::View, Some(&project))?;
    let bytes = app.engine.imported_log(&project, number, &job, attempt).await?;
    let text = String::from_utf8_lossy(&bytes);
    let total = text.lines().count() as u64;
    let first = match u64::try_from(from) {
        Ok(from) => from.max(1),
        Err(_) => total.saturating_sub(from.unsigned_abs() - 1).max(1),
    };
    let skipped = usize::try_from(first - 1).unwrap_or(usize::MAX);
    let part = text.lines().skip(skipped).take(limit.unwrap_or(500).min(MOST));
    let markup = log::lines(first, part);
    let headers = [
        ("content-type", "text/html; charset=utf-8".to_owned()),
        ("cache-control", "no-store".to_owned()),
        ("x-log-first", first.to_string()),
        ("x-log-total", total.to_string()),
        ("x-log-open", "false".to_owned()),
    ];
    Ok((headers, markup.into_string()).into_response())
}

/// Answers with the groups of a log.
pub(super) async fn groups(
    State(app): State<App>,
    principal: Principal,
    Path((project, number)): Path<(ProjectName, u64)>,
    Query(LogOf { job, attempt }): Query<LogOf>,
) -> Result<Json<Vec<Group>>, Problem> {
    let _permit = principal.may(Deed::View, Some(&project))?;
    let bytes = app.engine.imported_log(&project, number, &job, attempt).await?;
    let mut groups = Groups::default();
    String::from_utf8_lossy(&bytes).lines().for_each(|line| groups.line(line));
    Ok(Json(groups.found(true)))
}
