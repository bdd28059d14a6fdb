//! The server's store of caches, outputs of Steps and workspaces, as one Attempt sees it.

use std::path::PathBuf;

use tokio::runtime::Handle;
use towpath_api::agent::Lease;
use towpath_api::reuse::{Find, Found, Missing, NewEntry, Offer, Saved, Verified};
use towpath_artifact::{ContentStore, Snapshot};
use towpath_model::Digest;

use super::client::{CALL, Client};
use crate::executor::chain;
use crate::reuse::Depot;

/// How many blobs are asked for in one call.
const OFFERED: usize = 5_000;

/// How many blobs are transferred at once.
const AT_ONCE: usize = 4;

/// The server, on behalf of one Attempt. Its calls block: they are made on the thread of the Steps.
#[derive(Debug)]
pub(super) struct RemoteDepot {
    pub(super) client: Client,
    pub(super) lease: Lease,
    pub(super) runtime: Handle,
}

impl RemoteDepot {
    fn path(&self, call: &str) -> String {
        format!("/agent/v1/attempts/{}/reuse/{call}", self.lease.attempt)
    }

    fn blob_path(&self, digest: Digest) -> String {
        format!("{}?fence={}", self.path(&format!("blobs/{digest}")), self.lease.fence)
    }

    /// Sends what the server does not have of a snapshot.
    async fn send(&self, blobs: Vec<Digest>, store: &ContentStore) -> Result<(), String> {
        let mut missing = Vec::new();
        for offered in blobs.chunks(OFFERED) {
            let offer = Offer { fence: self.lease.fence, blobs: offered.to_vec() };
            let answer: Missing = self
                .client
                .exchange(&self.path("missing"), &offer, CALL)
                .await
                .map_err(|error| error.to_string())?;
            missing.extend(answer.blobs);
        }
        self.transfer(missing, store, Way::Up).await
    }

    /// Transfers several blobs at once; the first failure ends it.
    async fn transfer(&self, blobs: Vec<Digest>, store: &ContentStore, way: Way) -> Result<(), String> {
        let mut blobs = blobs.into_iter();
        let mut running = tokio::task::JoinSet::new();
        loop {
            while running.len() < AT_ONCE
                && let Some(digest) = blobs.next()
            {
                let (client, store, path) = (self.client.clone(), store.clone(), self.blob_path(digest));
                running.spawn(async move {
                    match way {
                        Way::Up => client.put_blob(&path, digest, &store).await,
                        Way::Down => client.get_blob(&path, digest, &store).await,
                    }
                });
            }
            match running.join_next().await {
                Some(Ok(Ok(()))) => {}
                Some(Ok(Err(error))) => return Err(error.to_string()),
                Some(Err(error)) => return Err(chain(&error)),
                None => return Ok(()),
            }
        }
    }
}

#[derive(Clone, Copy)]
enum Way {
    Up,
    Down,
}

impl Depot for RemoteDepot {
    fn find(&self, mut wanted: Find) -> Result<Found, String> {
        wanted.fence = self.lease.fence;
        let path = self.path("find");
        self.runtime.block_on(self.client.exchange(&path, &wanted, CALL)).map_err(|error| error.to_string())
    }

    fn fetch(&self, snapshot: Digest, store: &ContentStore) -> Result<(), String> {
        self.runtime.block_on(async {
            if !store.touch(snapshot) {
                self.transfer(vec![snapshot], store, Way::Down).await?;
            }
            let loaded = Snapshot::load(snapshot, store).map_err(|error| chain(&error))?;
            let packs = loaded.packs.iter().map(|pack| pack.digest);
            let missing = packs.filter(|digest| !store.touch(*digest)).collect();
            self.transfer(missing, store, Way::Down).await
        })
    }

    fn save(&self, mut entry: NewEntry, store: &ContentStore) -> Result<Saved, String> {
        entry.fence = self.lease.fence;
        let loaded = Snapshot::load(entry.snapshot, store).map_err(|error| chain(&error))?;
        let mut blobs: Vec<Digest> = loaded.packs.iter().map(|pack| pack.digest).collect();
        blobs.push(entry.snapshot);
        let path = self.path("save");
        self.runtime.block_on(async {
            self.send(blobs, store).await?;
            // What was there when it was asked for may have been evicted since; twice in a row is bad luck.
            for _ in 0..2 {
                let saved: Saved =
                    self.client.exchange(&path, &entry, CALL).await.map_err(|error| error.to_string())?;
                let Saved::Missing { blobs } = saved else { return Ok(saved) };
                self.transfer(blobs, store, Way::Up).await?;
            }
            self.client.exchange(&path, &entry, CALL).await.map_err(|error| error.to_string())
        })
    }

    fn verified(&self, mut verified: Verified) {
        verified.fence = self.lease.fence;
        let path = self.path("verified");
        if let Err(error) = self.runtime.block_on(self.client.post(&path, &verified)) {
            tracing::warn!(attempt = %self.lease.attempt, "the result of a comparison was not told: {error}");
        }
    }
}

/// Where the agent keeps what it fetched and made, to be fetched again when it is gone.
pub(super) fn kept(directory: &std::path::Path) -> PathBuf {
    directory.join("kept")
}
