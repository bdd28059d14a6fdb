//! `towpath init`: the first files of a project.

use std::io::IsTerminal as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::builder::PossibleValuesParser;
use towpath_config::init::{Kind, Overwrite, Scaffold, missing_documents, recognise, scaffold, write};
use towpath_config::{PIPELINE_FILE, has_errors};

use super::include::IncludeArgs;
use super::local::read_project;
use crate::failure::{self, Failure};

/// Writes towpath.yaml and environment documents for the project in this directory. Where the file is there, it writes the
/// documents that it lacks.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Does not ask.
    #[arg(long, short)]
    yes: bool,
    /// The kind of project, instead of what the directory looks like.
    #[arg(long, value_parser = PossibleValuesParser::new(Kind::ALL.map(Kind::word)))]
    kind: Option<String>,
    /// Writes over files that are there.
    #[arg(long)]
    force: bool,
}

/// Runs the command. Exits with 1 where the person says no.
///
/// # Errors
/// Fails where a file is there already or cannot be written.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let directory = std::env::current_dir().context("cannot tell where this is")?;
    if !args.force && directory.join(PIPELINE_FILE).symlink_metadata().is_ok() {
        return complete(args, &directory);
    }
    let kind = args.kind.as_deref().and_then(Kind::named).unwrap_or_else(|| recognise(&directory));
    let scaffold = scaffold(&directory, kind);
    describe(&scaffold);
    let overwrite = if args.force { Overwrite::Yes } else { Overwrite::No };
    write_after_asking(args, &directory, &scaffold, overwrite)
}

/// Adds what a pipeline file that is there lacks: documents of the Environments that it names.
fn complete(args: &Args, directory: &Path) -> anyhow::Result<ExitCode> {
    let local = read_project(directory, &IncludeArgs::default())?;
    let Some(pipeline) = local.pipeline.filter(|_| !has_errors(&local.diagnostics)) else {
        let why = format!("{PIPELINE_FILE} is there already and has mistakes; nothing was written");
        let hint = "`towpath lint` shows them, and `towpath init --force` writes over the file";
        return Err(Failure::new(failure::Kind::Usage, why).hint(hint).into());
    };
    let scaffold = missing_documents(&pipeline, &local.documents);
    if scaffold.files.is_empty() {
        let why = format!(
            "{PIPELINE_FILE} is there already, and so is a document of each of its environments; nothing was written"
        );
        let hint = "`towpath lint` checks them, and `towpath init --force` writes over them";
        return Err(Failure::new(failure::Kind::Usage, why).hint(hint).into());
    }
    anstream::println!(
        "{PIPELINE_FILE} is there already, and stays. Environments that it names have no document yet:"
    );
    list(&scaffold);
    write_after_asking(args, directory, &scaffold, Overwrite::No)
}

fn write_after_asking(
    args: &Args,
    directory: &Path,
    scaffold: &Scaffold,
    overwrite: Overwrite,
) -> anyhow::Result<ExitCode> {
    if !args.yes && std::io::stdin().is_terminal() && !confirmed()? {
        anstream::println!("Nothing was written.");
        return Ok(ExitCode::from(1));
    }
    write(directory, scaffold, overwrite)?;
    anstream::println!("\n{}", scaffold.next);
    Ok(ExitCode::SUCCESS)
}

fn describe(scaffold: &Scaffold) {
    match scaffold.kind {
        Kind::Unknown => {
            anstream::println!("This is no kind of project that Towpath knows; the files hold placeholders:")
        }
        kind => {
            let article = if kind == Kind::Npm { "an" } else { "a" };
            anstream::println!("This looks like {article} {} project, `{}`:", kind.word(), scaffold.name);
        }
    }
    list(scaffold);
}

fn list(scaffold: &Scaffold) {
    for file in &scaffold.files {
        anstream::println!("  {}", file.path.display());
    }
}

fn confirmed() -> anyhow::Result<bool> {
    let question = dialoguer::Confirm::new().with_prompt("Write them?").default(true);
    question.interact().context("cannot ask; pass --yes")
}
