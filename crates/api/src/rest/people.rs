//! Users, roles and tokens.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct User {
    /// The name by which they sign in.
    pub login: String,
    /// Their name.
    pub display_name: String,
    /// Their e-mail address.
    pub email: String,
    /// Whether they are kept from signing in.
    pub disabled: bool,
    /// Since when they exist.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// What they may do.
    pub roles: Vec<RoleGrant>,
}

/// A role, and where it holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RoleGrant {
    /// The role: `viewer`, `developer`, `release-manager`, `admin`, or a group of your own.
    pub role: String,
    /// The Project; absent for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
}

/// Makes a user.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct NewUser {
    /// The name by which they sign in.
    pub login: String,
    /// Their name; the login if absent.
    #[serde(default)]
    pub display_name: String,
    /// Their e-mail address. It tells whether they approve their own commits.
    #[serde(default)]
    pub email: String,
    /// Their first password; absent for an account that uses tokens only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// What they may do.
    #[serde(default)]
    pub roles: Vec<RoleGrant>,
}

/// Invites a person: makes the user if there is none, and a link by which they choose their password.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct NewInvitation {
    /// The name by which they will sign in.
    pub login: String,
    /// Their name; the login if absent. Not used where the user is there already.
    #[serde(default)]
    pub display_name: String,
    /// Their e-mail address. Not used where the user is there already.
    #[serde(default)]
    pub email: String,
    /// What they may do, beside what they may already.
    #[serde(default)]
    pub roles: Vec<RoleGrant>,
}

/// An invitation. Whoever opens its address first chooses the password.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct Invitation {
    /// Whom it is for.
    pub login: String,
    /// The address; shown this once.
    pub url: String,
    /// When it ends, if nobody used it.
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Timestamp,
}

/// Changes a user. What is absent stays.
#[derive(Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct UserChange {
    /// Keeps them from signing in, or lets them again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled: Option<bool>,
    /// A new password; their sessions end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// Roles to give.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub give: Vec<RoleGrant>,
    /// Roles to take.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub take: Vec<RoleGrant>,
}

/// An API token, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Token {
    /// Its id.
    pub id: String,
    /// What it is for.
    pub name: String,
    /// What it may be used for: `read`, `write`, `admin`; each includes the ones before it.
    pub scopes: Vec<String>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it ends; absent for never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
    /// When it was last used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_used_at: Option<Timestamp>,
}

/// Makes an API token for the caller.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct NewToken {
    /// What it is for.
    pub name: String,
    /// What it may be used for.
    pub scopes: Vec<String>,
    /// How long it lives, in seconds; absent for 90 days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in: Option<u64>,
}

/// A token just made.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct CreatedToken {
    /// The token.
    pub token: Token,
    /// Its secret, shown this once.
    pub secret: String,
}
