//! Projects.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A Project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Project {
    /// Its name.
    pub name: String,
    /// The address to push to and clone from.
    pub git_url: String,
    /// Its page.
    pub url: String,
}

/// Makes a Project.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct NewProject {
    /// Its name.
    pub name: String,
}
