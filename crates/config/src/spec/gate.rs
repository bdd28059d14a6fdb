//! The keys of Gates that look outside, and of what an approval is needed for.

use super::Presence::{Default, Required};
use super::pipeline::key;
use super::{Key, Kind, Object, one_or_many};

const EXPIRES: Key = key(
    "expires",
    Kind::Duration,
    Default("7d"),
    "How long it may stay shut until the Promotion ends, 1m to 365d.",
    "24h",
);

pub(crate) static WHEN: Object = Object {
    name: "approval condition",
    doc: "What an approval is needed for, compared with the commit that runs in the Environment. The first deployment, a change of the configuration alone and a change that cannot be read always need it.",
    keys: &[
        key(
            "paths",
            one_or_many!(Kind::Text),
            Default("[]"),
            "The change touches a path that fits one of these patterns.",
            "[infra/**]",
        ),
        key(
            "migrations",
            Kind::Boolean,
            Default("false"),
            "The change brings a file in a directory `migrations`, `migration` or `migrate`, or one that is called as Flyway calls them.",
            "true",
        ),
        key(
            "more_files_than",
            Kind::Integer { min: 0, max: 1_000_000 },
            Default("-"),
            "The change touches more files than this.",
            "20",
        ),
        key(
            "more_lines_than",
            Kind::Integer { min: 0, max: 100_000_000 },
            Default("-"),
            "The change adds and removes more lines than this.",
            "500",
        ),
    ],
    foreign: &[
        ("files", "write `more_files_than`"),
        ("lines", "write `more_lines_than`"),
        ("path", "write `paths`"),
        ("expression", "an approval has no expression; an `expression` gate beside it has"),
    ],
};

pub(crate) static WEBHOOK: Object = Object {
    name: "webhook gate",
    doc: "Towpath posts what waits as JSON. 200 to 299 opens the Gate for this Promotion; anything else means not yet, and its text says why.",
    keys: &[
        key(
            "url",
            Kind::Text,
            Required,
            "Where to, over http or https. Addresses of private networks need the server's leave (`outgoing`).",
            "https://change.example.com/towpath",
        ),
        key(
            "secret",
            Kind::SecretName,
            Default("none"),
            "The secret that signs the question, as Standard Webhooks has it: `webhook-signature: v1,...`.",
            "CHANGE_KEY",
        ),
        key(
            "every",
            Kind::Duration,
            Default("5m"),
            "The longest pause between two questions, 5s to 1d.",
            "1m",
        ),
        EXPIRES,
    ],
    foreign: &[("timeout", "write `expires`"), ("interval", "write `every`"), ("key", "write `secret`")],
};

pub(crate) static METRIC: Object = Object {
    name: "metric gate",
    doc: "Open while every series of the answer is within the bounds. No series, `NaN` and a source that is silent for two pauses are never within them.",
    keys: &[
        key(
            "prometheus",
            Kind::Text,
            Required,
            "The address of Prometheus, or of what speaks as it does, without `/api/v1`.",
            "https://prometheus.example.com",
        ),
        key("query", Kind::Text, Required, "PromQL for an instant.", "\"sum(rate(errors_total[5m]))\""),
        key("max", Kind::Scalar, Default("-"), "The greatest value, itself included.", "0.01"),
        key("min", Kind::Scalar, Default("-"), "The least value, itself included.", "1"),
        key(
            "token",
            Kind::SecretName,
            Default("none"),
            "The secret that is sent as `Authorization: Bearer`.",
            "PROMETHEUS_TOKEN",
        ),
        key("every", Kind::Duration, Default("1m"), "The pause between two questions, 5s to 1d.", "30s"),
        EXPIRES,
    ],
    foreign: &[
        ("url", "write `prometheus`"),
        ("threshold", "write `max` or `min`"),
        ("interval", "write `every`"),
        ("provider", "write `prometheus: https://...`"),
    ],
};

pub(crate) static EXPRESSION: Object = Object {
    name: "expression gate",
    doc: "CEL over `release`, `environment`, `evidence`, `change`, `actor` and `promotion`. What is unknown never opens it.",
    keys: &[
        key("holds", Kind::Condition, Required, "What has to be true.", "\"change.lines < 500\""),
        key(
            "reason",
            Kind::Text,
            Default("none"),
            "What it is for, for people.",
            "large changes go on Mondays",
        ),
        EXPIRES,
    ],
    foreign: &[("if", "write `holds`"), ("when", "write `holds`"), ("cel", "write `holds`")],
};

pub(crate) static HOLD: Object = Object {
    name: "hold gate",
    doc: "Shut until somebody lifts it (`towpath lift`). Nobody is asked to judge the change; who made it may lift it, too.",
    keys: &[
        key(
            "by",
            one_or_many!(Kind::Text),
            Required,
            "Who may: roles, groups, or people as `@login`.",
            "[marketing]",
        ),
        key("name", Kind::Text, Default("hold"), "What it is called where it is lifted.", "campaign"),
        key(
            "reason",
            Kind::Text,
            Default("none"),
            "Why it is there, for people.",
            "the campaign starts first",
        ),
        EXPIRES,
    ],
    foreign: &[("approvers", "write `by`"), ("timeout", "write `expires`")],
};

pub(crate) static DELAY: Object = Object {
    name: "delay gate",
    doc: "Opens by itself. With both keys, when both are over.",
    keys: &[
        key(
            "for",
            Kind::Duration,
            Default("-"),
            "So long after the Promotion was asked for, 1s to 30d.",
            "2h",
        ),
        key("until", Kind::Text, Default("-"), "At this date, or date and time.", "2026-12-01T09:00"),
        key("timezone", Kind::Text, Default("UTC"), "An IANA time zone, for `until`.", "Europe/Berlin"),
    ],
    foreign: &[("duration", "write `for`"), ("at", "write `until`"), ("tz", "write `timezone`")],
};

pub(crate) static UPSTREAM: Object = Object {
    name: "upstream gate",
    doc: "With `environment` alone: this Release has succeeded there, in the same Project.",
    keys: &[
        key(
            "project",
            Kind::Name,
            Default("this one"),
            "The other Project; in environment documents only.",
            "payments",
        ),
        key("environment", Kind::Name, Required, "Its Environment.", "production"),
        key("at_least", Kind::Text, Default("-"), "It runs this version or a later one.", "1.4.0"),
        key("same_commit", Kind::Boolean, Default("false"), "It runs the same commit.", "true"),
        EXPIRES,
    ],
    foreign: &[
        ("stage", "write `environment`"),
        ("release", "write `at_least`"),
        ("version", "write `at_least`"),
    ],
};
