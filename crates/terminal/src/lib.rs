//! Text that strangers wrote, as a terminal would read it: what it would show, what would set colours, and nothing of
//! what it would obey beyond that.
//!
//! A line of a log could otherwise write to the clipboard, move the cursor over other lines, set the title, or have the
//! terminal type an answer (CVE-2025-58160 and its kin). Sequences are recognised as ECMA-48 forms them, in seven bits
//! (`ESC [`) and in eight (U+009B).

pub mod group;

use std::iter::Peekable;
use std::str::Chars;

const ESCAPE: char = '\u{1b}';
/// Bytes of the parameters of a sequence that are looked at. No honest one has more.
const PARAMETERS: usize = 64;

/// What is left of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// A character that is shown; of the control characters only tabs and line feeds.
    Shown(char),
    /// "Select graphic rendition" with its parameters: digits, `;` and `:`.
    Colours(String),
    /// A carriage return with something behind it: what follows draws over the line so far.
    Restart,
}

/// The pieces of a text, in order.
#[must_use]
pub fn pieces(text: &str) -> Pieces<'_> {
    Pieces { rest: text.chars().peekable() }
}

/// The text without any control sequence or control character but tabs and line feeds. What a carriage return would have
/// overwritten stays.
#[must_use]
pub fn plain(text: &str) -> String {
    let shown = |piece| if let Piece::Shown(character) = piece { Some(character) } else { None };
    pieces(text).filter_map(shown).collect()
}

/// See [`pieces`].
#[derive(Debug, Clone)]
pub struct Pieces<'a> {
    rest: Peekable<Chars<'a>>,
}

impl Iterator for Pieces<'_> {
    type Item = Piece;

    fn next(&mut self) -> Option<Piece> {
        loop {
            let piece = match self.rest.next()? {
                ESCAPE => self.escape(),
                '\u{9b}' => self.control_sequence(),
                '\u{90}' | '\u{98}' | '\u{9d}'..='\u{9f}' => self.skip_string(),
                '\r' if !matches!(self.rest.peek(), None | Some('\n')) => Some(Piece::Restart),
                character @ ('\t' | '\n') => Some(Piece::Shown(character)),
                // Marks and overrides of direction let a line look like another.
                '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => None,
                control if control.is_control() => None,
                character => Some(Piece::Shown(character)),
            };
            if piece.is_some() {
                return piece;
            }
        }
    }
}

impl Pieces<'_> {
    /// Reads what follows an ESC.
    fn escape(&mut self) -> Option<Piece> {
        match self.rest.next()? {
            '[' => self.control_sequence(),
            // Commands with a text: title, clipboard, links, device control.
            ']' | 'P' | 'X' | '^' | '_' => self.skip_string(),
            // More characters belong to it, as in the choice of a character set.
            ' '..='/' => {
                while self.rest.next_if(|next| (' '..='/').contains(next)).is_some() {}
                let _last = self.rest.next();
                None
            }
            _ => None,
        }
    }

    /// Reads what follows a CSI; it counts only if it sets colours.
    fn control_sequence(&mut self) -> Option<Piece> {
        let mut parameters = String::new();
        while let Some(next) = self.rest.next_if(|next| (' '..='?').contains(next)) {
            if parameters.len() < PARAMETERS {
                parameters.push(next);
            }
        }
        let last = self.rest.next_if(|next| ('@'..='~').contains(next))?;
        let colours = parameters.chars().all(|part| part.is_ascii_digit() || matches!(part, ';' | ':'));
        (last == 'm' && colours).then_some(Piece::Colours(parameters))
    }

    /// Skips a text up to ST or BEL.
    fn skip_string(&mut self) -> Option<Piece> {
        while let Some(next) = self.rest.next() {
            match next {
                '\u{7}' | '\u{9c}' => break,
                ESCAPE => {
                    let _backslash = self.rest.next_if_eq(&'\\');
                    break;
                }
                _ => {}
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is shown, with `{…}` for colours and `<` for a new start.
    fn read(text: &str) -> String {
        let part = |piece| match piece {
            Piece::Shown(character) => character.to_string(),
            Piece::Colours(parameters) => format!("{{{parameters}}}"),
            Piece::Restart => "<".to_owned(),
        };
        pieces(text).map(part).collect()
    }

    #[test]
    fn nothing_but_text_and_colours_is_left() {
        let cases = [
            ("plain, ünïcode\tand tabs", "plain, ünïcode\tand tabs"),
            ("\u{1b}[1;31mred\u{1b}[0m \u{1b}[38:5:196mx", "{1;31}red{0} {38:5:196}x"),
            ("clear\u{1b}[2J\u{1b}[Hscreen", "clearscreen"),
            ("title\u{1b}]0;evil\u{7}s", "titles"),
            ("clipboard\u{1b}]52;c;ZXZpbA==\u{1b}\\s", "clipboards"),
            ("\u{1b}]8;;javascript:alert(1)\u{1b}\\link\u{1b}]8;;\u{1b}\\", "link"),
            ("device\u{1b}P1$qm\u{1b}\\s", "devices"),
            ("eight bit\u{9b}2J\u{9d}0;x\u{9c}!\u{9b}31m", "eight bit!{31}"),
            ("answer\u{1b}[c\u{1b}[6n\u{1b}[>q", "answer"),
            ("10%\r100%\r", "10%<100%"),
            ("windows\r\nline", "windows\nline"),
            ("back\u{8}\u{8}space \u{7}bell \u{0}nul", "backspace bell nul"),
            ("a\u{202e}txt.exe\u{202c}", "atxt.exe"),
            ("character set\u{1b}(0\u{1b}#8s", "character sets"),
            ("unfinished\u{1b}]0;title", "unfinished"),
            ("unfinished\u{1b}[12;", "unfinished"),
            ("unfinished\u{1b}", "unfinished"),
            ("\u{1b}[?1049hother screen\u{1b}[?25l", "other screen"),
            ("\u{1b}[>4;2mkeys", "keys"),
        ];
        for (text, expected) in cases {
            assert_eq!(read(text), expected, "{text:?}");
        }
    }

    #[test]
    fn a_sequence_of_a_megabyte_is_read_without_keeping_it() {
        let text = format!("a\u{1b}[{}mb", "1;".repeat(500_000));
        let longest = pieces(&text).map(|piece| match piece {
            Piece::Colours(parameters) => parameters.len(),
            Piece::Shown(_) | Piece::Restart => 0,
        });
        assert_eq!(longest.max(), Some(PARAMETERS));
        assert_eq!(plain(&text), "ab");
    }
}
