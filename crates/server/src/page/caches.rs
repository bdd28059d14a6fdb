//! What is kept for later Runs, and revoking it.

use axum::extract::{Path, Query, State};
use axum::response::Response;
use serde::Deserialize;
use towpath_model::ProjectName;
use towpath_model::reuse::EntryKind;
use towpath_store::core::kept::{KeptEntry, KeptState};
use towpath_ui::view::{Action, ActionKind, CacheReached, CacheRow, CachesView, Notice};
use towpath_ui::{page, routes};

use super::act::{self, Comment, Refusal};
use super::shell::{Reader, Said, frame, html, live, or_error};
use crate::app::App;
use crate::auth::csrf::CheckedForm;
use crate::auth::{Action as Deed, Principal};
use crate::problem::Problem;

/// How many entries are shown at once.
const PART: u32 = 100;

#[derive(Default, Deserialize)]
pub(super) struct Wanted {
    before: Option<String>,
    /// One of them, with what it reached.
    entry: Option<String>,
}

/// Shows the entries.
pub(super) async fn show(
    State(app): State<App>,
    Reader(principal): Reader,
    Path(project): Path<String>,
    Query(wanted): Query<Wanted>,
    Said(said): Said,
) -> Response {
    let shown = said.is_some();
    let page = render(&app, &principal, &project, wanted, said).await;
    act::forget(&app, shown, or_error(&app, &principal, page))
}

async fn render(
    app: &App,
    principal: &Principal,
    project: &str,
    wanted: Wanted,
    notice: Option<Notice>,
) -> Result<Response, Problem> {
    let project = act::project(principal, project)?;
    let Wanted { before, entry } = wanted;
    let before = before.and_then(|text| text.parse().ok());
    let mut entries = app.engine.kept_entries(&project, before, PART + 1).await?;
    let more = entries.len() > PART as usize;
    entries.truncate(PART as usize);
    let reached = match entry {
        Some(id) => Some(reached(app, principal, &project, &id).await?),
        None => None,
    };
    let view = CachesView {
        shell: frame(app, principal, live(Some(&project)), notice).await?,
        older: entries.last().filter(|_| more).map(|entry| entry.created_at.to_string()),
        entries: entries.iter().map(row).collect(),
        reached,
        project: project.to_string(),
    };
    Ok(html(page::caches(&view)))
}

async fn reached(
    app: &App,
    principal: &Principal,
    project: &ProjectName,
    id: &str,
) -> Result<CacheReached, Problem> {
    let reached = app.engine.kept_reach(project, id).await?;
    let missing = || Problem::not_found(format!("there is no cache entry `{id}` in {project}"));
    let entry = reached.entries.iter().find(|entry| entry.id == id).ok_or_else(missing)?;
    let consequence = format!(
        "`{}` and the {} entries made from it are never given to a Run again. Runs and Releases that they reached stay as they \
         are; look at them.",
        entry.key,
        reached.entries.len() - 1
    );
    let revoke = Action {
        kind: ActionKind::Revoke,
        label: "Revoke".to_owned(),
        url: routes::revoke_cache(project.as_str(), id),
        consequence,
        fields: Vec::new(),
        refused: act::refused(principal, Deed::ControlRun, project),
    };
    Ok(CacheReached {
        entry: row(entry),
        entries: reached.entries.len() - 1,
        runs: reached.runs.values().cloned().collect(),
        releases: reached.releases.iter().map(|release| release.version.clone()).collect(),
        revoke: (entry.state != KeptState::Revoked).then_some(revoke),
    })
}

fn row(entry: &KeptEntry) -> CacheRow {
    let kind = match entry.kind {
        EntryKind::Cache => "cache",
        EntryKind::Step => "outputs of a step",
        EntryKind::Workspace => "workspace",
    };
    CacheRow {
        id: entry.id.clone(),
        kind: kind.to_owned(),
        key: entry.key.clone(),
        scope: entry.scope.clone(),
        files: entry.files,
        bytes: entry.bytes,
        run: entry.run_number,
        job: entry.job.clone(),
        created: entry.created_at,
        used: entry.used_at,
        state: entry.state.word().to_owned(),
        ended: entry.ended.clone(),
    }
}

/// Revokes an entry and all that was made from it.
pub(super) async fn revoke(
    State(app): State<App>,
    Path((project, id)): Path<(String, String)>,
    form: CheckedForm<Comment>,
) -> Response {
    let principal = &form.principal;
    let done = async {
        let project = act::project(principal, &project)?;
        let _permit = principal.may(Deed::ControlRun, Some(&project))?;
        let person = act::person(principal, &project);
        let report = app.engine.kept_revoke(&project, &id, form.fields.comment.trim(), &person).await?;
        Ok(format!(
            "{} entries were revoked; {} of them could still be read.",
            report.reached.entries.len(),
            report.were_live
        ))
    };
    match done.await {
        Ok(said) => act::done(&app, &routes::cache(&project, &id), &said),
        Err(Refusal::Instead(problem)) => or_error(&app, principal, Err(problem)),
        Err(Refusal::OnPage(reason)) => {
            let wanted = Wanted { entry: Some(id), ..Wanted::default() };
            let page = render(&app, principal, &project, wanted, act::not_done(reason)).await;
            act::conflict(&app, principal, page)
        }
    }
}
