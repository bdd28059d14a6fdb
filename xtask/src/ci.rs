//! `cargo xtask ci`: what decides whether a change may land. `.ci/run` installs tools and then runs this, nothing else.
//!
//! The first phase that fails ends it; within the tests all are run first. Generated references are compared by tests of the crates that generate them.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
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
];

const DOCUMENTATION: Phase = Phase {
    name: "documentation",
    arguments: &["doc", "--locked", "--workspace", "--no-deps", "--document-private-items"],
    environment: &[("RUSTDOCFLAGS", "-D warnings")],
};

/// So many failed targets are run once more. More than that is no accident of timing.
const SECOND_CHANCES: usize = 3;

/// Runs every phase and prints how long each took.
pub(crate) fn run() -> Result<()> {
    let mut took = Vec::new();
    timed("tidy", &mut took, tidy::run)?;
    for phase in PHASES {
        timed(phase.name, &mut took, || phase.run())?;
    }
    let mut flaky = Vec::new();
    timed("tests", &mut took, || {
        flaky = run_tests()?;
        Ok(())
    })?;
    timed(DOCUMENTATION.name, &mut took, || DOCUMENTATION.run())?;
    // The program that the tests have built.
    timed("crash", &mut took, || crash::run(&["--kills", "10", "--binary", "target/debug/towpath"]))?;
    println!("\nall is well:");
    for (name, seconds) in took {
        println!("{name:<14} {seconds:>7.1} s");
    }
    for target in flaky {
        println!("FLAKY: `cargo test {target}` failed, and passed when it was run again; mend it");
    }
    Ok(())
}

/// Runs every test, also after one has failed, so that one look at the output is enough. Targets that failed are run once
/// more, alone: those that pass then are returned, to be named at the end.
fn run_tests() -> Result<Vec<String>> {
    let mut all = cargo(&["test", "--locked", "--workspace", "--no-fail-fast"]);
    let mut running = all.stderr(Stdio::piped()).spawn().context("cannot start cargo")?;
    let told = running.stderr.take().context("cargo has no standard error")?;
    let failed = failed_targets(BufReader::new(told), &mut std::io::stderr())?;
    let status = running.wait().context("cannot wait for cargo")?;
    if status.success() {
        return Ok(Vec::new());
    }
    if failed.is_empty() || failed.len() > SECOND_CHANCES {
        bail!("cargo test ended with {status}; {} targets failed", failed.len());
    }
    for target in &failed {
        println!("\n== once more: cargo test {target}");
        let words = target.split_whitespace();
        let status = cargo(&["test", "--locked"]).args(words).status().context("cannot start cargo")?;
        if !status.success() {
            bail!("cargo test {target} failed twice, and ended with {status}");
        }
    }
    Ok(failed)
}

/// The targets that cargo names as failed at its end, as arguments for `cargo test`. Passes all lines on to `echo`.
fn failed_targets(told: impl BufRead, echo: &mut impl Write) -> Result<Vec<String>> {
    let mut failed = Vec::new();
    let mut listing = false;
    for line in told.split(b'\n') {
        let line = line.context("cannot read what cargo says")?;
        echo.write_all(&line)
            .and_then(|()| echo.write_all(b"\n"))
            .context("cannot pass on what cargo says")?;
        let line = String::from_utf8_lossy(&line);
        if line.starts_with("error: ") {
            listing = line.ends_with("target failed:") || line.ends_with("targets failed:");
        } else if listing
            && let Some(target) = line.trim().strip_prefix('`').and_then(|it| it.strip_suffix('`'))
        {
            failed.push(target.to_owned());
        }
    }
    Ok(failed)
}

fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments);
    command
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
        let mut command = cargo(arguments);
        let status = command.envs(environment.iter().copied()).status().context("cannot start cargo")?;
        if !status.success() {
            bail!("cargo {} ended with {status}", arguments.join(" "));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_targets_that_cargo_names() {
        let told = "     Running unittests src/lib.rs\nerror: test failed, to rerun pass `-p towpath-agent --lib`\n\
                    note: `x`\nerror: 2 targets failed:\n    `-p towpath-agent --lib`\n    `-p towpath --test cli`\n";
        let mut echo = Vec::new();
        let failed = failed_targets(told.as_bytes(), &mut echo).unwrap();
        assert_eq!(failed, ["-p towpath-agent --lib", "-p towpath --test cli"]);
        assert_eq!(String::from_utf8(echo).unwrap(), told);
    }
}
