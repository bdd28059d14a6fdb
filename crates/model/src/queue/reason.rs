//! Why an Attempt waits, in words.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Why an Attempt waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum WaitReason {
    /// No agent takes Attempts.
    NoAgents,
    /// No agent has its labels.
    NoFit,
    /// Those that have its labels are given nothing: they drain, are too old, or were cloned.
    NoneReady {
        /// How many.
        agents: u32,
    },
    /// All agents that fit are busy.
    Busy {
        /// How many fit.
        agents: u32,
        /// How many Attempts go before it to the same agents.
        before: u32,
    },
    /// Its concurrency group is full.
    Group {
        /// Which.
        group: String,
        /// How many may run.
        limit: u32,
        /// One that holds it.
        holder: String,
    },
    /// Another one of its concurrency group comes first.
    Turn {
        /// Which group.
        group: String,
        /// Who.
        after: String,
    },
}

impl WaitReason {
    /// The reason for people. `labels` are those that the Attempt asks for.
    #[must_use]
    pub fn words(&self, labels: &BTreeMap<String, String>) -> String {
        let wanted = match labels.len() {
            0 => String::new(),
            _ => {
                let words: Vec<String> =
                    labels.iter().map(|(name, value)| format!("`{name}={value}`")).collect();
                format!(" with {}", words.join(", "))
            }
        };
        let agents = |count: u32| if count == 1 { "agent".to_owned() } else { format!("{count} agents") };
        match self {
            Self::NoAgents => {
                "no agent that takes jobs is connected; `towpath agent list` shows all".to_owned()
            }
            Self::NoFit => format!("no connected agent{wanted}; start one, or change `runs_on`"),
            Self::NoneReady { agents: 1 } => {
                format!("the only agent{wanted} is given no jobs; `towpath agent list` says why")
            }
            Self::NoneReady { agents: count } => {
                format!("the {}{wanted} are given no jobs; `towpath agent list` says why", agents(*count))
            }
            Self::Busy { agents: count, before } => {
                let who = match count {
                    1 => format!("the only agent{wanted} is busy"),
                    _ => format!("all {}{wanted} are busy", agents(*count)),
                };
                match before {
                    0 => format!("{who}; it is next"),
                    1 => format!("{who}; one job goes before it"),
                    before => format!("{who}; {before} jobs go before it"),
                }
            }
            Self::Group { group, limit: 1, holder } => format!("{holder} has concurrency group `{group}`"),
            Self::Group { group, limit, holder } => {
                format!("{limit} jobs have concurrency group `{group}`, {holder} among them")
            }
            Self::Turn { group, after } => format!("{after} comes first in concurrency group `{group}`"),
        }
    }
}
