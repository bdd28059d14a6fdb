//! The keys for what is written once and used often: matrix, defaults, templates, included files.

use super::pipeline::{JOB, STEP};
use super::{Key, Kind, Object, Presence, one_or_many};
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
const OWN: &[&str] =
    &["needs", "if", "steps", "artifacts", "reports", "matrix", "fail_fast", "max_parallel", "parallel"];

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

pub(crate) static INCLUDE: Object = Object {
    name: "include",
    doc: "A file whose Jobs, templates, Workloads and Stages are part of this pipeline. A text is short for `file`.",
    keys: &[
        key(
            "file",
            Kind::Text,
            Required,
            "Its path, from the Project's directory; of another Project, from the root of its repository.",
            "ci/lint.yaml",
        ),
        key("project", Kind::Name, Default("this one"), "Another Project of the same server.", "platform"),
        key(
            "commit",
            Kind::Text,
            Default("-"),
            "The full id of a commit of that Project; a must with `project`. A branch or a tag will not do: it can be moved.",
            "5f1c9d0e6a7b8c9d0e1f2a3b4c5d6e7f8a9b0c1d",
        ),
        key(
            "digest",
            Kind::Text,
            Default("not checked"),
            "SHA-256 of the file: it is refused if it has any other.",
            "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        ),
    ],
    foreign: &[
        ("local", "write `file`"),
        ("path", "write `file`"),
        ("ref", "write `commit`, with the full id of a commit: a branch or a tag can be moved"),
        ("sha", "write `commit`"),
        ("remote", "a file of another server is not included: keep it in a Project of this one"),
        ("template", "write `project`, `file` and `commit`"),
        ("component", "write `project`, `file` and `commit`"),
    ],
};

/// The value of `include`.
pub(crate) const INCLUDES: Kind = one_or_many!(Kind::Any(&[Kind::Text, Kind::Object(&INCLUDE)]));

pub(crate) static INCLUDED: Object = Object {
    name: "included file",
    doc: "A file named under `include`. Its `env` and `defaults` hold for its own Jobs only.",
    keys: &[
        key("include", INCLUDES, Default("[]"), "More files.", "[ci/more.yaml]"),
        key(
            "share",
            one_or_many!(Kind::Text),
            Default("no other Project"),
            "Projects that may include this file; `all` for all of the server.",
            "[shop, cart]",
        ),
        key(
            "env",
            Kind::Map(&Kind::Scalar),
            Default("{}"),
            "Environment of its Jobs. A value may hold `${{ }}`.",
            "{ RUST_BACKTRACE: 1 }",
        ),
        key(
            "defaults",
            DEFAULTS,
            Default("{}"),
            "What holds for its Jobs where they say nothing else.",
            "{ timeout: 20m }",
        ),
        key(
            "templates",
            Kind::Map(&Kind::Object(&TEMPLATE)),
            Default("{}"),
            "Steps for any Job of the pipeline, by name.",
            "{ rust: { steps: [rustup show] } }",
        ),
        key(
            "jobs",
            Kind::Map(&Kind::Object(&JOB)),
            Default("{}"),
            "Jobs by name.",
            "{ lint: { steps: [make lint] } }",
        ),
        key(
            "workloads",
            Kind::Map(&Kind::Object(&super::pipeline::WORKLOAD)),
            Default("{}"),
            "Workloads by name.",
            "{ shop: { command: ./shop } }",
        ),
        key(
            "databases",
            Kind::Map(&Kind::Object(&super::pipeline::DATABASE)),
            Default("{}"),
            "Databases by name, and their migrations; directories are the Project's.",
            "{ shop: { dialect: postgresql, migrations: db/migrations } }",
        ),
        key(
            "stages",
            Kind::List(&Kind::Object(&super::pipeline::STAGE)),
            Default("[]"),
            "Stages of the route.",
            "[{ name: dev, environments: dev }]",
        ),
    ],
    foreign: &[
        ("name", "the including file has the name; leave it out here"),
        ("on", "only the including file says what starts a Run; leave it out here"),
        ("variables", "write `env`"),
    ],
};
