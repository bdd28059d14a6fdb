//! `towpath lift`: opens a Gate that waits for a hand.

use std::process::ExitCode;

use reqwest::Method;
use towpath_api::rest::{Environment, EnvironmentStatus, Lift};

use super::env::Place;
use super::status;
use crate::client::{Client, part};
use crate::context::Remote;
use crate::output;

/// Lifts the holds of what waits for an environment.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The environment, as `shop/production`.
    place: Place,
    /// The hold's name, as the gate says it; without it every hold that you may lift.
    #[arg(long)]
    name: Option<String>,
    /// Of several that wait, the one of this version.
    #[arg(long)]
    version: Option<String>,
    /// Why, for the timeline.
    #[arg(short = 'm', long, default_value = "")]
    comment: String,
}

/// Runs the command.
///
/// # Errors
/// Fails where nothing waits, no such hold is left, or somebody else has to lift it.
pub async fn run(args: Args, remote: &Remote) -> anyhow::Result<ExitCode> {
    let Args { place, name, version, comment } = args;
    let client = Client::new(remote)?;
    let found: EnvironmentStatus = client.get(&place.path("")).await?;
    let waiting = super::env::waiting(found.environment, &place, version.as_deref())?;
    let path = format!("/api/v1/promotions/{}/lift", part(&waiting.id));
    let environment: Environment = client.send(Method::POST, &path, &Lift { name, comment }).await?;
    if remote.json {
        output::json(&environment)?;
        return Ok(ExitCode::SUCCESS);
    }
    anstream::println!("lifted the hold of {}", waiting.title);
    status::show(&client.get(&place.path("")).await?);
    Ok(ExitCode::SUCCESS)
}
