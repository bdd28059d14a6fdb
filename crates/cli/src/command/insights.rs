//! `towpath insights`: what a project's jobs hide or waste.

use std::process::ExitCode;

use towpath_api::rest::{JobRetries, RetryInsights};

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
}

/// Runs the command.
///
/// # Errors
/// Fails where the server refuses.
pub async fn run(args: Args, remote: &Remote) -> anyhow::Result<ExitCode> {
    let Args::Retries { project, days, limit } = args;
    let path = format!("/api/v1/projects/{}/retries?days={days}&limit={limit}", part(&project));
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
