//! What the port of a Workload speaks.

use serde::{Deserialize, Serialize};

/// What the port of a Workload speaks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2 without encryption, from the first byte on, as servers of gRPC do.
    H2c,
}

impl Protocol {
    /// Whether it is the usual one, which is not written down.
    #[must_use]
    pub const fn is_http1(&self) -> bool {
        matches!(self, Self::Http1)
    }
}
