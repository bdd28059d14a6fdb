//! `towpath lint`: all that is wrong with the files, at once.

use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::json;
use towpath_config::has_errors;

use super::local::{Local, find_project, print_diagnostics, read_files, read_project};

/// Checks towpath.yaml and environment documents, and shows every mistake with its place and advice.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Files to check; without any, towpath.yaml here or above, and .towpath/*.yaml beside it.
    files: Vec<PathBuf>,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

/// Runs the command. Exits with 0 where no file has an error, with 1 otherwise; warnings do not count.
///
/// # Errors
/// Fails where a file cannot be read.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let local = match args.files.as_slice() {
        [] => read_project(&find_project(&std::env::current_dir()?)?)?,
        files => read_files(files)?,
    };
    let Local { pipeline, documents, diagnostics } = local;
    let broken = has_errors(&diagnostics);
    if args.json {
        let report = json!({ "clean": !broken, "diagnostics": diagnostics });
        anstream::println!("{report:#}");
    } else {
        print_diagnostics(&diagnostics);
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

fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}
