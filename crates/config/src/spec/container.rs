//! The keys of `towpath.yaml` that tell of containers: images, Services, images to build.

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

pub(crate) static IMAGE: Object = Object {
    name: "image",
    doc: "An image and how it is had. What its name means is resolved to a digest, which the Run shows.",
    keys: &[
        key(
            "name",
            Kind::Text,
            Required,
            "Its reference. `name@sha256:…` means the same bytes tomorrow.",
            "debian:bookworm",
        ),
        key(
            "pull",
            Kind::OneOf(&["always", "if_missing", "never"]),
            Default("if_missing"),
            "When the registry is asked.",
            "always",
        ),
        key(
            "user",
            Kind::Text,
            Default("the agent's own, for Steps; the image's, for a Service"),
            "Who the processes are: a name, `uid` or `uid:gid`. `root` may install packages.",
            "root",
        ),
        key("username", Kind::Text, Default("none"), "Who asks the registry.", "robot"),
        key(
            "password",
            Kind::SecretName,
            Default("none"),
            "The secret with the registry's password or token. It reaches the engine, and no Step.",
            "REGISTRY_TOKEN",
        ),
    ],
    foreign: &[
        ("pull_policy", "write `pull`"),
        ("credentials", "write `username` and `password`, the name of a secret"),
        (
            "options",
            "a container gets no options of the engine; `user`, `limits` and `network` are keys here",
        ),
        ("entrypoint", "Steps are run by their `shell`; an image's entrypoint is not used"),
        ("volumes", "the workspace is mounted; what outlives a Run is an Artifact or a cache"),
        ("privileged", "a Job never gets the rights of the host"),
    ],
};

pub(crate) static SERVICE: Object = Object {
    name: "service",
    doc: "Something that runs beside the Steps: a database, a queue, a browser.",
    keys: &[
        key(
            "image",
            Kind::Any(&[Kind::Text, Kind::Object(&IMAGE)]),
            Default("none"),
            "The image that it runs. Without one it is a command: `run`.",
            "postgres:17",
        ),
        key(
            "run",
            Kind::Text,
            Default("none"),
            "A script in place of an image, confined as the Steps are. It listens on `$HOST` and `$PORT`.",
            "redis-server --port $PORT",
        ),
        key(
            "command",
            one_or_many!(Kind::Text),
            Default("the image's own"),
            "Arguments in place of those of the image.",
            "[--max-connections=20]",
        ),
        key(
            "env",
            Kind::Map(&Kind::Scalar),
            Default("{}"),
            "Its environment. A value may hold `${{ }}`.",
            "{ POSTGRES_PASSWORD: test }",
        ),
        key(
            "ports",
            one_or_many!(Kind::Integer { min: 1, max: 65535 }),
            Default("[]"),
            "Ports that it listens on. Steps find them as `NAME_HOST` and `NAME_PORT` in their environment.",
            "[5432]",
        ),
        key(
            "health",
            Kind::Any(&[Kind::Text, Kind::Object(&SERVICE_HEALTH)]),
            Default("the first of `ports` takes connections"),
            "How to know that it can be used. A text is short for `run`. Steps begin when it passes.",
            "{ run: pg_isready }",
        ),
    ],
    foreign: &[
        ("options", "write `health`; other options of the engine are not given"),
        ("environment", "write `env`"),
        ("variables", "write `env`"),
        ("alias", "the Service's name is its host name"),
        ("credentials", "write `image: { username: …, password: … }`"),
        ("volumes", "a Service begins empty in every Run"),
        ("entrypoint", "write `command` for arguments, or `run` for a script of your own"),
    ],
};

pub(crate) static SERVICE_HEALTH: Object = Object {
    name: "service health",
    doc: "How to know that a Service can be used: one of `run`, `tcp` and `http`.",
    keys: &[
        key("run", Kind::Text, Default("none"), "A command in the Service that ends with 0.", "pg_isready"),
        key(
            "tcp",
            Kind::Integer { min: 1, max: 65535 },
            Default("the first of `ports`"),
            "A port that takes a connection and keeps it.",
            "5432",
        ),
        key("http", Kind::Text, Default("none"), "A port and a path that answers with 2xx.", "8080/health"),
        key("within", Kind::Duration, Default("1m"), "How long it may take, 1s to 1h.", "2m"),
        key("period", Kind::Duration, Default("500ms"), "Time between tries, 50ms to 1m.", "2s"),
    ],
    foreign: &[
        ("cmd", "write `run`"),
        ("command", "write `run`"),
        ("test", "write `run`"),
        ("interval", "write `period`"),
        ("retries", "write `within`"),
        ("timeout", "write `within`"),
        ("start_period", "write `within`"),
    ],
};

pub(crate) static IMAGE_BUILD: Object = Object {
    name: "image build",
    doc: "An image that is built when every Step has passed, and sealed as an OCI image.",
    keys: &[
        key(
            "context",
            Kind::Text,
            Default("."),
            "The directory that is sent to the engine, without what its `.dockerignore` names.",
            "server",
        ),
        key(
            "dockerfile",
            Kind::Text,
            Default("Dockerfile"),
            "Its Dockerfile, relative to the context.",
            "ci/Dockerfile",
        ),
        key("target", Kind::Text, Default("the last"), "The stage of the Dockerfile to stop at.", "runtime"),
        key(
            "args",
            Kind::Map(&Kind::Scalar),
            Default("{}"),
            "Values for `ARG`. They stay in the image's history: no secrets.",
            "{ VERSION: 1.2.3 }",
        ),
        key(
            "tags",
            one_or_many!(Kind::Text),
            Default("[]"),
            "Names that it is given in the engine of the agent.",
            "[shop:test]",
        ),
    ],
    foreign: &[
        ("file", "write `dockerfile`"),
        ("build_args", "write `args`"),
        ("tag", "write `tags`"),
        ("push", "the image is sealed by its digest; what is deployed is that digest"),
        ("cache_from", "layers of the last Release are used by themselves"),
        ("secrets", "a Dockerfile gets no secrets: they would stay in its layers"),
        ("platforms", "an image is built for the agent's platform; write a Job with `runs_on` for another"),
    ],
};
