//! `cargo xtask bench cache`: a snapshot of 1 GiB in 50,000 files taken and restored, against `tar | zstd`.
//!
//! The library's own code in this process, so build it optimised: `cargo run --release -p xtask -- bench cache`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;
use towpath_artifact::snapshot::{Root, Take, restore, take};
use towpath_artifact::{ContentStore, Limits, Snapshot};

use super::report::{self, median};

/// How many files, and how many bytes on average.
const FILES: usize = 50_000;
const BYTES: usize = 1 << 30;

/// Of how many directories the tree is.
const DIRECTORIES: usize = 500;

/// What is written to the JSON file.
#[derive(Serialize)]
struct Report {
    load: String,
    seconds: BTreeMap<&'static str, Vec<f64>>,
    stored_bytes: BTreeMap<&'static str, u64>,
    /// The peer's time over ours: above 1, ours is faster.
    ratio: BTreeMap<&'static str, f64>,
}

/// Measures, prints and writes `target/bench/cache.json`.
pub(crate) fn run(words: &[&str]) -> Result<()> {
    // It measures the library in this process, and no program.
    let rounds: u32 = match words {
        [] => 3,
        ["--rounds", rounds] => rounds.parse().context("--rounds")?,
        _ => anyhow::bail!("there is only --rounds N"),
    };
    ensure!((1..=100).contains(&rounds), "1 to 100 rounds");
    if cfg!(debug_assertions) {
        println!("not optimised: the figures say little; run `cargo run --release -p xtask -- bench cache`");
    }
    let place = tempfile::Builder::new().prefix("bench-cache-").tempdir_in("target")?;
    let tree = place.path().join("tree");
    grow(&tree)?;
    let store = ContentStore::open_replaceable(&place.path().join("store"))?;
    let archive = place.path().join("tree.tar.zst");
    let mut seconds: BTreeMap<&'static str, Vec<f64>> = BTreeMap::new();
    let mut name = None;
    for round in 1..=rounds {
        let mut note = |what: &'static str, took: f64| {
            println!("round {round:>2}   {what:<28} {took:>6.2} s");
            seconds.entry(what).or_default().push(took);
        };
        fs::remove_dir_all(store.root().join("blobs/sha256"))?;
        fs::create_dir(store.root().join("blobs/sha256"))?;
        let begun = Instant::now();
        let known = take(&whole(&tree, None), &store)?.known;
        let stored = known.snapshot.store(&store)?;
        name = Some(stored);
        note("snapshot", begun.elapsed().as_secs_f64());
        let begun = Instant::now();
        let again = take(&whole(&tree, Some(&known)), &store)?;
        ensure!(again.read == 0, "{} bytes were read again", again.read);
        note("snapshot, nothing changed", begun.elapsed().as_secs_f64());
        note(
            "tar | zstd",
            shell(&format!("tar -C {} -cf - . | zstd -q -T0 -f -o {}", show(&tree), show(&archive)))?,
        );
        let into = place.path().join("restored");
        note(
            "restore",
            fresh(&into, || {
                let snapshot = Snapshot::load(stored, &store)?;
                restore(&snapshot, &store, &[root(&into)], Limits::default())?;
                Ok(())
            })?,
        );
        ensure!(
            take(&whole(&into, None), &store)?.known.snapshot.content() == known.snapshot.content(),
            "other files came back"
        );
        note(
            "zstd -d | tar",
            fresh(&into, || {
                shell(&format!("zstd -q -d -c {} | tar -C {} -xf -", show(&archive), show(&into))).map(drop)
            })?,
        );
    }
    let of = |name: &str| seconds.get(name).map(|values| median(values)).unwrap_or_default();
    let ratio = BTreeMap::from([
        ("restore", of("zstd -d | tar") / of("restore")),
        ("save", of("tar | zstd") / of("snapshot")),
        ("save, nothing changed", of("tar | zstd") / of("snapshot, nothing changed")),
    ]);
    let snapshot = Snapshot::load(name.context("no snapshot")?, &store)?;
    let stored_bytes =
        BTreeMap::from([("snapshot", snapshot.stored()), ("tar | zstd", fs::metadata(&archive)?.len())]);
    println!("\n{FILES} files, {} packs; stored bytes: {stored_bytes:?}", snapshot.packs.len());
    for (what, ratio) in &ratio {
        println!("{what:<28} {ratio:>6.2} times as fast as `tar | zstd`");
    }
    report::write("cache", &Report { load: report::load(), seconds, stored_bytes, ratio })
}

fn root(path: &Path) -> Root {
    Root { name: "work", path: path.to_owned() }
}

fn whole<'a>(path: &Path, known: Option<&'a towpath_artifact::snapshot::Known>) -> Take<'a> {
    Take { parts: vec![(root(path), vec![PathBuf::new()])], known, limits: Limits::default(), refuse: None }
}

fn show(path: &Path) -> String {
    format!("'{}'", path.display())
}

/// Times `work` on an empty directory; emptying it is not counted.
fn fresh(into: &Path, work: impl FnOnce() -> Result<()>) -> Result<f64> {
    if into.exists() {
        fs::remove_dir_all(into)?;
    }
    fs::create_dir(into)?;
    let begun = Instant::now();
    work()?;
    Ok(begun.elapsed().as_secs_f64())
}

fn shell(script: &str) -> Result<f64> {
    let begun = Instant::now();
    let done = Command::new("sh").args(["-ec", script]).status().context("sh cannot be started")?;
    ensure!(done.success(), "`{script}` failed; are tar and zstd installed? (`apt install tar zstd`)");
    Ok(begun.elapsed().as_secs_f64())
}

/// Writes files that compress as sources and objects do: words drawn from a small set, and some noise.
fn grow(tree: &Path) -> Result<()> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut draw = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for directory in 0..DIRECTORIES {
        fs::create_dir_all(tree.join(format!("{:02}/{directory:03}", directory % 20)))?;
    }
    for number in 0..FILES {
        let directory = number % DIRECTORIES;
        // From a tenth to nineteen tenths of the average.
        let size = BYTES / FILES * (1 + usize::try_from(draw() % 19)?) / 10;
        let mut bytes = Vec::with_capacity(size + 16);
        while bytes.len() < size {
            let word = draw();
            if word % 3 == 0 {
                bytes.extend_from_slice(&word.to_le_bytes());
            } else {
                bytes.extend_from_slice(format!("word{} ", word % 4096).as_bytes());
            }
        }
        fs::write(tree.join(format!("{:02}/{directory:03}/{number}.o", directory % 20)), bytes)?;
    }
    Ok(())
}
