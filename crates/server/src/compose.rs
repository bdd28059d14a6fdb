//! Puts the engine together from what the data directory holds.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use towpath_artifact::{ContentError, ContentStore, KeyError, LogStore, ReleaseKey, Vault, VaultError};
use towpath_engine::kept::Keeping;
use towpath_engine::notify::Smtp;
use towpath_engine::{Allowed, Engine, EngineError, Parts};
use towpath_model::retry::RetryClass;
use towpath_store::Db;
use url::Url;

/// How much caches, outputs of Steps and workspaces of one Project may take, and all together.
const KEPT_PROJECT_BYTES: u64 = 10 << 30;
const KEPT_TOTAL_BYTES: u64 = 50 << 30;

/// The largest log of one Attempt. The agent keeps head and tail of a longer one and marks the gap, so this is a
/// second fence only.
const MAX_LOG: u64 = 256 << 20;

/// Why the engine could not be put together.
#[derive(Debug, thiserror::Error)]
pub enum ComposeError {
    /// The content store or the logs cannot be opened.
    #[error("failed to open the content store")]
    Content(#[from] ContentError),
    /// The key that signs Releases cannot be used.
    #[error("failed to use the release key")]
    ReleaseKey(#[from] KeyError),
    /// The key of the secrets cannot be used.
    #[error("failed to use the master key of the secrets")]
    Vault(#[from] VaultError),
    /// The release public key cannot be written.
    #[error("failed to write the release public key")]
    PublicKey(#[source] std::io::Error),
    /// The engine itself.
    #[error("failed to make the engine")]
    Engine(#[from] EngineError),
}

/// What the server may reach outside.
pub(crate) struct Outside {
    /// What documents may have it speak to, besides public addresses.
    pub(crate) outgoing: Vec<Allowed>,
    /// The mail server.
    pub(crate) smtp: Option<Smtp>,
}

/// Opens stores and keys, makes keys at the first start, and puts the engine together.
pub(crate) fn engine(
    data_dir: &Path,
    db: Db,
    public_url: &Url,
    allow_host_executor: bool,
    retry_budget: BTreeMap<RetryClass, u32>,
    outside: Outside,
    clock: fn() -> Timestamp,
) -> Result<Engine, ComposeError> {
    let keys = data_dir.join("keys");
    let content = ContentStore::open(&data_dir.join("blobs"))?;
    let logs = LogStore::open(&data_dir.join("logs"), content.clone(), MAX_LOG)?;
    let vault = Vault::load_or_create(&keys.join("master.key"))?;
    let release_key = ReleaseKey::load_or_create(&keys.join("release.key"))?;
    // Local agents pin this file; it is rewritten only where it differs, so that nobody sees half of it.
    let (public, path) = (release_key.public().to_pem(), keys.join("release.pub"));
    if std::fs::read_to_string(&path).ok().as_deref() != Some(public.as_str()) {
        let fresh = keys.join("release.pub.new");
        std::fs::write(&fresh, public).map_err(ComposeError::PublicKey)?;
        std::fs::rename(&fresh, &path).map_err(ComposeError::PublicKey)?;
    }
    let keeping = Keeping {
        store: ContentStore::open(&data_dir.join("kept"))?,
        project_bytes: KEPT_PROJECT_BYTES,
        total_bytes: KEPT_TOTAL_BYTES,
    };
    let parts = Parts {
        db,
        content,
        keeping,
        logs: Arc::new(logs),
        vault,
        release_key,
        repositories: data_dir.join("git"),
        public_url: public_url.to_string(),
        allow_host_executor,
        retry_budget,
        outgoing: outside.outgoing,
        smtp: outside.smtp,
        clock,
    };
    Ok(Engine::new(parts)?)
}
