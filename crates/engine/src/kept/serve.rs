//! What an agent asks for and leaves, on behalf of one Attempt.

use towpath_api::reuse::{Find, Found, FoundEntry, Missing, NewEntry, Offer, Saved, Verified};
use towpath_artifact::{BlobWriter, ContentStore, Snapshot};
use towpath_model::reuse::{Candidate, EntryKind, Fit, choose, readable_scopes, why_missed, written_scope};
use towpath_model::run::Run;
use towpath_model::{AgentId, AttemptId, Digest};
use towpath_store::core::attempts::Owner;
use towpath_store::core::kept::{self, KeptBody, KeptEntry, KeptState, KeptUse};
use towpath_store::core::{attempts, runs};

use super::writer;
use crate::error::{blocking, chain};
use crate::{Engine, EngineError};

/// How many digests one call may name.
const MAX_OFFERED: usize = 10_000;

/// The longest key, space, list of parts and outputs.
const MAX_TEXT: usize = 256 << 10;

/// An Attempt with its Run and Job.
struct Holder {
    run: Run,
    job: String,
    attempt: AttemptId,
}

impl Holder {
    fn scopes(&self) -> Vec<String> {
        readable_scopes(self.run.trust, &self.run.cause.reference)
    }

    fn used(&self, step: Option<u32>, kind: EntryKind, key: &str, at: jiff::Timestamp) -> KeptUse {
        KeptUse {
            project: self.run.project.clone(),
            run: self.run.id,
            job: self.job.clone(),
            attempt: self.attempt,
            step,
            kind,
            key: key.to_owned(),
            outcome: "miss".to_owned(),
            entry: None,
            why: String::new(),
            at,
        }
    }
}

impl Engine {
    /// Where kept bytes are.
    #[must_use]
    pub fn kept_store(&self) -> &ContentStore {
        &self.0.parts.keeping.store
    }

    /// The Attempt that a caller holds.
    async fn holder(&self, agent: Option<AgentId>, id: AttemptId, fence: u64) -> Result<Holder, EngineError> {
        let mut reader = self.db().reader().await?;
        let held = attempts::find(&mut reader, id).await?;
        let held = crate::agents::owned(held, agent, fence)?;
        let Owner::Run(run) = held.owner else {
            return Err(EngineError::refused("a check of a promotion keeps nothing".to_owned()));
        };
        let run = runs::find(&mut reader, run).await?;
        let run = run.ok_or_else(|| EngineError::not_found(format!("the run of attempt {id}")))?;
        let job = run.attempt(id).map(|(job, _)| job.name.to_string());
        let job = job.ok_or_else(|| EngineError::not_found(format!("the job of attempt {id}")))?;
        Ok(Holder { run, job, attempt: id })
    }

    /// Finds what an Attempt may reuse, and notes what it got.
    ///
    /// # Errors
    /// When the lease is not the agent's any more, or the database fails.
    pub async fn reuse_find(
        &self,
        agent: Option<AgentId>,
        attempt: AttemptId,
        wanted: &Find,
    ) -> Result<Found, EngineError> {
        let holder = self.holder(agent, attempt, wanted.fence).await?;
        let project = &holder.run.project;
        let scopes = holder.scopes();
        let place = (wanted.kind, wanted.space.as_str());
        let mut reader = self.db().reader().await?;
        // A workspace is only given to whom the server sends to it.
        let beginnings = if wanted.kind == EntryKind::Cache { wanted.restore.as_slice() } else { &[] };
        let found = kept::candidates(&mut reader, project, place, &wanted.key, beginnings).await?;
        let candidates: Vec<_> =
            found.iter().map(|entry| Candidate { scope: &entry.scope, key: &entry.key }).collect();
        let chosen = choose(&candidates, &scopes, &wanted.key, beginnings);
        let newest = kept::newest(&mut reader, project, place, &scopes).await?;
        drop(reader);
        let exact = matches!(chosen, Some((_, Fit::Exact)));
        let since = newest.as_ref().map(|newest| (newest.body.parts.as_slice(), writer(newest)));
        let since = since.as_ref().map(|(parts, by)| (*parts, by.as_str()));
        let why = if exact { String::new() } else { why_missed(&wanted.parts, since) };
        let mut unit = self.begin().await?;
        let mut used = holder.used(wanted.step, wanted.kind, &wanted.key, unit.now);
        used.why.clone_from(&why);
        let entry = chosen.map(|(at, fit)| (&found[at], fit));
        if let Some((entry, fit)) = entry {
            used.outcome = if fit == Fit::Exact { "hit" } else { "prefix" }.to_owned();
            used.entry = Some(entry.id.clone());
            kept::read(&mut unit.tx, entry, unit.now).await?;
        }
        kept::note(&mut unit.tx, &used).await?;
        unit.commit().await?;
        let entry = entry.map(|(entry, fit)| FoundEntry {
            id: entry.id.clone(),
            fit,
            key: entry.key.clone(),
            snapshot: entry.snapshot,
            outputs: entry.body.outputs.clone(),
            by: writer(entry),
        });
        Ok(Found { entry, why })
    }

