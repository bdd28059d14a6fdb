//! Measurements against the best peers, in one run on one machine.

mod backend;
mod gateway;

/// What there is to measure.
pub(crate) const USAGE: &str = "benchmarks:

  cargo xtask bench gateway [--binary FILE] [--seconds N] [--rounds N]";

/// Runs the benchmark that `words` name.
pub(crate) fn run(words: &[&str]) -> anyhow::Result<()> {
    match words {
        ["gateway", rest @ ..] => gateway::run(rest),
        [backend::WORD] => backend::run(),
        _ => anyhow::bail!("{USAGE}"),
    }
}
