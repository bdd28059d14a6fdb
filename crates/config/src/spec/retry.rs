//! `retry` of a Job.

use super::pipeline::key;
use super::{Kind, Object, Presence, one_or_many};
use Presence::{Default, Required};

pub(crate) static RETRY: Object = Object {
    name: "retry",
    doc: "How often a Job is tried, after which failures, and with which pauses.",
    keys: &[
        key(
            "attempts",
            Kind::Integer { min: 1, max: 10 },
            Default("1, or 2 with `when`"),
            "Attempts in all after failures that are the Job's own: `network`, `timeout`, `exit_code`, `pattern`.",
            "2",
        ),
        key(
            "attempts_lost",
            Kind::Integer { min: 1, max: 10 },
            Default("3"),
            "Attempts in all where the agent was lost, could not start the Job, or could not fetch its image.",
            "3",
        ),
        key(
            "when",
            Kind::Any(&[CLASS, Kind::List(&Kind::Any(&[CLASS, Kind::Object(&WHEN)]))]),
            Default("every failure"),
            "Which failures of its own are retried. `lost` and `image_pull` have `attempts_lost`, named here or not.",
            "[network, timeout, { exit_code: 75 }, { pattern: \"database is locked\" }]",
        ),
        key(
            "backoff",
            Kind::Any(&[Kind::Duration, Kind::Object(&BACKOFF)]),
            Default("10s after `network` and `image_pull`, else none"),
            "The pause before the first retry; each later one is twice as long. A part of it comes off, another one for each Attempt. A lost Attempt is retried at once.",
            "30s",
        ),
    ],
    foreign: &[
        ("max", "write `attempts`: the number of tries in all"),
        ("exit_codes", "write `when: [{ exit_code: [75, 76] }]`"),
        ("exit_code", "write `when: [{ exit_code: 75 }]`"),
    ],
};

const CLASS: Kind = Kind::OneOf(&["lost", "image_pull", "network", "timeout", "exit_code", "pattern"]);

pub(crate) static WHEN: Object = Object {
    name: "retry condition",
    doc: "A failure that is retried.",
    keys: &[
        key(
            "exit_code",
            one_or_many!(Kind::Integer { min: 1, max: 255 }),
            Default("none"),
            "The Step that failed ended with this code, or one of these. A signal counts as 128 and its number.",
            "[75, 137]",
        ),
        key(
            "pattern",
            Kind::Text,
            Default("none"),
            "A regular expression that the line of the log matches which says what went wrong: the first one of the failed Step that speaks of an error, else its last.",
            "database is locked",
        ),
    ],
    foreign: &[],
};

pub(crate) static BACKOFF: Object = Object {
    name: "backoff",
    doc: "How long to wait before a retry.",
    keys: &[
        key("first", Kind::Duration, Required, "Before the first retry, 0s to 1h.", "10s"),
        key("longest", Kind::Duration, Default("5m"), "No pause is longer, 1s to 1h.", "2m"),
    ],
    foreign: &[("initial", "write `first`"), ("max", "write `longest`")],
};
