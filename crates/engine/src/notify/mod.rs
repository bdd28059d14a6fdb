//! Notifications: documents applied and kept, and entries of the timeline that somebody is told of.
//!
//! An entry and what is told of it are one transaction. What is told is an effect like any other: `send.rs` performs it.

mod alerts;
mod links;
mod mail;
mod send;

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use towpath_config::{Colour, diagnostic, parse_notifications};
use towpath_model::notify::message::Message;
use towpath_model::notify::{Channel, Event, NotificationDocument};
use towpath_model::timeline::Entry;
use towpath_model::{EnvironmentKey, EnvironmentName, ProjectName, PromotionId};
use towpath_store::core::documents::Document;
use towpath_store::core::notifications::{self, Delivery};
use towpath_store::core::{outbox, projects};
use towpath_store::people::users;

pub use self::alerts::Alert;
pub use self::links::Asked;
pub use self::mail::{MailSecurity, Smtp};
use crate::unit::{Effect, Unit};
use crate::{Engine, EngineError, Person};

/// How many messages may wait for a channel; more are not queued, so that a dead one is not asked for ever.
const MOST_WAITING: u64 = 1_000;

/// How long ended messages are kept.
const KEEP: SignedDuration = SignedDuration::from_hours(24 * 30);

/// How many messages are listed.
const LISTED: u32 = 100;

/// What applying a notification document came to, or would.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// The version that is in force afterwards.
    pub version: u64,
    /// What changes, one line each; empty if nothing does.
    pub changes: Vec<String>,
    /// Secrets that the document names and nobody has set.
    pub unset: Vec<String>,
    /// What else will not work as it is, one sentence each.
    pub warnings: Vec<String>,
}

impl Engine {
    /// Applies a Project's notification document. With `dry_run`, only says what would change.
    ///
    /// # Errors
    /// When the document has mistakes (all are named), or belongs to another Project.
    pub async fn apply_notifications(
        &self,
        project: &ProjectName,
        file: &str,
        text: &str,
        dry_run: bool,
        person: &Person,
    ) -> Result<Applied, EngineError> {
        let (document, diagnostics) = parse_notifications(file, text);
        let Some(document) = document else {
            return Err(EngineError::invalid(diagnostic::render_all(&diagnostics, Colour::No)));
        };
        if document.project != *project {
            let reason = format!("{file}: `project: {}` is not {project}", document.project);
            return Err(EngineError::invalid(reason));
        }
        let mut unit = self.begin().await?;
        if projects::find(&mut unit.tx, project).await?.is_none() {
            return Err(EngineError::not_found(format!("project {project}")));
        }
        let held = notifications::newest(&mut unit.tx, project).await?;
        let version = held.as_ref().map_or(0, |(_, kept)| kept.version);
        let changes = differences(held.as_ref().map(|(document, _)| document), &document);
        let set = crate::secrets::newest_versions(&mut unit.tx, project, "").await?;
        let named = document.channels.values().flat_map(|channel| channel.secrets());
        let named = named.chain(document.alerts.iter().map(|alerts| &alerts.secret));
        let unset = named.filter(|name| !set.contains_key(*name)).map(ToString::to_string).collect();
        let warnings = self.unreachable(&mut unit, &document).await?;
        if dry_run || changes.is_empty() {
            return Ok(Applied { version, changes, unset, warnings });
        }
        let kept = Document {
            version: version + 1,
            source: text.to_owned(),
            applied_by: person.login.clone(),
            applied_at: unit.now,
        };
        notifications::insert(&mut unit.tx, &document, &kept).await?;
        let words =
            format!("{} changed the notifications of {project} to version {}", person.login, kept.version);
        let entry = Entry::new("notifications-applied", person.actor(), words).fact("version", kept.version);
        unit.record(Some(project), None, &format!("project:{project}"), entry).await?;
        unit.commit().await?;
        Ok(Applied { version: kept.version, changes, unset, warnings })
    }

