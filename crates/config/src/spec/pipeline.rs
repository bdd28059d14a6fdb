//! The keys of `towpath.yaml`.

use super::cache::{CACHE, INPUTS};
use super::container::{IMAGE, IMAGE_BUILD, SERVICE};
use super::demand::EVIDENCE;
use super::gate::{DELAY, EXPRESSION, HOLD, METRIC, UPSTREAM, WEBHOOK, WHEN};
use super::intake::PROMOTE;
use super::limits::JOB_LIMITS;
use super::need::{CONCURRENCY, NEED};
use super::reports::{CHECK_REPORTS, REPORTS};
use super::retry::RETRY;
use super::reuse::{DEFAULTS, INCLUDES, MATRIX, STEP_ITEM, TEMPLATE};
use super::trigger::{self, MANUAL, PULL_REQUEST, RELEASE, SCHEDULE};
use super::{Key, Kind, Object, Presence, one_or_many};
use Presence::{Default, Required};

pub(super) const fn key(
    name: &'static str,
    kind: Kind,
    presence: Presence,
    doc: &'static str,
    example: &'static str,
) -> Key {
    Key { name, kind, presence, doc, example }
}

pub(crate) static PIPELINE: Object = Object {
    name: "pipeline",
    doc: "The file `towpath.yaml` at the root of the repository (or of the Project's path in it).",
    keys: &[
        key("name", Kind::Name, Required, "The Project's name.", "shop"),
        key(
            "on",
            Kind::Any(&[
                Kind::OneOf(trigger::WORDS),
                Kind::List(&Kind::OneOf(trigger::WORDS)),
                Kind::Object(&ON),
            ]),
            Default("every push, and by hand"),
            "What starts a Run.",
            "{ push: main, tag: v* }",
        ),
        key(
            "env",
            Kind::Map(&Kind::Scalar),
            Default("{}"),
            "Environment of every Job. A value may hold `${{ }}`.",
            "{ RUST_BACKTRACE: 1 }",
        ),
        key(
            "include",
            INCLUDES,
            Default("[]"),
            "Files of this repository, or of other Projects at a commit, whose content is part of this pipeline.",
            "[ci/lint.yaml]",
        ),
        key(
            "defaults",
            DEFAULTS,
            Default("{}"),
            "What holds for the Jobs of this file where they say nothing else; `shell` and `directory` for their Steps.",
            "{ timeout: 20m, runs_on: linux }",
        ),
        key(
            "templates",
            Kind::Map(&Kind::Object(&TEMPLATE)),
            Default("{}"),
            "Steps with parameters for any Job, by name.",
            "{ rust: { steps: [rustup show] } }",
        ),
        key(
            "cancel_superseded",
            Kind::Boolean,
            Default("true"),
            "A newer Run of the same ref cancels an older one that has sealed nothing yet.",
            "false",
        ),
        key(
            "jobs",
            Kind::Map(&Kind::Object(&JOB)),
            Default("{}"),
            "The Jobs by name. They run as soon as their `needs` allow.",
            "{ test: { steps: [make test] } }",
        ),
        key(
            "workloads",
            Kind::Map(&Kind::Object(&WORKLOAD)),
            Default("{}"),
            "What runs in the Environments, by name.",
            "{ shop: { command: ./shop } }",
        ),
        key(
            "databases",
            Kind::Map(&Kind::Object(&DATABASE)),
            Default("{}"),
            "Databases that the Workloads use, by name, and their migrations.",
            "{ shop: { dialect: postgresql, migrations: db/migrations } }",
        ),
        key(
            "stages",
            Kind::List(&Kind::Object(&STAGE)),
            Default("[]"),
            "The route of a sealed Release to production.",
            "[{ name: dev, environments: dev }]",
        ),
    ],
    foreign: &[
        ("variables", "write `env`"),
        ("environment", "write `env` for variables; Environments are listed by `stages`"),
        ("script", "put it into a Job: `jobs: { build: { steps: [...] } }`"),
        ("steps", "put them into a Job: `jobs: { build: { steps: [...] } }`"),
        ("workflow", "write `on`"),
        ("trigger", "write `on`"),
        ("triggers", "write `on`"),
        ("permissions", "Towpath gives a Job nothing but the `secrets` it lists"),
        ("concurrency", "write `cancel_superseded` here, or `concurrency` on a Job"),
        ("services", "put them into the Job that uses them: `jobs: { test: { services: {...} } }`"),
        ("image", "put it into a Job: `jobs: { build: { image: ... } }`"),
    ],
};

