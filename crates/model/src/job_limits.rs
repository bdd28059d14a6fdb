//! What one Attempt of a Job may use.

use serde::{Deserialize, Serialize};

use crate::pipeline::Limits;

/// The limits that a Job asks for; what is absent is left to the agent.
///
/// A limit that the agent cannot keep is a reason not to run the Job, never one to run it without.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct JobLimits {
    /// Bytes of memory, of all processes together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
    /// Thousandths of a core.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<u32>,
    /// Processes and threads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processes: Option<u32>,
    /// Bytes that the workspace, temporary files among them, may hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<u64>,
}

impl JobLimits {
    /// Whether nothing is asked for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What a container engine keeps of it; the disk is watched by the agent.
    #[must_use]
    pub const fn of_container(&self) -> Limits {
        let Self { memory, cpu, processes, disk: _ } = *self;
        Limits { memory, cpu, processes }
    }
}
