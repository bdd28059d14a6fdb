//! One Project.

use std::collections::BTreeMap;

use axum::extract::{Path, State};
use axum::response::Response;
use towpath_model::environment::Environment;
use towpath_model::pipeline::Stage;
use towpath_model::run::Run;
use towpath_model::{ProjectName, RunId};
use towpath_store::core::releases::Release;
use towpath_store::core::{environments, promotions, runs};
use towpath_ui::page;
use towpath_ui::view::{Action, Commit, HoldRow, Notice, ProjectView, QuarantineRow, ReleaseRow, RunRow};

use super::shell::{Reader, Said, frame, html, live, or_error};
use super::{act, environment, route, triggers, words};
use crate::app::App;
use crate::auth::Principal;
use crate::problem::Problem;

/// How many Runs and Releases are shown.
const LENGTH: u32 = 20;

/// Shows a Project.
pub(super) async fn show(
    State(app): State<App>,
    Reader(principal): Reader,
    Path(project): Path<String>,
    Said(said): Said,
) -> Response {
    let shown = said.is_some();
    let page = render(&app, &principal, &project, said).await;
    act::forget(&app, shown, or_error(&app, &principal, page))
}

async fn render(
    app: &App,
    principal: &Principal,
    project: &str,
    notice: Option<Notice>,
) -> Result<Response, Problem> {
    let name = act::project(principal, project)?;
    if !app.git.exists(&name) {
        return Err(Problem::not_found(format!("there is no project `{name}` that you can see")));
    }
    let newest = app.engine.runs(Some(&name), None, LENGTH).await?;
    let releases = app.engine.releases(&name, None, LENGTH).await?;
    let environments = environments::all(&mut *app.db.reader().await?, Some(&name)).await?;
    let base = app.public_url.as_str().trim_end_matches('/');
    let stages = route::stages(&releases, &newest);
    let held = |environment: &Environment| holds(principal, environment);
    let view = ProjectView {
        shell: frame(app, principal, live(Some(&name)), notice).await?,
        clone_url: format!("{base}/git/{name}.git"),
        route: route::route(stages, &environments, &app.public_url),
        runs: run_rows(app, &name, &newest).await?,
        releases: release_rows(app, &releases, &newest, stages).await?,
        holds: environments.iter().filter_map(held).collect(),
        quarantined: environments.iter().flat_map(|each| quarantined(principal, each)).collect(),
        branch: "main".to_owned(),
        triggers: triggers::view(app, principal, &name).await?,
        name: name.into(),
    };
    Ok(html(page::project(&view)))
}

/// The newest Runs of this server and of others, in the order in which they came.
async fn run_rows(app: &App, project: &ProjectName, newest: &[Run]) -> Result<Vec<RunRow>, Problem> {
    let imported = app.engine.imported_runs(project, None, LENGTH).await?;
    let mut rows: Vec<RunRow> = newest.iter().map(words::run_row).collect();
    rows.extend(imported.iter().map(words::imported_row));
    rows.sort_by_key(|row| std::cmp::Reverse(row.created));
    rows.truncate(LENGTH as usize);
    Ok(rows)
}

/// The Releases with where each has got to.
async fn release_rows(
    app: &App,
    releases: &[Release],
    known: &[Run],
    stages: &[Stage],
) -> Result<Vec<ReleaseRow>, Problem> {
    let on_route: Vec<&str> =
        stages.iter().flat_map(|stage| &stage.environments).map(|name| name.as_str()).collect();
    let place = |name: &str| on_route.iter().position(|other| *other == name).unwrap_or(on_route.len());
    let known: BTreeMap<RunId, &Run> = known.iter().map(|run| (run.id, run)).collect();
    let mut reader = app.db.reader().await?;
    let mut rows = Vec::new();
    for release in releases {
        let commit = match known.get(&release.run) {
            Some(run) => words::commit(&run.cause),
            None => match runs::find(&mut reader, release.run).await? {
                Some(run) => words::commit(&run.cause),
                None => Commit { sha: release.commit.clone(), subject: String::new(), author: String::new() },
            },
        };
        let mut reached = BTreeMap::new();
        for promotion in promotions::of_release(&mut reader, release.digest).await? {
            let environment = promotion.environment.environment.to_string();
            reached.insert(environment, words::promotion_state(&promotion));
        }
        let mut reached: Vec<_> = reached.into_iter().collect();
        reached.sort_by_key(|(name, _)| place(name));
        rows.push(ReleaseRow {
            version: release.version.clone(),
            digest: release.digest.to_string(),
            commit,
            sealed: release.created_at,
            reached,
        });
    }
    Ok(rows)
}

fn holds(principal: &Principal, held: &Environment) -> Option<HoldRow> {
    let hold = held.hold.as_ref()?;
    Some(HoldRow {
        environment: held.key.environment.to_string(),
        by: hold.by.name().to_owned(),
        since: hold.at,
        reason: hold.reason.clone(),
        resume: Some(environment::resume_action(principal, held)),
    })
}

fn quarantined(principal: &Principal, barring: &Environment) -> Vec<QuarantineRow> {
    let row = |(digest, barred): (&towpath_model::Digest, &towpath_model::environment::Quarantine)| {
        let release: Action = environment::release_action(principal, barring, &barred.version);
        QuarantineRow {
            environment: barring.key.environment.to_string(),
            version: barred.version.clone(),
            digest: digest.to_string(),
            since: barred.at,
            reason: barred.reason.clone(),
            release: Some(release),
        }
    };
    barring.quarantine.iter().map(row).collect()
}
