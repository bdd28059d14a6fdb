//! The keys of a notification document.

use super::Presence::{Default, Required};
use super::pipeline::key;
use super::{Kind, Object, one_or_many};

/// What can be told, in the words of [`towpath_model::notify::Event`]; a test holds the two together.
pub(crate) const EVENTS: &[&str] = &[
    "proposed",
    "needs-people",
    "approved",
    "started",
    "held",
    "resumed",
    "deployed",
    "rolled-back",
    "ended",
    "sealed",
    "run-passed",
    "run-failed",
    "policy",
    "alert",
    "incident-opened",
    "incident-closed",
];

pub(crate) static NOTIFICATIONS: Object = Object {
    name: "notifications",
    doc: "A notification document: who of a Project is told of what, and what alerts do to its Rollouts. It is trusted: it changes only by `towpath notify apply`, versioned and recorded.",
    keys: &[
        key("project", Kind::Name, Required, "The Project.", "shop"),
        key(
            "channels",
            Kind::Map(&Kind::Object(&CHANNEL)),
            Default("{}"),
            "Where news can go, by a name of your own.",
            "{ releases: { slack: { secret: SLACK_URL } } }",
        ),
        key(
            "routes",
            Kind::List(&Kind::Object(&ROUTE)),
            Default("[]"),
            "What goes where. Each route that fits tells its channels; a channel is told once.",
            "[{ on: [needs-people, rolled-back], environments: [production], to: [releases] }]",
        ),
        key(
            "templates",
            Kind::Map(&Kind::Text),
            Default("{}"),
            "Words of your own for an event, with `{project}`, `{environment}`, `{version}`, `{actor}`, `{text}`, `{url}`, `{event}` and `{time}`.",
            "{ deployed: \"{version} is live: {url}\" }",
        ),
        key(
            "alerts",
            Kind::Object(&ALERTS),
            Default("none"),
            "What alerts of Alertmanager do to Rollouts.",
            "{ secret: ALERT_TOKEN, rules: [{ environments: [production], labels: { severity: page }, then: rollback }] }",
        ),
    ],
    foreign: &[("receivers", "write `channels`"), ("triggers", "write `routes`")],
};

pub(crate) static CHANNEL: Object = Object {
    name: "channel",
    doc: "Where news can go. Each channel is exactly one of these. Secrets are the Project's (`towpath secret set`).",
    keys: &[
        key(
            "slack",
            Kind::Object(&SLACK),
            Default("-"),
            "An incoming webhook of Slack.",
            "{ secret: SLACK_URL }",
        ),
        key(
            "teams",
            Kind::Object(&TEAMS),
            Default("-"),
            "A workflow of Microsoft Teams that takes webhooks.",
            "{ secret: TEAMS_URL }",
        ),
        key(
            "email",
            Kind::Object(&EMAIL),
            Default("-"),
            "Mail, by the server's `smtp`.",
            "{ to: [ops@example.com] }",
        ),
        key(
            "webhook",
            Kind::Object(&HOOK),
            Default("-"),
            "JSON to any address.",
            "{ url: https://audit.example.com/towpath, secret: AUDIT_KEY }",
        ),
        key(
            "grafana",
            Kind::Object(&GRAFANA),
            Default("-"),
            "Annotations in Grafana's dashboards.",
            "{ url: https://grafana.example.com, token: GRAFANA_TOKEN }",
        ),
        key(
            "datadog",
            Kind::Object(&DATADOG),
            Default("-"),
            "Events in Datadog.",
            "{ site: datadoghq.eu, key: DATADOG_KEY }",
        ),
    ],
    foreign: &[
        ("mail", "write `email`"),
        ("msteams", "write `teams`"),
        ("url", "write `webhook: { url: ... }`"),
        ("pagerduty", "write `webhook: { url: ... }`, and translate it there"),
    ],
};

static SLACK: Object = Object {
    name: "slack channel",
    doc: "An incoming webhook of Slack.",
    keys: &[key("secret", Kind::SecretName, Required, "The secret that holds its address.", "SLACK_URL")],
    foreign: &[(
        "url",
        "the address of the hook is a secret: `towpath secret set shop SLACK_URL`, then `secret: SLACK_URL`",
    )],
};

static TEAMS: Object = Object {
    name: "teams channel",
    doc: "A workflow of Microsoft Teams, `When a Teams webhook request is received`.",
    keys: &[key("secret", Kind::SecretName, Required, "The secret that holds its address.", "TEAMS_URL")],
    foreign: &[(
        "url",
        "the address of the hook is a secret: `towpath secret set shop TEAMS_URL`, then `secret: TEAMS_URL`",
    )],
};

