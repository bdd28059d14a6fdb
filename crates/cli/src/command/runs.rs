//! `towpath runs`, `start`, `cancel` and `rerun`.

use std::process::ExitCode;

use jiff::{SignedDuration, Timestamp};
use reqwest::Method;
use towpath_api::rest::{Attempt, Comment, InputValue, Job, NewRun, Page, Run, RunEvidence};
use towpath_model::attempt::StepState;
use towpath_model::environment::human;
use towpath_model::run::RunState;

use super::wait::{self, Subject};
use crate::client::{Client, part};
use crate::context::Remote;
use crate::failure::Kind;
use crate::output;

/// Lists the newest runs of a project.
///
/// # Errors
/// Fails where the server refuses.
pub async fn list(project: &str, limit: u32, remote: &Remote) -> anyhow::Result<ExitCode> {
    let path = format!("/api/v1/projects/{}/runs?limit={limit}", part(project));
    let client = Client::new(remote)?;
    let page: Page<Run> = client.get(&path).await?;
    if remote.json {
        output::json(&page.items)?;
        return Ok(ExitCode::SUCCESS);
    }
    let row = |run: &Run| {
        let release = run.release.as_ref().map(|release| release.version.clone()).unwrap_or_default();
        [
            run.number.to_string(),
            run.state.word().to_owned(),
            release,
            run.cause.short_reference().to_owned(),
            run.cause.short_commit().to_owned(),
            run.cause.subject.clone(),
            run.reason.clone(),
        ]
    };
    let rows = page.items.iter().map(row).collect();
    let header = ["run", "state", "release", "ref", "commit", "subject", "why"];
    output::table(header, rows, "there is no run yet; push something");
    super::imported::mention(project, &client).await?;
    Ok(ExitCode::SUCCESS)
}

/// Shows a run: its jobs with their attempts and steps, and why each is in its state. Exits with 1 where it has ended and did
/// not pass.
///
/// # Errors
/// Fails where the server refuses.
pub async fn show(project: &str, number: u64, remote: &Remote) -> anyhow::Result<ExitCode> {
    let path = format!("/api/v1/projects/{}/runs/{number}", part(project));
    let client = Client::new(remote)?;
    let run: Run = client.get(&path).await?;
    let failed = run.state.is_final() && run.state != RunState::Passed;
    let code = if failed { ExitCode::from(Kind::Failed.code()) } else { ExitCode::SUCCESS };
    if remote.json {
        output::json(&run)?;
        return Ok(code);
    }
    print(&run, Steps::OfTheLast);
    let evidence: RunEvidence = client.get(&format!("{path}/evidence")).await?;
    super::evidence::annotations(&evidence.annotations);
    Ok(code)
}

/// Of which attempts the steps are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Steps {
    /// Of the last one.
    OfTheLast,
    /// Of all.
    OfAll,
}

/// Prints a run: its jobs with their attempts and steps, and why each is in its state.
pub fn print(run: &Run, steps: Steps) {
    head(run);
    for diagnostic in &run.diagnostics {
        output::text(diagnostic);
    }
    let rows = run.jobs.iter().flat_map(|job| rows(job, steps)).collect();
    output::table(["job", "try", "state", "took", "why"], rows, "no job was made of it");
}

fn head(run: &Run) {
    let cause = &run.cause;
    output::text(&format!("{}#{} {}: {}", run.project, run.number, run.state.word(), run.reason));
    let (commit, reference) = (cause.short_commit(), cause.short_reference());
    output::text(&format!(
        "  {} of {reference} ({commit}) by {}: {}",
        cause.event,
        cause.actor.name(),
        cause.subject
    ));
    if let Some(release) = &run.release {
        anstream::println!("  release {} {}", release.version, release.digest);
    }
    anstream::println!();
}

/// A job, its attempts, and their steps.
fn rows(job: &Job, steps: Steps) -> Vec<[String; 5]> {
    let mut rows = vec![[
        job.name.clone(),
        String::new(),
        job.state.word().to_owned(),
        String::new(),
        job.reason.clone(),
    ]];
    for (index, attempt) in job.attempts.iter().enumerate() {
        let message = match &attempt.tests {
            Some(tests) => {
                format!("{} tests passed, {} failed. {}", tests.passed, tests.failed, attempt.message)
            }
            None => attempt.message.clone(),
        };
        let message = match &attempt.retry {
            Some(retry) if retry.again || retry.words.contains("not tried again") => {
                format!("{message} [{}]", retry.words)
            }
            _ => message,
        };
        let number = attempt.number.to_string();
        rows.push([String::new(), number, attempt.state.word().to_owned(), attempt_took(attempt), message]);
        if steps == Steps::OfTheLast && index + 1 < job.attempts.len() {
            continue;
        }
        rows.extend(attempt.steps.iter().map(|step| {
            let time = took(step.started_at, step.finished_at);
            [format!("  {}", step.name), String::new(), step_word(&step.state), time, String::new()]
        }));
    }
    rows
}

