//! `towpath insights`: what a project's jobs hide or waste.

use std::process::ExitCode;

use jiff::SignedDuration;
use towpath_api::rest::{DeliveryInsights, Incident, JobRetries, RetryInsights};

use crate::client::{Client, part};
use crate::context::Remote;
use crate::output;

/// What is shown.
#[derive(Debug, clap::Subcommand)]
pub enum Args {
    /// Shows retries by class and job: how many, how many helped, how many were refused, and what is left of each budget.
    Retries {
        /// The project.
        project: String,
        /// In the last days, at most 365.
        #[arg(long, default_value_t = 30)]
        days: u32,
        /// How many classes and jobs.
        #[arg(long, default_value_t = 100)]
        limit: u32,
    },
    /// Shows how a project delivers: deployment frequency, lead time, change failures, time to restore, rework, and what failed.
    Delivery {
        /// The project.
        project: String,
        /// In the last days, at most 365.
        #[arg(long, default_value_t = 30)]
        days: u32,
        /// The environment that counts; those at the end of the route if absent.
        #[arg(long)]
        environment: Option<String>,
    },
}

/// Runs the command.
///
/// # Errors
/// Fails where the server refuses.
pub async fn run(args: Args, remote: &Remote) -> anyhow::Result<ExitCode> {
    match args {
        Args::Retries { project, days, limit } => retries(&project, days, limit, remote).await,
        Args::Delivery { project, days, environment } => {
            delivery(&project, days, environment.as_deref(), remote).await
        }
    }
}

async fn delivery(
    project: &str,
    days: u32,
    environment: Option<&str>,
    remote: &Remote,
) -> anyhow::Result<ExitCode> {
    let place = environment.map(|name| format!("&environment={}", part(name))).unwrap_or_default();
    let path = format!("/api/v1/projects/{}/insights/delivery?days={days}{place}", part(project));
    let found: DeliveryInsights = Client::new(remote)?.get(&path).await?;
    if remote.json {
        output::json(&found)?;
        return Ok(ExitCode::SUCCESS);
    }
    anstream::println!("{project} into {}, the last {days} days", found.environments.join(", "));
    let band = |band: &Option<String>| band.clone().unwrap_or_default();
    let rows = vec![
        [
            "deployments".to_owned(),
            format!("{} ({:.2} a day)", found.deployments, found.per_day),
            found.frequency.clone(),
        ],
        ["lead time".to_owned(), time(found.lead_time_seconds), band(&found.lead_time)],
        [
            "failed changes".to_owned(),
            format!("{} ({})", found.failures, share(found.failure_rate)),
            band(&found.change_failure),
        ],
        ["time to restore".to_owned(), time(found.restore_seconds), band(&found.restore)],
        ["rework".to_owned(), format!("{} ({})", found.rework, share(found.rework_rate)), String::new()],
        ["waiting for gates".to_owned(), time(found.gate_wait_seconds), String::new()],
        ["never started".to_owned(), found.never_started.to_string(), String::new()],
        [
            "a run takes".to_owned(),
            format!("{}, before {}", time(found.run_seconds), time(found.run_seconds_before)),
            String::new(),
        ],
    ];
    output::table(["what", "how much", "band"], rows, "");
    anstream::println!();
    let rows = found.incidents.into_iter().map(|incident| {
        let Incident { environment, version, caught_by, opened_at, closed_at, number: _ } = incident;
        let closed = closed_at.map(output::time).unwrap_or_default();
        [environment, version, output::time(opened_at), closed, caught_by]
    });
    output::table(
        ["environment", "version", "noticed", "restored", "caught by"],
        rows.collect(),
        "nothing failed",
    );
    Ok(ExitCode::SUCCESS)
}

fn time(seconds: Option<i64>) -> String {
    seconds.map_or_else(|| "-".to_owned(), |seconds| format!("{:#}", SignedDuration::from_secs(seconds)))
}

fn share(share: Option<f64>) -> String {
    share.map_or_else(|| "-".to_owned(), |share| format!("{:.1} %", share * 100.0))
}

async fn retries(project: &str, days: u32, limit: u32, remote: &Remote) -> anyhow::Result<ExitCode> {
    let path = format!("/api/v1/projects/{}/retries?days={days}&limit={limit}", part(project));
    let insights: RetryInsights = Client::new(remote)?.get(&path).await?;
    if remote.json {
        output::json(&insights)?;
        return Ok(ExitCode::SUCCESS);
    }
    let RetryInsights { days: _, budgets, jobs } = insights;
    let budgets = budgets.into_iter().map(|budget| {
        let left = match budget.budget.saturating_sub(budget.spent) {
            0 => "used up: not retried".to_owned(),
            left => left.to_string(),
        };
        [budget.class.word().to_owned(), budget.spent.to_string(), budget.budget.to_string(), left]
    });
    output::table(["class", "last 7 days", "budget", "left"], budgets.collect(), "");
    anstream::println!();
    let header = ["class", "job", "retries", "helped", "in vain", "refused", "last", "why"];
    let none = format!("no job was tried again in the last {days} days");
    output::table(header, jobs.into_iter().map(row).collect(), &none);
    Ok(ExitCode::SUCCESS)
}

fn row(found: JobRetries) -> [String; 8] {
    let JobRetries { class, job, retries, helped, in_vain, refused, last_run, last_at, last_why } = found;
    [
        class.word().to_owned(),
        job,
        retries.to_string(),
        helped.to_string(),
        in_vain.to_string(),
        refused.to_string(),
        format!("#{last_run} {}", output::time(last_at)),
        last_why,
    ]
}
