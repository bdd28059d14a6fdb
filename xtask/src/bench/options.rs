//! What is asked for on the command line of a benchmark.

use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};

/// The program that is measured, and how often.
pub(super) struct Options {
    /// An optimised build of `towpath`.
    pub(super) binary: PathBuf,
    /// How often everything is measured.
    pub(super) rounds: u32,
}

impl Options {
    /// Reads `--binary FILE` and `--rounds N`.
    pub(super) fn read(words: &[&str], rounds: u32) -> Result<Self> {
        let mut options = Self { binary: PathBuf::from("target/release/towpath"), rounds };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let value = words.next().with_context(|| format!("{word} needs a value"))?;
            match *word {
                "--binary" => options.binary = PathBuf::from(value),
                "--rounds" => options.rounds = value.parse().context("--rounds")?,
                _ => bail!("unknown option {word}; there are --binary FILE and --rounds N"),
            }
        }
        ensure!((1..=500).contains(&options.rounds), "1 to 500 rounds");
        let binary = std::path::absolute(&options.binary)?;
        let name = binary.display();
        ensure!(binary.is_file(), "{name} is not there; build it with: cargo build --release");
        Ok(Self { binary, ..options })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_it_does_not_know() {
        let own = std::env::current_exe().unwrap();
        let own = own.to_str().unwrap();
        assert_eq!(Options::read(&["--binary", own, "--rounds", "7"], 3).unwrap().rounds, 7);
        for words in [&["--round", "7"][..], &["--rounds"], &["--rounds", "0"], &["--binary", "nowhere"]] {
            assert!(Options::read(words, 3).is_err(), "{words:?}");
        }
    }
}
