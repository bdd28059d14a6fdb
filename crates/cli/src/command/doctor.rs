//! `towpath doctor`: what is wrong with the server, and what to do about it.

use std::process::ExitCode;

use anstyle::{AnsiColor, Style};
use towpath_api::rest::{Finding, FindingLevel};

use crate::client::Client;
use crate::context::Remote;
use crate::output;

/// Runs the command.
///
/// # Errors
/// Fails where the server refuses.
pub async fn run(remote: &Remote) -> anyhow::Result<ExitCode> {
    let findings: Vec<Finding> = Client::new(remote)?.get("/api/v1/doctor").await?;
    if remote.json {
        output::json(&findings)?;
    } else {
        for Finding { level, title, advice } in &findings {
            let (word, colour) = match level {
                FindingLevel::Good => ("good", AnsiColor::Green),
                FindingLevel::Warning => ("warn", AnsiColor::Yellow),
                FindingLevel::Bad => ("bad ", AnsiColor::Red),
            };
            let style = Style::new().bold().fg_color(Some(colour.into()));
            anstream::println!("{style}{word}{style:#}  {title}");
            if !advice.is_empty() {
                anstream::println!("      {advice}");
            }
        }
    }
    let bad = findings.iter().any(|finding| finding.level == FindingLevel::Bad);
    Ok(ExitCode::from(u8::from(bad)))
}
