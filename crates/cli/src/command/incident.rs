//! `towpath incident`: what users met, opened and closed by hand.

use std::process::ExitCode;

use jiff::Timestamp;
use reqwest::Method;
use towpath_api::rest::{CloseIncident, OpenIncident, ReportedIncident};

use super::env::Place;
use crate::client::{Client, part};
use crate::context::Remote;
use crate::output;

/// Opens, closes and lists incidents: they count in the insights beside what was taken back.
#[derive(Debug, clap::Subcommand)]
pub enum Args {
    /// Opens an incident of the version that caused it.
    Open {
        /// The environment, as `shop/production`.
        place: Place,
        /// What users meet.
        #[arg(short, long)]
        message: String,
        /// The version that caused it; what ran there at that time if absent.
        #[arg(long)]
        version: Option<String>,
        /// Since when it was noticed, as `2026-11-21T09:14:00Z`; now if absent.
        #[arg(long)]
        since: Option<Timestamp>,
    },
    /// Closes an incident.
    Close {
        /// The project.
        project: String,
        /// The incident's number.
        number: u64,
        /// What it was.
        #[arg(short, long, default_value = "")]
        message: String,
        /// Since when it is over, as `2026-11-21T09:40:00Z`; now if absent.
        #[arg(long)]
        at: Option<Timestamp>,
    },
    /// Lists incidents, newest first: those of the last days, and those that last.
    List {
        /// The project.
        project: String,
        /// In the last days, at most 365.
        #[arg(long, default_value_t = 30)]
        days: u32,
    },
}

/// Runs the command.
///
/// # Errors
/// Fails where the server refuses.
pub async fn run(args: Args, remote: &Remote) -> anyhow::Result<ExitCode> {
    let client = Client::new(remote)?;
    match args {
        Args::Open { place, message, version, since } => {
            let Place { project, environment } = place;
            let new = OpenIncident { environment, title: message, version, opened_at: since };
            let opened: ReportedIncident = client.send(Method::POST, &path(&project, ""), &new).await?;
            if remote.json {
                output::json(&opened)?;
            } else {
                let of = opened.version.map(|version| format!(" of {version}")).unwrap_or_default();
                anstream::println!(
                    "incident {}{of} is open since {}",
                    opened.number,
                    output::time(opened.opened_at)
                );
            }
        }
        Args::Close { project, number, message, at } => {
            let close = CloseIncident { comment: message, closed_at: at };
            let closed: ReportedIncident =
                client.send(Method::POST, &path(&project, &format!("/{number}/close")), &close).await?;
            if remote.json {
                output::json(&closed)?;
            } else {
                let took = closed.closed_at.unwrap_or(closed.opened_at).duration_since(closed.opened_at);
                let took = jiff::SignedDuration::from_secs(took.as_secs());
                anstream::println!("incident {number} is closed; it took {took:#}");
            }
        }
        Args::List { project, days } => {
            let found: Vec<ReportedIncident> = client.get(&path(&project, &format!("?days={days}"))).await?;
            if remote.json {
                output::json(&found)?;
            } else {
                let header = ["number", "environment", "version", "since", "closed", "what"];
                let none = format!("nobody reported an incident in the last {days} days");
                output::table(header, found.into_iter().map(row).collect(), &none);
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn path(project: &str, rest: &str) -> String {
    format!("/api/v1/projects/{}/incidents{rest}", part(project))
}

fn row(incident: ReportedIncident) -> [String; 6] {
    let ReportedIncident {
        number,
        environment,
        version,
        title,
        opened_by: _,
        opened_at,
        closed_by: _,
        closed_at,
        comment,
    } = incident;
    let words = if comment.is_empty() { title } else { format!("{title} ({comment})") };
    [
        number.to_string(),
        environment,
        version.unwrap_or_default(),
        output::time(opened_at),
        closed_at.map_or_else(|| "it lasts".to_owned(), output::time),
        words,
    ]
}
