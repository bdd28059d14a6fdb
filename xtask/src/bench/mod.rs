//! Measurements against the best peers, in one run on one machine. Everything is bounded and on loopback.

mod backend;
mod first_line;
mod gateway;
mod jobs;
mod log;
mod memory;
mod options;
mod process;
mod report;
mod rollback;
mod world;

/// What there is to measure.
pub(crate) const USAGE: &str = "benchmarks (build the program first: cargo build --release):

  cargo xtask bench gateway [--binary FILE] [--seconds N] [--rounds N]
      requests per second and p99 against HAProxy and nginx
  cargo xtask bench jobs [--binary FILE] [--rounds N]
      200 no-op jobs against GNU make, and what the sandbox adds
  cargo xtask bench first-line [--binary FILE] [--rounds N]
      git push to the first log line
  cargo xtask bench log [--binary FILE] [--rounds N]
      log bytes acknowledged per second against cat and fsync
  cargo xtask bench rollback [--binary FILE] [--rounds N]
      a decision to the last request on the bad version
  cargo xtask bench memory [--binary FILE]
      idle memory of server, agent and gateway";

/// Runs the benchmark that `words` name.
pub(crate) fn run(words: &[&str]) -> anyhow::Result<()> {
    match words {
        ["gateway", rest @ ..] => gateway::run(rest),
        ["jobs", rest @ ..] => jobs::run(rest),
        ["first-line", rest @ ..] => first_line::run(rest),
        ["log", rest @ ..] => log::run(rest),
        ["rollback", rest @ ..] => rollback::run(rest),
        ["memory", rest @ ..] => memory::run(rest),
        [backend::WORD] => backend::run(),
        _ => anyhow::bail!("{USAGE}"),
    }
}
