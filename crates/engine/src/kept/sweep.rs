//! Keeps kept bytes within their quotas, in slices so small that nobody waits for one.
//!
//! An entry at a time is evicted, and a few dozen blobs at a time are removed; in between, everybody else has
//! their turn. Nothing is removed when the server starts.

use std::fs;
use std::time::{Duration, SystemTime};

use jiff::SignedDuration;
use towpath_model::{Digest, ProjectName};
use towpath_store::core::kept::{self, KeptEntry, KeptState};

use crate::error::{blocking, chain};
use crate::{Engine, EngineError};

/// How often it is looked at without a reason.
const EVERY: Duration = Duration::from_secs(60);

/// The pause between two slices.
const PAUSE: Duration = Duration::from_millis(5);

/// How many blobs are removed at once.
const SLICE: u32 = 64;

/// How long a blob may be without an entry: it was sent for one that is about to be made.
const GRACE: SignedDuration = SignedDuration::from_mins(30);

/// Files that no row knows go when they are so old: a crash left them.
const STRAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How often strays are looked for: at the first sweep, and then each so many.
const STRAYS_EACH: u64 = 24 * 60;

impl Engine {
    pub(crate) async fn sweep_forever(&self) {
        let mut round: u64 = 0;
        loop {
            let _ = tokio::time::timeout(EVERY, self.0.sweep.notified()).await;
            if let Err(error) = self.sweep_kept().await {
                tracing::warn!(error = chain(&error), "kept bytes were not swept; it is tried again");
            }
            if round.is_multiple_of(STRAYS_EACH)
                && let Err(error) = self.remove_strays().await
            {
                tracing::warn!(error = chain(&error), "strays among kept bytes were not removed");
            }
            round += 1;
        }
    }

    /// Brings everything within its bounds, slice by slice.
    ///
    /// # Errors
    /// When the database or the disk fails; what was done until then stays done.
    pub async fn sweep_kept(&self) -> Result<(), EngineError> {
        while let Some((entry, why)) = self.next_to_evict().await? {
            let mut unit = self.begin().await?;
            kept::end(&mut unit.tx, &entry, KeptState::Evicted, &why).await?;
            unit.commit().await?;
            tokio::time::sleep(PAUSE).await;
        }
        while self.remove_slice().await? {
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }

    async fn next_to_evict(&self) -> Result<Option<(KeptEntry, String)>, EngineError> {
        let keeping = &self.0.parts.keeping;
        let mut reader = self.db().reader().await?;
        let old = kept::overdue(&mut reader, self.now(), 1).await?;
        if let Some(old) = old.into_iter().next() {
            return Ok(Some((old, "nobody read it for long".to_owned())));
        }
        let usage = kept::usage(&mut reader).await?;
        let total: u64 = usage.iter().map(|(_, bytes)| bytes).sum();
        let over: Option<(Option<&ProjectName>, String)> = match usage.first() {
            Some((project, bytes)) if *bytes > keeping.project_bytes => {
                Some((Some(project), "the project's quota was full".to_owned()))
            }
            _ if total > keeping.total_bytes => Some((None, "the server's quota was full".to_owned())),
            _ => None,
        };
        let Some((project, why)) = over else { return Ok(None) };
        Ok(kept::least_used(&mut reader, project).await?.map(|entry| (entry, why)))
    }

    /// Removes some blobs that nothing refers to. Says whether there may be more.
    async fn remove_slice(&self) -> Result<bool, EngineError> {
        // Nobody takes a blob in meanwhile, so that none goes that has just come again.
        let _no_uploads = self.0.sweeping.write().await;
        let mut unit = self.begin().await?;
        let before = unit.now.saturating_sub(GRACE).unwrap_or(unit.now);
        let (forgotten, free) = kept::forget_unused(&mut unit.tx, before, SLICE).await?;
        unit.commit().await?;
        self.remove_blobs(free).await?;
        Ok(forgotten == SLICE as usize)
    }

    async fn remove_blobs(&self, blobs: Vec<Digest>) -> Result<(), EngineError> {
        let store = self.kept_store().clone();
        blocking("removing kept blobs", move || {
            blobs.into_iter().try_for_each(|digest| store.remove(digest)).map_err(EngineError::from)
        })
        .await
    }

    /// Removes files that no row knows: the server was killed between a file and its row, or a row and its file.
    async fn remove_strays(&self) -> Result<(), EngineError> {
        let directory = self.kept_store().root().join("blobs/sha256");
        let old = blocking("looking for strays", move || {
            let now = SystemTime::now();
            let entries = fs::read_dir(&directory);
            let entries = entries
                .map_err(|error| EngineError::internal("kept bytes cannot be listed", error))?
                .flatten();
            let is_old = |entry: &fs::DirEntry| {
                let changed = entry.metadata().and_then(|metadata| metadata.modified());
                changed.is_ok_and(|changed| now.duration_since(changed).is_ok_and(|age| age > STRAY))
            };
            let names = entries.filter(is_old).filter_map(|entry| entry.file_name().into_string().ok());
            Ok::<_, EngineError>(names.collect::<Vec<_>>())
        });
        let old: Vec<String> = old.await?;
        for names in old.chunks(SLICE as usize) {
            let _no_uploads = self.0.sweeping.write().await;
            let mut reader = self.db().reader().await?;
            let mut strays = Vec::new();
            for name in names {
                let digest = format!("sha256:{name}");
                if !kept::is_known(&mut reader, &digest).await? {
                    strays.extend(digest.parse::<Digest>());
                }
            }
            drop(reader);
            self.remove_blobs(strays).await?;
        }
        Ok(())
    }
}
