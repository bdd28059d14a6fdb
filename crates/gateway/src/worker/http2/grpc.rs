//! What gRPC says in its fields: whether a call failed, and until when somebody waits for it. Pure.

use std::fmt::Write;
use std::time::Duration;

use http::HeaderMap;
use http::header::CONTENT_TYPE;

/// Where a call's outcome stands: in the trailers, or in the head of an answer that has no body.
pub(super) const STATUS: &str = "grpc-status";

/// Whether a message is gRPC's own. Its form for browsers says the outcome in the body and is passed on unread.
pub(super) fn is_grpc(fields: &HeaderMap) -> bool {
    let kind = fields.get(CONTENT_TYPE).map(http::HeaderValue::as_bytes).unwrap_or_default();
    let rest = kind.strip_prefix(b"application/grpc");
    rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
}

/// Whether an outcome tells of a failure of the server rather than of the request, as OpenTelemetry sorts them: the
/// counterparts of 5xx.
pub(super) fn has_failed(fields: &HeaderMap) -> bool {
    // UNKNOWN, DEADLINE_EXCEEDED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE, DATA_LOSS
    const FAILURES: [&[u8]; 6] = [b"2", b"4", b"12", b"13", b"14", b"15"];
    fields.get(STATUS).is_some_and(|status| FAILURES.contains(&status.as_bytes()))
}

/// How long the client waits for the whole call: up to eight digits and a unit.
pub(super) fn timeout(fields: &HeaderMap) -> Option<Duration> {
    let text = fields.get("grpc-timeout")?.to_str().ok()?;
    let (unit, digits) = (text.chars().last()?, &text[..text.len().checked_sub(1)?]);
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    match unit {
        'H' => Some(Duration::from_secs(count * 3600)),
        'M' => Some(Duration::from_secs(count * 60)),
        'S' => Some(Duration::from_secs(count)),
        'm' => Some(Duration::from_millis(count)),
        'u' => Some(Duration::from_micros(count)),
        'n' => Some(Duration::from_nanos(count)),
        _ => None,
    }
}

/// The outcome that stands for an answer of the gateway itself, as gRPC's own table has it.
pub(super) const fn outcome(status: u16) -> u8 {
    const INTERNAL: u8 = 13;
    const UNAVAILABLE: u8 = 14;
    const DEADLINE_EXCEEDED: u8 = 4;
    const UNIMPLEMENTED: u8 = 12;
    match status {
        408 => DEADLINE_EXCEEDED,
        501 => UNIMPLEMENTED,
        502..=504 => UNAVAILABLE,
        _ => INTERNAL,
    }
}

/// A message as its field takes it: printable ASCII without `%`, all else by its bytes' numbers.
pub(super) fn message(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if matches!(byte, b' '..=b'~') && byte != b'%' {
            out.push(char::from(byte));
        } else {
            // Writing to a text cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: &'static str, value: &str) -> HeaderMap {
        let mut fields = HeaderMap::new();
        fields.insert(name, value.parse().unwrap());
        fields
    }

    #[test]
    fn knows_its_own_messages_and_whose_fault_an_outcome_is() {
        for (kind, expected) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("application/grpc;charset=utf-8", true),
            ("application/grpc-web", false),
            ("application/json", false),
        ] {
            assert_eq!(is_grpc(&with("content-type", kind)), expected, "{kind}");
        }
        let failures: Vec<u8> =
            (0..=16).filter(|code: &u8| has_failed(&with(STATUS, &code.to_string()))).collect();
        assert_eq!(failures, [2, 4, 12, 13, 14, 15]);
    }

    #[test]
    fn reads_deadlines_and_nothing_that_is_none() {
        for (text, expected) in [
            ("1S", Some(Duration::from_secs(1))),
            ("250m", Some(Duration::from_millis(250))),
            ("99999999H", Some(Duration::from_secs(99_999_999 * 3600))),
            ("2M", Some(Duration::from_secs(120))),
            ("7u", Some(Duration::from_micros(7))),
            ("7n", Some(Duration::from_nanos(7))),
            ("123456789S", None),
            ("S", None),
            ("1", None),
            ("-1S", None),
            ("1x", None),
        ] {
            assert_eq!(timeout(&with("grpc-timeout", text)), expected, "{text}");
        }
    }

    #[test]
    fn messages_are_plain_text() {
        assert_eq!(message("100 % of ü\n"), "100 %25 of %C3%BC%0A");
    }
}
