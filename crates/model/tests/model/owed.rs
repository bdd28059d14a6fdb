//! Jobs with `paths` over random histories: nothing that was pushed is ever called good without having been looked at.

use std::collections::{BTreeMap, BTreeSet};

use towpath_model::Digest;
use towpath_model::attempt::{AttemptReport, AttemptState, Finished};
use towpath_model::owed::{self, Base, Bases, Verdict, reads};
use towpath_model::pipeline::Job;
use towpath_model::run::{JobState, Run, RunEffect, RunEvent, Trust};

use crate::fixture::{agent, start, user};
use crate::prng::Prng;
use crate::run::{Never, job, new_run};

/// Path to content.
type Tree = BTreeMap<&'static str, u64>;

const PATHS: [&str; 5] = ["api/main.rs", "api/README.md", "web/index.ts", "lib/core.rs", "docs/a.md"];

fn jobs(widened: bool) -> Vec<Job> {
    let paths = |list: &[&str]| list.iter().map(|&p| p.to_owned()).collect::<Vec<_>>();
    let mut core = job("core", &[], None);
    core.paths = paths(&["lib/**"]);
    let mut api = job("api", &["core"], None);
    api.paths = paths(&["api/**", "!**/*.md"]);
    if widened {
        api.paths.push("docs/**".to_owned());
    }
    let mut web = job("web", &["core"], None);
    web.paths = paths(&["web/**"]);
    vec![core, api, web]
}

