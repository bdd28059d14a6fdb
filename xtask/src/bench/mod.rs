//! Measurements against the best peers, in one run on one machine.

mod backend;
mod gateway;

/// Runs the benchmark that `words` name.
pub(crate) fn run(words: &[&str]) -> anyhow::Result<()> {
    match words {
        ["gateway", rest @ ..] => gateway::run(rest),
        [backend::WORD] => backend::run(),
        _ => anyhow::bail!("there is one benchmark: gateway"),
    }
}
