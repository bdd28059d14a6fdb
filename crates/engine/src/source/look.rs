//! A look at a source: what moved there is fetched, and told as a push would be.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use towpath_model::ProjectName;
use towpath_model::source::{Forge, Scheme};
use towpath_model::timeline::{Actor, Entry};
use towpath_store::core::projects::{self, Project};
use towpath_store::core::sources::{self, Looked, Sealed, Watched};
use towpath_store::git_refs;

use super::Hint;
use super::mirror::{Listed, Mirror};
use crate::error::chain;
use crate::push::trust;
use crate::{Engine, EngineError, RefChange, git};

/// How many sources are looked at at once.
const AT_ONCE: usize = 4;

/// The longest sleep, so that a clock that jumps is noticed.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

/// The most pull requests that one look follows; the next look goes on.
const MAX_PULL_REQUESTS: usize = 20;

impl Engine {
    pub(crate) async fn watch_sources(&self) {
        let turns = Arc::new(Semaphore::new(AT_ONCE));
        loop {
            let sleep = match self.look_where_due(&turns).await {
                Ok(sleep) => sleep,
                Err(error) => {
                    tracing::error!(
                        error = chain(&error),
                        "sources could not be looked at; they are in a second"
                    );
                    Duration::from_secs(1)
                }
            };
            let _ = tokio::time::timeout(sleep, self.signals().sources.notified()).await;
        }
    }

    async fn look_where_due(&self, turns: &Arc<Semaphore>) -> Result<Duration, EngineError> {
        let due = sources::due(&mut *self.db().reader().await?, self.now()).await?;
        for project in due {
            // One that is looked at already is not waited for: its lock is held, and the row is due again after it.
            let Ok(turn) = Arc::clone(turns).acquire_owned().await else { break };
            let Ok(lock) = self.0.looking.of(&project).await.try_lock_owned() else { continue };
            drop(lock);
            let engine = self.clone();
            tokio::spawn(async move {
                if let Err(error) = engine.look_at_source(&project, Caller::Clock).await {
                    tracing::error!(%project, error = chain(&error), "a source could not be looked at");
                }
                drop(turn);
                engine.signals().sources.notify_one();
            });
        }
        let next = sources::next_look(&mut *self.db().reader().await?).await?;
        let until = next
            .map_or(LONGEST_SLEEP, |at| at.duration_since(self.now()).try_into().unwrap_or(Duration::ZERO));
        // What is due now is being looked at; the end of that look wakes this loop.
        Ok(until.clamp(Duration::from_millis(200), LONGEST_SLEEP))
    }

    /// Looks at a source now. Says, for people, what was found and started.
    ///
    /// # Errors
    /// When the Project has no source, the source fails, or the database does.
    pub async fn look(&self, project: &ProjectName) -> Result<Vec<String>, EngineError> {
        self.look_at_source(project, Caller::Person).await
    }

    async fn look_at_source(&self, name: &ProjectName, caller: Caller) -> Result<Vec<String>, EngineError> {
        let lock = self.0.looking.of(name).await;
        let _alone = lock.lock().await;
        let mut reader = self.db().reader().await?;
        let watched = sources::find(&mut reader, name).await?;
        let watched = watched.ok_or_else(|| {
            EngineError::not_found(format!(
                "a source of {name} (`towpath source set {name} URL` gives it one)"
            ))
        })?;
        let due = watched.next_look.is_some_and(|at| at <= self.now());
        if caller == Caller::Clock && !due {
            // Somebody else looked in the meantime.
            return Ok(Vec::new());
        }
        let hints: Vec<(String, Hint)> = sources::open_hints(&mut reader, name).await?;
        let project = projects::find(&mut reader, name).await?;
        let project = project.ok_or_else(|| EngineError::not_found(format!("project {name}")))?;
        drop(reader);
        let looked = self.look_closely(&project, &watched, &hints).await;
        let mut unit = self.begin().await?;
        let at = unit.now;
        let failures = if looked.is_ok() { 0 } else { watched.failures.saturating_add(1) };
        let next = watched.source.pause(failures).map(|pause| at.saturating_add(pause).unwrap_or(at));
        let said = looked.as_ref().map(|lines| lines.join("\n")).map_err(|error| chain(error));
        let outcome = said.as_deref().map_err(String::as_str);
        sources::looked(&mut unit.tx, name, Looked { at, next, outcome }).await?;
        if looked.is_ok() {
            for (delivery, _) in &hints {
                sources::followed(&mut unit.tx, name, delivery).await?;
            }
        } else if watched.failures == 0 {
            let text = format!(
                "{} could not be looked at: {}",
                watched.source.url,
                outcome.err().unwrap_or_default()
            );
            let entry = Entry::new("source-failed", Actor::Towpath, text);
            unit.record(Some(name), None, &format!("project:{name}"), entry).await?;
        }
        unit.commit().await?;
        looked
    }

