//! `towpath secret`: set, list and remove secrets.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use reqwest::Method;
use towpath_api::rest::{NewSecret, Secret};

use crate::client::{Client, part};
use crate::context::Remote;
use crate::{output, prompt};

/// Sets, lists and removes secrets.
#[derive(Debug, clap::Subcommand)]
pub enum Args {
    /// Sets a secret; its value is asked for, or read from standard input or a file. No argument holds it, because
    /// every user of this machine can see those.
    Set {
        /// The project.
        project: String,
        /// The secret's name: DATABASE_URL.
        name: String,
        /// The environment it is for; the jobs of the project if absent.
        #[arg(long)]
        environment: Option<String>,
        /// A file with the value, taken as it is.
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// Lists secrets, without values.
    List {
        /// The project.
        project: String,
    },
    /// Removes a secret.
    Rm {
        /// The project.
        project: String,
        /// The secret's name.
        name: String,
        /// The environment it is for.
        #[arg(long)]
        environment: Option<String>,
    },
}

fn path(project: &str, name: &str, environment: Option<&str>) -> String {
    let place = environment.map(|name| format!("?environment={}", part(name))).unwrap_or_default();
    format!("/api/v1/projects/{}/secrets/{}{place}", part(project), part(name))
}

/// Runs the command.
///
/// # Errors
/// Fails where the server refuses.
pub async fn run(args: Args, remote: &Remote) -> anyhow::Result<ExitCode> {
    let client = Client::new(remote)?;
    match args {
        Args::Set { project, name, environment, file } => {
            let value = match file {
                Some(file) => std::fs::read_to_string(&file)
                    .with_context(|| format!("failed to read {}", file.display()))?,
                None => prompt::secret_text("Value")?,
            };
            let path = path(&project, &name, environment.as_deref());
            let version: u64 = client.send(Method::PUT, &path, &NewSecret { value }).await?;
            if remote.json {
                output::json(&version)?;
            } else {
                anstream::println!("{name} is now version {version}");
            }
        }
        Args::List { project } => {
            let path = format!("/api/v1/projects/{}/secrets", part(&project));
            let secrets: Vec<Secret> = client.get(&path).await?;
            if remote.json {
                output::json(&secrets)?;
            } else {
                let row = |secret: Secret| {
                    let place = secret.environment.unwrap_or_else(|| "jobs".to_owned());
                    [secret.name, place, secret.version.to_string(), secret.created_by]
                };
                let rows = secrets.into_iter().map(row).collect();
                output::table(["name", "for", "version", "set by"], rows, "there are no secrets");
            }
        }
        Args::Rm { project, name, environment } => {
            client.delete(&path(&project, &name, environment.as_deref())).await?;
            anstream::eprintln!("removed {name}");
        }
    }
    Ok(ExitCode::SUCCESS)
}
