//! All Projects at a glance.

use axum::extract::State;
use axum::response::Response;
use towpath_model::ProjectName;
use towpath_model::environment::Environment;
use towpath_store::core::environments;
use towpath_ui::page;
use towpath_ui::view::{OverviewView, ProjectCard};

use super::shell::{Reader, Said, frame, html, live, or_error};
use super::{act, route, words};
use crate::app::App;
use crate::auth::Action;
use crate::problem::Problem;

/// Shows the Projects that the reader can see.
pub(super) async fn show(State(app): State<App>, Reader(principal): Reader, Said(said): Said) -> Response {
    let notice = said.is_some();
    let shown = async {
        let names = app.git.projects().await?;
        let all = environments::all(&mut *app.db.reader().await?, None).await?;
        let mut projects = Vec::new();
        for name in names.into_iter().filter(|name| principal.may(Action::View, Some(name)).is_ok()) {
            let own = all.iter().filter(|environment| environment.key.project == name).cloned();
            let own: Vec<Environment> = own.collect();
            projects.push(card(&app, name, &own).await?);
        }
        let shell = frame(&app, &principal, live(None), said).await?;
        let url = app.public_url.as_str().trim_end_matches('/').to_owned();
        Ok(html(page::overview(&OverviewView { shell, url, projects })))
    };
    act::forget(&app, notice, or_error(&app, &principal, shown.await))
}

async fn card(app: &App, name: ProjectName, environments: &[Environment]) -> Result<ProjectCard, Problem> {
    let runs = app.engine.runs(Some(&name), None, 1).await?;
    let releases = app.engine.releases(&name, None, 1).await?;
    Ok(ProjectCard {
        route: route::route(route::stages(&releases, &runs), environments, &app.public_url),
        last_run: runs.first().map(words::run_row),
        name: name.into(),
    })
}
