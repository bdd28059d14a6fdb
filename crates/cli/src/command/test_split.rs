//! `towpath test split`: the tests of one share, for a Job with `parallel`.
//!
//! It asks nobody: the server gave the Job the times as a file, so that it works without a network and
//! comes to the same answer in every cell.

use std::collections::BTreeMap;
use std::io::{BufRead as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use towpath_artifact::pattern::Pattern;
use towpath_model::split::{Times, read, split, words};

/// The most tests of one list.
const MAX_ITEMS: usize = 1_000_000;

/// What is divided, and which share is wanted.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Divides the files that this pattern names, as `tests/**/*.py`, instead of the lines on standard input. Repeatable.
    #[arg(long, value_name = "PATTERN")]
    files: Vec<String>,
    /// Which share, from 1.
    #[arg(long, env = "TOWPATH_PARALLEL_INDEX", value_parser = clap::value_parser!(u32).range(1..))]
    index: u32,
    /// How many shares there are.
    #[arg(long, env = "TOWPATH_PARALLEL_COUNT", value_parser = clap::value_parser!(u32).range(1..=4096))]
    count: u32,
    /// A file with the times of tests. A job with `parallel` has one.
    #[arg(long, value_name = "FILE", env = "TOWPATH_TEST_TIMES")]
    times: Option<PathBuf>,
}

/// Runs the command.
///
/// # Errors
/// Fails where the list or the times cannot be read.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Args { files, index, count, times } = args;
    anyhow::ensure!(index <= count, "there is no share {index} of {count}");
    let items = if files.is_empty() { lines()? } else { matching(&files)? };
    let times = times.filter(|file| !file.as_os_str().is_empty());
    let times = times.as_deref().map(known).transpose()?.unwrap_or_default();
    let divided = split(&items, &times, count);
    let sizes: BTreeMap<u32, usize> = (1..).zip(divided.shares.iter().map(Vec::len)).collect();
    anstream::eprintln!("{}", words(&divided, index, &sizes));
    let mut out = std::io::stdout().lock();
    for place in divided.shares.get(index as usize - 1).into_iter().flatten() {
        writeln!(out, "{}", items[*place])?;
    }
    Ok(ExitCode::SUCCESS)
}

fn known(file: &Path) -> anyhow::Result<Times> {
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("failed to read the times of tests in {}", file.display()))?;
    Ok(Times::new(read(&text)))
}

/// What stands on standard input, without empty lines.
fn lines() -> anyhow::Result<Vec<String>> {
    let mut items = Vec::new();
    for line in std::io::stdin().lock().lines() {
        let line = line.context("failed to read the list of tests from standard input")?;
        let line = line.trim();
        if !line.is_empty() {
            items.push(line.to_owned());
        }
        anyhow::ensure!(items.len() <= MAX_ITEMS, "there are more than {MAX_ITEMS} tests on standard input");
    }
    Ok(items)
}

fn matching(patterns: &[String]) -> anyhow::Result<Vec<String>> {
    let patterns: Result<Vec<Pattern>, _> = patterns.iter().map(|text| Pattern::parse(text)).collect();
    let found = towpath_artifact::select(Path::new("."), &patterns?)?;
    Ok(found.into_keys().collect())
}
