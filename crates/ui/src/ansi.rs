//! A line of terminal output as HTML: colours stay, everything else that a terminal would obey goes, as
//! [`towpath_terminal`] reads it.
//!
//! Colours become classes (`f1`…`f15`, `b0`…`b15`), as inline styles are forbidden; 256 and 16 million
//! colours become the nearest of the sixteen. A line starts without any style.

use maud::{Markup, PreEscaped, Render as _};
use towpath_terminal::{Piece, pieces};

/// How text looks at some point of a line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Style {
    foreground: Option<u8>,
    background: Option<u8>,
    bold: bool,
    dim: bool,
    italic: bool,
    underline: bool,
    inverse: bool,
}

/// Turns one line into HTML.
#[must_use]
pub fn ansi_to_html(line: &str) -> Markup {
    let mut writer = Writer::default();
    for piece in pieces(line) {
        match piece {
            Piece::Shown(character) => writer.text.push(character),
            Piece::Colours(parameters) => writer.set(graphics(writer.style, &parameters)),
            // Progress bars keep their last state.
            Piece::Restart => writer.restart(),
        }
    }
    writer.finish()
}

/// Collects runs of equally styled text.
#[derive(Default)]
struct Writer {
    html: String,
    text: String,
    style: Style,
}

impl Writer {
    fn set(&mut self, style: Style) {
        if style != self.style {
            self.flush();
            self.style = style;
        }
    }

    fn restart(&mut self) {
        self.html.clear();
        self.text.clear();
    }

    fn flush(&mut self) {
        if self.text.is_empty() {
            return;
        }
        let text = std::mem::take(&mut self.text).as_str().render().0;
        let classes = self.style.classes();
        if classes.is_empty() {
            self.html.push_str(&text);
        } else {
            self.html.push_str(&format!("<span class=\"{classes}\">{text}</span>"));
        }
    }

    fn finish(mut self) -> Markup {
        self.flush();
        PreEscaped(self.html)
    }
}

impl Style {
    fn classes(self) -> String {
        let Self { foreground, background, bold, dim, italic, underline, inverse } = self;
        let mut classes = Vec::new();
        classes.extend(foreground.map(|colour| format!("f{colour}")));
        classes.extend(background.map(|colour| format!("b{colour}")));
        for (set, class) in [(bold, "bo"), (dim, "di"), (italic, "it"), (underline, "un"), (inverse, "inv")] {
            if set {
                classes.push(class.to_owned());
            }
        }
        classes.join(" ")
    }
}

/// Applies "select graphic rendition".
fn graphics(mut style: Style, parameters: &str) -> Style {
    let mut numbers = parameters.split([';', ':']).map(|number| number.parse::<u32>().unwrap_or(0));
    while let Some(number) = numbers.next() {
        match number {
            0 => style = Style::default(),
            1 => style.bold = true,
            2 => style.dim = true,
            3 => style.italic = true,
            4 => style.underline = true,
            7 => style.inverse = true,
            22 => (style.bold, style.dim) = (false, false),
            23 => style.italic = false,
            24 => style.underline = false,
            27 => style.inverse = false,
            30..=37 => style.foreground = Some((number - 30) as u8),
            38 => style.foreground = extended(&mut numbers),
            39 => style.foreground = None,
            40..=47 => style.background = Some((number - 40) as u8),
            48 => style.background = extended(&mut numbers),
            49 => style.background = None,
            90..=97 => style.foreground = Some((number - 90 + 8) as u8),
            100..=107 => style.background = Some((number - 100 + 8) as u8),
            _ => {}
        }
    }
    style
}

/// Reads `5;n` or `2;r;g;b`.
fn extended(numbers: &mut impl Iterator<Item = u32>) -> Option<u8> {
    match numbers.next()? {
        5 => match numbers.next()? {
            colour @ 0..=15 => Some(colour as u8),
            colour @ 16..=231 => {
                let level = |step: u32| if step == 0 { 0 } else { 55 + 40 * step };
                let cube = colour - 16;
                Some(nearest([level(cube / 36), level(cube / 6 % 6), level(cube % 6)]))
            }
            colour => {
                let grey = 8 + 10 * (colour.min(255) - 232);
                Some(nearest([grey; 3]))
            }
        },
        2 => Some(nearest([numbers.next()?, numbers.next()?, numbers.next()?].map(|part| part.min(255)))),
        _ => None,
    }
}

/// The nearest of the sixteen colours of xterm.
fn nearest(colour: [u32; 3]) -> u8 {
    const PALETTE: [[u32; 3]; 16] = [
        [0, 0, 0],
        [205, 0, 0],
        [0, 205, 0],
        [205, 205, 0],
        [0, 0, 238],
        [205, 0, 205],
        [0, 205, 205],
        [229, 229, 229],
        [127, 127, 127],
        [255, 0, 0],
        [0, 255, 0],
        [255, 255, 0],
        [92, 92, 255],
        [255, 0, 255],
        [0, 255, 255],
        [255, 255, 255],
    ];
    let distance =
        |other: &[u32; 3]| -> u32 { (0..3).map(|part| colour[part].abs_diff(other[part]).pow(2)).sum() };
    let best = (0..16_u8).min_by_key(|&index| distance(&PALETTE[usize::from(index)]));
    best.unwrap_or(7)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, html: &str) {
        assert_eq!(ansi_to_html(line).0, html);
    }

    #[test]
    fn keeps_colours() {
        check("plain", "plain");
        check("\u{1b}[1;31merror\u{1b}[0m: no", "<span class=\"f1 bo\">error</span>: no");
        check("\u{1b}[38;5;196mx\u{1b}[39my", "<span class=\"f9\">x</span>y");
        check("\u{1b}[48;2;0;0;230mx", "<span class=\"b4\">x</span>");
        check("\u{1b}[38;5mx", "x");
        check("\u{1b}[mx", "x");
    }

    #[test]
    fn obeys_nothing_else() {
        check("a\u{1b}[2Jb\u{1b}]8;;http://x\u{1b}\\c", "abc");
        check("a\u{9b}31mb", "a<span class=\"f1\">b</span>");
        check("10%\r50%\r100%\r", "100%");
    }

    #[test]
    fn escapes_html_between_and_within_colours() {
        check("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;");
        check(
            "\u{1b}[32m<b onclick=\"x\">&",
            "<span class=\"f2\">&lt;b onclick=&quot;x&quot;&gt;&amp;</span>",
        );
        check("<scr\u{1b}[31mipt>", "&lt;scr<span class=\"f1\">ipt&gt;</span>");
    }
}
