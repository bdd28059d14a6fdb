//! A Gate in words: one sentence per kind, which plan, push, page and timeline share.
//!
//! Whether one is open, and what it waits for at a given moment, is left to `environment::gates`.

use crate::environment::human;
use crate::pipeline::Gate;

impl Gate {
    /// Its kind, as the documents write it.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Approval(_) => "approval",
            Self::Window(_) => "window",
            Self::Freeze(_) => "freeze",
            Self::Soak(_) => "soak",
            Self::Evidence(_) => "evidence",
        }
    }

    /// What it demands, to follow "waits for": `1 approval from release-manager`. The same for equal Gates.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::Approval(gate) => {
                let noun = if gate.count == 1 { "approval" } else { "approvals" };
                format!("{} {noun} from {}", gate.count, gate.by.join(" or "))
            }
            Self::Window(gate) => format!("the window {} {} {}", gate.days, gate.hours, gate.timezone),
            Self::Freeze(gate) => {
                let why = if gate.reason.is_empty() { String::new() } else { format!(" ({})", gate.reason) };
                format!("a time outside the freeze of {} to {} {}{why}", gate.from, gate.until, gate.timezone)
            }
            Self::Soak(gate) => format!("a soak of {} in {}", human(gate.duration), gate.environment),
            Self::Evidence(gate) => format!("evidence: {}", gate.words()),
        }
    }
}
