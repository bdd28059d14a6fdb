//! Replaces secret values in log lines.
//!
//! A line is masked as a whole, so a value that was cut by a read is still found. A value of
//! several lines is hidden line by line, and each value also in the forms that tools print by
//! accident: base64 at any alignment, percent-encoded, and escaped as JSON.

use std::borrow::Cow;

use aho_corasick::AhoCorasick;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};

/// Shorter values are not masked: they would turn every log into asterisks.
pub const SHORTEST_SECRET: usize = 4;

/// Where `base64` breaks its lines by default.
const BASE64_LINE: usize = 76;

const MASK: &[u8] = b"****";

/// Knows the secrets of one Attempt.
#[derive(Debug)]
pub struct Masker {
    patterns: Option<AhoCorasick>,
    longest: usize,
}

impl Masker {
    /// Prepares to hide `values` and their encodings.
    #[must_use]
    pub fn new<'a>(values: impl IntoIterator<Item = &'a str>) -> Self {
        let mut needles: Vec<Vec<u8>> = Vec::new();
        for value in values {
            encodings(value.as_bytes(), &mut needles);
            for line in value.lines() {
                encodings(line.trim_end().as_bytes(), &mut needles);
            }
        }
        needles.retain(|needle| needle.len() >= SHORTEST_SECRET && !needle.contains(&b'\n'));
        needles.sort();
        needles.dedup();
        let longest = needles.iter().map(Vec::len).max().unwrap_or(0);
        let patterns = if needles.is_empty() { None } else { AhoCorasick::new(&needles).ok() };
        // The builder refuses only sets beyond 2^31 states; secrets are bounded far below that.
        assert!(
            patterns.is_some() || needles.is_empty(),
            "the secrets of one Attempt exceed what can be masked"
        );
        Self { patterns, longest }
    }

    /// The length of the longest text that is hidden. A long line must not be cut within one.
    #[must_use]
    pub const fn longest(&self) -> usize {
        self.longest
    }

    /// Whether any of the values is in `bytes`.
    #[must_use]
    pub fn finds(&self, bytes: &[u8]) -> bool {
        self.patterns.as_ref().is_some_and(|patterns| patterns.is_match(bytes))
    }

    /// Hides every occurrence. Overlapping ones become one mask, so no tail of a value is left.
    #[must_use]
    pub fn mask<'a>(&self, line: &'a [u8]) -> Cow<'a, [u8]> {
        let spans = self.spans(line);
        if spans.is_empty() {
            return Cow::Borrowed(line);
        }
        let mut masked = Vec::with_capacity(line.len());
        let mut end = 0;
        for (from, to) in spans {
            masked.extend_from_slice(&line[end..from]);
            masked.extend_from_slice(MASK);
            end = to;
        }
        masked.extend_from_slice(&line[end..]);
        Cow::Owned(masked)
    }

    /// The last place at or before `wanted` where the line can be cut without cutting a secret.
    ///
    /// The caller holds at least [`Self::longest`] bytes after `wanted`, or the end of the line.
    #[must_use]
    pub fn cut(&self, line: &[u8], wanted: usize) -> usize {
        self.spans(line)
            .into_iter()
            .find(|&(from, to)| from < wanted && wanted < to)
            // A secret that fills the whole line is kept whole: its mask is short anyway.
            .map_or(wanted, |(from, to)| if from == 0 { to } else { from })
    }

    fn spans(&self, line: &[u8]) -> Vec<(usize, usize)> {
        let Some(patterns) = &self.patterns else { return Vec::new() };
        let mut found: Vec<(usize, usize)> =
            patterns.find_overlapping_iter(line).map(|hit| (hit.start(), hit.end())).collect();
        found.sort_unstable();
        let mut merged: Vec<(usize, usize)> = Vec::with_capacity(found.len());
        for (from, to) in found {
            match merged.last_mut() {
                Some(last) if from < last.1 => last.1 = last.1.max(to),
                _ => merged.push((from, to)),
            }
        }
        merged
    }
}

fn encodings(value: &[u8], needles: &mut Vec<Vec<u8>>) {
    if value.len() < SHORTEST_SECRET {
        return;
    }
    needles.push(value.to_vec());
    needles.push(percent_encoded(value));
    if let Some(text) = std::str::from_utf8(value).ok().and_then(|text| serde_json::to_string(text).ok()) {
        needles.push(text.trim_matches('"').as_bytes().to_vec());
    }
    for shift in 0..3 {
        base64_forms(value, shift, needles);
    }
}

/// What base64 makes of the value when `shift` other bytes come before it: the characters that
/// depend on the value alone.
fn base64_forms(value: &[u8], shift: usize, needles: &mut Vec<Vec<u8>>) {
    let mut padded = vec![0; shift];
    padded.extend_from_slice(value);
    let whole_from = (shift * 8).div_ceil(6);
    let whole_to = padded.len() * 8 / 6;
    for engine in [&STANDARD, &URL_SAFE] {
        let text = engine.encode(&padded);
        let own = &text.as_bytes()[whole_from..whole_to];
        needles.extend(own.chunks(BASE64_LINE).filter(|part| part.len() >= 6).map(<[u8]>::to_vec));
        needles.push(own.to_vec());
    }
}

fn percent_encoded(value: &[u8]) -> Vec<u8> {
    let mut encoded = Vec::with_capacity(value.len() * 3);
    for &byte in value {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            encoded.push(byte);
        } else {
            encoded.extend_from_slice(format!("%{byte:02X}").as_bytes());
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(secrets: &[&str], line: &str) -> String {
        let masker = Masker::new(secrets.iter().copied());
        String::from_utf8(masker.mask(line.as_bytes()).into_owned()).unwrap()
    }

    #[test]
    fn hides_values_and_their_encodings() {
        assert_eq!(masked(&["hunter2"], "a hunter2 b hunter2"), "a **** b ****");
        assert_eq!(masked(&["p@ss/word"], "https://u:p%40ss%2Fword@h"), "https://u:****@h");
        assert_eq!(masked(&["a\"quote"], r#"{"k":"a\"quote"}"#), r#"{"k":"****"}"#);
        assert_eq!(masked(&["first line\nsecond line"], "x second line y"), "x **** y");
        assert_eq!(masked(&["abc"], "abc"), "abc", "too short to hide");
    }

    #[test]
    fn hides_base64_at_every_alignment() {
        for before in ["", "u", "us", "user:"] {
            let encoded = STANDARD.encode(format!("{before}correct horse battery"));
            let line = masked(&["correct horse battery"], &encoded);
            assert!(line.contains("****") && line.len() < 16, "{before}: {line}");
        }
    }

    #[test]
    fn overlapping_values_leave_no_tail() {
        assert_eq!(masked(&["abcdef", "defghi"], "-abcdefghi-"), "-****-");
    }
}
