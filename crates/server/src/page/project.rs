//! One Project.

use axum::extract::{Path, State};
use axum::response::Response;
use towpath_model::ProjectName;
use towpath_ui::page;
use towpath_ui::view::ProjectView;

use super::shell::{Reader, html, or_error, shell};
use crate::app::App;
use crate::auth::Action;
use crate::problem::Problem;

/// Shows a Project.
pub(super) async fn show(
    State(app): State<App>,
    Reader(principal): Reader,
    Path(project): Path<String>,
) -> Response {
    let shown = async {
        let missing = || Problem::not_found(format!("there is no project `{project}` that you can see"));
        let name: ProjectName = project.parse().map_err(|_| missing())?;
        let _permit = principal.may(Action::View, Some(&name))?;
        if !app.git.exists(&name) {
            return Err(missing());
        }
        let base = app.public_url.as_str().trim_end_matches('/');
        let live = format!("/api/v1/events?project={name}");
        let view = ProjectView {
            shell: shell(&app, Some(&principal), Some(live)),
            clone_url: format!("{base}/git/{name}.git"),
            name: name.into(),
            route: Vec::new(),
            runs: Vec::new(),
            releases: Vec::new(),
            holds: Vec::new(),
            quarantined: Vec::new(),
            branch: "main".to_owned(),
        };
        Ok(html(page::project(&view)))
    };
    or_error(&app, &principal, shown.await)
}
