//! `towpath export`: a run as one file.

use std::io::Seek as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use serde::Serialize;
use towpath_artifact::portable::{self, MAX_FILE, Manifest};
use towpath_artifact::verified::describe;

use crate::client::{Client, part};
use crate::context::Remote;
use crate::failure::{Failure, Kind};
use crate::output;

/// Writes a run that has ended into one file with its logs and reports, for `towpath open`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The run, as `shop#12`.
    run: RunPlace,
    /// Where to write it; `shop-12.run.tar` if absent. A file that is there already is never replaced.
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// A run: `shop#12`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunPlace {
    /// The project.
    pub project: String,
    /// The run's number.
    pub number: u64,
}

impl std::str::FromStr for RunPlace {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let place = text.split_once('#').and_then(|(project, number)| {
            let number = number.parse().ok()?;
            (!project.is_empty() && !project.contains('/'))
                .then(|| Self { project: project.to_owned(), number })
        });
        place.ok_or_else(|| "write project and run, as `shop#12`".to_owned())
    }
}

/// What is said of a written file.
#[derive(Serialize)]
struct Written<'a> {
    file: &'a Path,
    bytes: u64,
    digest: String,
    manifest: &'a Manifest,
}

/// Runs the command.
///
/// # Errors
/// Fails where the server refuses, the file is there already, or what arrives is not whole.
pub async fn run(args: Args, remote: &Remote) -> anyhow::Result<ExitCode> {
    let RunPlace { project, number } = &args.run;
    let out = args.out.unwrap_or_else(|| PathBuf::from(format!("{project}-{number}.run.tar")));
    if out.exists() {
        return Err(Failure::new(Kind::Usage, format!("{} is there already", out.display()))
            .hint("remove it, or choose another name with `--out`")
            .into());
    }
    let directory = match out.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut file = tempfile::NamedTempFile::new_in(directory)
        .with_context(|| format!("failed to write to {}", directory.display()))?;
    let path = format!("/api/v1/projects/{}/runs/{number}/export", part(project));
    Client::new(remote)?.download(&path, &mut file, MAX_FILE).await?;
    file.rewind()?;
    let described = describe(file.as_file_mut())?;
    file.rewind()?;
    let members = tempfile::tempdir()?;
    let opened = portable::open(file.as_file(), members.path())?;
    file.as_file().sync_all()?;
    file.persist_noclobber(&out).with_context(|| format!("failed to write {}", out.display()))?;
    let digest = described.digest.to_string();
    if remote.json {
        let written = Written { file: &out, bytes: described.size, digest, manifest: &opened.manifest };
        output::json(&written)?;
        return Ok(ExitCode::SUCCESS);
    }
    let members = output::count(opened.manifest.members.len(), "member");
    anstream::println!("{project}#{number} is in {}: {} bytes, {members}", out.display(), described.size);
    anstream::println!("  {digest}");
    for left_out in &opened.manifest.left_out {
        anstream::println!("  left out: {}", crate::escape::for_stdout(left_out));
    }
    anstream::println!("open it anywhere: towpath open {}", out.display());
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_name_of_a_run() {
        assert_eq!("shop#12".parse(), Ok(RunPlace { project: "shop".into(), number: 12 }));
        for text in ["shop", "shop#", "#12", "shop#x", "shop#12/test", "a/b#1"] {
            assert!(text.parse::<RunPlace>().is_err(), "{text}");
        }
    }
}
