//! The keys of an environment document.

use super::intake::{AFTER_ROLLBACK, PROMOTE, QUEUE, UNREVOKE};
use super::pipeline::GATE;
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

pub(crate) static ENVIRONMENT: Object = Object {
    name: "environment",
    doc: "An environment document. It is trusted: it changes only by `towpath apply`, versioned and recorded. One file may hold several, separated by `---`.",
    keys: &[
        key(
            "environment",
            Kind::Name,
            Required,
            "The Environment's name, as `stages` list it.",
            "production",
        ),
        key("project", Kind::Name, Required, "Its Project.", "shop"),
        key(
            "target",
            Kind::Object(&TARGET),
            Default("{ hosts: {}, instances: 1 }"),
            "What starts and stops Instances.",
            "{ hosts: { role: web }, instances: 3 }",
        ),
        key(
            "listen",
            Kind::Any(&[Kind::Text, Kind::Integer { min: 1, max: 65_535 }]),
            Required,
            "Where the gateway listens for it. A port alone means the loopback address.",
            "0.0.0.0:8080",
        ),
        key(
            "tls",
            Kind::Object(&TLS),
            Default("plain HTTP"),
            "Encrypts `listen`.",
            "{ names: [shop.internal] }",
        ),
        key(
            "preview",
            Kind::Any(&[Kind::Text, Kind::Integer { min: 1, max: 65_535 }]),
            Default("none"),
            "Where the gateway listens, with plain HTTP, for requests to a candidate that users do not reach yet: from the time \
             when its Instances are ready until its Rollout ends.",
            "127.0.0.1:8081",
        ),
        key(
            "allow",
            Kind::Object(&ALLOW),
            Default("{ refs: [refs/heads/main, refs/tags/v*] }"),
            "What may be promoted here at all.",
            "{ refs: [refs/tags/v*] }",
        ),
        PROMOTE,
        QUEUE,
        AFTER_ROLLBACK,
        UNREVOKE,
        key(
            "gates",
            Kind::List(&Kind::Object(&GATE)),
            Default("[]"),
            "Gates of the Environment. A commit can add to them, never remove one.",
            "[{ approval: { by: [release-manager], count: 2 } }]",
        ),
        key(
            "values",
            Kind::Map(&Kind::Scalar),
            Default("{}"),
            "Values of the configuration, given to Instances as environment.",
            "{ LOG_LEVEL: info }",
        ),
        key(
            "secrets",
            one_or_many!(Kind::SecretName),
            Default("[]"),
            "Secrets granted to Instances. `towpath secret set` gives the values.",
            "[DATABASE_URL]",
        ),
    ],
    foreign: &[
        ("name", "write `environment`"),
        ("env", "write `values`"),
        (
            "strategy",
            "the strategy is the pipeline's: `stages: [{ deploy: { strategy: canary } }]` in towpath.yaml",
        ),
        (
            "deploy",
            "the strategy is the pipeline's: `stages: [{ deploy: { strategy: canary } }]` in towpath.yaml",
        ),
        ("instances", "write `target: { instances: 3 }`"),
        ("hosts", "write `target: { hosts: { role: web } }`"),
        ("approval", "write `gates: [{ approval: { by: [...] } }]`"),
        ("port", "write `listen`"),
        ("automatic", "write `promote: automatic` or `promote: manual`"),
        ("concurrency", "one Rollout runs at a time; `queue` says what becomes of those that wait"),
        ("https", "write `tls`"),
        ("certificates", "write `tls: { certificates: [...] }`"),
    ],
};

pub(crate) static TLS: Object = Object {
    name: "tls",
    doc: "How a listener is encrypted. Its certificates come either from files or from this Towpath.",
    keys: &[
        key(
            "certificates",
            Kind::List(&Kind::Object(&CERTIFICATE)),
            Default("[]"),
            "Files on the gateway's machine. The first certificate for the name that a client asks for is used, else the \
             first one. A file that changes is read again within a second, and no connection notices.",
            "[{ certificate: /etc/ssl/shop.pem, key: /etc/ssl/shop.key }]",
        ),
        key(
            "names",
            one_or_many!(Kind::Text),
            Default("[]"),
            "Host names or addresses for which this Towpath makes a certificate of its own authority, and renews it.",
            "[shop.internal, 192.0.2.7]",
        ),
        key(
            "redirect",
            Kind::Any(&[Kind::Text, Kind::Integer { min: 1, max: 65_535 }]),
            Default("none"),
            "Where plain HTTP is answered with `308` and the encrypted address.",
            "0.0.0.0:8080",
        ),
    ],
    foreign: &[
        ("cert", "write `certificates: [{ certificate: ..., key: ... }]`"),
        ("key", "write `certificates: [{ certificate: ..., key: ... }]`"),
        ("certificate", "write `certificates: [{ certificate: ..., key: ... }]`"),
        ("host", "write `names`"),
        ("domains", "write `names`"),
    ],
};

pub(crate) static CERTIFICATE: Object = Object {
    name: "certificate",
    doc: "A certificate and its key, in PEM.",
    keys: &[
        key(
            "certificate",
            Kind::Text,
            Required,
            "The path of the server's certificate, followed by those between it and its root.",
            "/etc/ssl/shop.pem",
        ),
        key("key", Kind::Text, Required, "The path of the private key.", "/etc/ssl/shop.key"),
    ],
    foreign: &[("cert", "write `certificate`"), ("chain", "write `certificate`: it holds the whole chain")],
};

