//! Environment documents: checked, compared, applied, kept.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use towpath_artifact::ConfigRevision;
use towpath_artifact::release::SCHEMA;
use towpath_config::{Colour, diagnostic, has_errors, parse_environments};
use towpath_model::environment::{Environment, Policy, human};
use towpath_model::pipeline::Gate;
use towpath_model::policy::{Certificates, Docker, EnvironmentDocument};
use towpath_model::policy_change::{loosenings, may_loosen_alone};
use towpath_model::timeline::Entry;
use towpath_model::{Digest, EnvironmentKey, ProjectName};
use towpath_store::core::documents::{self, Document};
use towpath_store::core::{environments, projects, revocations};

use crate::passable::Unpassable;
use crate::policy_changes::Proposal;
use crate::secrets::newest_versions;
use crate::unit::Unit;
use crate::{Engine, EngineError, Person};

/// How long who edited a policy counts as one of its makers.
const RECENT_EDIT: SignedDuration = SignedDuration::from_hours(24 * 7);

/// What applying a file came to, or would.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApplyReport {
    /// One per document, in the order of the file.
    pub documents: Vec<Applied>,
}

/// What applying one document came to, or would.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// Which Environment.
    pub environment: EnvironmentKey,
    /// The version that is in force afterwards.
    pub version: u64,
    /// What changes, one line each; empty if nothing does.
    pub changes: Vec<String>,
    /// Which of these loosen the policy.
    pub loosens: Vec<String>,
    /// Set where it waits for others, and changes nothing yet.
    pub pending: Option<Pending>,
    /// Gates that nobody can open, as people and roles are now.
    pub unpassable: Vec<String>,
}

/// What a document that loosens a policy waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// The number of the policy change.
    pub number: u64,
    /// Whose signatures are missing.
    pub needs: Vec<String>,
    /// When it ends without them.
    pub expires_at: Timestamp,
}

impl Engine {
    /// Applies a file of environment documents to a Project. With `dry_run`, only says what would change.
    ///
    /// # Errors
    /// When a document has mistakes (all are named), or belongs to another Project. One that loosens a policy waits for
    /// those who could approve under it.
    pub async fn apply(
        &self,
        project: &ProjectName,
        file: &str,
        text: &str,
        dry_run: bool,
        person: &Person,
    ) -> Result<ApplyReport, EngineError> {
        let (parsed, diagnostics) = parse_environments(file, text);
        if has_errors(&diagnostics) {
            let rendered = diagnostic::render_all(&diagnostics, Colour::No);
            return Err(EngineError::invalid(rendered));
        }
        let sources = split_documents(text);
        let mut unpassable = Vec::with_capacity(parsed.len());
        for document in &parsed {
            unpassable.push(self.unpassable(document).await?);
        }
        let mut unit = self.begin().await?;
        if projects::find(&mut unit.tx, project).await?.is_none() {
            return Err(EngineError::not_found(format!("project {project}")));
        }
        let mut report = ApplyReport { documents: Vec::new() };
        for (index, document) in parsed.into_iter().enumerate() {
            if document.project != *project {
                let reason = format!("{file}: `project: {}` is not {project}", document.project);
                return Err(EngineError::invalid(reason));
            }
            let source = sources.get(index).copied().unwrap_or(text);
            let Unpassable { gates, staffed } =
                unpassable.get_mut(index).map(std::mem::take).unwrap_or_default();
            if staffed && !dry_run && !gates.is_empty() {
                return Err(EngineError::invalid(format!(
                    "nobody could ever open a gate of {}: {}; give the role to people first (`towpath user grant`), or \
                     change the document",
                    document.key(),
                    gates.join("; ")
                )));
            }
            let applied = unit.apply_one(document, source, person).await?;
            report.documents.push(Applied { unpassable: gates, ..applied });
        }
        if !dry_run {
            unit.commit().await?;
        }
        Ok(report)
    }

    /// Every version of an Environment's document, newest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn documents(&self, key: &EnvironmentKey) -> Result<Vec<Document>, EngineError> {
        let mut reader = self.db().reader().await?;
        Ok(documents::history(&mut reader, key).await?)
    }
}

