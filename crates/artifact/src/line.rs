//! One line of an Attempt's raw log.
//!
//! ```text
//! 2026-11-21T02:00:00.123456Z 01o Compiling shop v1.4.0
//! └ UTC, always 27 characters └ step, two digits, then the stream: o(ut), e(rr) or s(ystem)
//! ```
//!
//! The text starts at byte 32 and ends at the line feed. It is whatever the process wrote: any bytes
//! but line feeds, not necessarily UTF-8.

use jiff::Timestamp;
use jiff::fmt::temporal::DateTimePrinter;

/// Bytes before the text of a line.
pub const PREFIX: usize = 32;

const PRINTER: DateTimePrinter = DateTimePrinter::new().precision(Some(6));

/// Where a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stream {
    /// The Step's standard output.
    Out,
    /// The Step's standard error.
    Err,
    /// Towpath itself, telling what it does.
    System,
}

impl Stream {
    const fn letter(self) -> u8 {
        match self {
            Self::Out => b'o',
            Self::Err => b'e',
            Self::System => b's',
        }
    }

    const fn from_letter(letter: u8) -> Option<Self> {
        match letter {
            b'o' => Some(Self::Out),
            b'e' => Some(Self::Err),
            b's' => Some(Self::System),
            _ => None,
        }
    }
}

/// A line that was taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogLine<'a> {
    /// When the agent read it.
    pub at: Timestamp,
    /// Index of the Step, counted from 0.
    pub step: u8,
    /// Where it came from.
    pub stream: Stream,
    /// The text without the line feed.
    pub text: &'a [u8],
}

/// Appends `text` to `out`, as one line, or as several if there are line feeds in it. Steps above 99 are written as 99.
pub fn format_line(out: &mut Vec<u8>, at: Timestamp, step: u8, stream: Stream, text: &[u8]) {
    let step = step.min(99);
    for part in text.split(|byte| *byte == b'\n') {
        PRINTER.print_timestamp(&at, &mut *out).expect("writing to memory cannot fail");
        out.extend_from_slice(&[b' ', b'0' + step / 10, b'0' + step % 10, stream.letter(), b' ']);
        out.extend_from_slice(part);
        out.push(b'\n');
    }
}

/// Takes a line apart, with or without its line feed; `None` if it is not one of ours.
#[must_use]
pub fn parse_line(line: &[u8]) -> Option<LogLine<'_>> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let (at, step, stream) = parse_prefix(line.get(..PREFIX)?)?;
    let at = std::str::from_utf8(at).ok()?.parse().ok()?;
    Some(LogLine { at, step, stream, text: &line[PREFIX..] })
}

/// Where the text of a line begins; 0 for a line that is not one of ours. Does not look at the time closely.
pub(crate) fn text_start(line: &[u8]) -> usize {
    line.get(..PREFIX).and_then(parse_prefix).map_or(0, |_prefix| PREFIX)
}

fn parse_prefix(prefix: &[u8]) -> Option<(&[u8], u8, Stream)> {
    let (at, rest) = prefix.split_at_checked(27)?;
    let &[b' ', tens @ b'0'..=b'9', ones @ b'0'..=b'9', letter, b' '] = rest else { return None };
    let stream = Stream::from_letter(letter)?;
    (at.last() == Some(&b'Z')).then_some((at, (tens - b'0') * 10 + (ones - b'0'), stream))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn looks_as_documented() {
        let mut out = Vec::new();
        let at = "2026-11-21T02:00:00Z".parse().unwrap();
        format_line(&mut out, at, 1, Stream::Out, b"Compiling\nshop");
        let expected = "2026-11-21T02:00:00.000000Z 01o Compiling\n2026-11-21T02:00:00.000000Z 01o shop\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
        for bad in [
            "",
            "x",
            &expected[..31],
            "2026-11-21T02:00:00.000000Z 01x text",
            "2026-11-21 02:00:00.000000Z 1o t",
        ] {
            assert_eq!(parse_line(bad.as_bytes()), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn reads_back_what_it_writes(
            micros in 0..4_000_000_000_000_000_i64,
            step in 0..100_u8,
            letter in prop::sample::select(vec![Stream::Out, Stream::Err, Stream::System]),
            text in prop::collection::vec(any::<u8>().prop_filter("no line feed", |byte| *byte != b'\n'), 0..100),
        ) {
            let at = Timestamp::from_microsecond(micros).unwrap();
            let mut out = Vec::new();
            format_line(&mut out, at, step, letter, &text);
            prop_assert_eq!(parse_line(&out), Some(LogLine { at, step, stream: letter, text: &text }));
        }
    }
}
