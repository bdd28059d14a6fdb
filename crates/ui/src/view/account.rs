//! One's own account.

use jiff::Timestamp;

use super::{Grant, Shell};

/// The account of the person who looks.
#[derive(Debug, Clone)]
pub struct AccountView {
    /// The frame.
    pub shell: Shell,
    /// Their roles.
    pub grants: Vec<Grant>,
    /// Their API tokens.
    pub tokens: Vec<TokenRow>,
    /// Scopes that a token can have: name and meaning.
    pub scopes: Vec<(String, String)>,
    /// The token just made, shown once.
    pub new_token: Option<String>,
}

/// An API token, without its secret.
#[derive(Debug, Clone)]
pub struct TokenRow {
    /// Its id.
    pub id: String,
    /// What it is for.
    pub name: String,
    /// What it may do.
    pub scopes: Vec<String>,
    /// When it was made.
    pub created: Timestamp,
    /// When it was last used.
    pub used: Option<Timestamp>,
    /// When it ends.
    pub expires: Option<Timestamp>,
}
