//! Identities: one type per thing, so that a Run can never be taken for a Promotion.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

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
