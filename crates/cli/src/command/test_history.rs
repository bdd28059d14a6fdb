//! `towpath tests` and `towpath test`: history, flakiness, quarantine.

use std::process::ExitCode;

use jiff::{SignedDuration, Timestamp};
use reqwest::Method;
use towpath_api::rest::{NamedTest, NewQuarantine, RunEvidence, Test, Tests};

use crate::client::{Client, part};
use crate::context::Remote;
use crate::output;

/// Which tests are listed.
#[derive(Debug, clap::Args)]
pub struct ListArgs {
    /// The project.
    project: String,
    /// Only tests whose name contains this.
    #[arg(long, default_value = "")]
    like: String,
    /// The slowest first, instead of flaky and failing ones.
    #[arg(long)]
    slowest: bool,
    /// How many.
    #[arg(long, default_value_t = 50)]
    limit: u32,
    /// Shows what the reports of this run say, instead of the project's tests.
    #[arg(long, value_name = "NUMBER", conflicts_with_all = ["like", "slowest"])]
    run: Option<u64>,
}

/// What is done with one test.
#[derive(Debug, clap::Subcommand)]
pub enum Args {
    /// Prints the tests of one share, for a job with `parallel`: of the list on standard input, by how long each took before.
    Split {
        #[command(flatten)]
        args: super::test_split::Args,
    },
    /// Shows a test with its last failures.
    Show {
        /// The project.
        project: String,
        /// Its name, as `towpath tests` lists it.
        test: String,
    },
    /// Puts a test into quarantine: until then its failures are shown and fail no job.
    Quarantine {
        /// The project.
        project: String,
        /// Its name, as `towpath tests` lists it.
        test: String,
        /// Who sees to it.
        #[arg(long)]
        owner: String,
        /// Until when: a day (2026-12-31), a time, or days from now (14d). At most 90 days.
        #[arg(long)]
        until: String,
        /// Why.
        #[arg(long)]
        reason: String,
    },
    /// Takes a test out of quarantine: its failures count again.
    Release {
        /// The project.
        project: String,
        /// Its name.
        test: String,
    },
}

/// Lists the tests of a project, or what a run's reports say.
///
/// # Errors
/// Fails where the server refuses.
pub async fn list(args: ListArgs, remote: &Remote) -> anyhow::Result<ExitCode> {
    let ListArgs { project, like, slowest, limit, run } = args;
    let client = Client::new(remote)?;
    if let Some(run) = run {
        let path = format!("/api/v1/projects/{}/runs/{run}/evidence", part(&project));
        let evidence: RunEvidence = client.get(&path).await?;
        if remote.json {
            output::json(&evidence)?
        } else {
            super::evidence::show(&evidence)
        }
        return Ok(ExitCode::SUCCESS);
    }
    let order = if slowest { "slowest" } else { "health" };
    let query = format!("order={order}&limit={limit}&like={}", part(&like));
    let tests: Tests = client.get(&format!("/api/v1/projects/{}/tests?{query}", part(&project))).await?;
    if remote.json {
        output::json(&tests)?;
        return Ok(ExitCode::SUCCESS);
    }
    let Tests { stable, failing, flaky, skipped, tests, quarantined, more } = tests;
    anstream::println!("{stable} stable, {failing} failing, {flaky} flaky, {skipped} always skipped\n");
    let header = ["test", "health", "failed", "retried", "time", "last results", "job"];
    output::table(
        header,
        tests.iter().map(row).collect(),
        "no report has named a test yet; see `reports: { junit: … }`",
    );
    if more {
        anstream::println!("\nthere are more: `--limit`, `--like`");
    }
    if !quarantined.is_empty() {
        anstream::println!();
        let rows = quarantined.into_iter().map(|entry| {
            let until = output::time(entry.until);
            let until =
                if entry.expired { format!("{until}, over: its failures count again") } else { until };
            [entry.test, entry.owner, until, entry.reason]
        });
        output::table(["in quarantine", "owner", "until", "why"], rows.collect(), "");
    }
    Ok(ExitCode::SUCCESS)
}

