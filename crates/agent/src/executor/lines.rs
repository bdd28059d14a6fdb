//! Cuts a stream of bytes into lines of bounded length, masked and clean.

use crate::executor::mask::Masker;

/// The longest line in a log. A longer one goes on in the next.
pub const LONGEST_LINE: usize = 64 * 1024;

/// Collects the bytes of one stream.
#[derive(Debug)]
pub struct Lines<'a> {
    masker: &'a Masker,
    pending: Vec<u8>,
    longest: usize,
}

impl<'a> Lines<'a> {
    /// Goes on with the beginning of a line that [`Self::into_pending`] gave.
    #[must_use]
    pub const fn resume(masker: &'a Masker, pending: Vec<u8>) -> Self {
        Self { masker, pending, longest: LONGEST_LINE }
    }

    /// The beginning of a line whose end has not been seen.
    #[must_use]
    pub fn into_pending(self) -> Vec<u8> {
        self.pending
    }

    /// Takes the next bytes and gives every line that they complete to `emit`.
    pub fn push(&mut self, mut bytes: &[u8], emit: &mut impl FnMut(&str)) {
        while let Some(end) = memchr(bytes) {
            if self.pending.is_empty() && end <= self.longest {
                emit(&clean(&self.masker.mask(without_return(&bytes[..end]))));
            } else {
                self.pending.extend_from_slice(&bytes[..end]);
                self.emit_long(0, emit);
                let line = std::mem::take(&mut self.pending);
                emit(&clean(&self.masker.mask(without_return(&line))));
            }
            bytes = &bytes[end + 1..];
        }
        self.pending.extend_from_slice(bytes);
        // As many bytes as the longest secret stay behind, so a secret is never cut in two.
        self.emit_long(self.masker.longest(), emit);
    }

    /// Gives the last line, which had no line feed.
    pub fn finish(&mut self, emit: &mut impl FnMut(&str)) {
        self.emit_long(0, emit);
        if !self.pending.is_empty() {
            let line = std::mem::take(&mut self.pending);
            emit(&clean(&self.masker.mask(without_return(&line))));
        }
    }

    fn emit_long(&mut self, keep: usize, emit: &mut impl FnMut(&str)) {
        while self.pending.len() > self.longest + keep {
            let cut = self.masker.cut(&self.pending, self.longest);
            let cut = character_boundary(&self.pending, cut);
            emit(&clean(&self.masker.mask(&self.pending[..cut])));
            self.pending.drain(..cut);
        }
    }
}

fn memchr(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|&byte| byte == b'\n')
}

fn without_return(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Moves a cut out of the middle of a UTF-8 sequence, where there is one.
fn character_boundary(bytes: &[u8], cut: usize) -> usize {
    let is_start = |at: usize| bytes.get(at).is_none_or(|byte| byte & 0b1100_0000 != 0b1000_0000);
    (cut.saturating_sub(3)..=cut).rev().find(|&at| at > 0 && is_start(at)).unwrap_or(cut)
}

/// Replaces what no log can hold: NUL bytes and invalid UTF-8. Terminal escapes stay; the page
/// makes them harmless when it shows them.
fn clean(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text.into_owned() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn split(chunks: &[&[u8]], secrets: &[&str], longest: usize) -> Vec<String> {
        let masker = Masker::new(secrets.iter().copied());
        let mut lines = Lines { masker: &masker, pending: Vec::new(), longest };
        let mut got = Vec::new();
        for chunk in chunks {
            lines.push(chunk, &mut |line| got.push(line.to_owned()));
        }
        lines.finish(&mut |line| got.push(line.to_owned()));
        got
    }

    #[test]
    fn keeps_partial_last_lines_and_empty_ones() {
        assert_eq!(split(&[b"a\n\nb\r\nlast"], &[], 100), ["a", "", "b", "last"]);
        assert_eq!(split(&[b"a\n"], &[], 100), ["a"]);
    }

    #[test]
    fn replaces_what_no_log_can_hold() {
        assert_eq!(split(&[b"a\0b\xffc \x1b[31mred"], &[], 100), ["a\u{fffd}b\u{fffd}c \u{1b}[31mred"]);
    }

    #[test]
    fn cuts_long_lines_between_characters() {
        assert_eq!(split(&["ääää".as_bytes()], &[], 3), ["ä", "ä", "ä", "ä"]);
    }

    proptest! {
        #[test]
        fn no_secret_survives_any_cut(
            secret in "[a-zA-Z0-9+/]{4,24}",
            before in "[ -~]{0,40}",
            after in "[ -~]{0,40}",
            cuts in proptest::collection::vec(0_usize..110, 0..6),
            longest in 8_usize..64,
        ) {
            let text = format!("{before}{secret}{after}\n{secret}");
            let mut cuts: Vec<usize> = cuts.into_iter().filter(|&cut| cut <= text.len()).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let chunks: Vec<&[u8]> = cuts.windows(2).map(|pair| &text.as_bytes()[pair[0]..pair[1]]).collect();
            let lines = split(&chunks, &[&secret], longest);
            prop_assert!(lines.iter().all(|line| !line.contains(&secret)), "{lines:?}");
            let unsplit = split(&[text.as_bytes()], &[&secret], longest);
            prop_assert_eq!(lines.concat(), unsplit.concat());
        }
    }
}
