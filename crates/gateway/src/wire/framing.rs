//! How a body is delimited, and how much of it is still to come.

use super::chunked::{BadChunk, Scanner};

/// One body on its way through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// So many bytes are still to come; 0 means that it has ended or that there is none.
    Length(u64),
    /// Chunks, then trailers.
    Chunked(Scanner),
    /// Everything until the sender closes. Responses only.
    UntilClose,
}

impl Body {
    /// No body.
    pub const NONE: Self = Self::Length(0);

    /// Whether all of it has passed.
    #[must_use]
    pub fn is_done(&self) -> bool {
        match self {
            Self::Length(left) => *left == 0,
            Self::Chunked(scanner) => scanner.is_done(),
            Self::UntilClose => false,
        }
    }

    /// Takes as many of `bytes` as belong to the body and says how many those are.
    ///
    /// # Errors
    /// [`BadChunk`] when chunks are malformed.
    pub fn take(&mut self, bytes: &[u8]) -> Result<usize, BadChunk> {
        match self {
            Self::Length(left) => {
                let step = (*left).min(bytes.len() as u64);
                *left -= step;
                Ok(step as usize)
            }
            Self::Chunked(scanner) => scanner.take(bytes),
            Self::UntilClose => Ok(bytes.len()),
        }
    }
}
