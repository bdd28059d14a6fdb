//! What is asked of Runs, Environments and Promotions.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::promotion::Promotion;

/// Starts a Run by hand.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct NewRun {
    /// A branch or a full ref: `refs/heads/main`. Without it, the default branch.
    #[serde(default)]
    pub reference: String,
    /// The inputs that the pipeline declares under `on.manual.inputs`.
    #[serde(default)]
    pub inputs: BTreeMap<String, InputValue>,
}

/// The value of an input: text, a number, or true or false.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum InputValue {
    /// Text, or any of the others as text.
    Text(String),
    /// True or false.
    Boolean(bool),
    /// A number.
    #[schema(value_type = f64)]
    Number(serde_json::Number),
}

impl fmt::Display for InputValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Boolean(value) => write!(f, "{value}"),
            Self::Number(number) => write!(f, "{number}"),
        }
    }
}

/// Why something is asked; shown in the timeline.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct Comment {
    /// In the person's own words.
    #[serde(default)]
    pub comment: String,
}

/// Says yes or no to a Promotion.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct Decision {
    /// In the person's own words.
    #[serde(default)]
    pub comment: String,
    /// The binding that was looked at; refused where it has changed since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binding: Option<String>,
}

/// Lifts a hold.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct Lift {
    /// Which hold; without it, every one that the caller may lift.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// In the person's own words.
    #[serde(default)]
    pub comment: String,
}

/// Promotes a Release.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct NewPromotion {
    /// The Release's version.
    pub version: String,
    /// In the person's own words.
    #[serde(default)]
    pub comment: String,
    /// Takes a Revision that was rolled back before.
    #[serde(default)]
    pub override_quarantine: bool,
}

/// Goes back.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct Rollback {
    /// The version to go back to; the one before, if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Goes back although a migration came after it for which it was not made.
    #[serde(default)]
    pub anyway: bool,
    /// In the person's own words.
    #[serde(default)]
    pub comment: String,
}

/// Applies environment documents.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Apply {
    /// The file's name, for diagnostics.
    pub file: String,
    /// The YAML.
    pub text: String,
    /// Only says what would change.
    #[serde(default)]
    pub dry_run: bool,
}

/// What applying did, or would do, to one Environment.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct AppliedDocument {
    /// The Environment.
    pub environment: String,
    /// The version of its document afterwards.
    pub version: u64,
    /// What changes, one sentence each.
    pub changes: Vec<String>,
    /// Which of it loosens the policy.
    pub loosens: Vec<String>,
    /// Set where it waits for the signatures of others, and changes nothing yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<PendingDocument>,
    /// Its Gates that nobody can open, as people and roles are now. With more than one user on the server it is an error to
    /// apply such a document.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unpassable: Vec<String>,
}

/// What a document that loosens a policy waits for.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct PendingDocument {
    /// The number of the policy change.
    pub number: u64,
    /// Whose signatures are missing, one sentence for each Gate.
    pub needs: Vec<String>,
    /// When it ends without them.
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Timestamp,
}

/// Sets a secret.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct NewSecret {
    /// The value. No call ever gives it back.
    pub value: String,
}

/// A secret, without its value.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Secret {
    /// Its name.
    pub name: String,
    /// The Environment it is for; absent for the Jobs of the Project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// 1, 2, 3 …
    pub version: u64,
    /// Who set it.
    pub created_by: String,
}

/// A Release in a list.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Release {
    /// Its version.
    pub version: String,
    /// Its digest.
    pub digest: String,
    /// The commit.
    pub commit: String,
    /// When it was sealed.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// What confined each Job that made it, or why the Job was not run.
    #[serde(default)]
    pub executors: BTreeMap<String, String>,
    /// The digests of its Artifacts by their names.
    #[serde(default)]
    pub artifacts: BTreeMap<String, String>,
    /// Why it starts nowhere any more, if so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<Revocation>,
}

/// Why a Release starts nowhere any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Revocation {
    /// As a sentence.
    pub text: String,
    /// Who revoked it.
    pub by: String,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// Why.
    pub reason: String,
    /// Who wants to let it start again and waits for a second person, as a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits: Option<String>,
}

impl Revocation {
    /// As people's tools see it at a moment.
    #[must_use]
    pub fn of(revocation: &towpath_model::revocation::Revocation, now: Timestamp) -> Self {
        Self {
            text: revocation.words(),
            by: revocation.by.name().to_owned(),
            at: revocation.at,
            reason: revocation.reason.clone(),
            waits: revocation.waits(now),
        }
    }
}

