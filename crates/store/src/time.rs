//! Times as the database keeps them: microseconds since 1970 in UTC.

use jiff::Timestamp;

/// Converts to what a BIGINT column holds.
#[must_use]
pub fn to_micros(at: Timestamp) -> i64 {
    at.as_microsecond()
}

/// Converts from what a BIGINT column holds; a number out of range becomes the nearest time there is.
#[must_use]
pub fn from_micros(micros: i64) -> Timestamp {
    Timestamp::from_microsecond(micros).unwrap_or(if micros < 0 { Timestamp::MIN } else { Timestamp::MAX })
}
