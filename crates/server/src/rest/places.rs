//! What the addresses of the API name.

use serde::Deserialize;
use towpath_model::{EnvironmentKey, EnvironmentName, ProjectName};
use utoipa::IntoParams;

/// An Environment of a Project.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct EnvironmentAt {
    /// The Project.
    #[param(value_type = String)]
    pub(super) project: ProjectName,
    /// The Environment.
    #[param(value_type = String)]
    pub(super) environment: EnvironmentName,
}

impl EnvironmentAt {
    /// As the core names it.
    pub(super) fn key(&self) -> EnvironmentKey {
        EnvironmentKey { project: self.project.clone(), environment: self.environment.clone() }
    }
}

/// A Run of a Project.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct RunAt {
    /// The Project.
    #[param(value_type = String)]
    pub(super) project: ProjectName,
    /// The Run's number.
    pub(super) number: u64,
}

/// A Job of a Run.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct JobAt {
    /// The Project.
    #[param(value_type = String)]
    pub(super) project: ProjectName,
    /// The Run's number.
    pub(super) number: u64,
    /// The Job.
    pub(super) job: String,
}

/// A Release of a Project.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct ReleaseAt {
    /// The Project.
    #[param(value_type = String)]
    pub(super) project: ProjectName,
    /// The version.
    pub(super) version: String,
}

/// A secret of a Project.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct SecretAt {
    /// The Project.
    #[param(value_type = String)]
    pub(super) project: ProjectName,
    /// The secret's name.
    pub(super) name: String,
}
