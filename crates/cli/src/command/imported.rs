//! `towpath import` and `towpath imported`: runs that other servers exported.

use std::fs::File;
use std::io::Seek as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use towpath_api::rest::{ImportedRun, Page};
use towpath_artifact::portable::MAX_FILE;

use super::open::{self, View};
use crate::client::{Client, part};
use crate::context::Remote;
use crate::failure::{Failure, Kind};
use crate::output;

/// Takes a run that another server exported into a project, to look at: it delivers nothing and counts nowhere.
#[derive(Debug, clap::Args)]
pub struct ImportArgs {
    /// The project that it is shown in.
    project: String,
    /// The file that `towpath export` wrote.
    file: PathBuf,
}

/// Lists, shows and removes runs that other servers exported.
#[derive(Debug, clap::Subcommand)]
pub enum Args {
    /// Lists the imported runs of a project, newest first.
    List {
        /// The project.
        project: String,
        /// How many.
        #[arg(long, default_value_t = 50)]
        limit: u32,
    },
    /// Shows an imported run from its file, which is checked again.
    Show {
        /// The project.
        project: String,
        /// Its number, as `list` shows it.
        number: u64,
        #[command(flatten)]
        view: View,
    },
    /// Removes an imported run and its file.
    Remove {
        /// The project.
        project: String,
        /// Its number, as `list` shows it.
        number: u64,
    },
}

/// Sends a file to the server.
///
/// # Errors
/// Fails where the server refuses it.
pub async fn import(args: ImportArgs, remote: &Remote) -> anyhow::Result<ExitCode> {
    let ImportArgs { project, file: path } = args;
    let name = path.display();
    let file = File::open(&path).with_context(|| format!("failed to open {name}"))?;
    // The server would say the same, after all of it was sent.
    if file.metadata()?.len() > MAX_FILE {
        return Err(Failure::new(
            Kind::Usage,
            format!("{name} has more than {MAX_FILE} bytes, and no exported run has"),
        )
        .into());
    }
    let client = Client::new(remote)?;
    let run: ImportedRun =
        client.upload(&format!("/api/v1/projects/{}/runs/import", part(&project)), file).await?;
    if remote.json {
        output::json(&run)?;
        return Ok(ExitCode::SUCCESS);
    }
    let ImportedRun { number, origin, .. } = &run;
    output::text(&format!(
        "{}#{} of {} is imported run {number} of {project}: {}",
        origin.project,
        origin.run,
        origin.instance,
        origin.state.word()
    ));
    output::text(&format!("  {}, every byte checked", run.digest));
    anstream::println!("look at it: towpath imported show {project} {number}");
    Ok(ExitCode::SUCCESS)
}

/// Runs the command.
///
/// # Errors
/// Fails where the server refuses.
pub async fn run(args: Args, remote: &Remote) -> anyhow::Result<ExitCode> {
    let client = Client::new(remote)?;
    match args {
        Args::List { project, limit } => {
            let path = format!("/api/v1/projects/{}/imported?limit={limit}", part(&project));
            let page: Page<ImportedRun> = client.get(&path).await?;
            if remote.json {
                output::json(&page.items)?;
            } else {
                table(&page.items);
            }
        }
        Args::Show { project, number, view } => {
            let mut file = tempfile::tempfile()?;
            let path = format!("/api/v1/projects/{}/imported/{number}/file", part(&project));
            client.download(&path, &mut file, MAX_FILE).await?;
            file.rewind()?;
            let name = format!("imported run {number} of {project}");
            return open::show(file, &name, &view, remote.json);
        }
        Args::Remove { project, number } => {
            client.delete(&format!("/api/v1/projects/{}/imported/{number}", part(&project))).await?;
            if !remote.json {
                anstream::println!("imported run {number} of {project} was removed");
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Says below a list of runs that there are imported ones too.
///
/// # Errors
/// Fails where the server refuses.
pub async fn mention(project: &str, client: &Client) -> anyhow::Result<()> {
    let page: Page<ImportedRun> =
        client.get(&format!("/api/v1/projects/{}/imported?limit=20", part(project))).await?;
    if !page.items.is_empty() {
        anstream::println!("\nimported from other servers; they deliver nothing and count nowhere:");
        table(&page.items);
    }
    Ok(())
}

fn table(runs: &[ImportedRun]) {
    let row = |run: &ImportedRun| {
        let ImportedRun { number, imported_at, imported_by, origin, .. } = run;
        [
            number.to_string(),
            format!("{}#{} of {}", origin.project, origin.run, origin.instance),
            origin.state.word().to_owned(),
            origin.cause.short_commit().to_owned(),
            origin.cause.subject.clone(),
            format!("{}, {imported_by}", output::time(*imported_at)),
        ]
    };
    let header = ["imported", "from", "state", "commit", "subject", "when, by whom"];
    output::table(header, runs.iter().map(row).collect(), "no run was imported; `towpath import` does that");
}
