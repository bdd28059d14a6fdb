//! Questions on the terminal.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use anyhow::Context as _;
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

use crate::failure::{Failure, Kind};

/// Asks for a line.
pub fn line(question: &str) -> anyhow::Result<String> {
    let mut stderr = io::stderr();
    write!(stderr, "{question}: ")?;
    stderr.flush()?;
    let mut line = String::new();
    let read = io::stdin().lock().read_line(&mut line).context("failed to read the answer")?;
    if read == 0 {
        return Err(Failure::new(Kind::Usage, format!("there was no answer to `{question}`")).into());
    }
    Ok(line.trim_end_matches(['\n', '\r']).to_owned())
}

/// Asks for a secret: on a terminal it is not shown, from a pipe it is the next line.
pub fn secret(question: &str) -> anyhow::Result<String> {
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        return line(question);
    }
    let before = tcgetattr(&stdin).context("failed to prepare the terminal")?;
    let mut hidden = before.clone();
    hidden.local_modes.remove(LocalModes::ECHO);
    tcsetattr(&stdin, OptionalActions::Flush, &hidden).context("failed to prepare the terminal")?;
    let answer = line(question);
    // The terminal shows what is typed again whatever the answer was.
    let restored = tcsetattr(&stdin, OptionalActions::Now, &before);
    eprintln!();
    restored.context("failed to restore the terminal; `stty echo` does")?;
    answer
}
