//! Who is told of what: the checked content of a notification document, and where an entry of the timeline goes.
//!
//! Documents are trusted, as those of Environments are: they change only by `towpath notify apply`. What a channel is told
//! is written in [`message`].

pub mod message;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::pipeline::SecretName;
use crate::{EnvironmentName, ProjectName};

/// The checked notification document of a Project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotificationDocument {
    /// The Project.
    pub project: ProjectName,
    /// Where news can go, by name.
    pub channels: BTreeMap<String, Channel>,
    /// What goes where.
    pub routes: Vec<Route>,
    /// Words of its own for some events.
    pub templates: BTreeMap<Event, String>,
    /// What alerts of a monitoring do to Rollouts.
    pub alerts: Option<Alerts>,
}

/// Where news can go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "type")]
pub enum Channel {
    /// An incoming webhook of Slack, whose address is a secret.
    Slack {
        /// The secret that holds the address.
        secret: SecretName,
    },
    /// A webhook of a Teams workflow, whose address is a secret.
    Teams {
        /// The secret that holds the address.
        secret: SecretName,
    },
    /// Mail.
    Email {
        /// To whom: addresses, or `@login` for the address that the server knows of a person.
        to: Vec<String>,
        /// Whether a person who is asked for an approval gets a link that decides without signing in.
        #[serde(default)]
        links: bool,
    },
    /// JSON to any address, signed as Standard Webhooks has it.
    Webhook {
        /// Where to.
        url: String,
        /// The secret that signs it.
        secret: Option<SecretName>,
    },
    /// An annotation in Grafana's dashboards.
    Grafana {
        /// Grafana's address.
        url: String,
        /// The secret that holds a token of a service account.
        token: SecretName,
    },
    /// An event in Datadog.
    Datadog {
        /// Datadog's site, as `datadoghq.eu`.
        site: String,
        /// The secret that holds an API key.
        key: SecretName,
    },
}

impl Channel {
    /// The word for its sort.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Slack { .. } => "slack",
            Self::Teams { .. } => "teams",
            Self::Email { .. } => "email",
            Self::Webhook { .. } => "webhook",
            Self::Grafana { .. } => "grafana",
            Self::Datadog { .. } => "datadog",
        }
    }

    /// To whom it goes, to each as a message of its own, so that whom it cannot reach keeps it from nobody else: addresses
    /// and `@login`s of mail, else only the empty text.
    #[must_use]
    pub fn recipients(&self) -> Vec<&str> {
        let Self::Email { to, links: _ } = self else { return vec![""] };
        let mut names: Vec<&str> = to.iter().map(String::as_str).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The secrets of the Project that it needs.
    pub fn secrets(&self) -> impl Iterator<Item = &SecretName> {
        match self {
            Self::Slack { secret } | Self::Teams { secret } => Some(secret),
            Self::Webhook { url: _, secret } => secret.as_ref(),
            Self::Grafana { url: _, token } => Some(token),
            Self::Datadog { site: _, key } => Some(key),
            Self::Email { .. } => None,
        }
        .into_iter()
    }
}

/// What goes where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Of these events.
    pub on: Vec<Event>,
    /// In these Environments; empty means in all, and what belongs to none.
    pub environments: Vec<EnvironmentName>,
    /// To these channels.
    pub to: Vec<String>,
}

/// What alerts of a monitoring do to Rollouts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alerts {
    /// The secret that Alertmanager sends as bearer token.
    pub secret: SecretName,
    /// The first rule that fits an alert decides.
    pub rules: Vec<AlertRule>,
}

/// What an alert does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertRule {
    /// To the Rollout of these Environments.
    pub environments: Vec<EnvironmentName>,
    /// Where it has all of these labels.
    pub labels: BTreeMap<String, String>,
    /// What then.
    pub then: OnAlert,
}

/// What an alert does to a Rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnAlert {
    /// The traffic goes back.
    Rollback,
    /// The weight stays, and a person decides.
    Hold,
}

