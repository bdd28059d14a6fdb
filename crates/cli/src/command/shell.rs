//! `towpath shell`: a kept workspace, opened here.

use std::process::{Command, ExitCode};

use anyhow::Context as _;
use towpath_api::rest::Workspace;
use towpath_artifact::snapshot::{MAX_MANIFEST, Root, restore};
use towpath_artifact::{ContentStore, Limits, Snapshot};
use towpath_model::Digest;

use crate::client::{Client, part};
use crate::context::Remote;
use crate::failure::{Failure, Kind};

/// Opens the workspace of a job as a step left it, in a shell with its environment. Secrets are left out.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The job, as `shop#12/test`.
    job: String,
    /// After which step, counted from 1; without it, the last that was kept.
    #[arg(long)]
    step: Option<u32>,
    /// A command to run there instead of a shell.
    #[arg(last = true)]
    command: Vec<String>,
}

/// A job of a run: `shop#12/test`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobPlace {
    /// The project.
    pub project: String,
    /// The run's number.
    pub number: u64,
    /// The job.
    pub job: String,
}

impl JobPlace {
    /// Reads it; `None` where it is something else.
    pub fn parse(text: &str) -> Option<Self> {
        let (project, rest) = text.split_once('#')?;
        let (number, job) = rest.split_once('/')?;
        let number = number.parse().ok()?;
        (!project.is_empty() && !job.is_empty()).then(|| Self {
            project: project.to_owned(),
            number,
            job: job.to_owned(),
        })
    }
}

/// Runs the command. Exits as the shell does.
///
/// # Errors
/// Fails where nothing was kept, or the server refuses.
pub async fn run(args: Args, remote: &Remote) -> anyhow::Result<ExitCode> {
    let Some(place) = JobPlace::parse(&args.job) else {
        return Err(Failure::new(Kind::Usage, format!("`{}` names no job", args.job))
            .hint("write project, run and job: `towpath shell shop#12/test`")
            .into());
    };
    let JobPlace { project, number, job } = &place;
    let client = Client::new(remote)?;
    let path = format!("/api/v1/projects/{}/runs/{number}/jobs/{}/workspaces", part(project), part(job));
    let kept: Vec<Workspace> = client.get(&path).await?;
    let wanted = |kept: &&Workspace| args.step.is_none_or(|step| kept.step + 1 == step);
    let Some(workspace) = kept.iter().find(wanted) else {
        return Err(Failure::new(Kind::Failed, format!("no workspace of {project}#{number} {job} is kept"))
            .hint(
                "those of failed attempts are kept for three days, where they are small enough; `workspace: always` on the job \
                 keeps all",
            )
            .into());
    };
    let directory = tempfile::Builder::new().prefix("towpath-shell-").tempdir()?;
    let files = open(&client, project, workspace, directory.path()).await?;
    anstream::eprintln!(
        "{project}#{number} {job}, attempt {}, after step {} `{}`: {files} files in {}",
        workspace.attempt,
        workspace.step + 1,
        workspace.step_name,
        directory.path().display()
    );
    if !workspace.secrets.is_empty() {
        anstream::eprintln!("secrets are left out: {}", workspace.secrets.join(", "));
    }
    let shell = std::env::var("SHELL").unwrap_or_else(|_| "/bin/sh".to_owned());
    let (program, words) =
        args.command.split_first().map_or((&shell, &[][..]), |(first, rest)| (first, rest));
    let status = Command::new(program)
        .args(words)
        .current_dir(directory.path().join("source").join(&workspace.directory))
        .envs(&workspace.env)
        .env("TOWPATH_SHELL", &args.job)
        .status()
        .with_context(|| format!("failed to start `{program}`"))?;
    anstream::eprintln!("the workspace was a copy, and is removed");
    Ok(ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)))
}

/// Fetches a workspace, every byte checked, and makes its files below `directory`.
async fn open(
    client: &Client,
    project: &str,
    workspace: &Workspace,
    directory: &std::path::Path,
) -> anyhow::Result<u64> {
    let store = ContentStore::open_replaceable(&directory.join("kept"))?;
    let digest: Digest = workspace.snapshot.parse().context("the server named no digest")?;
    fetch(client, project, digest, &store).await?;
    let snapshot = Snapshot::load(digest, &store)?;
    for pack in &snapshot.packs {
        fetch(client, project, pack.digest, &store).await?;
    }
    let roots = ["source", "home"].map(|name| Root { name, path: directory.join(name) });
    for root in &roots {
        std::fs::create_dir_all(&root.path)?;
    }
    restore(&snapshot, &store, &roots, Limits { entries: 500_000, bytes: 16 << 30 })?;
    std::fs::remove_dir_all(store.root())?;
    Ok(snapshot.files())
}

async fn fetch(client: &Client, project: &str, digest: Digest, store: &ContentStore) -> anyhow::Result<()> {
    let bytes = client.bytes(&format!("/api/v1/projects/{}/kept/{digest}", part(project))).await?;
    let mut writer = store.writer(MAX_MANIFEST)?;
    std::io::Write::write_all(&mut writer, &bytes)?;
    writer.finish(Some(digest))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_name_of_a_job() {
        let place = JobPlace { project: "shop".into(), number: 12, job: "test (1)".into() };
        assert_eq!(JobPlace::parse("shop#12/test (1)"), Some(place));
        for text in ["shop", "shop#12", "shop#x/test", "#1/test", "shop#1/"] {
            assert_eq!(JobPlace::parse(text), None, "{text}");
        }
    }
}
