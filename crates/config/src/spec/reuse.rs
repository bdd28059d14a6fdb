//! The keys for what is written once and used often: matrix, defaults, templates.

use super::pipeline::{JOB, STEP};
use super::{Key, Kind, Object, Presence};
use Presence::{Default, Required};

const fn key(
    name: &'static str,
    kind: Kind,
    presence: Presence,
    doc: &'static str,
    example: &'static str,
) -> Key {
    Key { name, kind, presence, doc, example }
}

/// The axes of a matrix, with `include` and `exclude` among them.
pub(crate) const MATRIX: Kind =
    Kind::Map(&Kind::Any(&[Kind::Scalar, Kind::List(&Kind::Any(&[Kind::Scalar, Kind::Map(&Kind::Scalar)]))]));

/// What a Job has by itself, and no default could be right for.
const OWN: &[&str] = &["needs", "if", "steps", "artifacts", "reports", "matrix", "fail_fast", "max_parallel"];

/// What `defaults` may hold.
pub(crate) const DEFAULTS: Kind =
    Kind::Keys(&[(&JOB, OWN), (&STEP, &["run", "name", "env", "timeout", "always"])]);

pub(crate) static TEMPLATE: Object = Object {
    name: "template",
    doc: "Steps with parameters, for any Job: `- uses: NAME`. A parameter reaches its scripts as environment, `$PARAM_NAME`.",
    keys: &[
        key("description", Kind::Text, Default("-"), "For people.", "Installs the toolchain"),
        key(
            "parameters",
            Kind::Map(&Kind::Object(&PARAMETER)),
            Default("{}"),
            "What `with` may give, by name.",
            "{ toolchain: { type: string, default: stable } }",
        ),
        key(
            "steps",
            Kind::Any(&[Kind::Text, Kind::List(&STEP_ITEM)]),
            Required,
            "The Steps. Outside of scripts, `${{ parameters.NAME }}` stands for a parameter.",
            "[\"rustup toolchain install $PARAM_TOOLCHAIN\"]",
        ),
    ],
    foreign: &[
        ("inputs", "write `parameters`"),
        ("params", "write `parameters`"),
        ("spec", "write `parameters`"),
        ("runs", "write `steps`"),
        ("script", "write `steps`"),
    ],
};

pub(crate) static PARAMETER: Object = Object {
    name: "parameter",
    doc: "A value that `with` gives to a template.",
    keys: &[
        key(
            "type",
            Kind::OneOf(&["string", "integer", "boolean"]),
            Default("string"),
            "What it must be.",
            "boolean",
        ),
        key(
            "required",
            Kind::Boolean,
            Default("true without a `default`"),
            "Whether `with` must give it; where it need not and does not, it is empty, 0 or false.",
            "false",
        ),
        key("default", Kind::Scalar, Default("-"), "What it is where `with` does not give it.", "stable"),
        key(
            "options",
            Kind::List(&Kind::Scalar),
            Default("any"),
            "The values that it may have.",
            "[stable, nightly]",
        ),
        key("description", Kind::Text, Default("-"), "For people.", "Which compiler"),
    ],
    foreign: &[("enum", "write `options`"), ("values", "write `options`")],
};

pub(crate) static USE: Object = Object {
    name: "use",
    doc: "The Steps of a template, in the place of a Step.",
    keys: &[
        key("uses", Kind::Name, Required, "The template.", "rust"),
        key(
            "with",
            Kind::Map(&Kind::Scalar),
            Default("{}"),
            "Its parameters. A value may hold `${{ }}`.",
            "{ toolchain: nightly }",
        ),
        key(
            "env",
            Kind::Map(&Kind::Scalar),
            Default("{}"),
            "Environment under that of its Steps.",
            "{ TZ: UTC }",
        ),
    ],
    foreign: &[
        ("if", "put the condition on the Job"),
        ("name", "the Steps of a template have names of their own"),
        ("inputs", "write `with`"),
        ("parameters", "write `with`"),
        ("settings", "write `with`"),
    ],
};

/// An item of `steps`.
pub(crate) const STEP_ITEM: Kind = Kind::Any(&[Kind::Text, Kind::Object(&STEP), Kind::Object(&USE)]);
