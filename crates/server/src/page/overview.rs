//! All Projects at a glance.

use axum::extract::State;
use axum::response::Response;
use towpath_ui::page;
use towpath_ui::view::{OverviewView, ProjectCard};

use super::shell::{Reader, html, or_error, shell};
use crate::app::App;
use crate::auth::Action;

/// Shows the Projects that the reader can see.
pub(super) async fn show(State(app): State<App>, Reader(principal): Reader) -> Response {
    let shown = async {
        let names = app.git.projects().await?;
        let seen = names.into_iter().filter(|name| principal.may(Action::View, Some(name)).is_ok());
        let card = |name: towpath_model::ProjectName| ProjectCard {
            name: name.into(),
            route: Vec::new(),
            last_run: None,
        };
        let projects = seen.map(card).collect();
        let shell = shell(&app, Some(&principal), Some("/api/v1/events".to_owned()));
        Ok(html(page::overview(&OverviewView { shell, projects })))
    };
    or_error(&app, &principal, shown.await)
}
