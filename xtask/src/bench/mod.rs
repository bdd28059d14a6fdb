//! Measurements against the best peers, in one run on one machine. Everything is bounded and on loopback.

mod agents;
mod backend;
mod buildbot;
mod cache;
mod first_line;
mod gateway;
mod interrupt;
mod jobs;
mod log;
mod memory;
mod options;
mod process;
mod queue;
mod report;
mod rollback;
mod sandbox;
mod world;

/// What there is to measure.
pub(crate) const USAGE: &str = "benchmarks (build the program first: cargo build --release):

  cargo xtask bench
      all of them, one after the other
  cargo xtask bench gateway [--binary FILE] [--seconds N] [--rounds N]
      requests per second and p99 against HAProxy and nginx
  cargo xtask bench jobs [--binary FILE] [--rounds N]
      200 no-op jobs against GNU make and Buildbot, and what the sandbox adds
  cargo xtask bench first-line [--binary FILE] [--rounds N]
      git push to the first log line
  cargo xtask bench agents [--agents N] [--seconds N] [--binary FILE]
      processor time and memory of the server with 1,000 idle agents
  cargo xtask bench log [--bytes N] [--binary FILE] [--rounds N]
      log bytes acknowledged per second against cat and fsync, and for each core; a line far behind in a log of 1 GiB
  cargo run --release -p xtask -- bench cache [--rounds N]
      a snapshot of 1 GiB in 50,000 files, taken and restored, against tar | zstd
  cargo xtask bench queue
      one look of the scheduler at 10,000 waiting jobs
  cargo xtask bench rollback [--binary FILE] [--rounds N]
      a decision to the last request on the bad version
  cargo xtask bench sandbox [--binary FILE] [--rounds N]
      the start of a Step behind all walls over a plain fork
  cargo xtask bench memory [--binary FILE]
      idle memory of server, agent and gateway";

type Bench = fn(&[&str]) -> anyhow::Result<()>;

const BENCHES: [(&str, Bench); 10] = [
    ("gateway", gateway::run),
    ("jobs", jobs::run),
    ("first-line", first_line::run),
    ("agents", agents::run),
    ("log", log::run),
    ("cache", cache::run),
    ("queue", queue::run),
    ("rollback", rollback::run),
    ("sandbox", sandbox::run),
    ("memory", memory::run),
];

/// Runs the benchmark that `words` name; all of them if they name none.
pub(crate) fn run(words: &[&str]) -> anyhow::Result<()> {
    if words != [backend::WORD] {
        interrupt::watch()?;
    }
    match words {
        [] => all(),
        [backend::WORD] => backend::run(),
        [name, rest @ ..] => match BENCHES.iter().find(|(known, _)| known == name) {
            Some((_, bench)) => bench(rest),
            None => anyhow::bail!("{USAGE}"),
        },
    }
}

/// One that cannot be run, for want of a peer or so, does not keep the others from it.
fn all() -> anyhow::Result<()> {
    let mut failed = Vec::new();
    for (name, bench) in BENCHES {
        println!("\n== {name}");
        if let Err(error) = bench(&[]) {
            println!("{name} was not measured: {error:#}");
            failed.push(name);
        }
    }
    anyhow::ensure!(failed.is_empty(), "not measured: {}", failed.join(", "));
    Ok(())
}