    /// Says which blobs have to be sent.
    ///
    /// # Errors
    /// When the lease is not the agent's any more, or too many are named.
    pub async fn reuse_missing(
        &self,
        agent: Option<AgentId>,
        attempt: AttemptId,
        offer: &Offer,
    ) -> Result<Missing, EngineError> {
        let holder = self.holder(agent, attempt, offer.fence).await?;
        if offer.blobs.len() > MAX_OFFERED {
            return Err(EngineError::invalid(format!("more than {MAX_OFFERED} blobs in one call")));
        }
        let mut unit = self.begin().await?;
        let blobs = kept::missing(&mut unit.tx, &holder.run.project, &offer.blobs, unit.now).await?;
        unit.commit().await?;
        Ok(Missing { blobs })
    }

    /// Whether the holder of an Attempt may have a blob.
    ///
    /// # Errors
    /// When the lease is not the agent's any more, or its Project does not have the blob.
    pub async fn reuse_may_read(
        &self,
        agent: Option<AgentId>,
        attempt: AttemptId,
        fence: u64,
        digest: Digest,
    ) -> Result<(), EngineError> {
        let holder = self.holder(agent, attempt, fence).await?;
        let mut reader = self.db().reader().await?;
        if kept::has_blob(&mut reader, &holder.run.project, digest).await? {
            return Ok(());
        }
        Err(EngineError::not_found(format!("blob {digest} in what {} keeps", holder.run.project)))
    }

    /// Takes a blob in that was written to the end.
    ///
    /// # Errors
    /// When the lease is not the agent's any more, or the bytes are other ones.
    pub async fn reuse_put(
        &self,
        agent: Option<AgentId>,
        attempt: AttemptId,
        fence: u64,
        digest: Digest,
        bytes: BlobWriter,
    ) -> Result<(), EngineError> {
        let holder = self.holder(agent, attempt, fence).await?;
        let size = bytes.written();
        // As long as this is held nothing is removed, so that no blob goes between its file and its row.
        let _no_sweep = self.0.sweeping.read().await;
        blocking("keeping a blob", move || bytes.finish(Some(digest))).await?;
        let mut unit = self.begin().await?;
        kept::add_blob(&mut unit.tx, &holder.run.project, digest, size, unit.now).await?;
        unit.commit().await
    }

