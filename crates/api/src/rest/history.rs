//! Events of the past.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Something that happened to a Project, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = Object)]
pub struct PastEvent(pub towpath_model::history::PastEvent);