    /// Whom mail of a document cannot reach.
    async fn unreachable(
        &self,
        unit: &mut Unit<'_>,
        document: &NotificationDocument,
    ) -> Result<Vec<String>, EngineError> {
        let mut warnings = Vec::new();
        for (name, channel) in &document.channels {
            let Channel::Email { to, links: _ } = channel else { continue };
            if self.0.parts.smtp.is_none() {
                let why = "this server sends none: its operator sets `smtp` in server.yaml";
                warnings.push(format!("channel {name} is mail, and {why}"));
            }
            let logins: Vec<&str> = to.iter().filter_map(|name| name.strip_prefix('@')).collect();
            for login in logins {
                let user = users::by_login(&mut unit.tx, login).await?;
                if user.is_none_or(|user| user.disabled || user.email.is_empty()) {
                    warnings.push(format!("channel {name}: this server knows no address of {login}"));
                }
            }
        }
        Ok(warnings)
    }

    /// A Project's notification document with its text, where it has one.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn notifications(
        &self,
        project: &ProjectName,
    ) -> Result<Option<(NotificationDocument, Document)>, EngineError> {
        Ok(notifications::newest(&mut *self.db().reader().await?, project).await?)
    }

    /// The newest messages of a Project, newest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn deliveries(&self, project: &ProjectName) -> Result<Vec<Delivery>, EngineError> {
        Ok(notifications::of_project(&mut *self.db().reader().await?, project, LISTED).await?)
    }

    /// Who was told of a Promotion, oldest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn told_of(&self, promotion: PromotionId) -> Result<Vec<Delivery>, EngineError> {
        Ok(notifications::of_promotion(&mut *self.db().reader().await?, promotion, LISTED).await?)
    }

    /// Sends a test to a channel at once, and says in words what is wrong with it, if anything is.
    ///
    /// # Errors
    /// When there is no such channel, or it did not take the test.
    pub async fn test_channel(
        &self,
        project: &ProjectName,
        channel: &str,
        person: &Person,
    ) -> Result<(), EngineError> {
        let document = self.notifications(project).await?.map(|(document, _)| document);
        let document = document.ok_or_else(|| {
            EngineError::not_found(format!(
                "a notification document of {project} (`towpath notify apply` makes it)"
            ))
        })?;
        let known = || document.channels.keys().cloned().collect::<Vec<_>>().join(", ");
        let found = document.channels.get(channel).ok_or_else(|| {
            EngineError::not_found(format!("channel {channel} of {project} (there are {})", known()))
        })?;
        let message = Message {
            event: Event::Test,
            project: project.to_string(),
            environment: None,
            version: None,
            actor: person.login.clone(),
            text: format!("{} tries this channel. Nothing has happened.", person.login),
            url: format!("{}p/{project}", self.public_url()),
            at: self.now(),
            promotion: None,
        };
        let id = format!("test_{}", uuid::Uuid::now_v7());
        for recipient in found.recipients() {
            if let Err(untold) = self.tell_channel(&document, (found, recipient), &message, &id).await? {
                let whom = if recipient.is_empty() { String::new() } else { format!(" for {recipient}") };
                let reason = format!("channel {channel} did not take it{whom}: {}", untold.words);
                return Err(EngineError::refused(reason));
            }
        }
        Ok(())
    }

    /// Forgets what was told long ago.
    pub(crate) async fn forget_deliveries(&self, now: Timestamp) -> Result<(), EngineError> {
        let mut unit = self.begin().await?;
        notifications::forget(&mut unit.tx, now.saturating_sub(KEEP).unwrap_or(now)).await?;
        unit.commit().await
    }
}

