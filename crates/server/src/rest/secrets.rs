//! Secrets: set and removed, never given back.

use axum::Json;
use axum::extract::{Path, Query, State};
use http::StatusCode;
use serde::Deserialize;
use towpath_api::rest::{NewSecret, Secret};
use towpath_artifact::SecretValue;
use towpath_model::pipeline::SecretName;
use towpath_model::{EnvironmentName, ProjectName};

use super::places::SecretAt;
use crate::app::App;
use crate::auth::{Action, Principal};
use crate::problem::Problem;

#[derive(Debug, Deserialize, utoipa::IntoParams)]
pub(super) struct Place {
    /// The Environment it is for; the Jobs of the Project if absent.
    #[param(value_type = Option<String>)]
    environment: Option<EnvironmentName>,
}

fn parse(name: &str) -> Result<SecretName, Problem> {
    SecretName::try_from(name.to_owned()).map_err(|error| Problem::invalid(error.to_string()))
}

/// Lists secrets without their values.
#[utoipa::path(get, path = "/api/v1/projects/{project}/secrets", responses((status = 200, body = Vec<Secret>)))]
pub(super) async fn list(
    State(app): State<App>,
    principal: Principal,
    Path(project): Path<ProjectName>,
) -> Result<Json<Vec<Secret>>, Problem> {
    let _permit = principal.may(Action::ManageSecrets, Some(&project))?;
    let wire = |secret: towpath_store::core::secrets::SecretVersion| Secret {
        name: secret.name.as_str().to_owned(),
        environment: (!secret.environment.is_empty()).then_some(secret.environment),
        version: secret.version,
        created_by: secret.created_by,
    };
    Ok(Json(app.engine.list_secrets(&project).await?.into_iter().map(wire).collect()))
}

/// Sets a secret; what runs keeps the version that it was given.
#[utoipa::path(put, path = "/api/v1/projects/{project}/secrets/{name}", params(SecretAt, Place), request_body = NewSecret, responses((status = 200, body = u64)))]
pub(super) async fn set(
    State(app): State<App>,
    principal: Principal,
    Path(SecretAt { project, name }): Path<SecretAt>,
    Query(place): Query<Place>,
    Json(new): Json<NewSecret>,
) -> Result<Json<u64>, Problem> {
    let _permit = principal.may(Action::ManageSecrets, Some(&project))?;
    let value = SecretValue::new(new.value.into_bytes());
    let (name, person) = (parse(&name)?, principal.person(Some(&project)));
    let version = app.engine.set_secret(&project, place.environment.as_ref(), &name, &value, &person).await?;
    Ok(Json(version))
}

/// Removes a secret.
#[utoipa::path(delete, path = "/api/v1/projects/{project}/secrets/{name}", params(SecretAt, Place), responses((status = 204)))]
pub(super) async fn remove(
    State(app): State<App>,
    principal: Principal,
    Path(SecretAt { project, name }): Path<SecretAt>,
    Query(place): Query<Place>,
) -> Result<StatusCode, Problem> {
    let _permit = principal.may(Action::ManageSecrets, Some(&project))?;
    let (name, person) = (parse(&name)?, principal.person(Some(&project)));
    app.engine.remove_secret(&project, place.environment.as_ref(), &name, &person).await?;
    Ok(StatusCode::NO_CONTENT)
}
