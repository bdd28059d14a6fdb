//! `towpath lint`: all that is wrong with the files, at once.

use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::json;
use towpath_config::has_errors;

use super::include::IncludeArgs;
use super::local::{Local, find_project, print_diagnostics, project_files, read_files};
use crate::output::count;

mod diff;
mod mend;

/// Checks towpath.yaml and environment documents, and shows every mistake with its place and advice.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Files to check; without any, towpath.yaml here or above, and .towpath/*.yaml beside it.
    files: Vec<PathBuf>,
    #[command(flatten)]
    include: IncludeArgs,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
    /// Rewrites keys of other systems as Towpath's own, where that is sure to mean the same, and writes the digests of
    /// files that are included of other projects; comments and layout stay.
    #[arg(long)]
    fix: bool,
    /// Shows what `--fix` changes; alone, it changes nothing.
    #[arg(long)]
    diff: bool,
}

/// Runs the command. Exits with 0 where no file has an error, with 1 otherwise; warnings do not count.
///
/// # Errors
/// Fails where a file cannot be read.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let files = match args.files.as_slice() {
        [] => project_files(&find_project(&std::env::current_dir()?)?)?,
        files => files.to_vec(),
    };
    if args.fix || args.diff {
        let write = if args.fix { mend::Write::Yes } else { mend::Write::No };
        mend::mend(&files, &args.include, write, args.diff)?;
        if !args.fix {
            return Ok(ExitCode::SUCCESS);
        }
    }
    let Local { pipeline, documents, diagnostics } = read_files(&files, &args.include)?;
    let broken = has_errors(&diagnostics);
    if args.json {
        let report = json!({ "clean": !broken, "diagnostics": diagnostics });
        anstream::println!("{report:#}");
    } else {
        print_diagnostics(&diagnostics);
        let mendable = diagnostics.iter().filter(|diagnostic| !diagnostic.edits.is_empty()).count();
        if mendable > 0 {
            anstream::eprintln!("`towpath lint --fix` mends {mendable} of them; `--diff` shows how");
        }
        if !broken {
            let parts = pipeline.map(|pipeline| {
                format!(
                    "{}: {}, {}, {}",
                    pipeline.name,
                    count(pipeline.jobs.len(), "job"),
                    count(pipeline.workloads.len(), "workload"),
                    count(pipeline.stages.len(), "stage"),
                )
            });
            let documents = count(documents.len(), "environment document");
            let parts = parts.map_or_else(|| documents.clone(), |parts| format!("{parts}; {documents}"));
            anstream::println!("no errors ({parts})");
        }
    }
    Ok(if broken { ExitCode::from(1) } else { ExitCode::SUCCESS })
}
