//! `cargo xtask ci`: what decides whether a change may land. `.ci/run` installs tools and then runs this, nothing else.
//!
//! The first phase that fails ends it. Generated references are compared by tests of the crates that generate them.

use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::{crash, tidy};

/// One command of `cargo`, with what is set in its environment.
struct Phase {
    name: &'static str,
    arguments: &'static [&'static str],
    environment: &'static [(&'static str, &'static str)],
}

const fn phase(name: &'static str, arguments: &'static [&'static str]) -> Phase {
    Phase { name, arguments, environment: &[] }
}

/// Cheap phases come first, so that a forgotten `cargo fmt` is told within seconds.
const PHASES: &[Phase] = &[
    phase("format", &["fmt", "--all", "--check"]),
    phase("lints", &["clippy", "--locked", "--workspace", "--all-targets", "--", "-D", "warnings"]),
    phase("tests", &["test", "--locked", "--workspace"]),
    Phase {
        name: "documentation",
        arguments: &["doc", "--locked", "--workspace", "--no-deps", "--document-private-items"],
        environment: &[("RUSTDOCFLAGS", "-D warnings")],
    },
];

/// Runs every phase and prints how long each took.
pub(crate) fn run() -> Result<()> {
    let mut took = Vec::new();
    timed("tidy", &mut took, tidy::run)?;
    for phase in PHASES {
        timed(phase.name, &mut took, || phase.run())?;
    }
    // The program that the tests have built.
    timed("crash", &mut took, || crash::run(&["--kills", "10", "--binary", "target/debug/towpath"]))?;
    println!("\nall is well:");
    for (name, seconds) in took {
        println!("{name:<14} {seconds:>7.1} s");
    }
    Ok(())
}

fn timed(
    name: &'static str,
    took: &mut Vec<(&'static str, f64)>,
    work: impl FnOnce() -> Result<()>,
) -> Result<()> {
    println!("\n== {name}");
    let begun = Instant::now();
    work().with_context(|| format!("{name} failed"))?;
    took.push((name, begun.elapsed().as_secs_f64()));
    Ok(())
}

impl Phase {
    fn run(&self) -> Result<()> {
        let Self { name: _, arguments, environment } = self;
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command.args(*arguments).envs(environment.iter().copied());
        let status = command.status().context("cannot start cargo")?;
        if !status.success() {
            bail!("cargo {} ended with {status}", arguments.join(" "));
        }
        Ok(())
    }
}