impl Alerts {
    /// The rule for an alert.
    #[must_use]
    pub fn rule(&self, labels: &BTreeMap<String, String>) -> Option<&AlertRule> {
        self.rules.iter().find(|rule| rule.labels.iter().all(|(name, value)| labels.get(name) == Some(value)))
    }
}

/// What can be told, in the words of documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// A Promotion was asked for.
    Proposed,
    /// A Promotion needs an approval, or a hold lifted.
    NeedsPeople,
    /// Somebody approved, or lifted a hold.
    Approved,
    /// A Rollout has started.
    Started,
    /// A Rollout or an Environment is held.
    Held,
    /// It goes on.
    Resumed,
    /// A Promotion has succeeded.
    Deployed,
    /// What ran before runs again.
    RolledBack,
    /// A Promotion ended without a Rollout: rejected, expired, superseded, withdrawn.
    Ended,
    /// A Release was sealed.
    Sealed,
    /// A Run has passed.
    RunPassed,
    /// A Run has failed, or its file is broken.
    RunFailed,
    /// An Environment's document has changed, or wants to.
    Policy,
    /// An alert has stopped a Rollout.
    Alert,
    /// Somebody opened an incident.
    IncidentOpened,
    /// Somebody closed it.
    IncidentClosed,
    /// Somebody tries a channel.
    Test,
}

impl Event {
    /// Those that a document may name.
    pub const ALL: [Self; 16] = [
        Self::Proposed,
        Self::NeedsPeople,
        Self::Approved,
        Self::Started,
        Self::Held,
        Self::Resumed,
        Self::Deployed,
        Self::RolledBack,
        Self::Ended,
        Self::Sealed,
        Self::RunPassed,
        Self::RunFailed,
        Self::Policy,
        Self::Alert,
        Self::IncidentOpened,
        Self::IncidentClosed,
    ];

    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Proposed => "proposed",
            Self::NeedsPeople => "needs-people",
            Self::Approved => "approved",
            Self::Started => "started",
            Self::Held => "held",
            Self::Resumed => "resumed",
            Self::Deployed => "deployed",
            Self::RolledBack => "rolled-back",
            Self::Ended => "ended",
            Self::Sealed => "sealed",
            Self::RunPassed => "run-passed",
            Self::RunFailed => "run-failed",
            Self::Policy => "policy",
            Self::Alert => "alert",
            Self::IncidentOpened => "incident-opened",
            Self::IncidentClosed => "incident-closed",
            Self::Test => "test",
        }
    }

    /// The event with this word.
    #[must_use]
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|event| event.word() == word)
    }

    /// What an entry of the timeline is, if anybody can be told of it.
    #[must_use]
    pub fn of(kind: &str, facts: &BTreeMap<String, String>) -> Option<Self> {
        let fact = |name: &str| facts.get(name).map(String::as_str);
        Some(match kind {
            "promotion-requested" => Self::Proposed,
            "people-asked" => Self::NeedsPeople,
            "promotion-approved" | "hold-lifted" => Self::Approved,
            "rollout-started" => Self::Started,
            "rollout-held" | "environment-held" => Self::Held,
            "environment-resumed" => Self::Resumed,
            "promotion-finished" => match fact("outcome") {
                Some("succeeded") => Self::Deployed,
                Some("rolled back") => Self::RolledBack,
                _ => Self::Ended,
            },
            "release-sealed" => Self::Sealed,
            "run-finished" => match fact("state") {
                Some("passed") => Self::RunPassed,
                Some("failed" | "invalid") => Self::RunFailed,
                _ => return None,
            },
            "policy-applied" | "policy-change-proposed" => Self::Policy,
            "alert-received" => Self::Alert,
            "incident-opened" => Self::IncidentOpened,
            "incident-closed" => Self::IncidentClosed,
            _ => return None,
        })
    }

    /// Whether it is bad news.
    #[must_use]
    pub const fn is_bad(self) -> bool {
        matches!(self, Self::RolledBack | Self::RunFailed | Self::Held | Self::Alert | Self::IncidentOpened)
    }
}

