//! Waits for what Towpath does by itself, and says meanwhile how it goes.

use std::time::{Duration, Instant};

use anyhow::bail;
use serde::Deserialize;
use towpath_api::rest::{Environment, Promotion};
use towpath_model::environment::{Outcome, Phase as RolloutPhase};
use towpath_model::run::{JobState, Run, RunState};

use super::PROJECT;
use super::people::Person;
use super::screen::{Phase, number, percent};
use super::traffic::{Seen, Traffic};

/// How often the server is asked.
const EVERY: Duration = Duration::from_millis(100);

/// How long any one phase may take: several times what a slow machine needs.
const PATIENCE: Duration = Duration::from_secs(240);

/// Waits until a Run has ended, and returns it if it passed.
pub(super) async fn run(who: &Person, number: u64, phase: &mut Phase) -> anyhow::Result<Run> {
    let deadline = Instant::now() + PATIENCE;
    let path = format!("/api/v1/projects/{PROJECT}/runs/{number}");
    loop {
        let run: Run = who.api.get(&path).await?;
        phase.tell(&jobs(&run), "");
        if run.state == RunState::Passed && run.release.is_some() {
            return Ok(run);
        }
        if run.state.is_final() && run.state != RunState::Passed {
            let diagnostics = run.diagnostics.join("\n");
            bail!("run {number} {}: {} {diagnostics}", run.state.word(), run.reason);
        }
        again(deadline, "the run").await?;
    }
}

fn jobs(run: &Run) -> String {
    let job = |job: &towpath_model::run::JobRun| {
        let state = match job.state {
            JobState::Blocked | JobState::Waiting => "waits",
            JobState::Active => "runs",
            JobState::Passed => "passed",
            JobState::Failed => "failed",
            JobState::Skipped => "skipped",
            JobState::Cancelled => "cancelled",
        };
        format!("{} {state}", job.name)
    };
    let mut words: Vec<String> = run.jobs.iter().map(job).collect();
    match run.state {
        RunState::AwaitingApproval => words.insert(0, "waits for approval".to_owned()),
        RunState::Preparing => words.insert(0, "source is packed".to_owned()),
        RunState::Sealing => words.push("release is sealed".to_owned()),
        RunState::Invalid | RunState::Running | RunState::Passed | RunState::Failed | RunState::Cancelled => {
        }
    }
    words.join(", ")
}

/// An Environment as the core knows it, of which the server shows all but the judge's own memory.
#[derive(Deserialize)]
struct Status {
    environment: Environment,
    waits: Vec<String>,
}

/// Shows an Environment.
pub(super) async fn environment(who: &Person, name: &str) -> anyhow::Result<(Environment, Vec<String>)> {
    let path = format!("/api/v1/projects/{PROJECT}/environments/{name}");
    let status: Status = who.api.get(&path).await?;
    Ok((status.environment, status.waits))
}

/// Which Promotion is meant.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    /// Where to.
    pub(super) environment: &'a str,
    /// Which version.
    pub(super) version: &'a str,
    /// How many came before it there.
    pub(super) nth: usize,
}

/// Finds the Promotions into an Environment, oldest first.
pub(super) async fn promotions(who: &Person, environment: &str) -> anyhow::Result<Vec<Promotion>> {
    let path = format!("/api/v1/projects/{PROJECT}/environments/{environment}/history");
    let mut found: Vec<Promotion> = who.api.get(&path).await?;
    found.sort_by_key(|promotion| promotion.requested_at);
    Ok(found)
}

async fn find(who: &Person, wanted: Wanted<'_>) -> anyhow::Result<Option<Promotion>> {
    let found = promotions(who, wanted.environment).await?.into_iter().nth(wanted.nth);
    if let Some(promotion) = &found
        && promotion.revision.version != wanted.version
    {
        let title = &promotion.title;
        bail!("{} was expected in {}, but there is {title}", wanted.version, wanted.environment);
    }
    Ok(found)
}

