//! `towpath open`: a run from its file, without a server.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Seek as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use serde::de::DeserializeOwned;
use serde_json::Value;
use towpath_api::rest::{Run, RunEvidence};
use towpath_artifact::portable::{self, Manifest, Member, Opened, What};
use towpath_artifact::verified::describe;

use super::runs::{self, Steps};
use super::{evidence, logs};
use crate::failure::{Failure, Kind};
use crate::{escape, output};

/// Shows a run from the file that `towpath export` wrote, without a server. Every byte is checked first.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The file.
    file: PathBuf,
    #[command(flatten)]
    view: View,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

/// What of a file is shown.
#[derive(Debug, clap::Args)]
pub struct View {
    /// Prints the logs too.
    #[arg(long)]
    logs: bool,
    /// Only the logs and reports of this job.
    #[arg(long)]
    job: Option<String>,
    /// Shows when each line of a log was printed.
    #[arg(long, requires = "logs")]
    timestamps: bool,
    /// Prints nothing but this report, as it was left.
    #[arg(long, value_name = "PATH", conflicts_with_all = ["logs", "json"])]
    report: Option<String>,
}

/// Runs the command.
///
/// # Errors
/// Fails where the file is not whole, or is none.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let name = args.file.display().to_string();
    let file = File::open(&args.file).with_context(|| format!("failed to open {name}"))?;
    show(file, &name, &args.view, args.json)
}

/// Shows a file, which messages call `name`.
///
/// # Errors
/// Fails where the file is not whole, or is none.
pub fn show(mut file: File, name: &str, view: &View, json: bool) -> anyhow::Result<ExitCode> {
    let described = describe(&mut file).with_context(|| format!("failed to read {name}"))?;
    file.rewind()?;
    let directory = tempfile::tempdir()?;
    let opened = portable::open(&file, directory.path()).map_err(|error| {
        let failure = Failure::new(Kind::Failed, format!("nothing of {name} is shown"));
        anyhow::Error::from(error).context(failure.hint("have it sent again, or export it again"))
    })?;
    if let Some(path) = &view.report {
        return report(&opened, path, view.job.as_deref());
    }
    let run: Value = document(&opened, &What::Run)?;
    let evidence: Value = match opened.manifest.find(&What::Evidence) {
        Some(_) => document(&opened, &What::Evidence)?,
        None => Value::Null,
    };
    if json {
        let digest = described.digest.to_string();
        let whole = serde_json::json!({ "digest": digest, "manifest": opened.manifest, "run": run, "evidence": evidence });
        output::json(&whole)?;
        return Ok(ExitCode::SUCCESS);
    }
    origin(&opened.manifest, &described.digest.to_string());
    let run: Run = harmless(run).context("run.json was not understood; is it of a newer Towpath?")?;
    runs::print(&run, Steps::OfAll);
    for job in run.jobs.iter().filter(|job| !job.why.is_empty()) {
        anstream::println!("{} ran: {}", job.name, job.why);
    }
    if !evidence.is_null() {
        let evidence: RunEvidence =
            harmless(evidence).context("evidence.json was not understood; is it of a newer Towpath?")?;
        anstream::println!();
        evidence::show(&evidence);
    }
    members(&opened, view)?;
    Ok(ExitCode::SUCCESS)
}

fn document<T: DeserializeOwned>(opened: &Opened, what: &What) -> anyhow::Result<T> {
    let bytes = opened.document(what)?;
    serde_json::from_slice(&bytes).context("the file holds a document that is no JSON")
}

/// Reads a document in which no text can steer the terminal: it comes from anywhere.
fn harmless<T: DeserializeOwned>(document: Value) -> serde_json::Result<T> {
    fn clean(value: &mut Value) {
        match value {
            Value::String(text) => *text = escape::for_stdout(text),
            Value::Array(values) => values.iter_mut().for_each(clean),
            Value::Object(values) => values.values_mut().for_each(clean),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
    let mut document = document;
    clean(&mut document);
    serde_json::from_value(document)
}

fn origin(manifest: &Manifest, digest: &str) {
    let shown = |text: &str| escape::for_stdout(text);
    let at = output::time(manifest.exported_at);
    let (by, instance) = (shown(&manifest.exported_by), shown(&manifest.instance));
    anstream::println!("exported {at} by {by} from {instance}, Towpath {}", shown(&manifest.towpath));
    anstream::println!("{digest}, every byte checked\n");
}

/// Lists the logs and reports, with what did not fit in, and prints the logs where they are wanted.
fn members(opened: &Opened, view: &View) -> anyhow::Result<()> {
    let wanted = |job: &str| view.job.as_deref().is_none_or(|wanted| wanted == job);
    let row = |member: &Member| {
        let (kind, job, attempt, path) = match &member.what {
            What::Run | What::Evidence => return None,
            What::Log { job, attempt } => ("log", job, attempt, String::new()),
            What::Report { job, attempt, path } => ("report", job, attempt, path.clone()),
        };
        let digest = member.digest.to_string();
        let row = [kind.to_owned(), job.clone(), attempt.to_string(), member.bytes.to_string(), path, digest];
        wanted(job).then_some(row)
    };
    anstream::println!();
    let rows = opened.manifest.members.iter().filter_map(row).collect();
    output::table(["holds", "job", "try", "bytes", "path", "digest"], rows, "it holds no log and no report");
    for left_out in &opened.manifest.left_out {
        anstream::println!("left out: {}", escape::for_stdout(left_out));
    }
    if view.logs {
        for member in &opened.manifest.members {
            match &member.what {
                What::Log { job, attempt } if wanted(job) => {
                    anstream::println!("\n── {}, attempt {attempt}", escape::for_stdout(job));
                    log(opened, member, view.timestamps)?;
                }
                What::Log { .. } | What::Run | What::Evidence | What::Report { .. } => {}
            }
        }
    }
    Ok(())
}

fn log(opened: &Opened, member: &Member, timestamps: bool) -> anyhow::Result<()> {
    let mut reader = BufReader::new(opened.member(member)?);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line)? > 0 {
        logs::print(&line, timestamps)?;
        line.clear();
    }
    Ok(())
}

/// Prints a report as it was left; of several, the last attempt's.
fn report(opened: &Opened, wanted: &str, of: Option<&str>) -> anyhow::Result<ExitCode> {
    let is_it = |member: &&Member| match &member.what {
        What::Report { job, path, .. } => path == wanted && of.is_none_or(|of| of == job),
        What::Run | What::Evidence | What::Log { .. } => false,
    };
    let Some(member) = opened.manifest.members.iter().rev().find(is_it) else {
        return Err(Failure::new(Kind::NotFound, format!("the file holds no report `{wanted}`"))
            .hint("without `--report` all of them are listed")
            .into());
    };
    let mut out = io::stdout().lock();
    io::copy(&mut opened.member(member)?, &mut out)?;
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}