pub(crate) static ON: Object = Object {
    name: "on",
    doc: "What starts a Run.",
    keys: &[
        key(
            "push",
            Kind::Any(&[Kind::Text, Kind::List(&Kind::Text), Kind::Object(&PUSH)]),
            Default("not started by a push"),
            "A push to a branch. A text or a list names branches.",
            "main",
        ),
        key(
            "tag",
            Kind::Any(&[Kind::Text, Kind::List(&Kind::Text), Kind::Object(&TAG)]),
            Default("not started by a tag"),
            "A pushed tag. A text or a list gives patterns.",
            "v*",
        ),
        key(
            "pull_request",
            Kind::Any(&[Kind::Text, Kind::List(&Kind::Text), Kind::Object(&PULL_REQUEST)]),
            Default("not started by a pull request"),
            "A pull request of the forge that the Project is mirrored from. A text or a list names branches that it wants to change.",
            "main",
        ),
        key(
            "schedule",
            Kind::Any(&[
                Kind::Text,
                Kind::Object(&SCHEDULE),
                Kind::List(&Kind::Any(&[Kind::Text, Kind::Object(&SCHEDULE)])),
            ]),
            Default("never"),
            "Times. A text is `cron` in UTC.",
            "[{ cron: 0 3 * * mon-fri, timezone: Europe/Berlin }]",
        ),
        key(
            "release",
            Kind::Any(&[
                Kind::Name,
                Kind::Object(&RELEASE),
                Kind::List(&Kind::Any(&[Kind::Name, Kind::Object(&RELEASE)])),
            ]),
            Default("not started by other projects"),
            "Releases of other Projects. A text names the Project.",
            "{ project: base-image, versions: 2.* }",
        ),
        key(
            "manual",
            Kind::Any(&[Kind::Boolean, Kind::Object(&MANUAL)]),
            Default("true"),
            "Whether a person may start it, and what they may say.",
            "false",
        ),
    ],
    foreign: &[
        ("tags", "write `tag`"),
        ("branches", "write `push: { branches: [...] }`"),
        ("pull_request_target", "write `pull_request`; a Run of a fork never gets secrets"),
        ("workflow_dispatch", "write `manual: { inputs: {...} }`"),
        ("workflow_run", "write `release: { project: ... }`"),
        ("cron", "write `schedule: [{ cron: ... }]`"),
        ("inputs", "write `manual: { inputs: {...} }`"),
    ],
};

pub(crate) static PUSH: Object = Object {
    name: "push",
    doc: "Which pushes start a Run.",
    keys: &[
        key(
            "branches",
            one_or_many!(Kind::Text),
            Default("all"),
            "Branch patterns. `*` stands for any characters but `/`, `**` for any.",
            "[main, release/*]",
        ),
        key(
            "paths",
            one_or_many!(Kind::Text),
            Default("all"),
            "Only when a changed file matches one of these patterns.",
            "[src/**, Cargo.*]",
        ),
    ],
    foreign: &[("branch", "write `branches`"), ("tags", "write `tag` beside `push`")],
};

pub(crate) static TAG: Object = Object {
    name: "tag",
    doc: "Which tags start a Run.",
    keys: &[key("patterns", one_or_many!(Kind::Text), Default("all"), "Tag patterns.", "[v*]")],
    foreign: &[("tags", "write `patterns`")],
};

