//! Runs that other servers exported.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use towpath_model::run as model;
use utoipa::ToSchema;

use super::{Run, RunEvidence};

/// A Run that another server exported. Nothing of this server made it: it delivers nothing and counts nowhere.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ImportedRun {
    /// The Project that it was taken into.
    pub project: String,
    /// 1, 2, 3 … among the imported ones of the Project.
    pub number: u64,
    /// SHA-256 of its file.
    pub digest: String,
    /// The length of its file.
    pub bytes: u64,
    /// When it was taken in.
    #[schema(value_type = String, format = DateTime)]
    pub imported_at: Timestamp,
    /// Who did it.
    pub imported_by: String,
    /// What the file says of where it comes from.
    pub origin: ImportOrigin,
}

/// What a file says of where it comes from. Nobody vouches for it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ImportOrigin {
    /// The address of the server.
    pub instance: String,
    /// The version of its Towpath.
    pub towpath: String,
    /// The Project there.
    pub project: String,
    /// The Run's number there.
    pub run: u64,
    /// When it was exported.
    #[schema(value_type = String, format = DateTime)]
    pub exported_at: Timestamp,
    /// Who did it.
    pub exported_by: String,
    /// What it was started for.
    #[schema(value_type = Object)]
    pub cause: model::Cause,
    /// How it ended.
    #[schema(value_type = String)]
    pub state: model::RunState,
    /// For people: why.
    pub reason: String,
    /// When its first Job started.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub finished_at: Option<Timestamp>,
}

/// An imported Run with all that its file says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ImportedDetail {
    /// Where it comes from.
    pub imported: ImportedRun,
    /// The Run as the other server showed it.
    pub run: Run,
    /// What its reports say.
    pub evidence: Option<RunEvidence>,
    /// The logs that came along.
    pub logs: Vec<ImportedLog>,
    /// What did not fit into the file.
    pub left_out: Vec<String>,
}

/// A log that came along.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ImportedLog {
    /// The Job.
    pub job: String,
    /// The number of the Attempt.
    pub attempt: u32,
    /// How many bytes.
    pub bytes: u64,
    /// Their SHA-256.
    pub digest: String,
}