    /// Makes an entry. What is already there under its key stays, and is the answer.
    ///
    /// # Errors
    /// When the lease is not the agent's any more, or the snapshot cannot be one.
    pub async fn reuse_save(
        &self,
        agent: Option<AgentId>,
        attempt: AttemptId,
        new: NewEntry,
    ) -> Result<Saved, EngineError> {
        let holder = self.holder(agent, attempt, new.fence).await?;
        let project = holder.run.project.clone();
        let texts = new.parts.iter().map(|part| part.name.len() + part.value.len());
        let outputs = new.outputs.iter().map(|(name, value)| name.len() + value.len());
        let text: usize = texts.chain(outputs).chain([new.key.len(), new.space.len()]).sum();
        if text > MAX_TEXT {
            return Ok(Saved::Refused { reason: "its key and outputs are too long".to_owned() });
        }
        let mut reader = self.db().reader().await?;
        if !kept::has_blob(&mut reader, &project, new.snapshot).await? {
            return Ok(Saved::Missing { blobs: vec![new.snapshot] });
        }
        drop(reader);
        let (store, digest) = (self.kept_store().clone(), new.snapshot);
        // What it refers to is read from the manifest itself, and not taken from the agent.
        let snapshot = blocking("reading a snapshot", move || {
            Snapshot::load(digest, &store).map_err(|error| EngineError::invalid(chain(&error)))
        });
        let snapshot = match snapshot.await {
            Ok(snapshot) => snapshot,
            Err(EngineError::Invalid { reason }) => return Ok(Saved::Refused { reason }),
            Err(error) => return Err(error),
        };
        if snapshot.stored() > self.0.parts.keeping.project_bytes / 2 {
            let most = self.0.parts.keeping.project_bytes / 2;
            let reason = format!(
                "it has {} bytes, and one entry may have {most}: half of the project's quota",
                snapshot.stored()
            );
            return Ok(Saved::Refused { reason });
        }
        let mut blobs: Vec<Digest> = snapshot.packs.iter().map(|pack| pack.digest).collect();
        blobs.push(new.snapshot);
        let mut unit = self.begin().await?;
        let missing = kept::missing(&mut unit.tx, &project, &blobs, unit.now).await?;
        if !missing.is_empty() {
            return Ok(Saved::Missing { blobs: missing });
        }
        if kept::is_revoked(&mut unit.tx, &project, new.snapshot).await? {
            return Ok(Saved::Refused { reason: "an entry with the same content was revoked".to_owned() });
        }
        let scope = written_scope(holder.run.trust, &holder.run.cause.reference);
        let known = kept::candidates(&mut unit.tx, &project, (new.kind, &new.space), &new.key, &[]).await?;
        if let Some(known) = known.into_iter().find(|known| known.scope == scope) {
            return Ok(Saved::Saved { id: known.id });
        }
        let entry = KeptEntry {
            id: uuid::Uuid::now_v7().to_string(),
            project,
            kind: new.kind,
            scope,
            space: new.space,
            key: new.key,
            snapshot: new.snapshot,
            files: snapshot.files(),
            bytes: snapshot.bytes(),
            stored: snapshot.stored(),
            run: holder.run.id,
            run_number: holder.run.number,
            job: holder.job,
            attempt,
            step: new.step,
            commit: holder.run.cause.commit.clone(),
            created_at: unit.now,
            used_at: unit.now,
            ends_at: unit.now.saturating_add(new.kind.lifetime()).unwrap_or(unit.now),
            state: KeptState::Live,
            ended: String::new(),
            body: KeptBody { parts: new.parts, outputs: new.outputs },
        };
        kept::insert(&mut unit.tx, &entry, &blobs).await?;
        unit.commit().await?;
        self.0.sweep.notify_one();
        Ok(Saved::Saved { id: entry.id })
    }

    /// Notes what comparing the outputs of a Step showed.
    ///
    /// # Errors
    /// When the lease is not the agent's any more.
    pub async fn reuse_verified(
        &self,
        agent: Option<AgentId>,
        attempt: AttemptId,
        verified: &Verified,
    ) -> Result<(), EngineError> {
        let holder = self.holder(agent, attempt, verified.fence).await?;
        let mut unit = self.begin().await?;
        let entry = kept::find(&mut unit.tx, &holder.run.project, &verified.entry).await?;
        let Some(entry) = entry else { return Ok(()) };
        let mut used = holder.used(Some(verified.step), entry.kind, &entry.key, unit.now);
        let same = verified.differences.is_empty();
        used.outcome = if same { "same" } else { "differs" }.to_owned();
        used.why = verified.differences.join(", ").chars().take(2000).collect();
        used.entry = Some(entry.id);
        kept::note(&mut unit.tx, &used).await?;
        unit.commit().await
    }
}
