//! What waits for a person.

use jiff::Timestamp;

use super::{Action, Commit, PolicyChangeCard, Shell};

/// The Promotions and policy changes that wait for the person who looks.
#[derive(Debug, Clone)]
pub struct ApprovalsView {
    /// The frame.
    pub shell: Shell,
    /// Longest waiting first.
    pub waiting: Vec<ApprovalRequest>,
    /// Documents that loosen a policy, those that end soonest first.
    pub policies: Vec<PolicyChangeCard>,
}

/// A Promotion that waits for approval.
#[derive(Debug, Clone)]
pub struct ApprovalRequest {
    /// Its id.
    pub promotion: String,
    /// The Project.
    pub project: String,
    /// The Environment.
    pub environment: String,
    /// What is promoted.
    pub version: String,
    /// What runs there now.
    pub current: Option<String>,
    /// The commit it was built from.
    pub commit: Commit,
    /// Since when it waits.
    pub since: Timestamp,
    /// What happens once it is approved, one sentence each.
    pub plan: Vec<String>,
    /// When the request dies.
    pub expires: Option<Timestamp>,
    /// What it needs, in words: `1 of 2 approvals from release-manager`.
    pub needs: String,
    /// Approve, reject.
    pub actions: Vec<Action>,
}