    async fn look_closely(
        &self,
        project: &Project,
        watched: &Watched,
        hints: &[(String, Hint)],
    ) -> Result<Vec<String>, EngineError> {
        let mirror = self.mirror(project, watched).await?;
        let failed = |why: String| EngineError::refused(format!("{}: {why}", watched.source.url));
        let forge = watched.source.forge;
        let patterns: &[&str] = match (forge, watched.source.poll) {
            (Forge::None, _) | (_, None) => &[],
            (Forge::Github | Forge::Gitea, Some(_)) => &["refs/pull/*/head"],
            (Forge::Gitlab, Some(_)) => &["refs/merge-requests/*/head"],
        };
        let listed = mirror.list(patterns).await.map_err(failed)?;
        let repository = git::repository(&self.0.parts.repositories, &project.name);
        let there = branches_and_tags(&listed);
        if repository.branches_and_tags().await? != there {
            mirror.fetch_all().await.map_err(failed)?;
        }
        if let Some(head) = &listed.head {
            mirror.set_head(head).await.map_err(failed)?;
        }
        let handled = git_refs::of_project(&mut self.db().reader().await?, project.name.as_str()).await?;
        let handled: BTreeMap<String, String> = handled.into_iter().collect();
        if watched.contact_at.is_none() {
            return self.first_look(project, &listed, forge).await;
        }
        let changes = changes(&handled, &repository.branches_and_tags().await?);
        let mut lines = self.pushed(&project.name, &changes, &Actor::Towpath).await?;
        let hinted = hints.iter().filter_map(|(_, hint)| Some((hint.pull_request?, Some(hint))));
        let seen = listed.refs.iter().filter_map(|(name, object)| {
            let number = forge.pull_request_of(name)?;
            let known = handled.get(&format!("refs/pull/{number}/head"));
            (known != Some(object)).then_some((number, None))
        });
        let mut wanted: BTreeMap<u64, Option<&Hint>> = seen.collect();
        wanted.extend(hinted);
        for (number, hint) in wanted.into_iter().take(MAX_PULL_REQUESTS) {
            let Some(from) = forge.pull_request_ref(number) else { continue };
            let to = format!("refs/pull/{number}/head");
            if let Err(why) = mirror.fetch_one(&from, &to).await {
                lines.push(format!("pull request {number} could not be fetched: {why}"));
                continue;
            }
            let known = handled.get(&to).map(String::as_str);
            lines.extend(self.pull_request_seen(project, watched, number, known, hint).await?);
        }
        Ok(lines)
    }

    /// The first look takes what is there as known: a mirror of a thousand branches starts no thousand Runs.
    async fn first_look(
        &self,
        project: &Project,
        listed: &Listed,
        forge: Forge,
    ) -> Result<Vec<String>, EngineError> {
        let repository = git::repository(&self.0.parts.repositories, &project.name);
        let default = repository.default_branch().await?;
        let checked = match repository.resolve(&default).await? {
            Some(commit) => {
                Some(self.read_pipeline(&repository, project, &commit, trust(project, &default)).await?)
            }
            None => None,
        };
        let here = repository.branches_and_tags().await?;
        let mut unit = self.begin().await?;
        let now = unit.now;
        for (name, object) in &here {
            git_refs::handled(&mut unit.tx, project.name.as_str(), name, Some(object), now).await?;
        }
        for (name, object) in &listed.refs {
            let Some(number) = forge.pull_request_of(name) else { continue };
            let local = format!("refs/pull/{number}/head");
            git_refs::handled(&mut unit.tx, project.name.as_str(), &local, Some(object), now).await?;
        }
        if let Some(Ok((pipeline, _))) = &checked {
            unit.keep_standing(project, pipeline).await?;
        }
        let text = format!(
            "{} branches and tags were fetched; what is pushed from now on starts Runs, and `towpath start {}` starts one now",
            here.len(),
            project.name
        );
        let entry = Entry::new("source-mirrored", Actor::Towpath, text.clone());
        unit.record(Some(&project.name), None, &format!("project:{}", project.name), entry).await?;
        unit.commit().await?;
        Ok(vec![text])
    }

    async fn mirror<'w>(&self, project: &Project, watched: &'w Watched) -> Result<Mirror<'w>, EngineError> {
        let url = &watched.source.url;
        let repositories = &self.0.parts.repositories;
        if url.scheme() == Scheme::File {
            // Towpath's own data is not a source: that would open one Project's repository to another.
            let own = repositories.parent().unwrap_or(repositories).canonicalize().ok();
            let asked = std::path::Path::new(url.path()).canonicalize().ok();
            if asked.zip(own).is_some_and(|(asked, own)| asked.starts_with(own)) {
                return Err(EngineError::refused(format!(
                    "{url} is within Towpath's own data, which is no source"
                )));
            }
        }
        let key = match url.scheme() {
            Scheme::Ssh => self.unsealed(watched, Sealed::SshKey)?,
            Scheme::Https | Scheme::Http | Scheme::File => None,
        };
        Ok(Mirror {
            url,
            token: self.source_token(watched).await?,
            key,
            repository: git::repository(repositories, &project.name).0,
            known_hosts: repositories.join(format!(".{}.known-hosts", project.name)),
        })
    }
}

/// Who asks for a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Caller {
    /// Its time has come, or a webhook asked.
    Clock,
    /// Somebody wants it now.
    Person,
}

fn branches_and_tags(listed: &Listed) -> BTreeMap<String, String> {
    let ours = |name: &str| name.starts_with("refs/heads/") || name.starts_with("refs/tags/");
    listed
        .refs
        .iter()
        .filter(|(name, _)| ours(name))
        .map(|(name, object)| (name.clone(), object.clone()))
        .collect()
}

/// What moved, against what the engine knows.
fn changes(handled: &BTreeMap<String, String>, here: &BTreeMap<String, String>) -> Vec<RefChange> {
    let moved =
        here.iter().filter(|(name, object)| handled.get(*name) != Some(object)).map(|(name, object)| {
            RefChange { name: name.clone(), old: handled.get(name).cloned(), new: Some(object.clone()) }
        });
    let gone = handled
        .iter()
        .filter(|(name, _)| !name.starts_with("refs/pull/") && !here.contains_key(*name))
        .map(|(name, object)| RefChange { name: name.clone(), old: Some(object.clone()), new: None });
    moved.chain(gone).collect()
}
