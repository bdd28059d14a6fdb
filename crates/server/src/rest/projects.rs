//! Projects.

use axum::Json;
use axum::extract::{Path, State};
use http::StatusCode;
use towpath_api::rest::{NewProject, Page, Project};
use towpath_model::ProjectName;
use towpath_store::core::projects;

use crate::app::App;
use crate::auth::{Action, Principal};
use crate::problem::Problem;

/// The refs whose pushes are trusted unless told otherwise.
const PROTECTED: [&str; 3] = ["refs/heads/main", "refs/heads/master", "refs/tags/v*"];

fn wire(app: &App, name: &ProjectName) -> Project {
    let base = app.public_url.as_str().trim_end_matches('/');
    Project {
        name: name.to_string(),
        git_url: format!("{base}/git/{name}.git"),
        url: format!("{base}{}", towpath_ui::routes::project(name.as_str())),
    }
}

/// Lists the Projects that the caller can see.
#[utoipa::path(get, path = "/api/v1/projects", responses((status = 200, body = Page<Project>)))]
pub(super) async fn list(
    State(app): State<App>,
    principal: Principal,
) -> Result<Json<Page<Project>>, Problem> {
    let names = app.git.projects().await?;
    let seen = names.iter().filter(|name| principal.may(Action::View, Some(name)).is_ok());
    Ok(Json(Page { items: seen.map(|name| wire(&app, name)).collect(), next: None }))
}

/// Shows a Project.
#[utoipa::path(get, path = "/api/v1/projects/{project}", responses((status = 200, body = Project)))]
pub(super) async fn show(
    State(app): State<App>,
    principal: Principal,
    Path(project): Path<ProjectName>,
) -> Result<Json<Project>, Problem> {
    let _permit = principal.may(Action::View, Some(&project))?;
    if !app.git.exists(&project) {
        return Err(Problem::not_found(format!("there is no project `{project}` that you can see"))
            .hint(format!("`towpath project create {project}` makes it")));
    }
    Ok(Json(wire(&app, &project)))
}

/// Makes a Project with an empty repository.
#[utoipa::path(post, path = "/api/v1/projects", request_body = NewProject, responses((status = 201, body = Project)))]
pub(super) async fn create(
    State(app): State<App>,
    principal: Principal,
    Json(new): Json<NewProject>,
) -> Result<(StatusCode, Json<Project>), Problem> {
    let _permit = principal.may(Action::CreateProject, None)?;
    let name: ProjectName =
        new.name.parse().map_err(|error: towpath_model::InvalidName| Problem::invalid(error.to_string()))?;
    // The repository first: a crash in between leaves one that the next try takes over.
    if !app.git.exists(&name) {
        app.git.create(&name).await?;
    }
    let project = projects::Project {
        name: name.clone(),
        protected_refs: PROTECTED.map(str::to_owned).to_vec(),
        directory: String::new(),
        created_at: app.now(),
    };
    app.engine.create_project(&project, &principal.person(None)).await?;
    Ok((StatusCode::CREATED, Json(wire(&app, &name))))
}
