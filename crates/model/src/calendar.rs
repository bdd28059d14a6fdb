//! When a Promotion may start: windows and freezes as one calendar.

use jiff::Timestamp;

use crate::pipeline::{FreezeGate, WindowGate};

/// Whether the calendar lets a Promotion start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Openness {
    /// It does.
    Open {
        /// Why, in words.
        reason: String,
    },
    /// It does not.
    Closed {
        /// Why, in words.
        reason: String,
        /// When it opens, if it ever does.
        next_open: Option<Timestamp>,
    },
}

/// Looks at all windows and freezes of a Promotion: any window opens, any freeze closes.
#[must_use]
pub fn openness(windows: &[&WindowGate], freezes: &[&FreezeGate], _now: Timestamp) -> Openness {
    if windows.is_empty() && freezes.is_empty() {
        Openness::Open { reason: "no window or freeze is declared".to_owned() }
    } else {
        Openness::Closed { reason: "the calendar is not read yet".to_owned(), next_open: None }
    }
}
