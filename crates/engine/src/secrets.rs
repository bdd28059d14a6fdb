//! Secrets: set, listed, removed, given to whom they were granted. Never read back.

use std::collections::BTreeMap;

use towpath_api::agent::{Assignment, Lease, Secret};
use towpath_artifact::{SecretPlace, SecretValue};
use towpath_model::pipeline::SecretName;
use towpath_model::reports::ReportKind;
use towpath_model::timeline::Entry;
use towpath_model::{EnvironmentKey, EnvironmentName, ProjectName};
use towpath_store::core::attempts::QueuedAttempt;
use towpath_store::core::secrets::{self, SecretVersion};
use towpath_store::core::{Connection, environments};

use crate::evidence;
use crate::order::AttemptBody;
use crate::unit::Unit;
use crate::{Engine, EngineError, Person};

impl Engine {
    /// Sets a secret of the Project's Jobs, or of an Environment. Says its version.
    ///
    /// An Environment that was granted it gets a new configuration, which goes through its Gates.
    ///
    /// # Errors
    /// When the value cannot be sealed or the database fails.
    pub async fn set_secret(
        &self,
        project: &ProjectName,
        environment: Option<&EnvironmentName>,
        name: &SecretName,
        value: &SecretValue,
        person: &Person,
    ) -> Result<u64, EngineError> {
        let place = environment.map_or("", EnvironmentName::as_str);
        let mut unit = self.begin().await?;
        let version = secrets::next_version(&mut unit.tx, project, place, name).await?;
        let scope = scope(project, place);
        let sealed =
            self.0.parts.vault.seal(SecretPlace { scope: &scope, name: name.as_str(), version }, value)?;
        let secret = SecretVersion {
            environment: place.to_owned(),
            name: name.clone(),
            version,
            created_by: person.login.clone(),
            created_at: unit.now,
        };
        secrets::insert(&mut unit.tx, project, &secret, &sealed).await?;
        let key =
            environment.map(|name| EnvironmentKey { project: project.clone(), environment: name.clone() });
        let text = format!("{} set secret {name} of {scope} (version {version})", person.login);
        let entry =
            Entry::new("secret-set", person.actor(), text).fact("name", name).fact("version", version);
        unit.record(Some(project), key.as_ref(), &format!("secret:{scope}/{name}"), entry).await?;
        if let Some(key) = key
            && environments::find(&mut unit.tx, &key).await?.is_some()
        {
            unit.refresh_config(&key, person).await?;
        }
        unit.commit().await?;
        Ok(version)
    }