/// Waits until a Promotion waits for people, or goes on without them.
pub(super) async fn request(
    who: &Person,
    wanted: Wanted<'_>,
    phase: &mut Phase,
) -> anyhow::Result<Promotion> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let (environment, waits) = environment(who, wanted.environment).await?;
        if let Some(promotion) = find(who, wanted).await?
            && (environment.waiting.as_ref().is_some_and(|waiting| waiting.id == promotion.id)
                || promotion.started_at.is_some())
        {
            return Ok(promotion);
        }
        phase.tell(waits.first().map_or("", String::as_str), "");
        again(deadline, "the request for approval").await?;
    }
}

/// Waits until a Promotion's Rollout has started.
pub(super) async fn start(who: &Person, wanted: Wanted<'_>, patience: Duration) -> anyhow::Result<bool> {
    let deadline = Instant::now() + patience;
    while Instant::now() < deadline {
        if find(who, wanted).await?.is_some_and(|promotion| promotion.started_at.is_some()) {
            return Ok(true);
        }
        tokio::time::sleep(EVERY).await;
    }
    Ok(false)
}

/// Waits until a Promotion has ended.
pub(super) async fn end(
    who: &Person,
    wanted: Wanted<'_>,
    traffic: Option<(&Traffic, &Seen)>,
    phase: &mut Phase,
) -> anyhow::Result<Promotion> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let found = find(who, wanted).await?;
        if let Some(promotion) = found.as_ref().filter(|promotion| promotion.outcome.is_some()) {
            return Ok(promotion.clone());
        }
        let active = match found {
            Some(_) => environment(who, wanted.environment).await?.0.active,
            None => None,
        };
        let state = active.as_ref().map_or_else(|| "waits for the stage before".to_owned(), rollout);
        let numbers = traffic.map(|(traffic, before)| rates(&traffic.so_far(), before)).unwrap_or_default();
        phase.tell(&state, &numbers);
        again(deadline, &format!("{} to {}", wanted.version, wanted.environment)).await?;
    }
}

/// Where a Rollout is, in words.
fn rollout(promotion: &Promotion) -> String {
    let Some(rollout) = &promotion.rollout else { return "waits".to_owned() };
    let weight = rollout.steps.last().map(|step| step.weight.to_string()).unwrap_or_default();
    let check = |index: usize| match promotion.plan.verify.get(index) {
        Some(towpath_model::pipeline::Verification::Run(run)) => run.name.clone(),
        Some(towpath_model::pipeline::Verification::Http(http)) => format!("GET {}", http.path),
        None => "a check".to_owned(),
    };
    match &rollout.phase {
        RolloutPhase::Step { .. } => format!("{} at {weight} of the traffic", promotion.state),
        RolloutPhase::Verifying { index, .. } => format!("verified by {}", check(*index)),
        RolloutPhase::Returning => "unhealthy: traffic goes back".to_owned(),
        phase @ (RolloutPhase::Preparing
        | RolloutPhase::Replacing
        | RolloutPhase::Starting
        | RolloutPhase::Batch { .. }
        | RolloutPhase::Completing) => phase.word().to_owned(),
    }
}

/// What each version did since `before`.
fn rates(now: &Seen, before: &Seen) -> String {
    let rate = |version: &str| {
        let seen = now.since(before, version);
        let failed = percent(seen.failed, seen.requests);
        (seen.requests > 0).then(|| format!("{version}: {} requests, {failed} failed", number(seen.requests)))
    };
    super::traffic::VERSIONS.iter().filter_map(|version| rate(version)).collect::<Vec<_>>().join(" · ")
}

/// Fails unless a Promotion succeeded.
pub(super) fn succeeded(promotion: &Promotion) -> anyhow::Result<()> {
    match &promotion.outcome {
        Some(Outcome::Succeeded) => Ok(()),
        Some(outcome) => bail!("{} {}: {}", promotion.title, outcome.word(), outcome.reason()),
        None => bail!("{} has not ended", promotion.title),
    }
}

async fn again(deadline: Instant, what: &str) -> anyhow::Result<()> {
    if Instant::now() > deadline {
        bail!("{what} took more than {} s", PATIENCE.as_secs());
    }
    tokio::time::sleep(EVERY).await;
    Ok(())
}