pub(crate) static JOB: Object = Object {
    name: "job",
    doc: "A node of the Run's graph: Steps that run one after the other in one clean working copy.",
    keys: &[
        key(
            "needs",
            one_or_many!(Kind::Any(&[Kind::Name, Kind::Object(&NEED)])),
            Default("[]"),
            "Jobs that must have passed before. Their Artifacts and outputs are there.",
            "[test, { job: lint, optional: true }]",
        ),
        key(
            "run_when",
            Kind::OneOf(&["all_passed", "any_failed", "always"]),
            Default("all_passed"),
            "What the Jobs that it needs must have come to. `any_failed` looks at those before them, too.",
            "any_failed",
        ),
        key(
            "paths",
            one_or_many!(Kind::Text),
            Default("all"),
            "What it reads in the repository; `!` in front of a pattern takes paths out. Where nothing of it has changed since the commit of this Job's last verdict on the same ref, it reports success without running.",
            "[src/**, Cargo.*]",
        ),
        key(
            "if",
            Kind::Condition,
            Default("always runs"),
            "Runs only where this holds (CEL); otherwise it is skipped. Where it asks for an `outcome`, it alone decides, also after a failure.",
            "branch == 'main'",
        ),
        key(
            "env",
            Kind::Map(&Kind::Scalar),
            Default("{}"),
            "Environment of every Step. A value may hold `${{ }}`.",
            "{ TAG: \"${{ commit }}\" }",
        ),
        key(
            "secrets",
            one_or_many!(Kind::SecretName),
            Default("[]"),
            "Secrets given as environment. Only Runs of a protected ref get them.",
            "[LICENSE_KEY]",
        ),
        key(
            "steps",
            Kind::Any(&[Kind::Text, Kind::List(&STEP_ITEM)]),
            Required,
            "The Steps. A text is short for `run`; `uses` puts the Steps of a template there.",
            "[{ run: make test }]",
        ),
        key(
            "artifacts",
            Kind::Map(&Kind::Any(&[Kind::Text, Kind::List(&Kind::Text), Kind::Object(&ARTIFACT)])),
            Default("{}"),
            "Files that become Artifacts, by name.",
            "{ shop: target/release/shop }",
        ),
        key(
            "reports",
            Kind::Object(&REPORTS),
            Default("{}"),
            "Reports that become Evidence.",
            "{ junit: target/junit.xml }",
        ),
        key(
            "runs_on",
            Kind::Any(&[Kind::Text, Kind::List(&Kind::Text), Kind::Map(&Kind::Scalar)]),
            Default("any agent"),
            "Labels an agent must have. `gpu` is short for `gpu: true`.",
            "{ os: linux, arch: arm64 }",
        ),
        key(
            "image",
            Kind::Any(&[Kind::Text, Kind::Object(&IMAGE)]),
            Default("none"),
            "The image that the Steps run in, on an agent with Docker or Podman.",
            "debian:bookworm",
        ),
        key(
            "services",
            Kind::Map(&Kind::Any(&[Kind::Text, Kind::Object(&SERVICE)])),
            Default("{}"),
            "What runs beside the Steps, by name: databases and the like. A text is short for `image`.",
            "{ db: { image: postgres:17, ports: 5432 } }",
        ),
        key(
            "executor",
            Kind::OneOf(&["sandbox", "container", "host"]),
            Default("container with an `image`, else sandbox"),
            "How Steps are confined. `host` works only where the server allows it.",
            "sandbox",
        ),
        key(
            "network",
            Kind::OneOf(&["full", "none"]),
            Default("full"),
            "Whether Steps have the network.",
            "none",
        ),
        key(
            "limits",
            Kind::Object(&JOB_LIMITS),
            Default("{}"),
            "What an Attempt may use. Where the agent cannot keep one, the Job is refused.",
            "{ memory: 4GiB, cpu: 2, processes: 500, disk: 10GiB }",
        ),
        key("timeout", Kind::Duration, Default("1h"), "The time of one Attempt, 1s to 24h.", "20m"),
        key(
            "retry",
            Kind::Any(&[Kind::Integer { min: 0, max: 9 }, Kind::Object(&RETRY)]),
            Default("{ attempts: 1, attempts_lost: 3 }"),
            "What happens after an Attempt that did not pass. A number counts the repetitions: `1` is short for `attempts: 2`.",
            "1",
        ),
        key(
            "concurrency",
            Kind::Any(&[Kind::Text, Kind::Object(&CONCURRENCY)]),
            Default("none"),
            "Only one Job with the same group runs at a time in the Project (or `limit` of them), in the order of the Runs.",
            "{ group: database, limit: 2 }",
        ),
        key(
            "priority",
            Kind::Integer { min: 0, max: 100 },
            Default("50"),
            "Which of the Project's waiting Jobs goes first: the higher one. Each minute of waiting counts as one more.",
            "80",
        ),
        key(
            "matrix",
            MATRIX,
            Default("one Job"),
            "Runs the Job once for each combination of these values, at most 256 times: `${{ matrix.os }}`, `$MATRIX_OS`. `include` and `exclude` list combinations.",
            "{ os: [linux, mac], rust: [stable, nightly] }",
        ),
        key(
            "fail_fast",
            Kind::Boolean,
            Default("false"),
            "Whether a failed cell of the matrix ends the others.",
            "true",
        ),
        key(
            "max_parallel",
            Kind::Integer { min: 1, max: 256 },
            Default("all"),
            "How many cells of the matrix run at once.",
            "2",
        ),
        key(
            "parallel",
            Kind::Integer { min: 2, max: 256 },
            Default("1"),
            "Divides the work of the Job: so many of it run, and of each cell of a matrix. Each knows its `$TOWPATH_PARALLEL_INDEX` (1, 2, 3 …) of `$TOWPATH_PARALLEL_COUNT`; `towpath test split` prints the tests of its share.",
            "4",
        ),
        key(
            "allow_failure",
            Kind::Boolean,
            Default("false"),
            "A failure of this Job does not fail the Run.",
            "true",
        ),
        key(
            "cache",
            Kind::Any(&[Kind::Object(&CACHE), Kind::List(&Kind::Object(&CACHE))]),
            Default("[]"),
            "Files that are kept for later Runs.",
            "{ key: [cargo, { file: Cargo.lock }], restore: [cargo], paths: [target] }",
        ),
        key(
            "workspace",
            Kind::OneOf(&["on_failure", "always", "never"]),
            Default("on_failure"),
            "Whether the workspace after each Step is kept for three days, so that `towpath resume` and `towpath shell` can go on from it.",
            "always",
        ),
    ],
    foreign: &[
        ("script", "write `steps`"),
        ("commands", "write `steps`"),
        ("run", "write `steps: [\"...\"]`"),
        ("depends_on", "write `needs`"),
        ("dependson", "write `needs`"),
        ("dependencies", "write `needs`"),
        ("environment", "write `env`"),
        ("variables", "write `env`"),
        ("resources", "write `limits`"),
        ("timeout_minutes", "write `timeout: 30m`"),
        ("continue_on_error", "write `allow_failure: true`"),
        ("tags", "write `runs_on`"),
        ("labels", "write `runs_on`"),
        ("when", "write `if`, with an expression, or `run_when: any_failed`"),
        ("rules", "write `if`, with an expression"),
        ("only", "write `if: branch == 'main'`"),
        ("except", "write `if: branch != 'main'`"),
        ("condition", "write `if`, with an expression"),
        ("before_script", "write it as the first of the `steps`"),
        ("after_script", "write it as the last of the `steps`, with `always: true`"),
        ("container", "write `image`"),
        ("strategy", "write `matrix`, `fail_fast` and `max_parallel` on the Job itself"),
        ("stage", "Jobs have no stage; order them by `needs`"),
        ("outputs", "a Step writes `name=value` lines to the file `$TOWPATH_OUTPUT`; nothing is declared"),
    ],
};

