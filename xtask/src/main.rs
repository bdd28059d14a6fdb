//! Chores of the repository: `ci`, `tidy`, `bench`, `crash`.

mod bench;
mod ci;
mod crash;
mod tidy;

use std::path::{Path, PathBuf};

const USAGE: &str = "usage: cargo xtask <chore>

  ci              everything that decides whether a change may land, as the CI machine runs it
  tidy            what the repository asks of its own files
  bench [NAME …]  measurements against named peers in one run
  crash           kills server, agent and gateway with -9 again and again, and checks what must hold";

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    // Every chore may then name files from the root, wherever it was called.
    std::env::set_current_dir(root())?;
    match words.as_slice() {
        ["ci"] => ci::run(),
        ["tidy"] => tidy::run(),
        ["bench", rest @ ..] => bench::run(rest),
        ["crash", rest @ ..] => crash::run(rest),
        _ => anyhow::bail!("{USAGE}\n\n{}\n\n{}", bench::USAGE, crash::USAGE),
    }
}

/// The root of the repository.
fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().expect("xtask stands in the root of the repository").to_owned()
}