fn row(test: &Test) -> [String; 7] {
    let health = match &test.quarantine {
        Some(entry) if !entry.expired => format!("{}, in quarantine", test.health),
        _ => test.health.clone(),
    };
    let recent: String = test.recent.chars().rev().take(20).collect::<Vec<_>>().into_iter().rev().collect();
    [
        test.id.clone(),
        health,
        format!("{} of {}", test.failures, test.runs),
        test.retried.to_string(),
        test.millis.map(seconds).unwrap_or_default(),
        recent,
        test.job.clone(),
    ]
}

fn seconds(millis: u64) -> String {
    format!("{}.{:03} s", millis / 1000, millis % 1000)
}

/// Runs the command.
///
/// # Errors
/// Fails where the server refuses.
pub async fn run(args: Args, remote: &Remote) -> anyhow::Result<ExitCode> {
    // It runs within a Job, which reaches no server.
    if let Args::Split { args } = args {
        return super::test_split::run(args);
    }
    let client = Client::new(remote)?;
    let path = |project: &str, verb: &str| format!("/api/v1/projects/{}/tests/{verb}", part(project));
    match args {
        Args::Split { args: _ } => {}
        Args::Show { project, test } => {
            let test: Test = client.send(Method::POST, &path(&project, "show"), &NamedTest { test }).await?;
            if remote.json { output::json(&test)? } else { show(&test) }
        }
        Args::Quarantine { project, test, owner, until, reason } => {
            let until = moment(&until, Timestamp::now())?;
            let new = NewQuarantine { test: test.clone(), owner, reason, until };
            client.tell(Method::POST, &path(&project, "quarantine"), &new).await?;
            anstream::println!(
                "{test} is in quarantine until {}: its failures are shown and fail no job",
                output::time(until)
            );
        }
        Args::Release { project, test } => {
            client.tell(Method::POST, &path(&project, "release"), &NamedTest { test: test.clone() }).await?;
            anstream::println!("{test} is out of quarantine: its failures count again");
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn show(test: &Test) {
    output::table(
        ["test", "health", "failed", "retried", "time", "last results", "job"],
        vec![row(test)],
        "",
    );
    if let Some(entry) = &test.quarantine {
        anstream::println!(
            "\nin quarantine until {} ({}): {}",
            output::time(entry.until),
            entry.owner,
            entry.reason
        );
    }
    for failure in &test.last_failures {
        let place = failure.said.file.as_ref().map(|file| match failure.said.line {
            Some(line) => format!(" at {file}:{line}"),
            None => format!(" in {file}"),
        });
        let note = if failure.retried { ", and passed when it was tried again" } else { "" };
        output::text(&format!(
            "\nrun {} {} (try {}), {}{}{note}\n  {}",
            failure.run,
            failure.job,
            failure.attempt,
            output::time(failure.at),
            place.unwrap_or_default(),
            failure.said.message.replace('\n', "\n  ")
        ));
    }
}

/// `2026-12-31` (its end, here), `2026-12-31T12:00:00Z`, or `14d`.
fn moment(text: &str, now: Timestamp) -> anyhow::Result<Timestamp> {
    if let Some(days) = text.strip_suffix('d').and_then(|days| days.parse::<i64>().ok()) {
        return Ok(now.checked_add(SignedDuration::from_hours(days.saturating_mul(24)))?);
    }
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(at);
    }
    let day: jiff::civil::Date = text
        .parse()
        .map_err(|_| anyhow::anyhow!("`{text}` is no time: write 2026-12-31, 2026-12-31T12:00:00Z or 14d"))?;
    Ok(day.tomorrow()?.to_zoned(jiff::tz::TimeZone::system())?.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_can_be_said_in_three_ways() {
        let now: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
        assert_eq!(moment("14d", now).unwrap().to_string(), "2026-12-05T12:00:00Z");
        assert_eq!(moment("2026-12-01T00:00:00Z", now).unwrap().to_string(), "2026-12-01T00:00:00Z");
        assert!(moment("2026-12-31", now).unwrap() > moment("2026-12-30T12:00:00Z", now).unwrap());
        assert!(moment("soon", now).unwrap_err().to_string().contains("14d"));
    }
}
