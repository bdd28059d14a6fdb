//! Questions on the terminal.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use anyhow::Context as _;
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

use crate::failure::{Failure, Kind};

/// Asks for a line; nothing is asked where the answer comes from a pipe.
pub fn line(question: &str) -> anyhow::Result<String> {
    if io::stdin().is_terminal() {
        let mut stderr = io::stderr();
        write!(stderr, "{question}: ")?;
        stderr.flush()?;
    }
    let mut line = String::new();
    let read = io::stdin().lock().read_line(&mut line).context("failed to read the answer")?;
    if read == 0 {
        return Err(Failure::new(Kind::Usage, format!("there was no answer to `{question}`")).into());
    }
    Ok(line.trim_end_matches(['\n', '\r']).to_owned())
}

/// Asks for a new password, twice on a terminal.
pub fn new_password(question: &str) -> anyhow::Result<String> {
    let password = secret(question)?;
    if io::stdin().is_terminal() && secret("The same again")? != password {
        return Err(Failure::new(Kind::Usage, "the two are not the same; nothing was changed").into());
    }
    Ok(password)
}

/// Asks whether to go on. Where nobody can answer, `--yes` must have been said.
pub fn confirm(question: &str, said_yes: bool) -> anyhow::Result<bool> {
    if said_yes {
        return Ok(true);
    }
    if !io::stdin().is_terminal() {
        return Err(Failure::new(Kind::Usage, "nobody is there to be asked; nothing was changed")
            .hint("say `--yes` if you mean it")
            .into());
    }
    let answer = line(&format!("{question} [y/N]"))?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

/// Asks for a secret that may have several lines: from a pipe it is all of it, but for one last line break.
pub fn secret_text(question: &str) -> anyhow::Result<String> {
    let stdin = io::stdin();
    if stdin.is_terminal() {
        return secret(question);
    }
    let mut text = io::read_to_string(stdin.lock()).context("failed to read standard input")?;
    if text.ends_with('\n') {
        text.pop();
    }
    Ok(text)
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
