//! Names that people choose, and the bounds on them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The most characters in any name. Short enough for a file name, a DNS label and a table column.
pub const MAX_NAME: usize = 63;

fn check(text: &str) -> Result<(), InvalidName> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '.');
    let starts_well = text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    if text.len() <= MAX_NAME && starts_well && text.chars().all(allowed) && !text.contains("..") {
        Ok(())
    } else {
        Err(InvalidName { text: text.chars().take(100).collect() })
    }
}

/// A text that cannot be a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not a name; use 1 to 63 of a-z, 0-9, `-`, `_` and `.`, and start with a letter or a digit"
)]
pub struct InvalidName {
    /// What was given, cut to 100 characters.
    pub text: String,
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;
            fn from_str(text: &str) -> Result<Self, InvalidName> {
                check(text)?;
                Ok(Self(text.to_owned()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidName;
            fn try_from(text: String) -> Result<Self, InvalidName> {
                check(&text)?;
                Ok(Self(text))
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }
    };
}

name! {
    /// A repository that Towpath hosts or watches.
    ProjectName
}
name! {
    /// A place of a Project: dev, staging, production-eu.
    EnvironmentName
}
name! {
    /// A step of the route to production.
    StageName
}
name! {
    /// A Job of a pipeline.
    JobName
}
name! {
    /// An Artifact, as the pipeline file names it.
    ArtifactName
}
name! {
    /// Something that runs.
    WorkloadName
}
name! {
    /// A database that a Project migrates.
    DatabaseName
}
name! {
    /// A role or a group of people: `release-manager`.
    RoleName
}
name! {
    /// The name by which a person or a machine account signs in.
    Login
}

impl StageName {
    /// The Stage that manual rollbacks belong to.
    #[must_use]
    pub fn rollback() -> Self {
        Self("rollback".to_owned())
    }
}

/// One Environment of one Project, written `shop/production`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EnvironmentKey {
    /// The Project.
    pub project: ProjectName,
    /// The Environment's name within it.
    pub environment: EnvironmentName,
}

impl fmt::Display for EnvironmentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.project, self.environment)
    }
}

impl fmt::Debug for EnvironmentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_plain_names_and_refuses_paths() {
        for good in ["shop", "production-eu", "v1.2", "0"] {
            assert_eq!(good.parse::<ProjectName>().map(|name| name.to_string()), Ok(good.to_owned()));
        }
        let long = "a".repeat(64);
        for bad in ["", "Shop", "-x", ".x", "a/b", "a..b", "a b", long.as_str()] {
            assert!(bad.parse::<ProjectName>().is_err(), "{bad} was taken for a name");
        }
    }
}
