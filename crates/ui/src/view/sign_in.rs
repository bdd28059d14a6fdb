//! Signing in, and the very first admin.

use super::Shell;

/// The sign-in form.
#[derive(Debug, Clone)]
pub struct SignInView {
    /// The frame, without a user.
    pub shell: Shell,
    /// The login typed before.
    pub login: String,
    /// Where to go afterwards; a path of this server.
    pub next: String,
    /// What was wrong.
    pub error: Option<String>,
}

/// The form behind a one-time link: choose a login and a password.
#[derive(Debug, Clone)]
pub struct SetupView {
    /// The frame, without a user.
    pub shell: Shell,
    /// The token of the link.
    pub token: String,
    /// The login typed before, or the one that the link is for.
    pub login: String,
    /// Whether the login is given by the link (an invitation) or free (the first admin).
    pub invited: bool,
    /// What was wrong.
    pub error: Option<String>,
}
