//! `towpath init`: the first files of a project.

use std::io::IsTerminal as _;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::builder::PossibleValuesParser;
use towpath_config::init::{Kind, Overwrite, Scaffold, recognise, scaffold, write};

/// Writes towpath.yaml and environment documents for the project in this directory.
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
    let kind = args.kind.as_deref().and_then(Kind::named).unwrap_or_else(|| recognise(&directory));
    let scaffold = scaffold(&directory, kind);
    describe(&scaffold);
    if !args.yes && std::io::stdin().is_terminal() && !confirmed()? {
        anstream::println!("Nothing was written.");
        return Ok(ExitCode::from(1));
    }
    let overwrite = if args.force { Overwrite::Yes } else { Overwrite::No };
    write(&directory, &scaffold, overwrite)?;
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
    for file in &scaffold.files {
        anstream::println!("  {}", file.path.display());
    }
}

fn confirmed() -> anyhow::Result<bool> {
    let question = dialoguer::Confirm::new().with_prompt("Write them?").default(true);
    question.interact().context("cannot ask; pass --yes")
}
