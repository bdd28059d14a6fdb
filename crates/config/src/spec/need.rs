//! The keys of a Job's need and of its concurrency group, where they are written as maps.

use super::pipeline::key;
use super::{Kind, Object, Presence};
use Presence::{Default, Required};

pub(crate) static NEED: Object = Object {
    name: "need",
    doc: "A Job that must come before.",
    keys: &[
        key("job", Kind::Name, Required, "Its name.", "lint"),
        key(
            "optional",
            Kind::Boolean,
            Default("false"),
            "Whether it may be skipped, or not be in the file at all. Where it runs, it must pass.",
            "true",
        ),
    ],
    foreign: &[("name", "write `job`"), ("artifacts", "the Artifacts of a needed Job are always there")],
};

pub(crate) static CONCURRENCY: Object = Object {
    name: "concurrency",
    doc: "A group of Jobs of the Project, over all its Runs. Its Jobs begin in the order of the Runs.",
    keys: &[
        key("group", Kind::Text, Required, "The group's name.", "database"),
        key(
            "limit",
            Kind::Integer { min: 1, max: 1000 },
            Default("1"),
            "How many Jobs of the group run at a time.",
            "2",
        ),
    ],
    foreign: &[
        ("cancel_in_progress", "write `cancel_superseded` at the top of the file"),
        ("max", "write `limit`"),
    ],
};
