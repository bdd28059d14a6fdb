//! `towpath resume`: lets an environment go on, or a job from the step that failed.

use std::process::{Command, ExitCode};

use anyhow::Context as _;
use reqwest::Method;
use towpath_api::rest::{ResumeJob, Run, Workspace};

use super::env::{self, Place};
use super::shell::JobPlace;
use crate::client::{Client, part};
use crate::context::Remote;
use crate::failure::{Failure, Kind};
use crate::output;

/// Lets a held environment go on; or tries a job again from the step that failed, in the workspace as it was before it.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The environment, as `shop/production`; or the job, as `shop#12/test`.
    target: String,
    /// Why, for the timeline; of an environment.
    #[arg(short = 'm', long, default_value = "")]
    comment: String,
    /// The first step of the job to run, counted from 1; without it, the one that did not pass.
    #[arg(long, value_name = "STEP")]
    from: Option<u32>,
    /// What that step runs instead of its script. Nothing is ever sealed of such a run.
    #[arg(long, value_name = "COMMAND", conflicts_with = "edit")]
    run: Option<String>,
    /// Opens the step's script in $EDITOR first. Nothing is ever sealed of such a run.
    #[arg(long)]
    edit: bool,
}

/// Runs the command.
///
/// # Errors
/// Fails where the server refuses.
pub async fn run(args: Args, remote: &Remote) -> anyhow::Result<ExitCode> {
    let Some(place) = JobPlace::parse(&args.target) else {
        if args.from.is_some() || args.run.is_some() || args.edit {
            return Err(Failure::new(Kind::Usage, format!("`{}` names no job", args.target))
                .hint("write project, run and job: `towpath resume shop#12/test`")
                .into());
        }
        let place: Place = args.target.parse().map_err(|error: String| Failure::new(Kind::Usage, error))?;
        return env::resume(&place, args.comment, remote).await;
    };
    let JobPlace { project, number, job } = &place;
    let client = Client::new(remote)?;
    let path = format!("/api/v1/projects/{}/runs/{number}/jobs/{}", part(project), part(job));
    let run = match args.run {
        Some(run) => Some(run),
        None if args.edit => Some(edit(&client, &path, args.from).await?),
        None => None,
    };
    let edited = run.is_some();
    let wanted = ResumeJob { from: args.from, run };
    let run: Run = client.send(Method::POST, &format!("{path}/resume"), &wanted).await?;
    if remote.json {
        output::json(&run)?;
        return Ok(ExitCode::SUCCESS);
    }
    let reason = run.jobs.iter().find(|found| found.name == *job).map(|job| job.reason.clone());
    anstream::println!("{project}#{number} {job}: {}", reason.unwrap_or_default());
    if edited {
        anstream::println!("its command was edited, so nothing will be sealed of this run");
    }
    anstream::println!("follow it: towpath logs -f {project} {number} {job}");
    Ok(ExitCode::SUCCESS)
}

/// Lets a person change the script of the step.
async fn edit(client: &Client, path: &str, from: Option<u32>) -> anyhow::Result<String> {
    let kept: Vec<Workspace> = client.get(&format!("{path}/workspaces")).await?;
    let newest =
        kept.first().context("no workspace of this job is kept, so there is nothing to go on from")?;
    // The last kept workspace of an attempt is that which the failed step left.
    let index = from.map_or(newest.step, |step| step.saturating_sub(1));
    let script = newest.scripts.get(index as usize).context("the job has no such step")?;
    let mut file = tempfile::Builder::new().suffix(".sh").tempfile()?;
    std::io::Write::write_all(&mut file, script.as_bytes())?;
    let editor =
        std::env::var("VISUAL").or_else(|_| std::env::var("EDITOR")).unwrap_or_else(|_| "vi".to_owned());
    let status =
        Command::new("sh").arg("-c").arg(format!("{editor} \"$1\"")).arg("sh").arg(file.path()).status()?;
    anyhow::ensure!(status.success(), "`{editor}` failed, and nothing was started");
    let edited = std::fs::read_to_string(file.path())?;
    anyhow::ensure!(edited != *script, "the script was not changed; leave `--edit` out to run it as it is");
    Ok(edited)
}
