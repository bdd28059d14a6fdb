//! A document that waits for signatures because it loosens a policy.

use jiff::Timestamp;

use super::Action;

/// A change of a policy that waits.
#[derive(Debug, Clone)]
pub struct PolicyChangeCard {
    /// The Project.
    pub project: String,
    /// The Environment.
    pub environment: String,
    /// Its number there.
    pub number: u64,
    /// The version of the document that it replaces.
    pub base: u64,
    /// Who applied it.
    pub author: String,
    /// When.
    pub since: Timestamp,
    /// When it ends.
    pub expires: Timestamp,
    /// What changes, one line each.
    pub changes: Vec<String>,
    /// Which of it loosens the policy.
    pub loosens: Vec<String>,
    /// Whose signatures are missing, in words.
    pub needs: String,
    /// Approve, reject.
    pub actions: Vec<Action>,
}