pub(crate) static TARGET: Object = Object {
    name: "target",
    doc: "What starts and stops Instances.",
    keys: &[
        key(
            "hosts",
            Kind::Map(&Kind::Scalar),
            Default("{}"),
            "Deploy agents that have all of these labels; empty means every deploy agent. Instances are processes of these hosts.",
            "{ role: web }",
        ),
        key(
            "docker",
            Kind::Object(&DOCKER),
            Default("processes on `hosts`"),
            "In place of `hosts`: Instances are containers, started through the engines of deploy agents. Their Workloads are images.",
            "{ hosts: { role: web }, network: shop }",
        ),
        key(
            "instances",
            Kind::Integer { min: 1, max: 1000 },
            Default("1"),
            "Instances of each Workload, spread over the hosts.",
            "3",
        ),
        key(
            "replace_after",
            Kind::Duration,
            Default("5m"),
            "How long a host may be lost until its Instances get successors on other hosts, `1m` to `365d`.",
            "10m",
        ),
    ],
    foreign: &[
        ("kubernetes", "Kubernetes targets are not here yet; name `hosts`"),
        ("ecs", "ECS targets are not here yet; name `hosts`"),
        ("replicas", "write `instances`"),
    ],
};

pub(crate) static DOCKER: Object = Object {
    name: "docker",
    doc: "How the containers of an Environment are made. They start with no rights but those that are named here: no capability, a root \
          that cannot be written to, no way to get more.",
    keys: &[
        key(
            "hosts",
            Kind::Map(&Kind::Scalar),
            Default("{}"),
            "Deploy agents that have all of these labels, and a container engine; empty means every one with an engine.",
            "{ role: web }",
        ),
        key(
            "network",
            Kind::Text,
            Default("one of the Environment's own"),
            "The engine's network that they join; made where there is none. In it they reach each other by the names of their Workloads.",
            "shop",
        ),
        key(
            "read_only",
            Kind::Boolean,
            Default("true"),
            "Whether the image's files cannot be changed. What a program writes elsewhere goes with its container in any case.",
            "false",
        ),
        key(
            "tmpfs",
            one_or_many!(Kind::Text),
            Default("[/tmp]"),
            "Directories in memory that a program may write to.",
            "[/tmp, /run]",
        ),
        key(
            "capabilities",
            one_or_many!(Kind::OneOf(CAPABILITIES)),
            Default("[]"),
            "Capabilities of Linux that they keep. A server that starts as root to become somebody else needs `[CHOWN, SETGID, SETUID]`.",
            "[CHOWN, SETGID, SETUID]",
        ),
        key(
            "ulimits",
            Kind::Object(&ULIMITS),
            Default("the engine's"),
            "Limits of each process.",
            "{ nofile: 65536 }",
        ),
        key(
            "registries",
            Kind::List(&Kind::Object(&REGISTRY)),
            Default("[]"),
            "Who asks which registry for images. Only the registry that is named gets the password.",
            "[{ host: registry.example.com, username: robot, password: REGISTRY_TOKEN }]",
        ),
    ],
    foreign: &[
        ("labels", "write `hosts`"),
        ("role", "write `hosts: { role: web }`"),
        ("image", "a Workload of towpath.yaml says what runs: `artifact`, or `image` with a digest"),
        ("ports", "the Workload's `port` is published by itself; `listen` is what clients see"),
        ("privileged", "a container never gets the rights of its host"),
        (
            "volumes",
            "an Instance keeps nothing: it is stopped and replaced at any time. Data belongs into a database or an object store",
        ),
        ("memory", "write `limits` of the Workload in towpath.yaml"),
        ("cpus", "write `limits` of the Workload in towpath.yaml"),
        ("cap_add", "write `capabilities`"),
        ("environment", "write `values` beside `target`"),
        ("restart", "an Instance that ends is started again by its agent"),
    ],
};

/// What Docker gives a container where nobody says otherwise. More than this is a right over the host.
pub(crate) const CAPABILITIES: &[&str] = &[
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "NET_RAW",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

pub(crate) static ULIMITS: Object = Object {
    name: "ulimits",
    doc: "Limits of each process of a container.",
    keys: &[
        key("nofile", MANY, Default("the engine's"), "Open files.", "65536"),
        key("nproc", MANY, Default("the engine's"), "Processes of the same user on the whole host.", "4096"),
        key("core", MANY, Default("the engine's"), "Bytes of a core dump; `0` for none.", "0"),
        key("memlock", MANY, Default("the engine's"), "Bytes that it may lock in memory.", "67108864"),
        key("stack", MANY, Default("the engine's"), "Bytes of its stack.", "8388608"),
    ],
    foreign: &[("pids", "write `limits: { processes: 200 }` of the Workload in towpath.yaml")],
};

const MANY: Kind = Kind::Integer { min: 0, max: 1 << 40 };

pub(crate) static REGISTRY: Object = Object {
    name: "registry",
    doc: "A registry that wants to know who asks.",
    keys: &[
        key(
            "host",
            Kind::Text,
            Required,
            "Its host, as references of images begin, with the port where there is one.",
            "registry.example.com:5000",
        ),
        key("username", Kind::Text, Required, "The name.", "robot"),
        key(
            "password",
            Kind::SecretName,
            Required,
            "The Environment's secret that holds the password or token. It reaches the engine, and no container.",
            "REGISTRY_TOKEN",
        ),
    ],
    foreign: &[
        ("registry", "write `host`"),
        ("server", "write `host`"),
        ("user", "write `username`"),
        ("token", "write `password`, the name of a secret"),
    ],
};

pub(crate) static ALLOW: Object = Object {
    name: "allow",
    doc: "What may be promoted.",
    keys: &[key(
        "refs",
        one_or_many!(Kind::Text),
        Default("[refs/heads/main, refs/tags/v*]"),
        "Patterns of full refs.",
        "[refs/heads/main]",
    )],
    foreign: &[("branches", "write `refs: [refs/heads/main]`"), ("tags", "write `refs: [refs/tags/v*]`")],
};