pub(crate) static STEP: Object = Object {
    name: "step",
    doc: "One command of a Job.",
    keys: &[
        key(
            "run",
            Kind::Text,
            Required,
            "The script. It cannot hold `${{ }}`: values reach it by `env`.",
            "make test",
        ),
        key("name", Kind::Text, Default("the first line of `run`"), "For people.", "Unit tests"),
        key(
            "shell",
            one_or_many!(Kind::Text),
            Default("sh -e"),
            "Another interpreter; the script's file is its last argument.",
            "python3",
        ),
        key(
            "env",
            Kind::Map(&Kind::Scalar),
            Default("{}"),
            "Environment over that of the Job. A value may hold `${{ }}`.",
            "{ TZ: UTC }",
        ),
        key(
            "directory",
            Kind::Text,
            Default("the Project's"),
            "Where it runs, relative to the Project's directory.",
            "frontend",
        ),
        key("timeout", Kind::Duration, Default("the Job's"), "Its time, 1s to 24h.", "5m"),
        key(
            "always",
            Kind::Boolean,
            Default("false"),
            "Whether it runs though an earlier Step failed.",
            "true",
        ),
        key(
            "inputs",
            Kind::Any(&[Kind::Text, Kind::List(&Kind::Text), Kind::Object(&INPUTS)]),
            Default("always runs"),
            "What it reads, and nothing else. Where that has not changed since the Step passed, it is left out and its `outputs` are restored. A text or a list names files.",
            "[src/**, Cargo.lock]",
        ),
        key(
            "outputs",
            one_or_many!(Kind::Text),
            Default("[]"),
            "Files and directories that it makes, as patterns. Needs `inputs`.",
            "[dist]",
        ),
        key(
            "verify",
            Kind::Share,
            Default("2%"),
            "How often a Step that could be left out runs anyway, to compare its `outputs`.",
            "10%",
        ),
    ],
    foreign: &[
        ("with", "it belongs to `uses`, which names a template"),
        ("script", "write `run`"),
        ("command", "write `run`"),
        ("commands", "write `run: |` with one command a line"),
        ("working_directory", "write `directory`"),
        ("workdir", "write `directory`"),
        ("environment", "write `env`"),
        ("timeout_minutes", "write `timeout: 5m`"),
        ("if", "a Step has only `always: true`; put the condition on the Job"),
        (
            "continue_on_error",
            "append `|| true` to the command, or put the Step into a Job with `allow_failure: true`",
        ),
    ],
};

pub(crate) static ARTIFACT: Object = Object {
    name: "artifact",
    doc: "Files that are packed, or an image that is built; named by digest and sealed into the Release. A packed single file keeps its base name.",
    keys: &[
        key(
            "files",
            one_or_many!(Kind::Text),
            Default("none"),
            "Patterns relative to the Project's directory.",
            "[dist/**]",
        ),
        key(
            "image",
            Kind::Any(&[Kind::Text, Kind::Object(&IMAGE_BUILD)]),
            Default("none"),
            "An image to build from a Dockerfile when every Step has passed. A text is short for `context`.",
            "{ context: . }",
        ),
    ],
    foreign: &[("paths", "write `files`"), ("path", "write `files`")],
};

pub(crate) static DATABASE: Object = Object {
    name: "database",
    doc: "A database and the migrations that a Release brings to it.",
    keys: &[
        key(
            "dialect",
            Kind::OneOf(&["postgresql", "mysql", "sqlite"]),
            Required,
            "The SQL of its migrations; MariaDB is `mysql`.",
            "postgresql",
        ),
        key(
            "migrations",
            Kind::Text,
            Required,
            "The directory of its migrations, from the root of the repository. File names as sqlx, golang-migrate and Flyway write them, or plain numbers.",
            "db/migrations",
        ),
    ],
    foreign: &[
        ("path", "write `migrations`"),
        ("directory", "write `migrations`"),
        ("type", "write `dialect`"),
        ("engine", "write `dialect`"),
        ("url", "a secret of the Environment; a commit does not name it"),
    ],
};

