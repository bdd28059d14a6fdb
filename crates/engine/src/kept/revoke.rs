//! Takes trust away from an entry, and finds everything that was built with it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use towpath_model::timeline::Entry;
use towpath_model::{AttemptId, ProjectName, RunId};
use towpath_store::core::kept::{self, KeptEntry, KeptState, KeptUse};
use towpath_store::core::releases::{self, Release};
use towpath_store::core::runs;

use crate::{Engine, EngineError, Person};

/// The most entries that are followed from one.
const MOST: usize = 10_000;

/// What an entry reached.
#[derive(Debug, Clone, Default)]
pub struct Reached {
    /// It, and every entry that was written by an Attempt that had read one of these.
    pub entries: Vec<KeptEntry>,
    /// Runs that read one of them, as `shop#12`.
    pub runs: BTreeMap<RunId, String>,
    /// Releases that those Runs sealed.
    pub releases: Vec<Release>,
}

/// What revoking came to.
#[derive(Debug, Clone, Default)]
pub struct RevokeReport {
    /// What was reached, revoked now.
    pub reached: Reached,
    /// How many of the entries could still be read.
    pub were_live: usize,
}

impl Engine {
    /// The entries of a Project, the newest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn kept_entries(
        &self,
        project: &ProjectName,
        before: Option<jiff::Timestamp>,
        limit: u32,
    ) -> Result<Vec<KeptEntry>, EngineError> {
        let mut reader = self.db().reader().await?;
        Ok(kept::list(&mut reader, project, before, limit).await?)
    }

    /// What the Attempts of a Run asked for and got, and who wrote that.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn kept_uses(
        &self,
        project: &ProjectName,
        run: RunId,
    ) -> Result<Vec<(KeptUse, Option<KeptEntry>)>, EngineError> {
        let mut reader = self.db().reader().await?;
        let mut found = Vec::new();
        for used in kept::uses_of_run(&mut reader, run).await? {
            let entry = match &used.entry {
                Some(id) => kept::find(&mut reader, project, id).await?,
                None => None,
            };
            found.push((used, entry));
        }
        Ok(found)
    }

    /// Finds what an entry reached: what read it, what that wrote, what read this, and so on.
    ///
    /// # Errors
    /// When there is no such entry.
    pub async fn kept_reach(&self, project: &ProjectName, id: &str) -> Result<Reached, EngineError> {
        let mut reader = self.db().reader().await?;
        let first = kept::find(&mut reader, project, id).await?;
        let first = first.ok_or_else(|| EngineError::not_found(format!("cache entry {id} of {project}")))?;
        let mut reached = Reached::default();
        let mut seen = BTreeSet::from([first.id.clone()]);
        let mut attempts: BTreeSet<AttemptId> = BTreeSet::new();
        let mut pending = VecDeque::from([first]);
        while let Some(entry) = pending.pop_front() {
            for used in kept::uses_of_entry(&mut reader, &entry.id).await? {
                if !reached.runs.contains_key(&used.run)
                    && let Some(run) = runs::find(&mut reader, used.run).await?
                {
                    reached.runs.insert(used.run, run.title());
                    if let Some(sealed) = &run.release {
                        reached.releases.extend(releases::find(&mut reader, sealed.digest).await?);
                    }
                }
                if !attempts.insert(used.attempt) {
                    continue;
                }
                for written in kept::of_attempt(&mut reader, used.attempt).await? {
                    // What was there before it read the entry cannot have anything of it.
                    if written.created_at >= used.at && seen.len() < MOST && seen.insert(written.id.clone()) {
                        pending.push_back(written);
                    }
                }
            }
            reached.entries.push(entry);
        }
        Ok(reached)
    }

    /// Revokes an entry and all that was made from it: none of them is given to anybody again.
    ///
    /// # Errors
    /// When there is no such entry.
    pub async fn kept_revoke(
        &self,
        project: &ProjectName,
        id: &str,
        why: &str,
        person: &Person,
    ) -> Result<RevokeReport, EngineError> {
        let reached = self.kept_reach(project, id).await?;
        let words = if why.is_empty() { String::new() } else { format!(": {why}") };
        let reason = format!("{} revoked it{words}", person.login);
        let mut unit = self.begin().await?;
        let mut were_live = 0;
        for entry in &reached.entries {
            // Looked at again in this transaction: it may have been evicted meanwhile.
            let Some(entry) = kept::find(&mut unit.tx, project, &entry.id).await? else { continue };
            if entry.state != KeptState::Revoked {
                were_live += usize::from(entry.state == KeptState::Live);
                kept::end(&mut unit.tx, &entry, KeptState::Revoked, &reason).await?;
            }
        }
        let text = format!(
            "{} revoked cache entry {id} of {project}{words}: {} entries, read by {} runs, which sealed {} releases",
            person.login,
            reached.entries.len(),
            reached.runs.len(),
            reached.releases.len()
        );
        let entry = Entry::new("cache-revoked", person.actor(), text).fact("entry", id);
        unit.record(Some(project), None, &format!("cache:{id}"), entry).await?;
        unit.commit().await?;
        self.0.sweep.notify_one();
        Ok(RevokeReport { reached, were_live })
    }
}
