//! `towpath search` and `towpath failures`: what logs say.

use std::process::ExitCode;

use towpath_api::rest::{LogSearch, RecurringFailure};
use towpath_artifact::parse_line;

use crate::client::{Client, part};
use crate::context::Remote;
use crate::output;

/// Looks for a text in the logs of a project.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub struct Search {
    /// The project.
    project: String,
    /// What to look for, whatever its case and colours.
    text: String,
    /// How many lines, at most 200.
    #[arg(long, default_value_t = 50)]
    limit: u32,
    /// Only in runs below this number.
    #[arg(long)]
    below: Option<u64>,
}

/// Shows what fails in a project.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub struct Failures {
    /// The project.
    project: String,
    /// In the last days, at most 365.
    #[arg(long, default_value_t = 30)]
    days: u32,
    /// How many.
    #[arg(long, default_value_t = 20)]
    limit: u32,
}

/// Runs `towpath search`. Exits with 1 where nothing was found, as grep does.
///
/// # Errors
/// Fails where the server refuses.
pub async fn search(args: Search, remote: &Remote) -> anyhow::Result<ExitCode> {
    let Search { project, text, limit, below } = args;
    let below = below.map(|below| format!("&below={below}")).unwrap_or_default();
    let path = format!("/api/v1/projects/{}/logs?text={}&limit={limit}{below}", part(&project), part(&text));
    let found: LogSearch = Client::new(remote)?.get(&path).await?;
    let exit = if found.hits.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS };
    if remote.json {
        output::json(&found)?;
        return Ok(exit);
    }
    for hit in &found.hits {
        let said =
            parse_line(hit.text.as_bytes()).map(|line| String::from_utf8_lossy(line.text).into_owned());
        let said: String = said.as_deref().unwrap_or(&hit.text).chars().filter(|c| !c.is_control()).collect();
        anstream::println!("{project}#{} {}:{}: {said}", hit.run, hit.job, hit.line);
    }
    match found.below {
        Some(below) => anstream::eprintln!("{} logs were searched; go on with --below {below}", found.logs),
        None => anstream::eprintln!("all {} logs were searched", found.logs),
    }
    Ok(exit)
}

/// Runs `towpath failures`.
///
/// # Errors
/// Fails where the server refuses.
pub async fn failures(args: Failures, remote: &Remote) -> anyhow::Result<ExitCode> {
    let Failures { project, days, limit } = args;
    let path = format!("/api/v1/projects/{}/failures?days={days}&limit={limit}", part(&project));
    let found: Vec<RecurringFailure> = Client::new(remote)?.get(&path).await?;
    if remote.json {
        output::json(&found)?;
        return Ok(ExitCode::SUCCESS);
    }
    let row = |failure: RecurringFailure| {
        let commit = failure.first.commit.get(..8).unwrap_or(&failure.first.commit).to_owned();
        let last = format!("#{} {}:{}", failure.last.run, failure.last.job, failure.last.line);
        [failure.count.to_string(), commit, failure.first.agent, last, failure.last.words]
    };
    let rows = found.into_iter().map(row).collect();
    output::table(["times", "since", "first on", "last", "says"], rows, "no step has failed");
    Ok(ExitCode::SUCCESS)
}
