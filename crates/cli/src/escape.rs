//! Makes text that strangers wrote harmless for the terminal of whoever reads it: logs, commit subjects, names.
//!
//! Colours stay. Everything else that a terminal would obey goes: a line of a log could otherwise write to the clipboard,
//! move the cursor over other lines, set the title, or have the terminal type an answer (CVE-2025-58160 and its kin).

use std::io::IsTerminal as _;
use std::iter::Peekable;
use std::str::Chars;
use std::sync::OnceLock;

const ESCAPE: char = '\u{1b}';

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
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            ESCAPE => escape(&mut characters, &mut clean),
            '\u{9b}' => control_sequence(&mut characters, &mut clean),
            '\u{90}' | '\u{98}' | '\u{9d}'..='\u{9f}' => skip_string(&mut characters),
            '\t' | '\n' => clean.push(character),
            '\r' if !matches!(characters.peek(), None | Some('\n')) => {
                clean.truncate(clean.rfind('\n').map_or(0, |end| end + 1));
            }
            // These let a line look like another.
            '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {}
            control if control.is_control() => {}
            plain => clean.push(plain),
        }
    }
    clean
}

fn escape(characters: &mut Peekable<Chars<'_>>, clean: &mut String) {
    match characters.next() {
        Some('[') => control_sequence(characters, clean),
        // Commands with a text: title, clipboard, links, device control.
        Some(']' | 'P' | 'X' | '^' | '_') => skip_string(characters),
        // Two more characters belong to it, as in the choice of a character set.
        Some(' '..='/') => {
            while characters.next_if(|next| (' '..='/').contains(next)).is_some() {}
            let _last = characters.next();
        }
        Some(_) | None => {}
    }
}

/// Keeps `ESC [ … m`, which sets colours.
fn control_sequence(characters: &mut Peekable<Chars<'_>>, clean: &mut String) {
    let mut parameters = String::new();
    while let Some(next) = characters.next_if(|next| (' '..='?').contains(next)) {
        parameters.push(next);
    }
    let is_colour = parameters.chars().all(|part| part.is_ascii_digit() || matches!(part, ';' | ':'));
    if let Some('m') = characters.next_if(|next| ('@'..='~').contains(next))
        && is_colour
    {
        clean.push_str(&format!("{ESCAPE}[{parameters}m"));
    }
}

fn skip_string(characters: &mut Peekable<Chars<'_>>) {
    while let Some(next) = characters.next() {
        match next {
            '\u{7}' | '\u{9c}' => return,
            ESCAPE => {
                let _backslash = characters.next_if_eq(&'\\');
                return;
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_lines_cannot_steer_the_terminal() {
        let cases = [
            ("plain, ünïcode\tand tabs", "plain, ünïcode\tand tabs"),
            ("\u{1b}[1;31mred\u{1b}[0m", "\u{1b}[1;31mred\u{1b}[0m"),
            ("clear\u{1b}[2J\u{1b}[Hscreen", "clearscreen"),
            ("title\u{1b}]0;evil\u{7}s", "titles"),
            ("clipboard\u{1b}]52;c;ZXZpbA==\u{1b}\\s", "clipboards"),
            ("\u{1b}]8;;javascript:alert(1)\u{1b}\\link\u{1b}]8;;\u{1b}\\", "link"),
            ("device\u{1b}P1$qm\u{1b}\\s", "devices"),
            ("eight bit\u{9b}2J\u{9d}0;x\u{9c}!", "eight bit!"),
            ("answer\u{1b}[c\u{1b}[6n\u{1b}[>q", "answer"),
            ("failed\rpassed", "passed"),
            ("windows\r\nline", "windows\nline"),
            ("back\u{8}\u{8}space \u{7}bell \u{0}nul", "backspace bell nul"),
            ("a\u{202e}txt.exe\u{202c}", "atxt.exe"),
            ("character set\u{1b}(0\u{1b}#8s", "character sets"),
            ("unfinished\u{1b}]0;title", "unfinished"),
            ("unfinished\u{1b}[12;", "unfinished"),
            ("\u{1b}[?1049hother screen\u{1b}[?25l", "other screen"),
            ("\u{1b}[>4;2mkeys", "keys"),
        ];
        for (text, expected) in cases {
            assert_eq!(harmless(text), expected, "{text:?}");
        }
    }
}
