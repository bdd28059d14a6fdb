//! Ends what a benchmark has started when somebody interrupts it.

use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Stdio};

use tokio::signal::unix::{SignalKind, signal};

use super::process::Scratch;

/// What a shell says of a program that was interrupted.
const INTERRUPTED: i32 = 130;

/// From now on an interrupt, a hang-up or a request to end kills every process that came from this one, then this one.
pub(super) fn watch() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let entered = runtime.enter();
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut end = signal(SignalKind::terminate())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    drop(entered);
    std::thread::spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = end.recv() => {}
                _ = hang_up.recv() => {}
            }
        });
        eprintln!("interrupted; what was started is ended");
        // Twice, for what was started by something while that was killed.
        for _ in 0..2 {
            descendants().into_iter().for_each(kill);
        }
        let _ = fs::remove_dir_all(Scratch::path());
        std::process::exit(INTERRUPTED);
    });
    Ok(())
}

/// Every process below this one, and those that have left it and name its scratch directory on their command line.
fn descendants() -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let processes = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let parents: BTreeMap<u32, u32> =
        processes.filter_map(|process| Some((process, parent(process)?))).collect();
    let own = std::process::id();
    let below = |process: u32| {
        let mut chain = std::iter::successors(Some(process), |child| parents.get(child).copied());
        chain.by_ref().skip(1).take(parents.len()).any(|ancestor| ancestor == own)
    };
    let scratch = Scratch::path().to_string_lossy().into_owned();
    let names = |process: u32| {
        let line = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(&scratch)
    };
    let mine = |process: &u32| *process != own && (below(*process) || names(*process));
    parents.keys().copied().filter(mine).collect()
}

fn parent(process: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name in brackets may hold anything; the state and the parent come behind the last one.
    stat.rsplit(')').next()?.split_whitespace().nth(1)?.parse().ok()
}

fn kill(process: u32) {
    let _ = Command::new("kill").args(["-9", &process.to_string()]).stderr(Stdio::null()).status();
}
