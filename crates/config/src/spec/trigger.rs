//! The keys of `on` beyond pushes and tags: pull requests, schedules, inputs, Releases of other Projects.

use super::Presence::{Default, Required};
use super::{Key, Kind, Object, Presence, one_or_many};

const fn key(
    name: &'static str,
    kind: Kind,
    presence: Presence,
    doc: &'static str,
    example: &'static str,
) -> Key {
    Key { name, kind, presence, doc, example }
}

/// The words that stand for a whole trigger.
pub(crate) const WORDS: &[&str] = &["push", "tag", "manual", "pull_request"];

/// What may happen to a pull request, in our words and in those of the forges.
pub(crate) const TYPES: &[&str] =
    &["opened", "updated", "reopened", "labeled", "closed", "synchronize", "synchronized"];

/// The name that the tables use for a key that forges call differently.
pub(crate) fn alias<'k>(object: &str, key: &'k str) -> &'k str {
    match (object, key) {
        ("on", "merge_request") => "pull_request",
        _ => key,
    }
}

pub(crate) static PULL_REQUEST: Object = Object {
    name: "pull_request",
    doc: "Which pull requests (merge requests) of the forge start a Run. GitLab's word `merge_request` is the same.",
    keys: &[
        key(
            "branches",
            one_or_many!(Kind::Text),
            Default("all"),
            "Patterns of the branch that the request wants to change.",
            "[main, release/*]",
        ),
        key(
            "paths",
            one_or_many!(Kind::Text),
            Default("all"),
            "Only when a file that differs from that branch matches one of these patterns.",
            "[src/**]",
        ),
        key(
            "types",
            one_or_many!(Kind::OneOf(TYPES)),
            Default("[opened, updated, reopened]"),
            "What must have happened to it. `updated` means new commits; GitHub calls that `synchronize`.",
            "[opened, labeled]",
        ),
    ],
    foreign: &[
        ("branch", "write `branches`"),
        ("branches_ignore", "write the `branches` that count"),
        ("paths_ignore", "write the `paths` that count"),
    ],
};

pub(crate) static SCHEDULE: Object = Object {
    name: "schedule",
    doc: "A time at which a Run starts. The file of the default branch says which there are.",
    keys: &[
        key(
            "cron",
            Kind::Text,
            Required,
            "Minute, hour, day, month and weekday as cron has them, or `@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`.",
            "0 3 * * mon-fri",
        ),
        key(
            "timezone",
            Kind::Text,
            Default("UTC"),
            "Whose clock it means. A time that the clock skips is due right after the gap, once; one that comes twice is due the first time.",
            "Europe/Berlin",
        ),
        key(
            "branch",
            Kind::Text,
            Default("the default branch"),
            "The branch whose newest commit is run.",
            "release/2",
        ),
    ],
    foreign: &[("time_zone", "write `timezone`"), ("at", "write `cron`"), ("every", "write `cron`")],
};

pub(crate) static RELEASE: Object = Object {
    name: "release",
    doc: "Starts a Run of the default branch when another Project seals a Release.",
    keys: &[
        key("project", Kind::Name, Required, "The other Project.", "base-image"),
        key("versions", one_or_many!(Kind::Text), Default("all"), "Patterns of its versions.", "[2.*]"),
    ],
    foreign: &[("version", "write `versions`"), ("pipeline", "write `project`")],
};

pub(crate) static MANUAL: Object = Object {
    name: "manual",
    doc: "A person, or a program by the API, starts it.",
    keys: &[key(
        "inputs",
        Kind::Map(&Kind::Object(&INPUT)),
        Default("{}"),
        "What may be said at the start, by name. A Step gets `INPUT_NAME`; an expression has `inputs.name`.",
        "{ target: { type: choice, options: [staging, production] } }",
    )],
    foreign: &[],
};

pub(crate) static INPUT: Object = Object {
    name: "input",
    doc: "One thing that may be said at the start.",
    keys: &[
        key(
            "type",
            Kind::OneOf(&["string", "number", "boolean", "choice"]),
            Default("string"),
            "What it may be.",
            "number",
        ),
        key("description", Kind::Text, Default("none"), "For whoever fills in the form.", "How many hosts"),
        key(
            "required",
            Kind::Boolean,
            Default("false"),
            "Whether a Run that is started by hand must say it.",
            "true",
        ),
        key("default", Kind::Scalar, Default("none"), "What it is where nobody says, also for a push.", "3"),
        key(
            "options",
            Kind::List(&Kind::Scalar),
            Default("[]"),
            "The words of a choice.",
            "[staging, production]",
        ),
    ],
    foreign: &[("choices", "write `options`"), ("value", "write `default`")],
};
