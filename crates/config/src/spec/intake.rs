//! The keys that say how Releases come in, and what becomes of those that wait.

use super::pipeline::key;
use super::{Key, Kind, Object, Presence};
use Presence::{Default, Required};

/// Whether Releases come by themselves, where it is a word.
pub(crate) const PROMOTE_WORDS: &[&str] = &["automatic", "manual"];

pub(crate) static SCHEDULED: Object = Object {
    name: "scheduled",
    doc: "Times at which what waits starts. Until then, a newer Release takes the place of an older one.",
    keys: &[
        key(
            "schedule",
            Kind::Text,
            Required,
            "Minute, hour, day, month and weekday as cron has them, or `@daily`, `@weekly`.",
            "0 9 * * mon-thu",
        ),
        key("timezone", Kind::Text, Default("UTC"), "Whose clock it means.", "Europe/Berlin"),
    ],
    foreign: &[
        ("cron", "write `schedule`"),
        ("at", "write `schedule`"),
        ("window", "hours in which a Rollout may start are a gate: `gates: [{ window: { hours: ... } }]`"),
    ],
};

static PROMOTED: [Kind; 2] = [Kind::OneOf(PROMOTE_WORDS), Kind::Object(&SCHEDULED)];

pub(crate) const PROMOTE: Key = key(
    "promote",
    Kind::Any(&PROMOTED),
    Default("automatic"),
    "Whether Releases come by themselves once it is their turn, only when a person asks, or at certain times. Where Stage and \
     Environment both say it, `manual` holds, then the Environment's schedule.",
    "{ schedule: 0 9 * * mon-thu, timezone: Europe/Berlin }",
);

pub(crate) const QUEUE: Key = key(
    "queue",
    Kind::OneOf(&["superseded", "queued", "parallel"]),
    Default("superseded"),
    "What becomes of Promotions that wait: the newest takes the place of older ones; each gets its turn; or they pass their Gates side \
     by side. One Rollout runs at a time.",
    "queued",
);

pub(crate) const UNREVOKE: Key = key(
    "unrevoke",
    Kind::OneOf(&["alone", "together"]),
    Default("alone"),
    "How many people it takes to let a revoked Release start again. `together` in any Environment of the Project means two.",
    "together",
);

pub(crate) const AFTER_ROLLBACK: Key = key(
    "after_rollback",
    Kind::OneOf(&["wait", "bisect"]),
    Default("wait"),
    "What follows when a Promotion went back that brought several Releases at once: the suspects are named and people decide, or \
     the one in the middle is promoted next, until one is left.",
    "bisect",
);
