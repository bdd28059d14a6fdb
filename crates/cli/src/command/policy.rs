//! Policy changes: documents that loosen a policy and wait for signatures.

use std::process::ExitCode;

use anstyle::{AnsiColor, Style};
use reqwest::Method;
use towpath_api::rest::{Decision, PolicyChange};

use super::decide::Way;
use super::env::Place;
use crate::client::Client;
use crate::context::Remote;
use crate::failure::{Failure, Kind};
use crate::{output, prompt};

/// Lists the policy changes of an environment.
///
/// # Errors
/// Fails where the server refuses.
pub async fn list(client: &Client, place: &Place, remote: &Remote) -> anyhow::Result<()> {
    let changes: Vec<PolicyChange> = client.get(&place.path("/policy-changes")).await?;
    if remote.json {
        return output::json(&changes);
    }
    let row = |change: PolicyChange| {
        let why = change.reason.unwrap_or_else(|| change.needs.join("; "));
        [
            change.number.to_string(),
            change.state,
            change.author,
            output::time(change.proposed_at),
            change.loosens.join("; "),
            why,
        ]
    };
    let rows = changes.into_iter().map(row).collect();
    let header = ["change", "state", "by", "applied", "loosens", "why"];
    output::table(header, rows, "no document ever waited for signatures here");
    Ok(())
}

/// Signs a policy change, or ends it.
///
/// # Errors
/// Fails where there is none of that number, where it is not what was shown, or where the server refuses.
pub async fn decide(
    place: &Place,
    number: u64,
    way: Way,
    comment: String,
    yes: bool,
    remote: &Remote,
) -> anyhow::Result<ExitCode> {
    let client = Client::new(remote)?;
    let changes: Vec<PolicyChange> = client.get(&place.path("/policy-changes")).await?;
    let Some(change) = changes.into_iter().find(|change| change.number == number) else {
        let what = format!("there is no policy change {number} of {}/{}", place.project, place.environment);
        let hint = "`towpath env policy PROJECT/ENVIRONMENT` lists them";
        return Err(Failure::new(Kind::NotFound, what).hint(hint).into());
    };
    if !remote.json {
        show(&change);
    }
    let question = format!("{} {}?", if way == Way::Approve { "Sign" } else { "Reject" }, change.title);
    if !prompt::confirm(&question, yes)? {
        anstream::eprintln!("nothing was decided");
        return Ok(ExitCode::from(1));
    }
    let path = place.path(&format!("/policy-changes/{number}/{}", way.verb()));
    // The binding makes the server refuse where another document has taken its place since it was shown.
    let decision = Decision { comment, binding: Some(change.binding) };
    let change: PolicyChange = client.send(Method::POST, &path, &decision).await?;
    if remote.json {
        output::json(&change)?;
        return Ok(ExitCode::SUCCESS);
    }
    match change.reason {
        Some(reason) => anstream::println!("{} is {}: {reason}", change.title, change.state),
        None => anstream::println!("signed: {} waits for {}", change.title, change.needs.join("; ")),
    }
    Ok(ExitCode::SUCCESS)
}

fn show(change: &PolicyChange) {
    let bold = Style::new().bold();
    let warning = bold.fg_color(Some(AnsiColor::Yellow.into()));
    anstream::println!("{bold}{}{bold:#}, by {}", change.title, change.author);
    anstream::println!("  takes the place of version {}", change.base);
    for line in &change.changes {
        anstream::println!("  ~ {line}");
    }
    for loosened in &change.loosens {
        anstream::println!("  {warning}! loosens: {loosened}{warning:#}");
    }
    for need in &change.needs {
        anstream::println!("  waits for {need}");
    }
}
