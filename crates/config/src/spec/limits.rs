//! `limits` of a Job.

use super::pipeline::key;
use super::{Kind, Object, Presence};
use Presence::Default;

pub(crate) static JOB_LIMITS: Object = Object {
    name: "job limits",
    doc: "What an Attempt of a Job may use, all its processes together.",
    keys: &[
        key(
            "memory",
            Kind::Size,
            Default("what the host has, less a tenth"),
            "Memory, as `512MiB` or `4GB`. Without control groups on the agent it holds for each process.",
            "4GiB",
        ),
        key("cpu", Kind::Cpu, Default("no limit"), "Cores: `1.5`, or thousandths as `500m`.", "2"),
        key(
            "processes",
            Kind::Integer { min: 1, max: 1_000_000 },
            Default("8192"),
            "Processes and threads.",
            "500",
        ),
        key(
            "disk",
            Kind::Size,
            Default("until the agent's disk is nearly full"),
            "What the workspace and temporary files may hold, looked at every second; no single file grows above it.",
            "10GiB",
        ),
    ],
    foreign: &[("cpus", "write `cpu`"), ("pids", "write `processes`"), ("storage", "write `disk`")],
};
