//! `towpath status`: what serves, since when, how it does, who gets the traffic, and what waits for what.

use std::process::ExitCode;

use anstyle::{AnsiColor, Style};
use towpath_api::rest::{
    Deployment, Environment, EnvironmentRef, EnvironmentStatus, Promotion, Schedule, Triggers,
};
use towpath_model::environment::{InstanceHealth, human};

use super::env::Place;
use crate::client::{Client, part};
use crate::context::Remote;
use crate::output;

/// Runs the command.
///
/// # Errors
/// Fails where the server refuses.
pub async fn run(place: &str, remote: &Remote) -> anyhow::Result<ExitCode> {
    let client = Client::new(remote)?;
    match place.parse::<Place>() {
        Ok(place) => environment(&place, &client, remote.json).await?,
        Err(_) => project(place, &client, remote).await?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints one environment, or the JSON of it.
async fn environment(place: &Place, client: &Client, json: bool) -> anyhow::Result<()> {
    let status: EnvironmentStatus = client.get(&place.path("")).await?;
    if json {
        return output::json(&status);
    }
    show(&status);
    if let Some(waiting) = &status.environment.waiting {
        let told: Vec<String> = client.get(&format!("/api/v1/promotions/{}/told", part(&waiting.id))).await?;
        told.iter().for_each(|words| line("told", &output::words(words)));
    }
    Ok(())
}

async fn project(project: &str, client: &Client, remote: &Remote) -> anyhow::Result<()> {
    let path = format!("/api/v1/projects/{}/environments", part(project));
    let all: Vec<EnvironmentStatus> = client.get(&path).await?;
    if remote.json {
        return output::json(&all);
    }
    triggers(&client.get(&format!("/api/v1/projects/{}/triggers", part(project))).await?);
    if all.is_empty() {
        anstream::eprintln!("{project} has no environments; `towpath apply` makes them");
    }
    for status in &all {
        show(status);
    }
    Ok(())
}

/// Prints what starts runs by itself, and when.
fn triggers(triggers: &Triggers) {
    for Schedule { cron, timezone, branch, next, last_at: _, last } in &triggers.schedules {
        let next = next.map_or_else(|| "never".to_owned(), output::time);
        let branch = branch.as_ref().map(|branch| format!(" on {branch}")).unwrap_or_default();
        let last = if last.is_empty() { String::new() } else { format!("; last: {last}") };
        anstream::println!("schedule `{cron}` in {timezone}{branch}: next {next}{last}");
    }
    for (project, versions) in &triggers.releases {
        let versions = if versions.is_empty() { "every version".to_owned() } else { versions.join(", ") };
        anstream::println!("starts with a release of {project}: {versions}");
    }
}

/// Prints one environment.
pub fn show(status: &EnvironmentStatus) {
    let EnvironmentStatus { environment, waits, offer } = status;
    let bold = Style::new().bold();
    anstream::println!("{bold}{}{bold:#}", environment.key.environment);
    line("serves", &serves(environment.current.as_ref()));
    if let Some(health) = health(environment) {
        line("health", &health);
    }
    if let Some(split) = split(environment) {
        line("traffic", &split);
    }
    let moving =
        [("rollout", &environment.active), ("waiting", &environment.waiting), ("next", &environment.next)];
    for (label, promotion) in moving {
        if let Some(promotion) = promotion {
            line(label, &moves(promotion));
        }
    }
    for promotion in &environment.line {
        line("behind", &moves(promotion));
    }
    if let Some(hold) = &environment.hold {
        let yellow = bold.fg_color(Some(AnsiColor::Yellow.into()));
        let why = if hold.reason.is_empty() { String::new() } else { format!(": {}", hold.reason) };
        line(
            "held",
            &format!("{yellow}by {} since {}{why}{yellow:#}", hold.by.name(), output::time(hold.at)),
        );
    }
    for wait in waits {
        line("why", &output::words(wait));
    }
    if let Some(version) = offer {
        let EnvironmentRef { project, environment } = &environment.key;
        line("could take", &format!("{version}: towpath promote {version} {project}/{environment}"));
    }
}

fn line(label: &str, text: &str) {
    anstream::println!("  {label:<10} {text}");
}

fn serves(current: Option<&Deployment>) -> String {
    let Some(Deployment { revision, since, promotion: _ }) = current else { return "nothing".to_owned() };
    let commit: String = revision.commit.chars().take(8).collect();
    let age = jiff::Timestamp::now().duration_since(*since);
    let age = human(jiff::SignedDuration::from_secs(age.as_secs()));
    format!("{} (commit {commit}) since {}, {age} ago", revision.version, output::time(*since))
}

/// How the instances of what serves are.
fn health(environment: &Environment) -> Option<String> {
    let current = environment.current.as_ref()?;
    let mine = |instance: &&towpath_model::environment::Instance| {
        instance.wanted && instance.revision.to_string() == current.revision.digest
    };
    let (mut ready, mut all, mut others) = (0, 0, Vec::new());
    for instance in environment.fleet.instances.iter().filter(mine) {
        all += 1;
        if instance.health == InstanceHealth::Ready {
            ready += 1;
        } else {
            others.push(instance.health.word());
        }
    }
    let colour = if ready == all { AnsiColor::Green } else { AnsiColor::Red };
    let style = Style::new().fg_color(Some(colour.into()));
    let others = if others.is_empty() { String::new() } else { format!(" ({})", others.join(", ")) };
    Some(format!("{style}{ready} of {all} instances ready{style:#}{others}"))
}

/// Who gets how much, where more than one does.
fn split(environment: &Environment) -> Option<String> {
    let arms = &environment.traffic.arms;
    if arms.len() < 2 {
        return None;
    }
    let share = |arm: &towpath_model::environment::TrafficArm| {
        let digest = arm.revision.to_string();
        let version = environment.version_of(&digest).unwrap_or(&digest);
        format!("{version} {}", arm.weight)
    };
    Some(arms.iter().map(share).collect::<Vec<_>>().join(", "))
}

fn moves(promotion: &Promotion) -> String {
    let version = &promotion.revision.version;
    let by =
        format!("asked by {} at {}", promotion.requested_by.name(), output::time(promotion.requested_at));
    match &promotion.rollout {
        None => format!("{version}, {by}"),
        Some(rollout) => {
            let verdict =
                if rollout.verdict.is_empty() { String::new() } else { format!("; {}", rollout.verdict) };
            let back = rollout.back.as_ref().map(|back| format!("; goes back: {}", back.reason));
            format!("{version}: {}{verdict}{}", promotion.state, back.unwrap_or_default())
        }
    }
}