static EMAIL: Object = Object {
    name: "email channel",
    doc: "Mail, sent by the server that `smtp` in server.yaml names.",
    keys: &[
        key(
            "to",
            one_or_many!(Kind::Text),
            Required,
            "Addresses, or `@login` for the address that the server knows of a person. Each gets a mail of their own.",
            "[ops@example.com, \"@grace\"]",
        ),
        key(
            "links",
            Kind::Boolean,
            Default("false"),
            "Whether who is asked for an approval under their own `@login` gets a link to decide with, without signing in. Whoever reads that mailbox decides.",
            "true",
        ),
    ],
    foreign: &[("recipients", "write `to`"), ("from", "the sender is the server's: `smtp` in server.yaml")],
};

static HOOK: Object = Object {
    name: "webhook channel",
    doc: "A POST of JSON.",
    keys: &[
        key(
            "url",
            Kind::Text,
            Required,
            "Where to, over http or https. Addresses of private networks need the server's leave (`outgoing`).",
            "https://audit.example.com/towpath",
        ),
        key(
            "secret",
            Kind::SecretName,
            Default("none"),
            "The secret that signs it, as Standard Webhooks has it.",
            "AUDIT_KEY",
        ),
    ],
    foreign: &[("key", "write `secret`")],
};

static GRAFANA: Object = Object {
    name: "grafana channel",
    doc: "Annotations of the organisation, tagged `towpath`, the event, and project, environment and version.",
    keys: &[
        key("url", Kind::Text, Required, "Grafana's address, without `/api`.", "https://grafana.example.com"),
        key(
            "token",
            Kind::SecretName,
            Required,
            "The secret that holds a token of a service account.",
            "GRAFANA_TOKEN",
        ),
    ],
    foreign: &[("secret", "write `token`")],
};

static DATADOG: Object = Object {
    name: "datadog channel",
    doc: "Events, tagged `towpath`, the event, and project, environment and version.",
    keys: &[
        key("key", Kind::SecretName, Required, "The secret that holds an API key.", "DATADOG_KEY"),
        key("site", Kind::Text, Default("datadoghq.com"), "Datadog's site.", "datadoghq.eu"),
    ],
    foreign: &[("token", "write `key`"), ("api_key", "write `key`")],
};

pub(crate) static ROUTE: Object = Object {
    name: "route",
    doc: "What goes where.",
    keys: &[
        key("on", one_or_many!(Kind::OneOf(EVENTS)), Required, "Of these events.", "[deployed, rolled-back]"),
        key(
            "environments",
            one_or_many!(Kind::Name),
            Default("all, and what belongs to none"),
            "In these Environments.",
            "[production]",
        ),
        key("to", one_or_many!(Kind::Text), Required, "To these channels.", "[releases]"),
    ],
    foreign: &[("events", "write `on`"), ("channels", "write `to`"), ("channel", "write `to`")],
};

pub(crate) static ALERTS: Object = Object {
    name: "alerts",
    doc: "What alerts of Alertmanager do to Rollouts. It posts to `/hooks/PROJECT/alerts`, with the secret as bearer token.",
    keys: &[
        key(
            "secret",
            Kind::SecretName,
            Required,
            "The secret that Alertmanager sends: `http_config: { authorization: { credentials: ... } }`.",
            "ALERT_TOKEN",
        ),
        key(
            "rules",
            Kind::List(&Kind::Object(&ALERT_RULE)),
            Required,
            "The first rule that fits an alert decides.",
            "[{ environments: [production], labels: { severity: page }, then: rollback }]",
        ),
    ],
    foreign: &[("token", "write `secret`")],
};

static ALERT_RULE: Object = Object {
    name: "alert rule",
    doc: "An alert that fires while a Rollout runs stops it.",
    keys: &[
        key("environments", one_or_many!(Kind::Name), Required, "The Rollouts of these.", "[production]"),
        key(
            "labels",
            Kind::Map(&Kind::Scalar),
            Default("{}"),
            "Labels that the alert must have; empty fits every alert.",
            "{ severity: page }",
        ),
        key(
            "then",
            Kind::OneOf(&["rollback", "hold"]),
            Default("rollback"),
            "Whether the traffic goes back, or the weight stays and a person decides.",
            "hold",
        ),
    ],
    foreign: &[
        ("matchers", "write `labels`"),
        ("action", "write `then`"),
        ("environment", "write `environments`"),
    ],
};
