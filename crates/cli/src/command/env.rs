//! Environments: `status`, `env`, `promote`, `approve`, `reject`, `hold`, `resume`, `rollback`.

use std::process::ExitCode;
use std::str::FromStr;

use reqwest::Method;
use serde::Serialize;
use serde_json::Value;
use towpath_api::rest::{Comment, Decision, EnvironmentStatus, NewPromotion, Rollback};

use super::runs::said;
use crate::client::{Client, part};
use crate::context::Remote;
use crate::failure::{Failure, Kind};
use crate::output;

/// An environment, written `shop/production`.
#[derive(Debug, Clone)]
pub struct Place {
    project: String,
    environment: String,
}

impl FromStr for Place {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('/') {
            Some((project, environment)) if !project.is_empty() && !environment.is_empty() => {
                Ok(Self { project: project.to_owned(), environment: environment.to_owned() })
            }
            _ => Err("write an environment as `project/environment`".to_owned()),
        }
    }
}

impl Place {
    fn path(&self, verb: &str) -> String {
        format!("/api/v1/projects/{}/environments/{}{verb}", part(&self.project), part(&self.environment))
    }
}

/// Shows the environments of a project, and what they wait for.
///
/// # Errors
/// Fails where the server refuses.
pub async fn status(project: &str, remote: &Remote) -> anyhow::Result<ExitCode> {
    let path = format!("/api/v1/projects/{}/environments", part(project));
    let all: Vec<EnvironmentStatus> = Client::new(remote)?.get(&path).await?;
    if remote.json {
        output::json(&all)?;
        return Ok(ExitCode::SUCCESS);
    }
    if all.is_empty() {
        anstream::eprintln!("{project} has no environments; `towpath apply` makes them");
    }
    for EnvironmentStatus { environment, waits } in &all {
        let name = environment["key"]["environment"].as_str().unwrap_or_default();
        let current = version(&environment["current"]["revision"]).unwrap_or("nothing");
        let active = version(&environment["active"]["revision"]).map(|to| format!(", rolling out {to}"));
        let waiting = version(&environment["waiting"]["revision"]).map(|next| format!(", {next} waits"));
        let held = if environment["hold"].is_null() { "" } else { ", held" };
        anstream::println!(
            "{name}: {current} serves{}{}{held}",
            active.unwrap_or_default(),
            waiting.unwrap_or_default()
        );
        for wait in waits {
            anstream::println!("  - {wait}");
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn version(revision: &Value) -> Option<&str> {
    revision["version"].as_str()
}

/// Shows all that is known of an environment, or its promotions, as JSON.
///
/// # Errors
/// Fails where the server refuses.
pub async fn show(place: &Place, history: bool, remote: &Remote) -> anyhow::Result<ExitCode> {
    let path = place.path(if history { "/history" } else { "" });
    let found: Value = Client::new(remote)?.get(&path).await?;
    output::json(&found)?;
    Ok(ExitCode::SUCCESS)
}

/// Promotes a release.
///
/// # Errors
/// Fails where the server refuses.
pub async fn promote(place: &Place, new: &NewPromotion, remote: &Remote) -> anyhow::Result<ExitCode> {
    ask(place, "/promote", new, &format!("{} is on its way", new.version), remote).await
}

/// Holds an environment.
///
/// # Errors
/// Fails where the server refuses.
pub async fn hold(place: &Place, comment: String, remote: &Remote) -> anyhow::Result<ExitCode> {
    ask(place, "/hold", &Comment { comment }, "held; `towpath resume` lets it go on", remote).await
}

/// Ends a hold.
///
/// # Errors
/// Fails where the server refuses.
pub async fn resume(place: &Place, comment: String, remote: &Remote) -> anyhow::Result<ExitCode> {
    ask(place, "/resume", &Comment { comment }, "goes on", remote).await
}

/// Goes back.
///
/// # Errors
/// Fails where the server refuses.
pub async fn rollback(place: &Place, back: &Rollback, remote: &Remote) -> anyhow::Result<ExitCode> {
    ask(place, "/rollback", back, "goes back; `towpath status` shows how far it is", remote).await
}

async fn ask(
    place: &Place,
    verb: &str,
    body: &impl Serialize,
    sentence: &str,
    remote: &Remote,
) -> anyhow::Result<ExitCode> {
    let answer: Value = Client::new(remote)?.send(Method::POST, &place.path(verb), body).await?;
    said(&answer, sentence, remote)
}

/// Approves or rejects what waits for an environment.
///
/// # Errors
/// Fails where nothing waits, or the server refuses.
pub async fn decide(place: &Place, verb: &str, comment: String, remote: &Remote) -> anyhow::Result<ExitCode> {
    let client = Client::new(remote)?;
    let status: EnvironmentStatus = client.get(&place.path("")).await?;
    let waiting = &status.environment["waiting"];
    let Some(id) = waiting["id"].as_str() else {
        let what = format!("nothing waits for {}/{}", place.project, place.environment);
        return Err(Failure::new(Kind::NotFound, what).hint("`towpath status` shows what does").into());
    };
    let path = format!("/api/v1/promotions/{}/{verb}", part(id));
    let answer: Value = client.send(Method::POST, &path, &Decision { comment, binding: None }).await?;
    let version = version(&waiting["revision"]).unwrap_or("it");
    said(&answer, &format!("{verb}: {version} for {}/{}", place.project, place.environment), remote)
}