pub(crate) static WORKLOAD: Object = Object {
    name: "workload",
    doc: "Something that runs: one Artifact, a command, health checks, limits.",
    keys: &[
        key(
            "artifact",
            Kind::Name,
            Default("the Workload's name"),
            "The Artifact it is started from: files, or an image for Environments whose target is `docker`.",
            "shop",
        ),
        key(
            "image",
            Kind::Text,
            Default("none"),
            "In place of `artifact`: an image of a registry, by its digest. For Environments whose target is `docker`.",
            "registry.example.com/team/shop@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        ),
        key(
            "command",
            Kind::Text,
            Default("what the image runs; files need one"),
            "A command for `sh -c` where the Artifact was unpacked, or in the container. It finds `HOST` and `PORT` in its environment.",
            "./shop --port $PORT",
        ),
        key(
            "port",
            Kind::Integer { min: 1, max: 65_535 },
            Default("the one that the image exposes, else 8080"),
            "The port that it listens on in its container. On hosts each Instance gets a free one.",
            "3000",
        ),
        key(
            "env",
            Kind::Map(&Kind::Scalar),
            Default("{}"),
            "Defaults under the Environment's values.",
            "{ LOG_LEVEL: info }",
        ),
        key(
            "health",
            Kind::Any(&[Kind::Text, Kind::Object(&HEALTH)]),
            Default("ready when its port accepts"),
            "Probes. A text is short for `ready`.",
            "{ ready: /health/ready, live: /health/live }",
        ),
        key(
            "stop",
            Kind::Object(&STOP),
            Default("{ signal: TERM, grace: 20s }"),
            "How an Instance ends.",
            "{ grace: 30s }",
        ),
        key(
            "limits",
            Kind::Object(&LIMITS),
            Default("{}"),
            "What one Instance may use; enforced where the host has cgroups.",
            "{ memory: 512MiB, cpu: 500m }",
        ),
        key(
            "protocol",
            Kind::OneOf(&["http1", "h2c"]),
            Default("http1"),
            "What its port speaks: HTTP/1.1, or HTTP/2 without encryption from the first byte on, as servers of gRPC do.",
            "h2c",
        ),
    ],
    foreign: &[
        ("ports", "a Workload has one `port`; the Environment's `listen` is what clients see"),
        ("replicas", "write `target: { instances: 3 }` in the environment document"),
        ("instances", "write `target: { instances: 3 }` in the environment document"),
        ("resources", "write `limits`"),
        ("cmd", "write `command`"),
        ("grpc", "write `protocol: h2c`"),
        ("http2", "write `protocol: h2c`"),
    ],
};

pub(crate) static HEALTH: Object = Object {
    name: "health",
    doc: "Probes are GET requests that pass with 2xx, in what the Workload's `protocol` says. With `h2c`, a path below `/grpc.health.v1.Health/` is asked as gRPC's own health check.",
    keys: &[
        key(
            "ready",
            Kind::Text,
            Default("the port accepts"),
            "Path of the readiness probe. Traffic comes only after it passed.",
            "/health/ready",
        ),
        key("live", Kind::Text, Default("the process lives"), "Path of the liveness probe.", "/health/live"),
        key(
            "start_within",
            Kind::Duration,
            Default("60s"),
            "How long an Instance may take to become ready.",
            "2m",
        ),
        key("period", Kind::Duration, Default("5s"), "Time between probes.", "10s"),
        key("timeout", Kind::Duration, Default("1s"), "Time of one probe.", "2s"),
        key(
            "failures",
            Kind::Integer { min: 1, max: 100 },
            Default("3"),
            "Failed liveness probes in a row until the Instance is started again.",
            "5",
        ),
    ],
    foreign: &[
        ("path", "write `ready`"),
        ("interval", "write `period`"),
        ("retries", "write `failures`"),
        ("readiness", "write `ready`"),
        ("liveness", "write `live`"),
    ],
};

pub(crate) static STOP: Object = Object {
    name: "stop",
    doc: "How an Instance ends: a signal, time, then KILL.",
    keys: &[
        key("signal", Kind::OneOf(SIGNALS), Default("TERM"), "The first signal.", "INT"),
        key("grace", Kind::Duration, Default("20s"), "Time until KILL, up to 1h.", "30s"),
    ],
    foreign: &[("timeout", "write `grace`")],
};

pub(crate) const SIGNALS: &[&str] = &["TERM", "INT", "QUIT", "HUP", "USR1", "USR2"];

pub(crate) static LIMITS: Object = Object {
    name: "limits",
    doc: "What one Instance may use.",
    keys: &[
        key("memory", Kind::Size, Default("no limit"), "Memory, as `512MiB` or `1GB`.", "512MiB"),
        key("cpu", Kind::Cpu, Default("no limit"), "Cores: `1.5`, or thousandths as `500m`.", "500m"),
        key(
            "processes",
            Kind::Integer { min: 1, max: 1_000_000 },
            Default("no limit"),
            "Processes and threads.",
            "200",
        ),
    ],
    foreign: &[("pids", "write `processes`")],
};

pub(crate) static STAGE: Object = Object {
    name: "stage",
    doc: "A step of the route. It takes a sealed Release and can rebuild nothing.",
    keys: &[
        key("name", Kind::Name, Required, "Its name.", "production"),
        key(
            "needs",
            one_or_many!(Kind::Name),
            Default("[]"),
            "Stages that a Revision must have passed before.",
            "[dev]",
        ),
        key(
            "environments",
            one_or_many!(Kind::Name),
            Default("one named as the Stage"),
            "Where it deploys; one Promotion each.",
            "[production]",
        ),
        PROMOTE,
        key(
            "gates",
            Kind::List(&Kind::Object(&GATE)),
            Default("[]"),
            "Gates that are added to those of the Environment.",
            "[{ soak: { environment: dev, for: 30m } }]",
        ),
        key(
            "deploy",
            Kind::Object(&DEPLOY),
            Default("{ strategy: recreate }"),
            "How the new Revision replaces the old one.",
            "{ strategy: canary, steps: [5%, 50%] }",
        ),
        key(
            "analysis",
            Kind::Object(&ANALYSIS),
            Default("the error-rate test"),
            "How the candidate is judged.",
            "{ error_rate: { max_increase: 0.5pp } }",
        ),
        key(
            "verify",
            Kind::List(&Kind::Object(&VERIFY)),
            Default("[]"),
            "Checks after the deployment; the Promotion succeeds only when all pass.",
            "[{ http: /health }]",
        ),
        key(
            "on_failure",
            Kind::OneOf(&["rollback", "hold"]),
            Default("rollback"),
            "What happens when the Rollout or a check fails.",
            "rollback",
        ),
        key(
            "deadline",
            Kind::Duration,
            Default("1h, or twice the strategy's steps"),
            "The time of Rollout and checks together; then it is rolled back.",
            "2h",
        ),
    ],
    foreign: &[
        ("environment", "write `environments: [dev]`"),
        ("jobs", "a Stage takes a sealed Release and cannot build; put checks under `verify`"),
        (
            "steps",
            "a Stage takes a sealed Release and cannot build; a canary's steps stand under `deploy`, checks under `verify`",
        ),
        ("strategy", "write `deploy: { strategy: canary, steps: [...] }`"),
        ("depends_on", "write `needs`"),
        ("approval", "write `gates: [{ approval: { by: [...] } }]`"),
        ("automatic", "write `promote: automatic` or `promote: manual`"),
        ("when", "write `promote: manual` for a Stage that a person starts"),
        ("queue", "what becomes of those that wait, the environment document says"),
        ("if", "a Stage has no condition; `allow` in the environment document says which refs may come"),
    ],
};

pub(crate) static GATE: Object = Object {
    name: "gate",
    doc: "A condition for a Promotion. Each item of `gates` is exactly one of these.",
    keys: &[
        key(
            "approval",
            Kind::Object(&APPROVAL),
            Default("-"),
            "People say yes.",
            "{ by: [release-manager], count: 2 }",
        ),
        key(
            "window",
            Kind::Object(&WINDOW),
            Default("-"),
            "A Rollout starts only in certain hours. Several windows: any of them opens.",
            "{ days: mon-thu, hours: \"09:00-16:00\", timezone: Europe/Berlin }",
        ),
        key(
            "freeze",
            Kind::Object(&FREEZE),
            Default("-"),
            "No Rollout starts in a certain time. The way back is always free.",
            "{ from: 2026-12-24, until: 2026-12-27, timezone: Europe/Berlin, reason: holidays }",
        ),
        key(
            "soak",
            Kind::Object(&SOAK),
            Default("-"),
            "The Revision's Release has run elsewhere for a time.",
            "{ environment: dev, for: 30m }",
        ),
        key(
            "evidence",
            Kind::Object(&EVIDENCE),
            Default("-"),
            "The reports of the Release's Run say what is demanded.",
            "{ tests: { passed_on_retry: refuse }, coverage: { min: 80% } }",
        ),
        key(
            "webhook",
            Kind::Object(&WEBHOOK),
            Default("-"),
            "Another system says yes, by any answer of 200 to 299.",
            "{ url: https://change.example.com/towpath, secret: CHANGE_KEY }",
        ),
        key(
            "metric",
            Kind::Object(&METRIC),
            Default("-"),
            "What Prometheus answers is within bounds. No data never opens it.",
            "{ prometheus: https://prometheus.example.com, query: \"sum(alerts_firing)\", max: 0 }",
        ),
        key(
            "expression",
            Kind::Object(&EXPRESSION),
            Default("-"),
            "An expression over release, environment, evidence, change and actor is true.",
            "{ holds: \"change.lines < 500\" }",
        ),
        key(
            "hold",
            Kind::Object(&HOLD),
            Default("-"),
            "Shut until somebody lifts it.",
            "{ by: [marketing], reason: the campaign starts first }",
        ),
        key("delay", Kind::Object(&DELAY), Default("-"), "Opens by itself, later.", "{ for: 2h }"),
        key(
            "upstream",
            Kind::Object(&UPSTREAM),
            Default("-"),
            "Another Environment is far enough.",
            "{ project: payments, environment: production, at_least: 1.4.0 }",
        ),
    ],
    foreign: &[
        ("tests", "write `evidence: { tests: {} }`"),
        ("coverage", "write `evidence: { coverage: { min: 80% } }`"),
        (
            "manual",
            "write `approval: { by: [...] }`, or `hold: { by: [...] }` where nobody judges the change",
        ),
        ("approvers", "write `approval: { by: [...] }`"),
        ("schedule", "write `window`"),
        ("wait", "write `delay: { for: 30m }`, or `soak: { environment: dev, for: 30m }`"),
        ("prometheus", "write `metric: { prometheus: ..., query: ..., max: ... }`"),
        ("cel", "write `expression: { holds: ... }`"),
        ("http", "write `webhook: { url: ... }`"),
    ],
};

pub(crate) static APPROVAL: Object = Object {
    name: "approval",
    doc: "People say yes to exactly this Revision, Environment and plan; the yes dies when one of them changes.",
    keys: &[
        key(
            "by",
            one_or_many!(Kind::Text),
            Required,
            "Roles, groups, or people as `@login`.",
            "[release-manager]",
        ),
        key("count", Kind::Integer { min: 1, max: 20 }, Default("1"), "How many different people.", "2"),
        key(
            "expires",
            Kind::Duration,
            Default("24h"),
            "How long the request waits until it is rejected, 1m to 30d.",
            "24h",
        ),
        key(
            "self_approval",
            Kind::OneOf(&["deny", "allow"]),
            Default("deny"),
            "Whether author, co-author, pusher and recent editor of the policy count.",
            "deny",
        ),
        key(
            "instructions",
            Kind::Text,
            Default("none"),
            "Shown to the approver.",
            "Check the dashboard first.",
        ),
        key(
            "when",
            Kind::Object(&WHEN),
            Default("always"),
            "What it is needed for; anything else passes without it. Any of the conditions is enough.",
            "{ paths: [infra/**], migrations: true }",
        ),
        key(
            "comment",
            Kind::OneOf(&["optional", "required"]),
            Default("optional"),
            "Whether who decides has to say why.",
            "required",
        ),
    ],
    foreign: &[
        ("approvers", "write `by`"),
        ("required", "write `count`"),
        ("timeout", "write `expires`"),
        ("users", "write `by: [\"@login\"]`"),
        ("not", "write `self_approval: deny`, which is the default"),
    ],
};

pub(crate) static WINDOW: Object = Object {
    name: "window",
    doc: "Hours in which Rollouts may start. The way back never waits for a window.",
    keys: &[
        key("days", Kind::Text, Default("daily"), "`mon-thu`, `mon,wed,fri` or `daily`.", "mon-thu"),
        key(
            "hours",
            Kind::Text,
            Default("00:00-24:00"),
            "From and until, on the clock of `timezone`; may cross midnight.",
            "\"09:00-16:00\"",
        ),
        key("timezone", Kind::Text, Default("UTC"), "An IANA time zone.", "Europe/Berlin"),
    ],
    foreign: &[("cron", "write `days` and `hours`"), ("tz", "write `timezone`")],
};

pub(crate) static FREEZE: Object = Object {
    name: "freeze",
    doc: "A time in which no Rollout starts.",
    keys: &[
        key("from", Kind::Text, Required, "Its start: a date, or a date and time.", "2026-12-24"),
        key(
            "until",
            Kind::Text,
            Required,
            "Its end; a date alone includes that whole day.",
            "2026-12-27T08:00",
        ),
        key("timezone", Kind::Text, Default("UTC"), "An IANA time zone.", "Europe/Berlin"),
        key("reason", Kind::Text, Default("none"), "Why, for people.", "holidays"),
    ],
    foreign: &[
        ("to", "write `until`"),
        ("start", "write `from`"),
        ("end", "write `until`"),
        ("tz", "write `timezone`"),
    ],
};

pub(crate) static SOAK: Object = Object {
    name: "soak",
    doc: "Counted from the end of the Promotion there, while it is still what runs there.",
    keys: &[
        key("environment", Kind::Name, Required, "Where.", "dev"),
        key("for", Kind::Duration, Required, "How long, up to 30d.", "30m"),
        key(
            "expires",
            Kind::Duration,
            Default("30d"),
            "How long it may not run there until the Promotion ends, 1m to 365d.",
            "7d",
        ),
    ],
    foreign: &[("duration", "write `for`"), ("stage", "write `environment`")],
};

pub(crate) static DEPLOY: Object = Object {
    name: "deploy",
    doc: "How a Revision replaces another.",
    keys: &[
        key(
            "strategy",
            Kind::OneOf(&["recreate", "canary", "rolling", "blue-green"]),
            Required,
            "`recreate` stops the old and starts the new; `canary` runs both and moves traffic in steps; `rolling` replaces \
             Instances in batches; `blue-green` starts all of the new beside the old and switches at once.",
            "canary",
        ),
        key(
            "steps",
            Kind::List(&Kind::Any(&[Kind::Share, Kind::Object(&CANARY_STEP)])),
            Default("[]"),
            "The steps of a canary; weights rise. After the last one the candidate gets everything.",
            "[{ weight: 5%, for: 5m }, { weight: 50%, for: 10m }]",
        ),
        key(
            "sticky",
            Kind::Object(&STICKY),
            Default("each request is drawn"),
            "`canary`: clients stay with the side that they met first; a greater weight only adds clients to the candidate.",
            "{ cookie: arm, for: 1h }",
        ),
        key(
            "routes",
            Kind::List(&Kind::Object(&ROUTE)),
            Default("[]"),
            "`canary`: requests that go to one side whatever the weights say, from the first step to the last. The first that \
             fits decides. They are measured apart and say nothing to the judge.",
            "[{ header: X-Canary, equals: \"yes\", to: candidate }]",
        ),
        key(
            "max_surge",
            AMOUNT,
            Default("25%"),
            "`rolling`: how many Instances there may be beyond the wanted number; a percentage is rounded up.",
            "1",
        ),
        key(
            "max_unavailable",
            AMOUNT,
            Default("0"),
            "`rolling`: how many of the wanted number may be missing; a percentage is rounded down.",
            "25%",
        ),
        key(
            "for",
            Kind::Duration,
            Default("1m"),
            "`rolling`: the least time in which each batch but the last is judged.",
            "2m",
        ),
        key(
            "max",
            Kind::Duration,
            Default("four times `for`"),
            "`rolling`: the most time for a verdict; still undecided then, the Rollout holds for a person.",
            "10m",
        ),
        key(
            "watch",
            Kind::Any(&[Kind::Duration, Kind::Object(&WATCH)]),
            Default("nothing"),
            "`blue-green`: how long the candidate is judged after the switch, against what ran before it.",
            "5m",
        ),
        key(
            "warm",
            Kind::Duration,
            Default("10m"),
            "`blue-green`: how long the old Instances stay ready after the Promotion, up to 7d.",
            "1h",
        ),
        key(
            "before",
            Kind::List(&Kind::Object(&VERIFY)),
            Default("[]"),
            "`canary` and `blue-green`: checks through the Environment's `preview` address. The candidate gets no user's request \
             before all of them have passed; where one fails, the Rollout ends and no user has noticed.",
            "[{ http: /health }, { run: ./ci/smoke.sh }]",
        ),
    ],
    foreign: &[
        ("maxSurge", "write `max_surge`"),
        ("maxUnavailable", "write `max_unavailable`"),
        ("batch", "write `max_surge` or `max_unavailable`: a batch is as large as both together"),
        ("scaleDownDelaySeconds", "write `warm`"),
        ("type", "write `strategy`"),
        ("artifact", "a Stage deploys the whole sealed Release; workloads name their artifacts"),
        ("environment", "write `environments` on the Stage"),
        ("pause", "give a step of the canary `pause: true`"),
    ],
};

pub(crate) static STICKY: Object = Object {
    name: "sticky",
    doc: "How clients stay with one side. The gateway tells each a number by a cookie, and the number decides.",
    keys: &[
        key("cookie", Kind::Text, Required, "The cookie's name.", "arm"),
        key("for", Kind::Duration, Default("1h"), "How long a client keeps its number, 1s to 365d.", "8h"),
    ],
    foreign: &[("name", "write `cookie`"), ("max_age", "write `for`"), ("cookieName", "write `cookie`")],
};

pub(crate) static ROUTE: Object = Object {
    name: "route",
    doc: "Requests with a certain header field or cookie. Either `header` or `cookie` says where to look.",
    keys: &[
        key(
            "header",
            Kind::Text,
            Default("-"),
            "The name of a header field, in any case of letters.",
            "X-Canary",
        ),
        key("cookie", Kind::Text, Default("-"), "The name of a cookie.", "beta"),
        key("equals", Kind::Text, Required, "The whole value.", "\"yes\""),
        key("to", Kind::OneOf(&["candidate", "stable"]), Required, "Who gets the request.", "candidate"),
    ],
    foreign: &[
        ("value", "write `equals`"),
        ("exact", "write `equals`"),
        ("match", "write `header` and `equals`"),
    ],
};

/// A number of Instances, or a share of them.
const AMOUNT: Kind = Kind::Any(&[Kind::Integer { min: 0, max: 10_000 }, Kind::Share]);

pub(crate) static WATCH: Object = Object {
    name: "watch",
    doc: "How the candidate is judged after the switch. A bare duration is `for`.",
    keys: &[
        key("for", Kind::Duration, Required, "The least time.", "5m"),
        key(
            "max",
            Kind::Duration,
            Default("four times `for`"),
            "The most time: still undecided then, the Rollout holds for a person.",
            "20m",
        ),
    ],
    foreign: &[("duration", "write `for`")],
};

pub(crate) static CANARY_STEP: Object = Object {
    name: "canary step",
    doc: "One step of a canary. A bare weight stays 5 minutes.",
    keys: &[
        key(
            "weight",
            Kind::Share,
            Required,
            "The candidate's share of the traffic, to a tenth of a percent.",
            "5%",
        ),
        key("for", Kind::Duration, Default("5m"), "The least time of the step.", "10m"),
        key(
            "max",
            Kind::Duration,
            Default("four times `for`"),
            "The most time: still undecided then, the Rollout holds for a person.",
            "1h",
        ),
        key(
            "pause",
            Kind::Boolean,
            Default("false"),
            "Waits for `towpath resume` after the step, whatever the verdict.",
            "true",
        ),
    ],
    foreign: &[("duration", "write `for`"), ("percent", "write `weight`"), ("set_weight", "write `weight`")],
};

pub(crate) static ANALYSIS: Object = Object {
    name: "analysis",
    doc: "How the candidate is judged. No data never counts as healthy.",
    keys: &[key(
        "error_rate",
        Kind::Object(&ERROR_RATE),
        Default("its defaults"),
        "The error-rate test.",
        "{ max_increase: 0.5pp }",
    )],
    foreign: &[
        ("latency", "latency is recorded and shown but not judged yet; only `error_rate` decides"),
        ("metrics", "outside metrics are not judged yet; only `error_rate` decides"),
    ],
};

pub(crate) static ERROR_RATE: Object = Object {
    name: "error_rate",
    doc: "Answers of 5xx and broken connections, as a share of requests.",
    keys: &[
        key(
            "max_increase",
            Kind::Share,
            Default("0.5pp"),
            "How much higher than stable's the candidate's rate may be, in percentage points.",
            "0.5pp",
        ),
        key(
            "max",
            Kind::Share,
            Default("none"),
            "The rate that is too high whatever stable does; with none, only the comparison counts.",
            "5%",
        ),
        key(
            "false_alarm",
            Kind::Share,
            Default("1%"),
            "The chance that a good candidate is blamed, over the whole Rollout.",
            "1%",
        ),
        key(
            "min_requests",
            Kind::Integer { min: 1, max: 1_000_000_000 },
            Default("50"),
            "Requests that the candidate must have answered before any verdict.",
            "200",
        ),
        key(
            "block",
            Kind::Duration,
            Default("10s"),
            "The time in which evidence grows by a bounded amount, so that one short incident is never enough.",
            "10s",
        ),
    ],
    foreign: &[("threshold", "write `max`")],
};

pub(crate) static VERIFY: Object = Object {
    name: "verify",
    doc: "A check after the deployment: either `http` or `run`.",
    keys: &[
        key(
            "http",
            Kind::Any(&[Kind::Text, Kind::Object(&HTTP)]),
            Default("-"),
            "A request through the Environment's listener. A text is short for `path`.",
            "{ path: /health, contains: ok }",
        ),
        key(
            "run",
            Kind::Text,
            Default("-"),
            "A script on a runner, on the sealed source tree, with `URL` in its environment.",
            "./ci/smoke.sh",
        ),
        key("name", Kind::Text, Default("the first line of `run`"), "For people; with `run`.", "smoke"),
        key(
            "secrets",
            one_or_many!(Kind::SecretName),
            Default("[]"),
            "Secrets given as environment; with `run`.",
            "[SMOKE_TOKEN]",
        ),
        key(
            "reports",
            Kind::Object(&CHECK_REPORTS),
            Default("{}"),
            "Reports that become Evidence; with `run`.",
            "{ junit: smoke.xml }",
        ),
        key("timeout", Kind::Duration, Default("10m"), "Its time, 1s to 24h; with `run`.", "5m"),
    ],
    foreign: &[("script", "write `run`"), ("url", "write `http: /path`")],
};

pub(crate) static HTTP: Object = Object {
    name: "http",
    doc: "A GET request through the Environment's listener.",
    keys: &[
        key("path", Kind::Text, Required, "Path with a leading `/`.", "/health"),
        key(
            "status",
            Kind::Integer { min: 100, max: 599 },
            Default("200"),
            "The status it must have.",
            "204",
        ),
        key("contains", Kind::Text, Default("anything"), "A text that the body must contain.", "ok"),
        key("within", Kind::Duration, Default("30s"), "How long it may be tried, up to 1h.", "1m"),
    ],
    foreign: &[
        ("url", "write `path`: the request goes to the Environment's listener"),
        ("timeout", "write `within`"),
    ],
};
