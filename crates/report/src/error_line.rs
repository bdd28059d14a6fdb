//! The line of a log that says what went wrong, and how to know it again.

use towpath_terminal::plain;

/// Finds the line that a reader wants to see first in the log of a failed Attempt.
///
/// That is the first line of the failed Step that speaks of an error, else the Step's last line. It is given the lines one
/// after the other, so that no log has to be held as a whole.
#[derive(Debug, Clone)]
pub struct ErrorLine {
    step: u32,
    speaks: Option<Found>,
    last: Option<Found>,
}

/// A line that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its number, from 1.
    pub number: u64,
    /// What it says, without colours.
    pub text: String,
}

impl ErrorLine {
    /// Looks for the line of a Step, counted from 0.
    #[must_use]
    pub const fn of_step(step: u32) -> Self {
        Self { step, speaks: None, last: None }
    }

    /// Takes in one line that a program wrote, with its number and the Step that it belongs to.
    pub fn look(&mut self, number: u64, step: u32, text: &str) {
        const WORDS: [&str; 9] = [
            "error:",
            "error[",
            "panicked at",
            "failed",
            "failure:",
            "fatal:",
            "traceback",
            "exception:",
            "cannot find",
        ];
        if self.speaks.is_some() || step != self.step {
            return;
        }
        let text = plain(text);
        if text.trim().is_empty() {
            return;
        }
        let lower = text.to_lowercase();
        let found = Found { number, text };
        // "0 failed" says that nothing did.
        if WORDS.iter().any(|word| lower.contains(word)) && !lower.contains(" 0 failed") {
            self.speaks = Some(found);
        } else {
            self.last = Some(found);
        }
    }

    /// The line, as far as the log was looked at.
    #[must_use]
    pub const fn found(&self) -> Option<&Found> {
        if self.speaks.is_some() { self.speaks.as_ref() } else { self.last.as_ref() }
    }
}

/// What stays of a line when what differs from one time to the next is taken out: numbers, hashes, ids, names of scratch
/// directories. Two failures with the same signature are, most likely, the same failure.
///
/// `#` stands for what was taken out; at most 200 characters are kept.
#[must_use]
pub fn signature(text: &str) -> String {
    let text = plain(text);
    let mut kept = String::new();
    let mut rest = text.trim();
    while let Some(first) = rest.chars().next() {
        let is_word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
        let end = if is_word(first) {
            rest.find(|c: char| !is_word(c)).unwrap_or(rest.len())
        } else {
            first.len_utf8()
        };
        let (part, behind) = rest.split_at(end);
        rest = behind;
        if part.trim().is_empty() {
            if !kept.ends_with(' ') {
                kept.push(' ');
            }
        } else {
            word(part, &mut kept);
        }
    }
    kept.chars().take(200).collect()
}

/// A word without what differs: an id or a hash becomes `#` as a whole, a number within a word too.
fn word(word: &str, kept: &mut String) {
    let digits = word.bytes().filter(u8::is_ascii_digit).count();
    let letters = word.chars().filter(|c| c.is_alphabetic()).count();
    let bare = word.strip_prefix("0x").unwrap_or(word);
    let hex = bare.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    let id = hex && word.len() >= 7 && digits > 0 || word.len() >= 16 && digits >= 4 && letters >= 4;
    if id {
        kept.push('#');
        return;
    }
    let mut within = false;
    for c in word.chars() {
        if !c.is_ascii_digit() {
            kept.push(c);
        } else if !within {
            kept.push('#');
        }
        within = c.is_ascii_digit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_speaks_of_an_error_goes_before_the_last() {
        let mut line = ErrorLine::of_step(1);
        let log = [
            (1, 0, "error: of another step"),
            (2, 1, "test result: ok. 5 passed; 0 failed"),
            (3, 1, "\u{1b}[31merror\u{1b}[0m: no lock"),
            (4, 1, "the end"),
        ];
        for (number, step, text) in &log[..2] {
            line.look(*number, *step, text);
        }
        assert_eq!(line.found().map(|found| found.number), Some(2));
        for (number, step, text) in &log[2..] {
            line.look(*number, *step, text);
        }
        assert_eq!(line.found(), Some(&Found { number: 3, text: "error: no lock".to_owned() }));
    }

    #[test]
    fn what_differs_each_time_is_not_part_of_a_signature() {
        for (one, other) in [
            ("error: port 41919 is taken after 3.2s", "error:  port 7 is taken after 10.25s"),
            (
                "cannot open /tmp/jobs/ed4092dd-b429-8683-9d95-af9266c44801/source/x.rs:12",
                "cannot open /tmp/jobs/01a1fe06-61cc-7615-a8a1-924fc228e4a8/source/x.rs:140",
            ),
            ("commit ffe25806 is unknown", "commit 5395592b is unknown"),
            ("test_cart (0xdeadbeef1) failed", "test_cart (0x00000001f) failed"),
        ] {
            assert_eq!(signature(one), signature(other));
        }
        assert_ne!(signature("error: no such file: a.rs"), signature("error: no such file: b.rs"));
        assert_eq!(
            signature("  thread 'main' panicked at src/main.rs:4:5  "),
            "thread 'main' panicked at src/main.rs:#:#"
        );
        assert_eq!(signature(&"é".repeat(500)).chars().count(), 200);
    }
}
