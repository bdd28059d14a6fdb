//! `cargo xtask crash`: a real server, agent and gateway are killed with -9 at random moments of a story that goes on
//! meanwhile: pushes, jobs, Releases, approvals, canaries, a bad version now and then, and users who ask all the time.

mod checks;
mod dice;
mod load;
mod options;
mod processes;
mod project;
mod report;
mod server;
mod story;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use dice::Dice;
use load::Load;
use options::Options;
pub(crate) use options::USAGE;
use processes::{Scratch, Victim};
use project::Project;
use report::Report;
use server::Server;
use story::Story;

/// How long a process may take to be back after it was killed.
const BACK_WITHIN: Duration = Duration::from_secs(60);

/// The longest pause before the next kill, in milliseconds.
const LONGEST_PAUSE: u64 = 2_500;

/// How long the story may take to come to its end when nothing is killed any more.
const END_WITHIN: Duration = Duration::from_secs(180);

/// Runs the chore.
pub(crate) fn run(words: &[&str]) -> Result<()> {
    let options = Options::read(words)?;
    println!("seed {}: {} kills", options.seed, options.kills);
    let scratch = Scratch::new()?;
    let result = play(&options, &scratch);
    if result.is_err() {
        println!("the server's log ends so:\n{}", scratch.tail("server.log"));
    }
    let left = scratch.end_all();
    let problems = result?;
    if !left.is_empty() {
        bail!("left running: {}", left.join(", "));
    }
    if !problems.is_empty() {
        bail!(
            "{} of what must hold did not (seed {}):\n  {}",
            problems.len(),
            options.seed,
            problems.join("\n  ")
        );
    }
    println!("everything held");
    Ok(())
}

/// Tells the story, kills, and says what did not hold.
fn play(options: &Options, scratch: &Scratch) -> Result<Vec<String>> {
    let mut server = Server::new(&options.binary, scratch)?;
    server.start()?;
    let project = Project::create(&server, scratch)?;
    let story = Arc::new(Story::default());
    let teller = story::tell(Arc::clone(&story), server.access(), project.clone());
    let load = Load::start(project.listen);
    let mut report = Report::default();
    let killed = kill_all(options, &mut server, &story, &load, &mut report);
    story.stop();
    let told = teller.join().map_err(|_| anyhow::anyhow!("the story broke off"))?;
    let seen = load.finish();
    let mut problems = killed?;
    problems.extend(told);
    problems.extend(seen.problems(report.outages()));
    problems.extend(checks::settled(&server, END_WITHIN)?);
    problems.extend(checks::logs(&server)?);
    server.stop()?;
    problems.extend(checks::data(&server.data)?);
    report.print(&seen, &story);
    Ok(problems)
}

/// Kills one process after the other and waits until each is back.
fn kill_all(
    options: &Options,
    server: &mut Server,
    story: &Story,
    load: &Load,
    report: &mut Report,
) -> Result<Vec<String>> {
    let mut dice = Dice(options.seed);
    let mut problems = Vec::new();
    story.wait_for_traffic(load)?;
    for number in 1..=options.kills {
        std::thread::sleep(Duration::from_millis(dice.roll(LONGEST_PAUSE)));
        let victim = Victim::ALL[usize::try_from(dice.roll(3))?];
        let phase = story.phase();
        let at = Instant::now();
        let Some(before) = processes::kill(victim, server)? else {
            problems.push(format!("kill {number}: no {} was running", victim.word()));
            continue;
        };
        let dead = Instant::now();
        if victim == Victim::Server {
            server.start()?;
        }
        let back = processes::wait_until_back(victim, server, before, load, dead, BACK_WITHIN);
        match back {
            Ok(took) => report.note(victim, phase, at, dead + took, took),
            Err(error) => problems.push(format!("kill {number} ({}, {phase}): {error:#}", victim.word())),
        }
        problems.extend(checks::supervisors(server).into_iter().map(|text| format!("kill {number}: {text}")));
    }
    Ok(problems)
}
