//! People and their roles.

use jiff::Timestamp;

use super::Shell;

/// All users, for admins.
#[derive(Debug, Clone)]
pub struct UsersView {
    /// The frame.
    pub shell: Shell,
    /// The users.
    pub users: Vec<UserRow>,
    /// A link that was made just now.
    pub invitation: Option<InvitationView>,
    /// Projects that a role can be given for.
    pub projects: Vec<String>,
    /// Roles that can be given.
    pub roles: Vec<String>,
}

/// A link by which somebody chooses their password; it is shown once.
#[derive(Debug, Clone)]
pub struct InvitationView {
    /// Whom it is for.
    pub login: String,
    /// The address.
    pub url: String,
    /// When it ends.
    pub ends: Timestamp,
}

/// A user.
#[derive(Debug, Clone)]
pub struct UserRow {
    /// The login.
    pub login: String,
    /// Whether they may still sign in.
    pub active: bool,
    /// Their roles.
    pub grants: Vec<Grant>,
    /// Since when they exist.
    pub created: Timestamp,
    /// When they were last here.
    pub seen: Option<Timestamp>,
}

/// A role in a Project.
#[derive(Debug, Clone)]
pub struct Grant {
    /// The Project; `None` for all.
    pub project: Option<String>,
    /// The role.
    pub role: String,
}