impl Unit<'_> {
    async fn apply_one(
        &mut self,
        document: EnvironmentDocument,
        source: &str,
        person: &Person,
    ) -> Result<Applied, EngineError> {
        let key = document.key();
        self.check_listener(&document).await?;
        match environments::find(&mut self.tx, &key).await? {
            None => self.make_environment(document, source, person).await,
            Some(environment) => self.change_environment(environment, document, source, person).await,
        }
    }

    /// Two Environments cannot listen at one address.
    pub(crate) async fn check_listener(&mut self, document: &EnvironmentDocument) -> Result<(), EngineError> {
        let key = document.key();
        for other in environments::all(&mut self.tx, None).await? {
            let taken =
                document.addresses().find(|mine| other.policy.document.addresses().any(|it| it == *mine));
            if let Some(address) = taken.filter(|_| other.key != key) {
                return Err(EngineError::refused(format!(
                    "{address} is where {} listens already; give {key} another port",
                    other.key
                )));
            }
        }
        Ok(())
    }

    async fn make_environment(
        &mut self,
        document: EnvironmentDocument,
        source: &str,
        person: &Person,
    ) -> Result<Applied, EngineError> {
        let key = document.key();
        let config = self.make_config(&key, &document).await?;
        let editors = BTreeSet::from([person.login.clone()]);
        let environment =
            Environment::new(Policy { version: 1, document, editors: editors.clone() }, config, self.now);
        // Nobody has approved anything under this policy yet, so whoever wrote it is free to approve by it.
        let revoked = revocations::of_project(&mut self.tx, &key.project).await?;
        let policy = Policy { editors: BTreeSet::new(), ..environment.policy };
        let environment = Environment { policy, revoked, ..environment };
        self.store_environment(&environment).await?;
        self.keep(&key, 1, source, &person.login).await?;
        self.routes_changed().await?;
        let text = format!("{} made environment {key}", person.login);
        let entry = Entry::new("environment-created", person.actor(), text);
        self.record(Some(&key.project), Some(&key), &format!("environment:{key}"), entry).await?;
        self.offer_newest(&environment).await?;
        let changes = vec![format!("environment {key} is new")];
        Ok(Applied {
            environment: key,
            version: 1,
            changes,
            loosens: Vec::new(),
            pending: None,
            unpassable: Vec::new(),
        })
    }

    async fn change_environment(
        &mut self,
        environment: Environment,
        document: EnvironmentDocument,
        source: &str,
        person: &Person,
    ) -> Result<Applied, EngineError> {
        let key = environment.key.clone();
        let old = &environment.policy;
        let changes = differences(&old.document, &document);
        let version = old.version;
        if changes.is_empty() {
            return Ok(Applied {
                environment: key,
                version,
                changes,
                loosens: Vec::new(),
                pending: None,
                unpassable: Vec::new(),
            });
        }
        let loosens = loosenings(&old.document, &document);
        if !loosens.is_empty() && !may_loosen_alone(&old.document, &person.login, &person.roles) {
            let proposal = Proposal { document, source, changes: changes.clone(), loosens: loosens.clone() };
            let waits = self.propose_policy(&environment, proposal, person).await?;
            let needs = waits.needs(old);
            let pending = Some(Pending { number: waits.number, needs, expires_at: waits.expires_at });
            return Ok(Applied {
                environment: key,
                version,
                changes,
                loosens,
                pending,
                unpassable: Vec::new(),
            });
        }
        let version = self.put_in_force(&environment, document, source, &person.actor()).await?;
        Ok(Applied { environment: key, version, changes, loosens, pending: None, unpassable: Vec::new() })
    }

    pub(crate) async fn keep(
        &mut self,
        key: &EnvironmentKey,
        version: u64,
        source: &str,
        login: &str,
    ) -> Result<(), EngineError> {
        let document = Document {
            version,
            source: source.to_owned(),
            applied_by: login.to_owned(),
            applied_at: self.now,
        };
        documents::insert(&mut self.tx, key, &document).await?;
        Ok(())
    }

    pub(crate) async fn recent_editors(
        &mut self,
        key: &EnvironmentKey,
        known: &BTreeSet<String>,
    ) -> Result<BTreeSet<String>, EngineError> {
        let since = self.now.saturating_sub(RECENT_EDIT).unwrap_or(self.now);
        let history = documents::history(&mut self.tx, key).await?;
        let recent = history.into_iter().filter(|document| document.applied_at >= since);
        Ok(recent.map(|document| document.applied_by).filter(|login| known.contains(login)).collect())
    }

    /// Writes down the configuration that a document and the newest secrets make.
    pub(crate) async fn make_config(
        &mut self,
        key: &EnvironmentKey,
        document: &EnvironmentDocument,
    ) -> Result<Digest, EngineError> {
        let newest = newest_versions(&mut self.tx, &key.project, key.environment.as_str()).await?;
        let version = |name| newest.get(name).copied().unwrap_or(0);
        let secrets = document.secrets.iter().map(|name| (name.clone(), version(name))).collect();
        let config = ConfigRevision {
            schema: SCHEMA,
            environment: key.clone(),
            values: document.values.clone(),
            secrets,
        };
        let digest = config.digest();
        documents::put_config(&mut self.tx, key, digest, &config, self.now).await?;
        Ok(digest)
    }
}

