//! `towpath approve` and `reject`: says yes or no to exactly what was shown.

use std::process::ExitCode;

use anstyle::Style;
use reqwest::Method;
use towpath_api::rest::{Decision, Environment, EnvironmentStatus, Promotion, Revision};
use towpath_model::environment::GateState;
use towpath_model::migration;
use towpath_model::pipeline::Gate;

use super::env::Place;
use super::status;
use crate::client::{Client, part};
use crate::context::Remote;
use crate::{output, prompt};

/// Says yes or no to what waits for an environment.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The environment, as `shop/production`.
    place: Place,
    /// Signs policy change N of the environment instead: a document that loosens its policy.
    #[arg(long, value_name = "N")]
    policy: Option<u64>,
    /// Of several that wait, the one of this version.
    #[arg(long, conflicts_with = "policy")]
    version: Option<String>,
    /// Why, for the timeline.
    #[arg(short = 'm', long, default_value = "")]
    comment: String,
    /// Decides without asking.
    #[arg(short, long)]
    yes: bool,
}

/// Which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Yes.
    Approve,
    /// No.
    Reject,
}

impl Way {
    /// The word for it, as a command and in addresses.
    pub const fn verb(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Reject => "reject",
        }
    }
}

/// Runs the command.
///
/// # Errors
/// Fails where nothing waits, where it changed since it was shown, or where the server refuses.
pub async fn run(args: Args, way: Way, remote: &Remote) -> anyhow::Result<ExitCode> {
    let Args { place, policy, version, comment, yes } = args;
    if let Some(number) = policy {
        return super::policy::decide(&place, number, way, comment, yes, remote).await;
    }
    let client = Client::new(remote)?;
    let found: EnvironmentStatus = client.get(&place.path("")).await?;
    let serves = found.environment.current.as_ref().map(|current| current.revision.clone());
    let waiting = super::env::waiting(found.environment, &place, version.as_deref())?;
    if !remote.json {
        show(&waiting, serves.as_ref());
    }
    let question = format!("{} {}?", if way == Way::Approve { "Approve" } else { "Reject" }, waiting.title);
    if !prompt::confirm(&question, yes)? {
        anstream::eprintln!("nothing was decided");
        return Ok(ExitCode::from(1));
    }
    let path = format!("/api/v1/promotions/{}/{}", part(&waiting.id), way.verb());
    // The binding makes the server refuse where release, plan or document have changed since it was shown.
    let decision = Decision { comment, binding: Some(waiting.binding) };
    let environment: Environment = client.send(Method::POST, &path, &decision).await?;
    if remote.json {
        output::json(&environment)?;
        return Ok(ExitCode::SUCCESS);
    }
    let done = if way == Way::Approve { "approved" } else { "rejected" };
    anstream::println!("{done}: {}", waiting.title);
    status::show(&client.get(&place.path("")).await?);
    Ok(ExitCode::SUCCESS)
}

fn show(promotion: &Promotion, serves: Option<&Revision>) {
    let bold = Style::new().bold();
    anstream::println!("{bold}{}{bold:#}", promotion.title);
    let line = |label: &str, text: &str| anstream::println!("  {label:<9} {text}");
    line("commit", &promotion.revision.commit);
    line("release", &promotion.revision.release);
    let version = serves.map(|serves| serves.version.as_str());
    line("replaces", version.unwrap_or("nothing, it is the first"));
    let applied = serves.map_or(&[][..], |serves| &serves.databases);
    let migrations = migration::told(applied, &promotion.revision.databases);
    for words in migrations.into_iter().chain(promotion.plan.words(version)) {
        line("plan", &words);
    }
    line("made by", &promotion.makers.join(", "));
    line("asked by", &format!("{}, {}", promotion.requested_by.name(), output::time(promotion.requested_at)));
    for gate in &promotion.gates {
        let state = match gate.state {
            GateState::Open => "open",
            GateState::Waiting => "waits",
            GateState::Expired => "expired",
        };
        line("gate", &format!("{}, {state}: {}", gate.kind, output::words(&gate.reason)));
    }
    for gate in
        promotion.plan.gates.iter().filter_map(Gate::approval).filter(|gate| !gate.instructions.is_empty())
    {
        line("look at", &gate.instructions);
    }
    for vote in &promotion.votes {
        let word = if vote.approve { "approved" } else { "rejected" };
        let comment = if vote.comment.is_empty() { String::new() } else { format!(": {}", vote.comment) };
        line("vote", &format!("{} {word}{comment}", vote.login));
    }
}