/// A Job, its definition, and the versions of the files that it reads.
type Seen = (String, Digest, Vec<(&'static str, u64)>);

/// A server with one ref, without its shell.
struct World {
    dice: Prng,
    commits: Vec<Tree>,
    verdicts: BTreeMap<String, Verdict>,
    runs: Vec<(Run, usize)>,
    /// What each Job has really looked at and found good: the part of the tree that it reads, as described then.
    good: BTreeSet<Seen>,
    filtered: usize,
    /// Whether git sometimes cannot tell what has changed.
    forgetful: bool,
}

impl World {
    fn push(&mut self) {
        let mut tree = match self.commits.last() {
            // A forced push goes back to some older commit.
            Some(_) if self.dice.once_in(8) => {
                let index = self.dice.below(self.commits.len() as u64) as usize;
                self.commits[index].clone()
            }
            Some(tree) => tree.clone(),
            None => PATHS.iter().map(|&path| (path, 0)).collect(),
        };
        for _ in 0..self.dice.below(3) {
            let path = PATHS[self.dice.below(PATHS.len() as u64) as usize];
            tree.insert(path, self.dice.below(4));
        }
        self.commits.push(tree);
        let (commit, number) = (self.commits.len() - 1, self.runs.len() as u64 + 1);
        let trust = if self.dice.once_in(10) { Trust::Internal } else { Trust::Protected };
        let widened = self.dice.once_in(6);
        let new = new_run(number, &format!("{commit:040}"), trust, jobs(widened));
        let (run, _handled) = Run::start(new, start());
        self.runs.push((run, commit));
    }

    fn prepare(&mut self, index: usize) {
        let (run, commit) = &self.runs[index];
        let declared = run.pipeline.as_ref().expect("a pipeline").jobs.clone();
        let mut bases = Bases::new();
        for job in declared {
            let Some(verdict) = self.verdicts.get(job.name.as_str()) else { continue };
            let old = &self.commits[verdict.commit.parse::<usize>().expect("a commit")];
            let new = &self.commits[*commit];
            let changed: Vec<String> =
                PATHS.iter().filter(|path| old.get(*path) != new.get(*path)).map(|&p| p.to_owned()).collect();
            // Sometimes git cannot tell: the commit was cleared away.
            let list = if self.forgetful && self.dice.once_in(12) { None } else { Some(changed.as_slice()) };
            let change = owed::change(&job.paths, list);
            bases.insert(job.name.clone(), Base { verdict: verdict.clone(), change });
        }
        self.send(index, RunEvent::SourcePrepared { source: Digest::of(b"source"), bases });
    }

    fn send(&mut self, index: usize, event: RunEvent) {
        let before = self.runs[index].0.clone();
        let handled = self.runs[index].0.handle(event, &Never, start());
        for effect in handled.effects {
            if let RunEffect::RememberVerdict { job, verdict } = effect {
                let known = self.verdicts.get(job.as_str());
                if owed::is_newer(&verdict, known) {
                    self.verdicts.insert(job.to_string(), verdict);
                }
            }
        }
        self.check(index, &before);
    }

    /// Whatever became good just now was looked at, now or before.
    fn check(&mut self, index: usize, before: &Run) {
        let (run, commit) = &self.runs[index];
        let tree = &self.commits[*commit];
        for (job, old) in run.jobs.iter().zip(&before.jobs) {
            if job.state != JobState::Passed || old.state == JobState::Passed {
                continue;
            }
            let declared = run.pipeline.as_ref().and_then(|p| p.job(&job.name)).expect("declared");
            let read: Vec<_> =
                tree.iter().filter(|(path, _)| reads(&declared.paths, path)).map(|(p, v)| (*p, *v)).collect();
            let seen = (job.name.to_string(), owed::definition(declared, &BTreeMap::new()), read);
            let ran = job.attempts.last().is_some_and(|attempt| attempt.state == AttemptState::Passed);
            if ran {
                self.good.insert(seen);
            } else {
                self.filtered += 1;
                assert!(
                    self.good.contains(&seen),
                    "{} of commit {commit} was never looked at: {}",
                    job.name,
                    job.reason
                );
                assert!(
                    job.reason.starts_with("skipped: nothing it reads has changed since"),
                    "{}",
                    job.reason
                );
            }
        }
    }

    /// Something happens to some Run.
    fn tick(&mut self) {
        if self.runs.is_empty() || self.dice.once_in(6) {
            return self.push();
        }
        // Mostly one of the newest, sometimes one that is long overtaken.
        let back = if self.dice.once_in(5) { self.runs.len() as u64 } else { 3.min(self.runs.len() as u64) };
        let index = self.runs.len() - 1 - self.dice.below(back) as usize;
        if self.runs[index].0.source.is_none() {
            return self.prepare(index);
        }
        if self.dice.once_in(10) {
            let event = RunEvent::CancelRequested { actor: user("bob"), reason: "newer".to_owned() };
            return self.send(index, event);
        }
        if self.dice.once_in(10) {
            return self.send(index, RunEvent::RerunRequested { actor: user("bob") });
        }
        let open: Vec<_> = self.runs[index]
            .0
            .jobs
            .iter()
            .flat_map(|job| &job.attempts)
            .filter(|attempt| !attempt.state.is_final())
            .map(|attempt| (attempt.id, attempt.fence))
            .collect();
        if open.is_empty() {
            return;
        }
        let (attempt, fence) = open[self.dice.below(open.len() as u64) as usize];
        if fence == 0 {
            return self.send(index, RunEvent::AttemptLeased { attempt, agent: agent(1), fence: 1 });
        }
        let state = match self.dice.below(6) {
            0 => AttemptState::Failed,
            1 => {
                return self
                    .send(index, RunEvent::AttemptLost { attempt, fence, message: "silence".to_owned() });
            }
            _ => AttemptState::Passed,
        };
        let report = AttemptReport::Finished(Finished {
            state,
            message: String::new(),
            outputs: BTreeMap::new(),
            artifacts: BTreeMap::new(),
            tests: None,
            reports: Vec::new(),
            log_bytes: 0,
        });
        self.send(index, RunEvent::AttemptReported { attempt, fence, sequence: 1, at: start(), report });
    }
}

#[test]
fn no_commit_range_is_left_unexamined() {
    let mut filtered = 0;
    for seed in 0..300 {
        let mut world = World {
            dice: Prng(seed),
            commits: Vec::new(),
            verdicts: BTreeMap::new(),
            runs: Vec::new(),
            good: BTreeSet::new(),
            filtered: 0,
            forgetful: true,
        };
        for _ in 0..400 {
            world.tick();
        }
        filtered += world.filtered;
    }
    assert!(filtered > 1_000, "the histories filtered only {filtered} Jobs, so they show little");
}

/// Work that a cancelled Run never came to is in the next one's comparison.
#[test]
fn cancelled_work_stays_owed() {
    let mut world = World {
        dice: Prng(1),
        commits: vec![PATHS.iter().map(|&path| (path, 0)).collect()],
        verdicts: BTreeMap::new(),
        runs: Vec::new(),
        good: BTreeSet::new(),
        filtered: 0,
        forgetful: false,
    };
    let begin = |world: &mut World, change: Option<&'static str>| {
        let mut tree = world.commits.last().expect("a commit").clone();
        if let Some(path) = change {
            *tree.get_mut(path).expect("a path") += 1;
        }
        world.commits.push(tree);
        let commit = world.commits.len() - 1;
        let number = world.runs.len() as u64 + 1;
        let new = new_run(number, &format!("{commit:040}"), Trust::Protected, jobs(false));
        world.runs.push((Run::start(new, start()).0, commit));
        let index = world.runs.len() - 1;
        world.prepare(index);
        index
    };
    let pass = |world: &mut World, index: usize, name: &str| {
        let job = world.runs[index].0.job(&name.parse().expect("a name")).expect("a job").clone();
        let attempt = job.attempts.last().unwrap_or_else(|| panic!("{name}: {}", job.reason)).id;
        world.send(index, RunEvent::AttemptLeased { attempt, agent: agent(1), fence: 1 });
        let report = AttemptReport::Finished(Finished {
            state: AttemptState::Passed,
            message: String::new(),
            outputs: BTreeMap::new(),
            artifacts: BTreeMap::new(),
            tests: None,
            reports: Vec::new(),
            log_bytes: 0,
        });
        world.send(index, RunEvent::AttemptReported { attempt, fence: 1, sequence: 1, at: start(), report });
    };
    let first = begin(&mut world, None);
    for name in ["core", "api", "web"] {
        pass(&mut world, first, name);
    }
    let second = begin(&mut world, Some("api/main.rs"));
    world.send(second, RunEvent::CancelRequested { actor: user("bob"), reason: "newer".to_owned() });
    let third = begin(&mut world, Some("web/index.ts"));
    let run = &world.runs[third].0;
    let words: Vec<_> =
        run.jobs.iter().map(|job| (job.state, job.why.as_str(), job.reason.as_str())).collect();
    assert_eq!(words[0].0, JobState::Passed);
    assert_eq!(words[0].2, "skipped: nothing it reads has changed since 0000000 (run 1)");
    assert_eq!(words[1].0, JobState::Active, "the api's change was cancelled away");
    assert_eq!(words[1].1, "`api/main.rs` has changed since 0000000 (run 1)");
    assert_eq!(words[2].0, JobState::Active);
}
