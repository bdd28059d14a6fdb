//! What is written down of every change, for people and for proof.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::UserId;

/// Who did it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Actor {
    /// Towpath itself, by a rule that the entry names.
    Towpath,
    /// A person or a machine account.
    User {
        /// Their identity.
        id: UserId,
        /// Their login at that time.
        login: String,
    },
    /// An agent, by its name.
    Agent {
        /// Its host's name.
        name: String,
    },
}

impl Actor {
    /// The name for people.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Towpath => "towpath",
            Self::User { login, .. } => login,
            Self::Agent { name } => name,
        }
    }

    /// The login, where it is a person.
    #[must_use]
    pub fn login(&self) -> Option<&str> {
        match self {
            Self::User { login, .. } => Some(login),
            Self::Towpath | Self::Agent { .. } => None,
        }
    }
}

/// One entry, before it gets its time and its place in the sequence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// What kind of thing happened, in the past tense: `promotion-approved`.
    pub kind: String,
    /// Who did it.
    pub actor: Actor,
    /// One sentence for people.
    pub text: String,
    /// The facts, for machines.
    pub facts: BTreeMap<String, String>,
}

impl Entry {
    /// Makes an entry without facts.
    #[must_use]
    pub fn new(kind: &str, actor: Actor, text: impl Into<String>) -> Self {
        Self { kind: kind.to_owned(), actor, text: text.into(), facts: BTreeMap::new() }
    }

    /// Adds a fact.
    #[must_use]
    pub fn fact(mut self, name: &str, value: impl ToString) -> Self {
        self.facts.insert(name.to_owned(), value.to_string());
        self
    }
}
