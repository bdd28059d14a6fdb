//! The keys for what is kept from one Attempt for later ones.

use super::{Key, Kind, Object, Presence, one_or_many};
use Presence::{Default, Required};

pub(crate) static CACHE: Object = Object {
    name: "cache",
    doc: "Files that are kept for later Runs, restored before the first Step. A Run reads what Runs of its own or of higher \
          trust saved, and what a `fork` Run saves is read by that contribution only.",
    keys: &[
        Key {
            name: "key",
            kind: Kind::Any(&[
                Kind::Text,
                Kind::Object(&KEY_FILE),
                Kind::List(&Kind::Any(&[Kind::Text, Kind::Object(&KEY_FILE)])),
            ]),
            presence: Required,
            doc: "What the entry is found by: texts, which may hold `${{ }}`, and the digest of files. The parts are joined \
                  by `-`. Platform and `paths` are part of it by themselves.",
            example: "[cargo, { file: Cargo.lock }]",
        },
        Key {
            name: "restore",
            kind: one_or_many!(Kind::Text),
            presence: Default("[]"),
            doc: "Beginnings of keys that will do where no entry has the same; the newest entry is taken.",
            example: "[cargo]",
        },
        Key {
            name: "paths",
            kind: one_or_many!(Kind::Text),
            presence: Required,
            doc: "Files and directories, as patterns relative to the Project's directory. `~/` stands for the home directory \
                  that the Steps have.",
            example: "[target, ~/.npm]",
        },
        Key {
            name: "save",
            kind: Kind::OneOf(&["on_success", "always", "never"]),
            presence: Default("on_success"),
            doc: "When it is saved: after every Step has passed, after a failure too, or never. An entry that has the key \
                  already is not replaced.",
            example: "always",
        },
    ],
    foreign: &[
        ("path", "write `paths`"),
        ("files", "write `paths` for what is kept, and `key: [{ file: ... }]` for what it depends on"),
        ("restore_keys", "write `restore`"),
        ("when", "write `save: always` or `save: on_success`"),
        ("policy", "write `save: never` for a cache that is only read"),
        ("untracked", "name the `paths`"),
    ],
};

pub(crate) static KEY_FILE: Object = Object {
    name: "cache key file",
    doc: "A part of a key: the digest of files.",
    keys: &[Key {
        name: "file",
        kind: one_or_many!(Kind::Text),
        presence: Required,
        doc: "Patterns of the files, relative to the Project's directory.",
        example: "Cargo.lock",
    }],
    foreign: &[
        ("files", "write `file`, with one pattern or a list"),
        ("prefix", "put the text before it: `key: [text, { file: ... }]`"),
    ],
};

pub(crate) static INPUTS: Object = Object {
    name: "step inputs",
    doc: "What a Step reads. Where nothing of it has changed since a Run in which the Step passed, the Step is left out and \
          its `outputs` are restored.",
    keys: &[
        Key {
            name: "files",
            kind: one_or_many!(Kind::Text),
            presence: Default("[]"),
            doc: "Patterns relative to the Project's directory.",
            example: "[src/**, Cargo.lock]",
        },
        Key {
            name: "env",
            kind: one_or_many!(Kind::Text),
            presence: Default("[]"),
            doc: "Names of the environment that it reads. A secret cannot be one.",
            example: "[RUSTFLAGS]",
        },
    ],
    foreign: &[("paths", "write `files`"), ("file", "write `files`")],
};
