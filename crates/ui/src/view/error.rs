//! When there is nothing else to show.

use super::Shell;

/// An error page.
#[derive(Debug, Clone)]
pub struct ErrorView {
    /// The frame.
    pub shell: Shell,
    /// The HTTP status.
    pub status: u16,
    /// What happened, to what, and what to do next.
    pub detail: Option<String>,
    /// The request's id in the server's log.
    pub request: Option<String>,
}
