//! Repositories elsewhere: mirrored into the embedded git host, looked at by polling or when a webhook says so.
//!
//! Nothing that a webhook says is believed but where to look: refs are read from the source itself, and so is whether a
//! pull request comes from the repository or from a fork.

pub(crate) mod app;
mod look;
mod mirror;
mod pull;

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use towpath_artifact::{SecretPlace, SecretValue};
use towpath_model::ProjectName;
use towpath_model::source::{Scheme, Source};
use towpath_model::timeline::Entry;
use towpath_store::core::projects;
use towpath_store::core::sources::{self, Before, Delivery, Sealed, Watched};

use crate::{Engine, EngineError, Person};

/// One look at a time at each source.
#[derive(Debug, Default)]
pub(crate) struct Looking(Mutex<HashMap<ProjectName, Arc<Mutex<()>>>>);

impl Looking {
    /// The lock of one Project's source.
    async fn of(&self, project: &ProjectName) -> Arc<Mutex<()>> {
        Arc::clone(self.0.lock().await.entry(project.clone()).or_default())
    }
}

/// What a webhook hints at: a pull request, and what happened to it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Hint {
    /// Which; `None` where it is about branches or tags.
    pub pull_request: Option<u64>,
    /// What happened to it, of [`towpath_model::origin::ACTIONS`].
    pub action: String,
    /// The branch that it wants to change.
    pub base: String,
}

/// What became of a webhook whose signature fitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivered {
    /// It came before, and nothing is done again.
    Before(String),
    /// The source is looked at.
    Taken,
}

/// New values for the secrets of a source; what is `None` stays.
#[derive(Debug, Default)]
pub struct SourceSecrets {
    /// The token, or what [`app::github_app`] makes of an App; empty takes it away.
    pub token: Option<SecretValue>,
    /// The SSH key; empty takes it away.
    pub ssh_key: Option<SecretValue>,
    /// The webhook's secret.
    pub hook: Option<SecretValue>,
}

fn name(which: Sealed) -> &'static str {
    match which {
        Sealed::Token => "token",
        Sealed::SshKey => "ssh-key",
        Sealed::Hook => "hook",
    }
}

impl Engine {
    /// Makes a Project a mirror of a repository elsewhere, or changes how it is one. It is looked at at once.
    ///
    /// # Errors
    /// When there is no such Project, a secret has no safe way there, or the database fails.
    pub async fn set_source(
        &self,
        project: &ProjectName,
        source: &Source,
        secrets: SourceSecrets,
        person: &Person,
    ) -> Result<(), EngineError> {
        let has_token = secrets.token.as_ref().is_some_and(|token| !token.expose().is_empty());
        if has_token && !source.url.takes_a_token() {
            return Err(EngineError::refused(format!(
                "a token is not sent to {}: it goes over https only (or to this very host); the source was not changed",
                source.url
            )));
        }
        if secrets.ssh_key.is_some() && source.url.scheme() != Scheme::Ssh {
            return Err(EngineError::refused(format!(
                "{} is not fetched over ssh, so it takes no key",
                source.url
            )));
        }
        let mut unit = self.begin().await?;
        if projects::find(&mut unit.tx, project).await?.is_none() {
            return Err(EngineError::not_found(format!("project {project}")));
        }
        let before = sources::find(&mut unit.tx, project).await?;
        let (now, tx) = (unit.now, &mut unit.tx);
        sources::put(tx, project, source, Some(now)).await?;
        if before.as_ref().is_some_and(|before| before.source.url.origin() != source.url.origin()) {
            // Credentials belong to a host; another one never sees them.
            sources::forget_contact(tx, project).await?;
        }
        let SourceSecrets { token, ssh_key, hook } = secrets;
        for (which, value) in [(Sealed::Token, token), (Sealed::SshKey, ssh_key), (Sealed::Hook, hook)] {
            let Some(value) = value else { continue };
            let sealed = match value.expose() {
                [] => None,
                _ => Some(self.0.parts.vault.seal(place(&scope(project), which), &value)?),
            };
            sources::seal(tx, project, which, sealed.as_deref()).await?;
        }
        let text = format!(
            "{} set the source of {project}: {} ({}), fork runs: {}, statuses: {}",
            person.login,
            source.url,
            source.forge.word(),
            source.fork_runs.word(),
            source.statuses.word()
        );
        let entry = Entry::new("source-set", person.actor(), text);
        unit.record(Some(project), None, &format!("project:{project}"), entry).await?;
        unit.commit().await?;
        self.0.app_tokens.forget(project).await;
        self.signals().sources.notify_one();
        Ok(())
    }

    /// The source of a Project; `None` where it is hosted here.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn source(&self, project: &ProjectName) -> Result<Option<Watched>, EngineError> {
        Ok(sources::find(&mut *self.db().reader().await?, project).await?)
    }

    /// Why the newest status could not be sent, if so.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn status_failure(&self, project: &ProjectName) -> Result<Option<String>, EngineError> {
        Ok(towpath_store::core::statuses::newest_failure(&mut *self.db().reader().await?, project).await?)
    }

    /// The secret by which webhooks of a Project are checked.
    ///
    /// # Errors
    /// When the database fails or the secret cannot be opened.
    pub async fn hook_secret(&self, project: &ProjectName) -> Result<Option<SecretValue>, EngineError> {
        match self.source(project).await? {
            Some(watched) => self.unsealed(&watched, Sealed::Hook),
            None => Ok(None),
        }
    }

    /// Takes in a webhook whose signature fitted, and asks for a look.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn hook_delivered(
        &self,
        delivery: (&ProjectName, &str, &str, &str),
        hint: &Hint,
    ) -> Result<Delivered, EngineError> {
        let (project, id, body, event) = delivery;
        let mut unit = self.begin().await?;
        let at = unit.now;
        let known = sources::deliver(&mut unit.tx, Delivery { project, id, body, event, at }, hint).await?;
        let before = match known {
            Before::New => {
                sources::look_at(&mut unit.tx, project, at).await?;
                None
            }
            Before::SameDelivery(then) => {
                Some(format!("this delivery came before, at {then}; nothing was done again"))
            }
            Before::SameBody(then) => Some(format!(
                "these very bytes came before, at {then}, under another name; nothing was done again"
            )),
        };
        unit.commit().await?;
        Ok(before.map_or(Delivered::Taken, Delivered::Before))
    }

    /// One of a source's secrets.
    fn unsealed(&self, watched: &Watched, which: Sealed) -> Result<Option<SecretValue>, EngineError> {
        let sealed = match which {
            Sealed::Token => &watched.token,
            Sealed::SshKey => &watched.ssh_key,
            Sealed::Hook => &watched.hook,
        };
        let scope = scope(&watched.project);
        let open = |sealed: &Vec<u8>| self.0.parts.vault.open(place(&scope, which), sealed);
        Ok(sealed.as_ref().map(open).transpose()?)
    }
}

/// What a sealed value is bound to. No Environment has this name, so no Job can ask for it.
fn scope(project: &ProjectName) -> String {
    format!("{project}/@source")
}

fn place(scope: &str, which: Sealed) -> SecretPlace<'_> {
    SecretPlace { scope, name: name(which), version: 1 }
}
