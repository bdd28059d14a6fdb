//! `towpath cache`: what is kept from one run for later ones.

use std::process::ExitCode;

use reqwest::Method;
use towpath_api::rest::{CacheEntry, CacheReach, Comment, Page};

use crate::client::{Client, part};
use crate::context::Remote;
use crate::output;

/// Lists, follows and revokes what is kept: caches, outputs of steps, workspaces.
#[derive(Debug, clap::Subcommand)]
pub enum Args {
    /// Lists the newest entries of a project, with who wrote them.
    List {
        /// The project.
        project: String,
        /// How many.
        #[arg(long, default_value_t = 50)]
        limit: u32,
    },
    /// Shows an entry: what its key is made of, what was made from it, and the runs and releases that it reached.
    Show {
        /// The project.
        project: String,
        /// The entry's id, as `list` shows it.
        id: String,
    },
    /// Revokes an entry and all that was made from it, so that nobody is given them again, and lists what was built with them.
    Revoke {
        /// The project.
        project: String,
        /// The entry's id.
        id: String,
        /// Why, for the timeline.
        #[arg(short = 'm', long, default_value = "")]
        comment: String,
    },
}

/// Runs the command.
///
/// # Errors
/// Fails where the server refuses.
pub async fn run(args: Args, remote: &Remote) -> anyhow::Result<ExitCode> {
    let client = Client::new(remote)?;
    match args {
        Args::List { project, limit } => {
            let path = format!("/api/v1/projects/{}/caches?limit={limit}", part(&project));
            let page: Page<CacheEntry> = client.get(&path).await?;
            if remote.json {
                output::json(&page.items)?;
                return Ok(ExitCode::SUCCESS);
            }
            table(&project, &page.items);
        }
        Args::Show { project, id } => {
            let path = format!("/api/v1/projects/{}/caches/{}", part(&project), part(&id));
            let reach: CacheReach = client.get(&path).await?;
            if remote.json {
                output::json(&reach)?;
                return Ok(ExitCode::SUCCESS);
            }
            if let Some(entry) = reach.entries.first() {
                for part in &entry.parts {
                    anstream::println!("{:<24} {}", part.name, part.value);
                }
                anstream::println!();
            }
            reached(&project, &reach);
        }
        Args::Revoke { project, id, comment } => {
            let path = format!("/api/v1/projects/{}/caches/{}/revoke", part(&project), part(&id));
            let reach: CacheReach = client.send(Method::POST, &path, &Comment { comment }).await?;
            if remote.json {
                output::json(&reach)?;
                return Ok(ExitCode::SUCCESS);
            }
            anstream::println!("revoked; nobody is given these again:");
            reached(&project, &reach);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn reached(project: &str, reach: &CacheReach) {
    table(project, &reach.entries);
    let list = |items: &[String]| if items.is_empty() { "none".to_owned() } else { items.join(", ") };
    anstream::println!("\nread by runs        {}", list(&reach.runs));
    anstream::println!("sealed of them      {}", list(&reach.releases));
}

fn table(project: &str, entries: &[CacheEntry]) {
    let row = |entry: &CacheEntry| {
        [
            entry.id.clone(),
            format!("{:?}", entry.kind).to_lowercase(),
            entry.state.clone(),
            entry.scope.clone(),
            entry.key.chars().take(40).collect(),
            format!("{} in {:.1} MB", entry.files, mega(entry.stored)),
            format!("{project}#{} {}", entry.run, entry.job),
            output::time(entry.used_at),
        ]
    };
    let header = ["id", "kind", "state", "scope", "key", "files", "by", "last used"];
    let nothing =
        "nothing is kept yet; a job keeps what its `cache` names, and steps with `inputs` their `outputs`";
    output::table(header, entries.iter().map(row).collect(), nothing);
}

#[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
fn mega(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
