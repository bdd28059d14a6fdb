//! The escape suite: what a hostile Step tries, one test for each attempt, each named after what is tried.
//!
//! An attempt prints `ESCAPED` when it has come through. It must not, behind each wall that this host has; and where that
//! is safe it is made without walls first and must come through there, so that a test which tries nothing is found out.

#![allow(clippy::unwrap_used, reason = "a failed helper fails the test")]

#[path = "../support/mod.rs"]
mod support;

mod artifacts;
mod bombs;
mod environment;
mod files;
mod kernel;
mod network;
mod processes;

use std::process::Command;

use support::{Bench, helper, step};
use towpath_agent::sandbox::{Isolation, Watch};

/// What an attempt prints when it has come through.
const SIGN: &str = "ESCAPED";

/// Every wall that works on this host; which ones do not is said aloud.
fn walls() -> Vec<Isolation> {
    let mut found = Vec::new();
    match Isolation::detect(&helper()) {
        Ok(bubblewrap @ Isolation::Bubblewrap { .. }) => found.push(bubblewrap),
        other => eprintln!("SKIPPED: bubblewrap is not tested here; `apt install bubblewrap`: {other:?}"),
    }
    match Isolation::landlock(&helper()) {
        Ok(landlock) => found.push(landlock),
        Err(error) => eprintln!("SKIPPED: Landlock is not tested here: {error}"),
    }
    found
}

fn unconfined() -> Isolation {
    Isolation::host(&helper(), Watch::Stay)
}

/// Whether a program is here; its absence is said aloud.
fn has(program: &str) -> bool {
    let there = Command::new(program).arg("--version").output().is_ok();
    if !there {
        eprintln!("SKIPPED: `{program}` is missing; `apt install {program}`");
    }
    there
}

/// Whether the attempt comes through without walls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Control {
    ComesThrough,
    /// It would harm this host, or needs rights that the test may not have.
    NotTried,
}

/// Makes an attempt behind every wall. `script` gets the place in which it is made.
fn must_fail(control: Control, set_up: impl Fn(&mut Bench), script: impl Fn(&Bench) -> String) {
    let made = |isolation: Isolation| {
        let name = isolation.name();
        let mut bench = Bench::new(isolation);
        set_up(&mut bench);
        let (ended, recorder) = bench.run(&[step(&script(&bench))]);
        (name, format!("{ended:?}\n{}", recorder.text()))
    };
    if control == Control::ComesThrough {
        let (_, said) = made(unconfined());
        assert!(said.contains(SIGN), "without walls it must come through, or nothing is tested: {said}");
    }
    for isolation in walls() {
        let (name, said) = made(isolation);
        assert!(!said.contains(SIGN), "it came through {name}: {said}");
        assert!(
            !said.contains("sandbox could not be entered"),
            "it was not even tried behind {name}: {said}"
        );
    }
}

/// A Python program as a script for `sh`. It prints the sign itself.
fn python(text: &str) -> String {
    format!(
        "python3 - <<'PYTHON'\nimport ctypes, os, platform, socket, sys\nlibc = ctypes.CDLL(None, use_errno=True)\n{text}\nPYTHON\n"
    )
}
