//! Makes text that strangers wrote harmless for the terminal of whoever reads it: logs, commit subjects, names.
//!
//! Colours stay; everything else that a terminal would obey goes, as [`towpath_terminal`] reads it.

use std::io::IsTerminal as _;
use std::sync::OnceLock;

use towpath_terminal::{Piece, pieces};

/// The text for standard output: as it is where that is a file or another program, harmless where it is a terminal.
pub fn for_stdout(text: &str) -> String {
    static IS_TERMINAL: OnceLock<bool> = OnceLock::new();
    if *IS_TERMINAL.get_or_init(|| std::io::stdout().is_terminal()) {
        harmless(text)
    } else {
        text.to_owned()
    }
}

/// The text with colours and without anything else that a terminal obeys. What a carriage return would have overwritten
/// goes too.
pub fn harmless(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for piece in pieces(text) {
        match piece {
            Piece::Shown(character) => clean.push(character),
            Piece::Colours(parameters) => clean.push_str(&format!("\u{1b}[{parameters}m")),
            Piece::Restart => clean.truncate(clean.rfind('\n').map_or(0, |end| end + 1)),
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_lines_cannot_steer_the_terminal() {
        let cases = [
            ("\u{1b}[1;31mred\u{1b}[0m", "\u{1b}[1;31mred\u{1b}[0m"),
            ("eight bit \u{9b}31mred", "eight bit \u{1b}[31mred"),
            ("clear\u{1b}[2J\u{1b}[Hscreen", "clearscreen"),
            ("failed\rpassed", "passed"),
            ("one\nfailed\rpassed", "one\npassed"),
            ("windows\r\nline", "windows\nline"),
        ];
        for (text, expected) in cases {
            assert_eq!(harmless(text), expected, "{text:?}");
        }
    }
}
