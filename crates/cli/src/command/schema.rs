//! `towpath schema`: the JSON Schema of the files, for editors.

use std::process::ExitCode;

use clap::ValueEnum;
use towpath_config::schema;

/// Prints the JSON Schema of towpath.yaml, of environment documents or of notification documents.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Which file.
    #[arg(value_enum, default_value_t = Document::Pipeline)]
    document: Document,
}

/// A kind of file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Document {
    /// towpath.yaml.
    Pipeline,
    /// An environment document.
    Environment,
    /// A notification document.
    Notifications,
}

/// Runs the command.
///
/// # Errors
/// Never fails; the type is that of every command.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let schema = match args.document {
        Document::Pipeline => schema::pipeline(),
        Document::Environment => schema::environment(),
        Document::Notifications => schema::notifications(),
    };
    anstream::println!("{schema:#}");
    Ok(ExitCode::SUCCESS)
}