impl Unit<'_> {
    /// Queues what is told of an entry of the timeline.
    pub(crate) async fn tell(
        &mut self,
        project: &ProjectName,
        environment: Option<&EnvironmentName>,
        entry: &Entry,
    ) -> Result<(), EngineError> {
        let Some(event) = Event::of(&entry.kind, &entry.facts) else { return Ok(()) };
        let Some((document, _)) = notifications::newest(&mut self.tx, project).await? else { return Ok(()) };
        let channels = document.channels_for(event, environment);
        if channels.is_empty() {
            return Ok(());
        }
        let message = message(self.engine.public_url(), project, environment, event, entry, self.now);
        // A list, not an iterator: what is held while something is awaited has to be plain.
        let mut recipients = Vec::new();
        for name in channels {
            let all = document.channels.get(name).map(Channel::recipients).unwrap_or_default();
            recipients.extend(all.into_iter().map(|recipient| (name, recipient)));
        }
        for to in recipients {
            self.queue(project, to, &message).await?;
        }
        Ok(())
    }

    async fn queue(
        &mut self,
        project: &ProjectName,
        to @ (channel, _): (&str, &str),
        message: &Message,
    ) -> Result<(), EngineError> {
        let full = notifications::waiting(&mut self.tx, project, channel).await? >= MOST_WAITING;
        let delivery = notifications::add(&mut self.tx, project, to, message, self.now).await?;
        if full {
            let why = format!("{MOST_WAITING} messages wait for this channel already");
            tracing::warn!(%project, channel, why, "a notification is not queued");
            notifications::tried(&mut self.tx, delivery, "failed", &why, Some(self.now)).await?;
            return Ok(());
        }
        let effect = Effect::Notify { project: project.clone(), delivery };
        self.push_effect(outbox::NOTIFY, project, channel, &effect).await
    }
}

fn message(
    public_url: &str,
    project: &ProjectName,
    environment: Option<&EnvironmentName>,
    event: Event,
    entry: &Entry,
    at: Timestamp,
) -> Message {
    let Entry { kind: _, actor, text, facts } = entry;
    let fact = |name: &str| facts.get(name).cloned();
    let promotion = fact("promotion");
    let path = match (&promotion, fact("run"), environment) {
        (Some(promotion), ..) => format!("promotions/{promotion}"),
        (None, Some(run), _) => format!("p/{project}/runs/{run}"),
        _ if matches!(event, Event::IncidentOpened | Event::IncidentClosed) => {
            format!("p/{project}/insights")
        }
        (None, None, Some(environment)) => format!("p/{project}/env/{environment}"),
        (None, None, None) => format!("p/{project}"),
    };
    Message {
        event,
        project: project.to_string(),
        environment: environment.map(ToString::to_string),
        version: fact("version").filter(|_| event != Event::Policy),
        actor: actor.name().to_owned(),
        text: text.clone(),
        url: format!("{public_url}{path}"),
        at,
        promotion,
    }
}

/// What differs between two documents, one line each.
fn differences(old: Option<&NotificationDocument>, new: &NotificationDocument) -> Vec<String> {
    let Some(old) = old else { return vec![format!("notifications of {} are new", new.project)] };
    let mut changes = Vec::new();
    let empty = BTreeMap::new();
    let (before, after) = (&old.channels, if new.channels.is_empty() { &empty } else { &new.channels });
    changes.extend(
        after.keys().filter(|name| !before.contains_key(*name)).map(|name| format!("channel {name} is new")),
    );
    changes.extend(
        before.keys().filter(|name| !after.contains_key(*name)).map(|name| format!("without channel {name}")),
    );
    let other = |name: &&String| before.get(*name).is_some_and(|channel| Some(channel) != after.get(*name));
    changes.extend(after.keys().filter(other).map(|name| format!("channel {name} is another")));
    if old.routes != new.routes {
        changes.push(format!("routes: {} instead of {}", new.routes.len(), old.routes.len()));
    }
    if old.templates != new.templates {
        changes.push("templates are others".to_owned());
    }
    if old.alerts != new.alerts {
        changes.push("what alerts do is something else".to_owned());
    }
    changes
}

/// The Environment that an alert is about.
pub(crate) fn key_of(project: &ProjectName, environment: &EnvironmentName) -> EnvironmentKey {
    EnvironmentKey { project: project.clone(), environment: environment.clone() }
}