fn attempt_took(attempt: &Attempt) -> String {
    took(attempt.started_at, attempt.finished_at)
}

fn took(from: Option<Timestamp>, to: Option<Timestamp>) -> String {
    let Some(from) = from else { return String::new() };
    let to = to.unwrap_or_else(Timestamp::now);
    let millis = i64::try_from(to.duration_since(from).as_millis()).unwrap_or(i64::MAX);
    human(SignedDuration::from_millis(millis))
}

fn step_word(state: &StepState) -> String {
    match state {
        StepState::Pending => "not yet".to_owned(),
        StepState::Running => "running".to_owned(),
        StepState::Passed => "passed".to_owned(),
        StepState::Failed { code } => format!("exit code {code}"),
        StepState::Killed { signal } => format!("killed by signal {signal}"),
        StepState::TimedOut => "timed out".to_owned(),
        StepState::Skipped => "skipped".to_owned(),
    }
}

/// Reads `name=value`.
pub fn input(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write it as `name=value`")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Starts a run of a ref or commit by hand.
///
/// # Errors
/// Fails where the server refuses.
pub async fn start(
    project: &str,
    reference: String,
    inputs: Vec<(String, String)>,
    wait: bool,
    remote: &Remote,
) -> anyhow::Result<ExitCode> {
    let path = format!("/api/v1/projects/{}/runs", part(project));
    let client = Client::new(remote)?;
    let inputs = inputs.into_iter().map(|(name, value)| (name, InputValue::Text(value))).collect();
    let run: Run = client.send(Method::POST, &path, &NewRun { reference, inputs }).await?;
    begun(&client, &run, wait, remote).await
}

/// Says that a run was started, or waits for its end.
async fn begun(client: &Client, run: &Run, wait: bool, remote: &Remote) -> anyhow::Result<ExitCode> {
    if wait {
        let subject = Subject::Run { project: run.project.clone(), number: run.number };
        return wait::wait(client, &subject, None, remote).await;
    }
    said(run, &format!("{}#{} {}: {}", run.project, run.number, run.state.word(), run.reason), remote)
}

/// Cancels a run.
///
/// # Errors
/// Fails where the server refuses.
pub async fn cancel(
    project: &str,
    number: u64,
    comment: String,
    remote: &Remote,
) -> anyhow::Result<ExitCode> {
    let path = format!("/api/v1/projects/{}/runs/{number}/cancel", part(project));
    let run: Run = Client::new(remote)?.send(Method::POST, &path, &Comment { comment }).await?;
    said(&run, &format!("{project}#{number} {}: {}", run.state.word(), run.reason), remote)
}

/// Lets a run of a fork go on, once somebody has looked at what it wants to run.
///
/// # Errors
/// Fails where the server refuses.
pub async fn allow(project: &str, number: u64, remote: &Remote) -> anyhow::Result<ExitCode> {
    let path = format!("/api/v1/projects/{}/runs/{number}/allow", part(project));
    let run: Run = Client::new(remote)?.send(Method::POST, &path, &Comment::default()).await?;
    said(&run, &format!("{project}#{number} {}: {}", run.state.word(), run.reason), remote)
}

/// Runs the jobs of a run that did not pass again.
///
/// # Errors
/// Fails where the server refuses.
pub async fn rerun(project: &str, number: u64, wait: bool, remote: &Remote) -> anyhow::Result<ExitCode> {
    let path = format!("/api/v1/projects/{}/runs/{number}/rerun", part(project));
    let client = Client::new(remote)?;
    let run: Run = client.send(Method::POST, &path, &Comment::default()).await?;
    begun(&client, &run, wait, remote).await
}

fn said(run: &Run, sentence: &str, remote: &Remote) -> anyhow::Result<ExitCode> {
    if remote.json {
        output::json(run)?;
    } else {
        anstream::println!("{sentence}");
    }
    Ok(ExitCode::SUCCESS)
}