/// Each document's text of a YAML stream.
fn split_documents(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("\n---") {
        parts.push(&rest[..=at]);
        rest = rest[at + 4..].trim_start_matches([' ', '\r']).trim_start_matches('\n');
    }
    parts.push(rest);
    parts.retain(|part| {
        part.lines().any(|line| !line.trim().is_empty() && !line.trim_start().starts_with(['#', '-']))
    });
    parts
}

/// Where the certificates of a document's listener come from, in words.
fn certificates(document: &EnvironmentDocument) -> String {
    match document.tls.as_ref().map(|tls| &tls.certificates) {
        None => "none".to_owned(),
        Some(Certificates::Names(names)) => {
            format!("a certificate of this instance for {}", names.join(", "))
        }
        Some(Certificates::Files(files)) => {
            let files: Vec<String> = files
                .iter()
                .map(|files| format!("{} with {}", files.certificate.display(), files.key.display()))
                .collect();
            files.join(", ")
        }
    }
}

/// What differs between two documents, one line each.
fn differences(old: &EnvironmentDocument, new: &EnvironmentDocument) -> Vec<String> {
    let mut lines = Vec::new();
    let mut differ = |what: &str, old: String, new: String| {
        if old != new {
            lines.push(format!("{what}: {old} -> {new}"));
        }
    };
    let labels = |labels: &BTreeMap<String, String>| format!("{labels:?}");
    differ("target.hosts", labels(&old.target.hosts), labels(&new.target.hosts));
    differ("target.instances", old.target.instances.to_string(), new.target.instances.to_string());
    let docker = |document: &EnvironmentDocument| {
        document.target.docker.as_ref().map_or_else(|| "none".to_owned(), Docker::words)
    };
    differ("target.docker", docker(old), docker(new));
    let replace_after = |document: &EnvironmentDocument| human(document.target.replace_after);
    differ("target.replace_after", replace_after(old), replace_after(new));
    differ("listen", old.listen.to_string(), new.listen.to_string());
    let redirect = |document: &EnvironmentDocument| {
        let redirect = document.tls.as_ref().and_then(|tls| tls.redirect);
        redirect.map_or_else(|| "none".to_owned(), |address| address.to_string())
    };
    let preview = |document: &EnvironmentDocument| {
        document.preview.map_or_else(|| "none".to_owned(), |address| address.to_string())
    };
    differ("preview", preview(old), preview(new));
    differ("tls", certificates(old), certificates(new));
    differ("tls.redirect", redirect(old), redirect(new));
    let promote = |document: &EnvironmentDocument| document.intake.promote.words();
    differ("promote", promote(old), promote(new));
    differ("queue", old.intake.queue.word().to_owned(), new.intake.queue.word().to_owned());
    let after = |document: &EnvironmentDocument| document.intake.after_rollback.word().to_owned();
    differ("after_rollback", after(old), after(new));
    let unrevoke = |document: &EnvironmentDocument| document.intake.unrevoke.word().to_owned();
    differ("unrevoke", unrevoke(old), unrevoke(new));
    differ("allow.refs", old.allow.refs.join(", "), new.allow.refs.join(", "));
    let names = |document: &EnvironmentDocument| {
        let names: Vec<&str> =
            document.secrets.iter().map(towpath_model::pipeline::SecretName::as_str).collect();
        names.join(", ")
    };
    differ("secrets", names(old), names(new));
    let gates: Vec<String> = old.gates.iter().map(Gate::words).collect();
    let new_gates: Vec<String> = new.gates.iter().map(Gate::words).collect();
    lines.extend(
        gates.iter().filter(|gate| !new_gates.contains(gate)).map(|gate| format!("gates: without {gate}")),
    );
    lines.extend(
        new_gates.iter().filter(|gate| !gates.contains(gate)).map(|gate| format!("gates: with {gate}")),
    );
    if old.gates != new.gates && gates == new_gates {
        lines.push("gates: details changed".to_owned());
    }
    let keys: BTreeSet<&String> = old.values.keys().chain(new.values.keys()).collect();
    for key in keys {
        match (old.values.get(key), new.values.get(key)) {
            (Some(old), Some(new)) if old != new => lines.push(format!("values.{key}: {old} -> {new}")),
            (Some(old), None) => lines.push(format!("values.{key}: {old} is removed")),
            (None, Some(new)) => lines.push(format!("values.{key}: {new} is new")),
            _ => {}
        }
    }
    lines
}
