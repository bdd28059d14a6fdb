//! Identities: one type per thing, so that a Run can never be taken for a Promotion.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Digest;

/// An identity that is the same for the same name: the core draws no random numbers, and asking twice makes one thing.
///
/// `kind` keeps equal names of different kinds apart.
#[must_use]
pub fn derived(kind: &str, name: &str) -> Uuid {
    let digest = Digest::of(format!("{kind}\0{name}").as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest.as_raw()[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, uuid::Error> {
                text.parse().map(Self)
            }
        }
    };
}

id! {
    /// One execution of the pipeline file at one commit.
    RunId
}
id! {
    /// One try of a Job, or of a verification.
    AttemptId
}
id! {
    /// One Revision on its way into one Environment.
    PromotionId
}
id! {
    /// A process on a host that builds, deploys, or both.
    AgentId
}
id! {
    /// A person or a machine account.
    UserId
}
id! {
    /// One running copy of a Workload.
    InstanceId
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_derived_identity_stays_what_it_was() {
        // What is in databases was made this way: it must come out the same for ever.
        let owner = Uuid::from_u128(1);
        let known = "attempt\x000000";
        assert_ne!(derived("attempt", "a"), derived("instance", "a"));
        assert_eq!(
            derived("attempt", &format!("{owner}\0test\01")),
            crate::run::attempt_id(owner, "test", 1).0
        );
        assert_eq!(derived("attempt", "0000").as_bytes()[..4], Digest::of(known.as_bytes()).as_raw()[..4]);
    }
}
