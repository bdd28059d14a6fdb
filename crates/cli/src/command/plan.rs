//! `towpath plan`: what would run, be sealed and be promoted, and why.

use std::process::ExitCode;

use clap::ValueEnum;
use towpath_config::render;

use super::against::AgainstArgs;
use super::include::IncludeArgs;
use super::local::{find_project, print_diagnostics, read_project};
use super::occasion::OccasionArgs;

/// Shows what a push, a tag or a manual start would do, and why.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    occasion: OccasionArgs,
    #[command(flatten)]
    include: IncludeArgs,
    /// How the plan is shown.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    #[command(flatten)]
    against: AgainstArgs,
}

/// How the plan is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
    /// A flowchart for Markdown.
    Mermaid,
    /// A picture.
    Svg,
}

/// Runs the command. Exits with 1 where a file has errors.
///
/// # Errors
/// Fails where a file cannot be read.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let directory = find_project(&std::env::current_dir()?)?;
    let local = read_project(&directory, &args.include)?;
    print_diagnostics(&local.diagnostics);
    let Some(pipeline) = local.pipeline else { return Ok(ExitCode::from(1)) };
    if towpath_config::has_errors(&local.diagnostics) {
        return Ok(ExitCode::from(1));
    }
    if let Some(limit) = args.against.against_history {
        args.against.print(limit, &pipeline, &local.documents)?;
        return Ok(ExitCode::SUCCESS);
    }
    let occasion = args.occasion.resolve(&directory, &local.documents)?;
    let report = towpath_config::plan(&pipeline, &occasion, &local.documents);
    let shown = match args.format {
        Format::Text if args.against.json() => render::json(&report),
        Format::Text => render::text(&report),
        Format::Json => render::json(&report),
        Format::Mermaid => render::mermaid(&report),
        Format::Svg => render::svg(&report),
    };
    anstream::print!("{shown}");
    Ok(ExitCode::SUCCESS)
}
