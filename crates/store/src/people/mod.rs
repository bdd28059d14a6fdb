//! People: who they are, what they may do, how they prove it.
//!
//! Every change here is recorded in the timeline in the same transaction. Secrets arrive as
//! hashes; drawing and hashing them is the caller's.

pub mod grants;
pub mod invitations;
pub mod sessions;
pub mod setup;
pub mod tokens;
pub mod users;

use jiff::Timestamp;
use serde::Serialize;

use crate::db::WriteTx;
use crate::timeline::{self, NewEntry};

/// A SHA-256 over a secret of at least 128 random bits; nothing slower is needed for those.
pub type SecretHash = [u8; 32];

/// Who changes something, and when.
#[derive(Debug, Clone, Copy)]
pub struct By<'a> {
    /// `user:alice`, `agent:<id>` or `system`.
    pub actor: &'a str,
    /// When.
    pub at: Timestamp,
}

pub(crate) async fn record(
    tx: &mut WriteTx,
    by: By<'_>,
    project: Option<&str>,
    kind: &str,
    subject: &str,
    body: &impl Serialize,
) -> sqlx::Result<()> {
    let entry = NewEntry { at: by.at, actor: by.actor, project, environment: None, kind, subject };
    timeline::append(tx, entry, body).await.map(drop)
}