    /// The newest version of each secret of a Project, without values.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list_secrets(&self, project: &ProjectName) -> Result<Vec<SecretVersion>, EngineError> {
        let mut reader = self.db().reader().await?;
        Ok(secrets::newest(&mut reader, project).await?)
    }

    /// Deletes every version of a secret, unless what runs was granted it.
    ///
    /// # Errors
    /// When there is no such secret, something runs with it, or the database fails.
    pub async fn remove_secret(
        &self,
        project: &ProjectName,
        environment: Option<&EnvironmentName>,
        name: &SecretName,
        person: &Person,
    ) -> Result<(), EngineError> {
        let place = environment.map_or("", EnvironmentName::as_str);
        let scope = scope(project, place);
        let mut unit = self.begin().await?;
        if let Some(environment) = environment {
            let key = EnvironmentKey { project: project.clone(), environment: environment.clone() };
            unit.check_unused(&key, name).await?;
        }
        if secrets::remove(&mut unit.tx, project, place, name).await? == 0 {
            return Err(EngineError::not_found(format!("secret {name} of {scope}")));
        }
        let entry = Entry::new(
            "secret-removed",
            person.actor(),
            format!("{} removed secret {name} of {scope}", person.login),
        );
        unit.record(Some(project), None, &format!("secret:{scope}/{name}"), entry).await?;
        unit.commit().await
    }

    /// The value of one version of a secret, for whom it was granted to.
    pub(crate) async fn secret(
        &self,
        db: &mut Connection,
        project: &ProjectName,
        environment: &str,
        name: &SecretName,
        version: u64,
    ) -> Result<String, EngineError> {
        let scope = scope(project, environment);
        let missing = || {
            let flag =
                if environment.is_empty() { String::new() } else { format!(" --environment {environment}") };
            EngineError::refused(format!(
                "secret {name} of {scope} is not set; set it with `towpath secret set {project} {name}{flag}`"
            ))
        };
        let sealed = secrets::sealed(db, project, environment, name, version).await?.ok_or_else(missing)?;
        let value =
            self.0.parts.vault.open(SecretPlace { scope: &scope, name: name.as_str(), version }, &sealed)?;
        let text = value
            .expose_text()
            .ok_or_else(|| EngineError::invalid(format!("secret {name} of {scope} is not text")))?;
        Ok(text.to_owned())
    }

    /// Adds the fence and the secrets to what an agent is told.
    pub(crate) async fn fill_in(
        &self,
        unit: &mut Unit<'_>,
        queued: &QueuedAttempt,
        fence: u64,
    ) -> Result<Assignment, EngineError> {
        let body: AttemptBody = serde_json::from_str(&queued.body)
            .map_err(|error| EngineError::internal("a queued Attempt could not be read", error))?;
        let AttemptBody { mut assignment, secrets: names, passwords, environment, split } = body;
        assignment.lease = Lease { attempt: queued.id, fence };
        if !names.is_empty() || !passwords.is_empty() {
            let newest = newest_versions(&mut unit.tx, &queued.project, &environment).await?;
            for name in names {
                let version = newest.get(&name).copied().unwrap_or(0);
                let value = self.secret(&mut unit.tx, &queued.project, &environment, &name, version).await?;
                assignment.secrets.insert(name.to_string(), Secret::new(value));
            }
            for name in passwords {
                let version = newest.get(&name).copied().unwrap_or(0);
                let value = self.secret(&mut unit.tx, &queued.project, &environment, &name, version).await?;
                assignment.containers.passwords.insert(name, Secret::new(value));
            }
        }
        self.add_layers(unit, &mut assignment).await?;
        let reads_tests = assignment.reports.iter().any(|declared| declared.kind == ReportKind::Junit);
        if assignment.job.is_some() && reads_tests {
            assignment.quarantine = evidence::hushed(&mut unit.tx, &queued.project, unit.now).await?;
        }
        if let Some((job, run)) = split {
            assignment.test_times = self.test_times(unit, &queued.project, run, &job).await?;
        }
        Ok(assignment)
    }
}

impl Unit<'_> {
    /// Refuses to take away what must be there to start again what runs.
    async fn check_unused(&mut self, key: &EnvironmentKey, name: &SecretName) -> Result<(), EngineError> {
        let Some(environment) = environments::find(&mut self.tx, key).await? else { return Ok(()) };
        let docker = environment.policy.document.target.docker.as_ref();
        let registry = docker.and_then(|docker| docker.registries.iter().find(|each| each.password == *name));
        if let Some(registry) = registry {
            return Err(EngineError::refused(format!(
                "images of {key} are fetched from {} with secret {name}; take it out of the document (`towpath apply`), or set a \
                 new value",
                registry.host
            )));
        }
        let current = environment.current.iter().map(|current| &current.revision);
        for revision in current.chain(environment.active.iter().map(|active| &active.revision)) {
            let config = crate::instances::config(&mut self.tx, revision.config).await?;
            if config.secrets.contains_key(name) {
                return Err(EngineError::refused(format!(
                    "{} runs in {key} with secret {name}; take it out of the document (`towpath apply`) and let that be \
                     promoted first, or set a new value",
                    revision.version
                )));
            }
        }
        Ok(())
    }
}

/// The newest version of each secret of one place.
pub(crate) async fn newest_versions(
    db: &mut Connection,
    project: &ProjectName,
    environment: &str,
) -> Result<BTreeMap<SecretName, u64>, EngineError> {
    let newest = secrets::newest(db, project).await?;
    let here = newest.into_iter().filter(|secret| secret.environment == environment);
    Ok(here.map(|secret| (secret.name, secret.version)).collect())
}

/// The scope that a sealed value is bound to: `shop` or `shop/production`.
fn scope(project: &ProjectName, environment: &str) -> String {
    if environment.is_empty() { project.to_string() } else { format!("{project}/{environment}") }
}
