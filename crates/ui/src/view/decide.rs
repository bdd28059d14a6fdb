//! What a mailed link asks one person.

use jiff::Timestamp;

use super::{Commit, Shell};

/// The question behind a mailed link.
#[derive(Debug, Clone)]
pub struct DecideView {
    /// The frame, without a user.
    pub shell: Shell,
    /// The link's own text, which the form gives back.
    pub link: String,
    /// Who decides.
    pub login: String,
    /// What: `1.4.0 to shop/production`.
    pub title: String,
    /// The version that it would replace.
    pub current: Option<String>,
    /// The commit that it was made from.
    pub commit: Commit,
    /// What is waited for, and what the policy tells who decides.
    pub needs: Vec<String>,
    /// What happens once every Gate is open.
    pub plan: Vec<String>,
    /// Whether a word needs a comment.
    pub comment_needed: bool,
    /// When the link ends.
    pub expires: Timestamp,
    /// Why a word was not taken.
    pub error: Option<String>,
    /// What became of it, once it was taken.
    pub done: Option<String>,
}
