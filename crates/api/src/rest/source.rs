//! Repositories elsewhere, and what starts the Runs of a Project.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use towpath_model::input::Input;
use towpath_model::source as model;
use utoipa::ToSchema;

/// Makes a Project a mirror of a repository elsewhere, or changes how it is one. What is absent stays as it is.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct SetSource {
    /// `https://host/owner/repository`, `git@host:owner/repository` or `file:///path`.
    #[serde(default)]
    pub url: Option<String>,
    /// `github`, `gitlab`, `gitea` or `none`; guessed from the host if absent.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub forge: Option<model::Forge>,
    /// Seconds between two looks; 0 leaves it to webhooks.
    #[serde(default)]
    pub poll: Option<u32>,
    /// `approve`, `run` or `never`.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub fork_runs: Option<model::ForkRuns>,
    /// `off`, `run` or `jobs`.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub statuses: Option<model::Statuses>,
    /// How the names of statuses begin.
    #[serde(default)]
    pub context: Option<String>,
    /// Whether a pull request gets a comment when its Run ends.
    #[serde(default)]
    pub comments: Option<bool>,
    /// A token for fetching and for statuses; empty takes it away. With `github_app`, the App's private key.
    #[serde(default)]
    pub token: Option<String>,
    /// The App ID or client ID of a GitHub App, whose tokens are then made when they are needed.
    #[serde(default)]
    pub github_app: Option<String>,
    /// A private key for ssh; empty takes it away.
    #[serde(default)]
    pub ssh_key: Option<String>,
}

/// A repository elsewhere, with what is known of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Source {
    /// Its address.
    pub url: String,
    /// What stands around it.
    #[schema(value_type = String)]
    pub forge: model::Forge,
    /// Seconds between two looks; absent where only webhooks ask for one.
    pub poll: Option<u32>,
    /// What is done with pull requests from outside.
    #[schema(value_type = String)]
    pub fork_runs: model::ForkRuns,
    /// What the forge is told.
    #[schema(value_type = String)]
    pub statuses: model::Statuses,
    /// How the names of statuses begin.
    pub context: String,
    /// Whether pull requests get comments.
    pub comments: bool,
    /// Whether there is a token.
    pub token: bool,
    /// Whether there is a key for ssh.
    pub ssh_key: bool,
    /// Where webhooks are taken, where there is a secret for them.
    pub hook: Option<String>,
    /// When it answered last.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub contact_at: Option<Timestamp>,
    /// When a webhook came last.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub hook_at: Option<Timestamp>,
    /// When it is looked at again.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub next_look: Option<Timestamp>,
    /// What the last look failed of; empty where it did not.
    pub error: String,
    /// What the last look found.
    pub said: String,
    /// Why the newest status could not be sent.
    pub status_error: Option<String>,
}

/// Where a webhook goes, and its secret, which is shown only once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NewHook {
    /// The address to give to the forge.
    pub url: String,
    /// The secret to give to the forge.
    pub secret: String,
}

/// What a look found and started, line by line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Look {
    /// For people.
    pub lines: Vec<String>,
}

/// What starts the Runs of a Project, as the newest file of its default branch says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Triggers {
    /// Times.
    pub schedules: Vec<Schedule>,
    /// Releases of other Projects: their names with patterns of versions.
    pub releases: BTreeMap<String, Vec<String>>,
    /// Whether a person may start a Run.
    pub manual: bool,
    /// What a person may say then.
    #[schema(value_type = Vec<Object>)]
    pub inputs: Vec<Input>,
}

/// A schedule and its next time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Schedule {
    /// Five fields.
    pub cron: String,
    /// Whose clock they mean.
    pub timezone: String,
    /// The branch that is run; the default branch if absent.
    pub branch: Option<String>,
    /// When it is due.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub next: Option<Timestamp>,
    /// When it started something last.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_at: Option<Timestamp>,
    /// What came of that.
    pub last: String,
}