/// Revokes a Release.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Revoke {
    /// Why: it stands wherever the Release is asked for.
    pub reason: String,
    /// Goes back to the newest Release that is not revoked wherever it serves or is rolled out. Without it, a running Rollout stays at its weight.
    #[serde(default)]
    pub rollback: bool,
}

/// What a revocation, or its end, came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Revoked {
    /// The Release's digest.
    pub release: String,
    /// Its revocation; absent once it may start again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revocation: Option<Revocation>,
    /// Where it serves or moves.
    #[serde(default)]
    pub places: Vec<RevokedPlace>,
}

/// An Environment in which a revoked Release serves or moves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RevokedPlace {
    /// The Environment.
    pub environment: String,
    /// What happens there, or what to do.
    pub text: String,
}

/// What one Revision answered in an Environment, as far back as measurements are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RevisionTotal {
    /// The Revision's digest.
    pub revision: String,
    /// Its version, where that is still known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// How they came there: `split` by its weight, `routed` by a rule, `preview` by the preview address.
    pub way: String,
    /// Requests that ended.
    pub requests: u64,
    /// Of these, errors.
    pub errors: u64,
    /// Of these, errors of the gateway itself.
    pub gateway_errors: u64,
}

/// A version of an Environment's document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EnvironmentDocument {
    /// 1, 2, 3 …
    pub version: u64,
    /// The YAML as it was applied.
    pub source: String,
    /// The login of who applied it.
    pub applied_by: String,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub applied_at: Timestamp,
}

/// A gateway as it was last seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Gateway {
    /// Its name.
    pub name: String,
    /// Its version of Towpath.
    pub version: String,
    /// When it last called.
    #[schema(value_type = String, format = DateTime)]
    pub seen_at: Timestamp,
}

/// Where a Release is on its way.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct JourneyStep {
    /// The Stage.
    pub stage: String,
    /// The Environment.
    pub environment: String,
    /// Its Promotion, if it got there.
    pub promotion: Option<Promotion>,
    /// What it waits for, one sentence each.
    pub waits: Vec<String>,
    /// Whether the Release is what serves there now.
    pub serves: bool,
}

/// An agent.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Agent {
    /// Its id.
    pub id: String,
    /// Its host's name.
    pub hostname: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Whether it takes Attempts.
    pub runner: bool,
    /// Whether it runs Instances.
    pub deployer: bool,
    /// Where its Instances are reached; absent where it has not called yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Its version of Towpath; empty where it has not called yet.
    pub version: String,
    /// When it last called, or joined.
    #[schema(value_type = String, format = DateTime)]
    pub seen_at: Timestamp,
    /// Whether it is there now.
    pub online: bool,
    /// How many Attempts it runs at once.
    #[serde(default)]
    pub capacity: u32,
    /// Whether it ends after one Attempt.
    #[serde(default)]
    pub one_job: bool,
    /// `ready`, `draining`, `too-old` or `cloned`: whether it is given Attempts.
    #[serde(default)]
    pub standing: String,
    /// For people: why it is given none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<String>,
    /// When its certificate ends; absent for an agent of the server's own host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub certificate_ends: Option<Timestamp>,
    /// Since when it is not let in any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub revoked_at: Option<Timestamp>,
}

/// Makes a join token.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct NewJoinToken {
    /// Labels that are laid over what the agent claims.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Whether the agent may take Attempts.
    pub runner: bool,
    /// Whether the agent may run Instances.
    pub deployer: bool,
    /// How long the token can be used, in seconds; absent for an hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in: Option<u64>,
    /// Where the agent finds the server, if not where the server thinks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

/// A join token, without its secret.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct JoinToken {
    /// Its id.
    pub id: String,
    /// Labels that are laid over what the agent claims.
    pub labels: BTreeMap<String, String>,
    /// Whether the agent may take Attempts.
    pub runner: bool,
    /// Whether the agent may run Instances.
    pub deployer: bool,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it ends.
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Timestamp,
    /// When it was used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub used_at: Option<Timestamp>,
    /// The agent that used it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used_by: Option<String>,
}

/// A join token just made.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct CreatedJoinToken {
    /// What is known of it.
    pub join_token: JoinToken,
    /// The token itself, shown this once.
    pub token: String,
    /// What to run on the other host.
    pub command: String,
}
