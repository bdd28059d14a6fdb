//! What the reader sees: one line for each phase, alive on a terminal, plain elsewhere.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use anstyle::{AnsiColor, Style};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// The width of a phase's name.
const NAME: usize = 27;

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
const GREEN: Style = Style::new().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Green)));
const RED: Style = Style::new().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Red)));

/// Where the story is shown.
#[derive(Debug, Clone, Copy)]
pub(super) struct Screen {
    live: bool,
}

impl Screen {
    /// Uses standard output.
    pub(super) fn new() -> Self {
        Self { live: std::io::stdout().is_terminal() }
    }

    /// Begins a chapter.
    pub(super) fn heading(self, text: &str) {
        anstream::println!("\n{BOLD}{text}{BOLD:#}");
    }

    /// Says something.
    pub(super) fn line(self, text: &str) {
        anstream::println!("{text}");
    }

    /// Says something less important.
    pub(super) fn aside(self, text: &str) {
        anstream::println!("  {DIM}{text}{DIM:#}");
    }

    /// Says whether a claim held.
    pub(super) fn claim(self, held: bool, text: &str) {
        let (style, mark) = if held { (GREEN, "✔") } else { (RED, "✘") };
        anstream::println!("  {style}{mark}{style:#} {text}");
    }

    /// Begins a phase.
    pub(super) fn phase(self, name: &str) -> Phase {
        let bar = self.live.then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stdout());
            let style = ProgressStyle::with_template("  {spinner:.cyan} {prefix} {msg} {elapsed:.dim}");
            // The template is a constant of ours.
            bar.set_style(style.expect("the template is valid"));
            bar.set_prefix(format!("{name:NAME$}"));
            bar.enable_steady_tick(Duration::from_millis(80));
            bar
        });
        Phase { name: name.to_owned(), bar, begun: Instant::now(), told: String::new() }
    }
}

/// A phase under way.
pub(super) struct Phase {
    name: String,
    bar: Option<ProgressBar>,
    begun: Instant,
    told: String,
}

impl Phase {
    /// Says how it goes. On a plain screen a line is written only when `state` is a new one.
    pub(super) fn tell(&mut self, state: &str, detail: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(format!("{state}{}{detail}", if detail.is_empty() { "" } else { "  " }));
        } else if self.told != state {
            anstream::println!("    {:NAME$} {DIM}{state}{DIM:#}", "");
        }
        state.clone_into(&mut self.told);
    }

    /// Says something in between.
    pub(super) fn say(&self, text: &str) {
        let text = format!("    {text}");
        match &self.bar {
            Some(bar) => bar.println(text),
            None => anstream::println!("{text}"),
        }
    }

    /// Ends it, and says how long it took.
    pub(super) fn done(mut self, result: &str) -> Duration {
        let took = self.begun.elapsed();
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        let name = &self.name;
        anstream::println!("  {GREEN}✔{GREEN:#} {name:NAME$} {DIM}{:>6}{DIM:#}  {result}", seconds(took));
        took
    }
}

impl Drop for Phase {
    /// A phase that was not ended has failed.
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
            anstream::println!("  {RED}✘{RED:#} {}", self.name);
        }
    }
}

/// Writes a time in seconds.
pub(super) fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

/// Writes a number with thousands set apart.
pub(super) fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Writes a share in percent.
pub(super) fn percent(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "-".to_owned();
    }
    format!("{:.2} %", part as f64 * 100.0 / whole as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_numbers_for_people() {
        assert_eq!([7, 1200, 1_234_567].map(number), ["7", "1,200", "1,234,567"]);
        assert_eq!(percent(2, 1000), "0.20 %");
        assert_eq!(percent(0, 0), "-");
    }
}
