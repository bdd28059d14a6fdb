//! What was killed when, how long it took to be back, and what users noticed.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::load::Seen;
use super::processes::Victim;
use super::story::Story;

/// The kills so far.
#[derive(Default)]
pub(super) struct Report {
    kills: Vec<(Victim, String, Duration)>,
    outages: Vec<(Instant, Instant)>,
}

impl Report {
    /// Notes a kill that was recovered from, and when nobody did its work.
    pub(super) fn note(&mut self, victim: Victim, phase: String, from: Instant, to: Instant, took: Duration) {
        if victim == Victim::Gateway {
            self.outages.push((from, to));
        }
        self.kills.push((victim, phase, took));
    }

    /// When no gateway was there.
    pub(super) fn outages(&self) -> &[(Instant, Instant)] {
        &self.outages
    }

    /// Prints everything as tables.
    pub(super) fn print(&self, seen: &Seen, story: &Story) {
        println!("\n{:<10} {:>6} {:>12} {:>12} {:>12}", "killed", "times", "back p50", "back p99", "longest");
        for victim in Victim::ALL {
            let mut took: Vec<Duration> =
                self.kills.iter().filter(|(who, ..)| *who == victim).map(|(.., took)| *took).collect();
            took.sort_unstable();
            let at = |share: usize| took.get((took.len() * share).div_ceil(100).saturating_sub(1));
            let text = |time: Option<&Duration>| {
                time.map_or_else(String::new, |time| format!("{} ms", time.as_millis()))
            };
            let (word, times) = (victim.word(), took.len());
            println!(
                "{word:<10} {times:>6} {:>12} {:>12} {:>12}",
                text(at(50)),
                text(at(99)),
                text(took.last())
            );
        }
        let mut phases: BTreeMap<&str, [u32; 3]> = BTreeMap::new();
        for (victim, phase, _) in &self.kills {
            let index = Victim::ALL.iter().position(|other| other == victim).unwrap_or_default();
            phases.entry(phase).or_default()[index] += 1;
        }
        println!("\n{:<24} {:>8} {:>8} {:>8}", "while", "serve", "agent", "gateway");
        for (phase, [server, agent, gateway]) in phases {
            println!("{phase:<24} {server:>8} {agent:>8} {gateway:>8}");
        }
        let (promoted, back) =
            (story.promoted.load(Ordering::Relaxed), story.rolled_back.load(Ordering::Relaxed));
        println!("\n{promoted} versions were promoted, {back} rolled back");
        println!(
            "{} requests: {} answered by a bad version, {} unanswered while no gateway was there",
            seen.requests,
            seen.bad_version,
            seen.failed()
        );
    }
}
