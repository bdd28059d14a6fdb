//! What is asked for on the command line.

use std::path::PathBuf;
use std::time::SystemTime;

use anyhow::{Context, Result, bail, ensure};

/// How to use the chore.
pub(crate) const USAGE: &str = "crash [--kills N] [--seed S] [--binary FILE]
  kills server, agent and gateway N times (10); FILE is target/release/towpath, else target/debug/towpath";

/// How often to kill whom.
pub(super) struct Options {
    pub(super) kills: u32,
    pub(super) seed: u64,
    pub(super) binary: PathBuf,
}

impl Options {
    /// Reads the words of the command line.
    pub(super) fn read(words: &[&str]) -> Result<Self> {
        let (mut kills, mut seed, mut binary) = (10, None, None);
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let value = words.next().with_context(|| format!("{word} needs a value"))?;
            match *word {
                "--kills" => kills = value.parse().context("--kills")?,
                "--seed" => seed = Some(value.parse().context("--seed")?),
                "--binary" => binary = Some(PathBuf::from(value)),
                _ => bail!("unknown option {word}\n\n{USAGE}"),
            }
        }
        ensure!((1..=10_000).contains(&kills), "1 to 10,000 kills");
        let built = ["target/release/towpath", "target/debug/towpath"].map(PathBuf::from);
        let binary = binary.or_else(|| built.into_iter().find(|path| path.is_file()));
        let binary = binary.context("there is no towpath in target; build it with: cargo build --release")?;
        Ok(Self { kills, seed: seed.unwrap_or_else(draw), binary: std::path::absolute(binary)? })
    }
}

/// A seed that nobody chose.
fn draw() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::from(now.subsec_nanos()) ^ u64::from(std::process::id())
}