impl NotificationDocument {
    /// The channels that are told of an event, each once.
    #[must_use]
    pub fn channels_for(&self, event: Event, environment: Option<&EnvironmentName>) -> Vec<&str> {
        let fits = |route: &&Route| {
            let here = route.environments.is_empty()
                || environment.is_some_and(|environment| route.environments.contains(environment));
            here && route.on.contains(&event)
        };
        let mut names: Vec<&str> =
            self.routes.iter().filter(fits).flat_map(|route| route.to.iter().map(String::as_str)).collect();
        names.sort_unstable();
        names.dedup();
        names.retain(|name| self.channels.contains_key(*name));
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn every_word_names_its_event() {
        for event in Event::ALL {
            assert_eq!(Event::named(event.word()), Some(event));
        }
        assert_eq!(Event::named("test"), None, "a test is no event of a document");
    }

    #[test]
    fn entries_become_events_by_kind_and_outcome() {
        for (kind, pairs, event) in [
            ("people-asked", &[][..], Some(Event::NeedsPeople)),
            ("promotion-finished", &[("outcome", "succeeded")], Some(Event::Deployed)),
            ("promotion-finished", &[("outcome", "rolled back")], Some(Event::RolledBack)),
            ("promotion-finished", &[("outcome", "expired")], Some(Event::Ended)),
            ("run-finished", &[("state", "failed")], Some(Event::RunFailed)),
            ("run-finished", &[("state", "cancelled")], None),
            ("weight-ordered", &[], None),
        ] {
            assert_eq!(Event::of(kind, &facts(pairs)), event, "{kind} {pairs:?}");
        }
    }

    #[test]
    fn routes_choose_by_event_and_environment_and_tell_a_channel_once() {
        let production: EnvironmentName = "production".parse().unwrap();
        let route = |on: &[Event], environments: &[&EnvironmentName], to: &[&str]| Route {
            on: on.to_vec(),
            environments: environments.iter().map(|name| (*name).clone()).collect(),
            to: to.iter().map(|name| (*name).to_owned()).collect(),
        };
        let email = Channel::Email { to: vec!["a@example.com".to_owned()], links: false };
        let document = NotificationDocument {
            project: "shop".parse().unwrap(),
            channels: BTreeMap::from([("a".to_owned(), email.clone()), ("b".to_owned(), email)]),
            routes: vec![
                route(&[Event::Deployed, Event::RunFailed], &[], &["a"]),
                route(&[Event::Deployed], &[&production], &["b", "a"]),
            ],
            templates: BTreeMap::new(),
            alerts: None,
        };
        let dev: EnvironmentName = "dev".parse().unwrap();
        assert_eq!(document.channels_for(Event::Deployed, Some(&production)), ["a", "b"]);
        assert_eq!(document.channels_for(Event::Deployed, Some(&dev)), ["a"]);
        assert_eq!(document.channels_for(Event::RunFailed, None), ["a"]);
        assert_eq!(document.channels_for(Event::Held, Some(&production)), [""; 0]);
    }

    #[test]
    fn the_first_rule_that_fits_an_alert_decides() {
        let rule =
            |pairs: &[(&str, &str)], then| AlertRule { environments: Vec::new(), labels: facts(pairs), then };
        let alerts = Alerts {
            secret: "TOKEN".parse().unwrap(),
            rules: vec![
                rule(&[("severity", "page")], OnAlert::Rollback),
                rule(&[("team", "shop")], OnAlert::Hold),
            ],
        };
        let then = |pairs: &[(&str, &str)]| alerts.rule(&facts(pairs)).map(|rule| rule.then);
        assert_eq!(then(&[("severity", "page"), ("team", "shop")]), Some(OnAlert::Rollback));
        assert_eq!(then(&[("severity", "info"), ("team", "shop")]), Some(OnAlert::Hold));
        assert_eq!(then(&[("severity", "info")]), None);
    }
}
