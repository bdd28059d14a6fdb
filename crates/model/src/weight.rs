//! A share of traffic.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A share of traffic in thousandths, 0 to 1000.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct Weight(u16);

impl Weight {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// Everything.
    pub const FULL: Self = Self(1000);

    /// Wraps thousandths.
    ///
    /// # Errors
    /// Fails above 1000.
    pub const fn from_permille(permille: u16) -> Result<Self, InvalidWeight> {
        if permille <= 1000 { Ok(Self(permille)) } else { Err(InvalidWeight { permille }) }
    }

    /// The share in thousandths.
    #[must_use]
    pub const fn permille(self) -> u16 {
        self.0
    }

    /// What is left for the others.
    #[must_use]
    pub const fn rest(self) -> Self {
        Self(1000 - self.0)
    }
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, tenth) = (self.0 / 10, self.0 % 10);
        if tenth == 0 { write!(f, "{whole}%") } else { write!(f, "{whole}.{tenth}%") }
    }
}

impl fmt::Debug for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<Weight> for u16 {
    fn from(weight: Weight) -> Self {
        weight.0
    }
}

impl TryFrom<u16> for Weight {
    type Error = InvalidWeight;
    fn try_from(permille: u16) -> Result<Self, InvalidWeight> {
        Self::from_permille(permille)
    }
}

/// More than everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a weight of {permille} thousandths is more than 100%")]
pub struct InvalidWeight {
    /// What was given.
    pub permille: u16,
}
