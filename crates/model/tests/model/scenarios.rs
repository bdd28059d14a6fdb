//! Scripted scenarios with golden output.
//!
//! Each file in `scenarios/` has lines of a small language; the runner writes after each line what it came to: the
//! timeline, then where everything stands. `UPDATE=1 cargo test -p towpath-model --test model scenarios` writes them anew.
//!
//! ```text
//! instances 2 | gate approval 2 | gate window mon-thu 09:00-16:00 | gate freeze FROM UNTIL | gate soak staging 600
//! strategy canary 10:30 50:30:pause | strategy recreate | strategy rolling SURGE UNAVAILABLE SECONDS
//! strategy blue-green SECONDS | on-failure hold | before http | verify http | verify run | deadline 600
//! preview | guided | guide | queue queued | scheduled @daily | bisect | suspects GOOD VERSION ...
//! push 1.0.0 [by LOGIN] [config c2] [override] [older-than VERSION] | approve LOGIN [VERSION] | reject LOGIN [VERSION] | approve-seen LOGIN | look LOGIN
//! checked | broken TEXT | instances ready | instance failed | confirm | advance 10 | measure candidate 100/3 stable 900/20
//! passed | failed TEXT | lost | errored | hold | resume | abort | rollback 1.0.0 | withdraw | apply | no-host | host
//! second-host | host-lost | host-back | instances-of 2 | fleet | no-gateway | gateway | staging 1.0.0
//! apply [queue superseded]
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;

use jiff::Timestamp;
use towpath_model::attempt::{AttemptReport, AttemptState, Finished};
use towpath_model::cron::Cron;
use towpath_model::environment::{
    Environment, EnvironmentEffect, EnvironmentEvent, Facts, Host, InstanceHealth, Neighbour, Observed,
    Phase, Promotion, PromotionKind, Sample, Suspect,
};
use towpath_model::gate::LONG_PATIENCE;
use towpath_model::intake::{AfterRollback, Promote, Queue};
use towpath_model::pipeline::{
    FreezeGate, Gate, HttpVerification, OnFailure, Route, RouteField, RunVerification, Side, SoakGate,
    Sticky, Strategy, Verification, WindowGate,
};
use towpath_model::timeline::Actor;
use towpath_model::{AttemptId, Digest, PromotionId};

use crate::fixture::{
    agent, approval, blue_green, canary, environment, new_promotion, plan, promotion_id, revision,
    rollback_plan, rolling, seconds, start, user, voter,
};

struct Script {
    now: Timestamp,
    env: Environment,
    facts: Facts,
    strategy: Strategy,
    verify: Vec<Verification>,
    before: usize,
    on_failure: OnFailure,
    deadline: i64,
    promotions: u128,
    attempts: Vec<AttemptId>,
    seen: Option<(PromotionId, Digest)>,
    out: String,
}

#[test]
fn scenarios() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let update = std::env::var_os("UPDATE").is_some();
    let mut wrong = Vec::new();
    let mut files: Vec<_> =
        std::fs::read_dir(&folder).expect("the folder").map(|file| file.expect("a file").path()).collect();
    files.sort();
    assert!(files.len() >= 20, "only {} scenarios", files.len());
    for file in files {
        let golden = std::fs::read_to_string(&file).expect("a scenario");
        let played = play(&golden);
        if played != golden && update {
            std::fs::write(&file, played).expect("written");
        } else if played != golden {
            let line = golden.lines().zip(played.lines()).find(|(was, is)| was != is);
            wrong.push(format!("{}: {line:?}", file.display()));
        }
    }
    assert!(wrong.is_empty(), "UPDATE=1 writes these anew; look at the difference:\n{}", wrong.join("\n"));
}

/// Plays the lines that begin with `> `; comments stay, everything else is written anew.
fn play(text: &str) -> String {
    let mut script = Script::new();
    for line in text.lines() {
        if let Some(order) = line.strip_prefix("> ") {
            writeln!(script.out, "{line}").expect("a string");
            script.line(order);
        } else if line.starts_with('#') {
            writeln!(script.out, "{line}").expect("a string");
        }
    }
    script.out
}

impl Script {
    fn new() -> Self {
        let now = start();
        let mut env = environment(Vec::new(), 1, now);
        env.policy.document.gates.clear();
        let facts = Facts {
            hosts: vec![host(1, start())],
            gateways: BTreeSet::from(["g1".to_owned()]),
            neighbours: BTreeMap::new(),
            ..Facts::default()
        };
        Self {
            now,
            env,
            facts,
            strategy: canary(&[(100, 30, false), (500, 30, false)]),
            verify: Vec::new(),
            before: 0,
            on_failure: OnFailure::Rollback,
            deadline: 1800,
            promotions: 0,
            attempts: Vec::new(),
            seen: None,
            out: String::new(),
        }
    }

    fn line(&mut self, line: &str) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let rest = || words[1..].join(" ");
        let actor = user("bob");
        match words[0] {
            "instances" if words[1] == "ready" => self.instances(InstanceHealth::Ready),
            "instances" => {
                self.env.policy.document.target.instances = words[1].parse().expect("a number");
            }
            "instance" => self.instances(InstanceHealth::Failed),
            "gate" => self.env.policy.document.gates.push(gate(&words[1..])),
            "strategy" => self.strategy = strategy(&words[1..]),
            "on-failure" => self.on_failure = OnFailure::Hold,
            "deadline" => self.deadline = words[1].parse().expect("seconds"),
            "verify" => self.verify.push(verification(words[1])),
            "before" => {
                self.verify.insert(self.before, verification(words[1]));
                self.before += 1;
            }
            "preview" => {
                self.env.policy.document.preview = Some(SocketAddr::from(([127, 0, 0, 1], 8081)));
            }
            "guided" => self.guided(),
            "guide" => self.show_guide(),
            "push" => self.push(&words[1..]),
            "queue" => self.env.policy.document.intake.queue = queue(words[1]),
            "scheduled" => {
                let cron = Cron::parse(&rest(), "UTC").expect("a schedule");
                self.env.policy.document.intake.promote = Promote::Scheduled(cron);
            }
            "bisect" => self.env.policy.document.intake.after_rollback = AfterRollback::Bisect,
            "suspects" => self.suspects(&words[1..]),
            "approve" | "reject" => {
                self.vote(words[1], words[0] == "approve", None, words.get(2).copied());
            }
            "look" => self.seen = self.env.waiting.as_ref().map(|waiting| (waiting.id, waiting.binding())),
            "approve-seen" => {
                let binding = self.seen.map(|(_, binding)| binding);
                self.vote(words[1], true, binding, None);
            }
            "checked" => self.checked(None),
            "broken" => self.checked(Some(rest())),
            "confirm" => self.confirm(),
            "advance" => self.advance(words[1].parse().expect("seconds")),
            "measure" => self.measure(words[2], words[4]),
            "passed" => self.check_ended(AttemptState::Passed, "exit code 0"),
            "failed" => self.check_ended(AttemptState::Failed, &rest()),
            "errored" => self.check_ended(AttemptState::Errored, "no disk"),
            "lost" => self.lost(),
            "hold" => self.send(EnvironmentEvent::HoldRequested { actor, reason: rest() }),
            "resume" => self.send(EnvironmentEvent::ResumeRequested { actor, reason: rest() }),
            "abort" => self.send(EnvironmentEvent::AbortRequested { actor, reason: rest() }),
            "rollback" => self.roll_back(words[1]),
            "withdraw" => {
                let promotion = self.env.waiting.as_ref().expect("one waits").id;
                self.send(EnvironmentEvent::Withdrawn { promotion, actor, reason: "no need".to_owned() });
            }
            "apply" => self.apply(words.get(2).map(|word| queue(word))),
            "no-host" => self.facts.hosts.clear(),
            "host" => {
                self.facts.hosts.push(host(1, self.now));
                self.send(EnvironmentEvent::Looked);
            }
            "second-host" => self.facts.hosts.push(host(2, self.now)),
            "host-lost" | "host-back" => {
                let lost = words[0] == "host-lost";
                for host in self.facts.hosts.iter_mut().filter(|host| host.agent == agent(1)) {
                    host.connected = !lost;
                    host.heard_at = self.now;
                }
                self.send(EnvironmentEvent::Looked);
            }
            "instances-of" => self.instances_of(words[1].parse().expect("a number")),
            "fleet" => self.show_fleet(),
            "no-gateway" => self.facts.gateways.clear(),
            "gateway" => {
                self.facts.gateways.insert("g1".to_owned());
                self.send(EnvironmentEvent::Looked);
            }
            "staging" => self.staging(words[1]),
            other => panic!("`{other}` is no order"),
        }
    }

    fn send(&mut self, event: EnvironmentEvent) {
        match self.env.handle(event, &self.facts, self.now) {
            Ok(change) => {
                for entry in change.handled.entries {
                    writeln!(self.out, "  {}", entry.text).expect("a string");
                }
                for effect in change.handled.effects {
                    if let EnvironmentEffect::QueueAttempt { attempt, .. } = effect {
                        self.attempts.push(attempt);
                    }
                }
            }
            Err(refused) => writeln!(self.out, "  refused: {refused}").expect("a string"),
        }
        self.stand();
    }

    /// Where everything stands, on one line, then what it waits for.
    fn stand(&mut self) {
        let env = &self.env;
        let runs = env.current.as_ref().map_or("nothing", |current| &current.revision.version);
        let state = env.active.as_ref().map_or("idle", |active| active.state_word());
        let name = |digest: Digest| {
            env.known_revision(digest).map_or_else(|| digest.short(), |revision| revision.version.clone())
        };
        let arms: Vec<String> =
            env.traffic.arms.iter().map(|arm| format!("{} {}", name(arm.revision), arm.weight)).collect();
        let arms = if arms.is_empty() { "nobody".to_owned() } else { arms.join(", ") };
        writeln!(self.out, "  = runs {runs}; {state}; requests to {arms}").expect("a string");
        for wait in env.waits(&self.facts, self.now) {
            writeln!(self.out, "  ? {wait}").expect("a string");
        }
    }

    fn push(&mut self, words: &[&str]) {
        let after = |word: &str| words.iter().position(|w| *w == word).map(|at| words[at + 1]);
        let candidate = revision(words[0], after("config").unwrap_or("c1"));
        let mut gates = self.env.policy.document.gates.clone();
        if let Promote::Scheduled(cron) = &self.env.policy.document.intake.promote {
            gates.push(Gate::Schedule(cron.clone()));
        }
        let mut plan = plan(self.strategy.clone(), gates, self.verify.clone());
        plan.before = self.before;
        plan.on_failure = self.on_failure;
        plan.deadline = seconds(self.deadline);
        self.promotions += 1;
        let actor = after("by").map_or(Actor::Towpath, user);
        let mut new = new_promotion(self.promotions, candidate, plan, actor);
        new.override_quarantine = words.contains(&"override");
        new.older_than = after("older-than").map(str::to_owned);
        if after("config").is_some() {
            new.kind = PromotionKind::Configuration;
        }
        self.send(EnvironmentEvent::PromotionRequested(Box::new(new)));
    }

    /// Clients stay where they are, testers choose.
    fn guided(&mut self) {
        let Strategy::Canary(canary) = &mut self.strategy else { panic!("only a canary has routes") };
        canary.sticky = Some(Sticky { cookie: "arm".to_owned(), duration: seconds(3600) });
        let route = |value: &str, to| Route {
            on: RouteField::Header("X-Canary".to_owned()),
            equals: value.to_owned(),
            to,
        };
        canary.routes = vec![route("yes", Side::Candidate), route("no", Side::Stable)];
    }

    /// What decides beside the weights.
    fn show_guide(&mut self) {
        let name = |digest: Digest| self.env.known_revision(digest).map(|revision| revision.version.clone());
        let traffic = &self.env.traffic;
        let sticky = traffic.sticky.as_ref().map_or("no cookie", |sticky| &sticky.cookie);
        let rules: Vec<String> = traffic
            .rules
            .iter()
            .map(|rule| format!("{} -> {:?}", rule.equals, name(rule.revision)))
            .collect();
        let preview = traffic.preview.as_ref().map(|arm| (name(arm.revision), arm.endpoints.len()));
        writeln!(self.out, "  - {sticky}; {}; preview {preview:?}", rules.join(", ")).expect("a string");
    }

    fn roll_back(&mut self, version: &str) {
        self.promotions += 1;
        let to = revision(version, "c1");
        let mut new = new_promotion(self.promotions, to, rollback_plan(), user("bob"));
        new.kind = PromotionKind::Rollback;
        self.send(EnvironmentEvent::RollbackRequested(Box::new(new)));
    }

    fn suspects(&mut self, words: &[&str]) {
        let suspect = |version: &&str| Suspect {
            release: Digest::of(version.as_bytes()),
            version: (*version).to_owned(),
        };
        self.send(EnvironmentEvent::SuspectsFound {
            promotion: promotion_id(self.promotions),
            good: words[0].to_owned(),
            reason: "it fails".to_owned(),
            suspects: words[1..].iter().map(suspect).collect(),
        });
    }

    fn vote(&mut self, login: &str, approve: bool, binding: Option<Digest>, version: Option<&str>) {
        let meant = |waiting: &&Promotion| version.is_none_or(|version| waiting.revision.version == version);
        let promotion = self.env.in_line().find(meant).map_or(promotion_id(0), |waiting| waiting.id);
        let voter = voter(login, if login == "dave" { "developer" } else { "release-manager" });
        let comment = String::new();
        self.send(EnvironmentEvent::Voted { promotion, voter, approve, comment, binding });
    }

    fn apply(&mut self, queue: Option<Queue>) {
        let mut policy = self.env.policy.clone();
        policy.version += 1;
        policy.editors.insert("carol".to_owned());
        policy.document.intake.queue = queue.unwrap_or(policy.document.intake.queue);
        let config = self.env.config;
        self.send(EnvironmentEvent::PolicyApplied { policy: Box::new(policy), config, actor: user("carol") });
    }

    fn checked(&mut self, problem: Option<String>) {
        let promotion = self.env.active.as_ref().expect("one is active").id;
        self.send(EnvironmentEvent::WayBackChecked { promotion, problem });
    }

    /// What is wanted is so, except that what is new fails where it shall; what is not wanted is gone.
    fn instances(&mut self, new: InstanceHealth) {
        let wanted = self.env.fleet.instances.iter().filter(|instance| instance.wanted);
        let candidate = self.env.active.as_ref().map(|active| active.revision.digest);
        let observed = wanted.enumerate().map(|(index, instance)| {
            let port = 9000 + u16::try_from(index).expect("few");
            let is_new = Some(instance.revision) == candidate;
            Observed {
                instance: instance.id,
                health: if is_new { new } else { InstanceHealth::Ready },
                address: instance.address.or(Some(SocketAddr::from(([127, 0, 0, 1], port)))),
                restarts: 0,
                message: "exit code 1".to_owned(),
            }
        });
        let observed = observed.collect();
        self.send(EnvironmentEvent::InstancesObserved { agent: agent(1), observed });
    }

    /// What one host shall run is ready there; nothing else runs on it.
    fn instances_of(&mut self, number: u128) {
        let here = self.env.fleet.instances.iter().filter(|i| i.wanted && i.host == agent(number));
        let observed = here.enumerate().map(|(index, instance)| Observed {
            instance: instance.id,
            health: InstanceHealth::Ready,
            address: Some(SocketAddr::from((
                [10, 0, 0, u8::try_from(number).expect("few")],
                9000 + u16::try_from(index).expect("few"),
            ))),
            restarts: 0,
            message: "ready".to_owned(),
        });
        let observed = observed.collect();
        self.send(EnvironmentEvent::InstancesObserved { agent: agent(number), observed });
    }

    /// Where Instances are, and where requests go.
    fn show_fleet(&mut self) {
        for instance in &self.env.fleet.instances {
            let host = self.facts.hosts.iter().find(|host| host.agent == instance.host);
            let host = host.map_or("nowhere", |host| host.name.as_str());
            let moving = if instance.moving { ", moving" } else { "" };
            let wanted = if instance.wanted { "" } else { ", not wanted" };
            writeln!(self.out, "  - {host}: {}{moving}{wanted}", instance.health.word()).expect("a string");
        }
        for arm in &self.env.traffic.arms {
            writeln!(self.out, "  - requests go to {:?}", arm.endpoints).expect("a string");
        }
    }

    fn confirm(&mut self) {
        let (gateway, generation) = ("g1".to_owned(), self.env.traffic.generation);
        self.send(EnvironmentEvent::RouteConfirmed {
            gateway,
            generation,
            problem: None,
            outliers: Vec::new(),
        });
    }

    /// Time passes; the Environment is looked at whenever it asks to be.
    fn advance(&mut self, time: i64) {
        let end = self.now.saturating_add(seconds(time)).expect("in range");
        while let Some(wakeup) = self.env.next_wakeup(self.now).filter(|wakeup| wakeup.at < end) {
            assert!(wakeup.at > self.now, "a wake-up that is over: {}", wakeup.reason);
            self.now = wakeup.at;
            self.look();
        }
        self.now = end;
        self.send(EnvironmentEvent::Looked);
    }

    fn look(&mut self) {
        let change = self.env.handle(EnvironmentEvent::Looked, &self.facts, self.now).expect("a look");
        for entry in change.handled.entries {
            writeln!(self.out, "  {}", entry.text).expect("a string");
        }
    }

    /// One measurement a second for half a minute, at the rates given as requests/errors a second.
    fn measure(&mut self, candidate: &str, stable: &str) {
        let (Some(active), Some(current)) = (&self.env.active, &self.env.current) else { return };
        let revisions = [(active.revision.digest, pair(candidate)), (current.revision.digest, pair(stable))];
        let id = active.id;
        for _ in 0..30 {
            let from = self.now;
            self.now = self.now.saturating_add(seconds(1)).expect("in range");
            let generation = self.env.traffic.generation;
            let samples = revisions.iter().map(|(revision, (requests, errors))| Sample {
                revision: *revision,
                from,
                to: self.now,
                generation,
                started: *requests,
                requests: *requests,
                errors: *errors,
            });
            let event = EnvironmentEvent::Measured { samples: samples.collect() };
            let change = self.env.handle(event, &self.facts, self.now).expect("a measurement");
            for entry in &change.handled.entries {
                writeln!(self.out, "  {}", entry.text).expect("a string");
            }
            if !change.handled.entries.is_empty() || self.env.active.as_ref().map(|a| a.id) != Some(id) {
                break;
            }
        }
        self.stand();
    }

    fn leased(&mut self) -> Option<AttemptId> {
        let attempt = self.attempts.last().copied()?;
        let event = EnvironmentEvent::AttemptLeased { attempt, agent: agent(1), fence: 1 };
        let _leased = self.env.handle(event, &self.facts, self.now).expect("a lease");
        Some(attempt)
    }

    fn check_ended(&mut self, state: AttemptState, message: &str) {
        let active = self.env.active.as_ref().expect("one is active");
        let index = match active.rollout.as_ref().map(|rollout| &rollout.phase) {
            Some(Phase::Verifying { index, .. }) => *index,
            _ => 0,
        };
        if let Some(Verification::Http(_)) = active.plan.verify.get(index) {
            let promotion = active.id;
            let problem = (state != AttemptState::Passed).then(|| message.to_owned());
            return self.send(EnvironmentEvent::VerificationFinished { promotion, index, problem });
        }
        let Some(attempt) = self.leased() else { return };
        let report = AttemptReport::Finished(Finished {
            state,
            message: message.to_owned(),
            outputs: BTreeMap::new(),
            artifacts: BTreeMap::new(),
            tests: None,
            reports: Vec::new(),
            log_bytes: 0,
        });
        let at = self.now;
        self.send(EnvironmentEvent::AttemptReported { attempt, fence: 1, sequence: 1, at, report });
    }

    fn lost(&mut self) {
        let Some(attempt) = self.leased() else { return };
        let message = "its agent went silent".to_owned();
        self.send(EnvironmentEvent::AttemptLost { attempt, fence: 1, message });
    }

    fn staging(&mut self, version: &str) {
        let release = Digest::of(version.as_bytes());
        let neighbour = Neighbour { release, version: version.to_owned(), since: self.now };
        self.facts.neighbours.insert("staging".parse().expect("a name"), neighbour);
        self.send(EnvironmentEvent::Looked);
    }
}

fn host(number: u128, heard_at: Timestamp) -> Host {
    Host { agent: agent(number), name: format!("web-{number}"), connected: true, heard_at }
}

fn pair(text: &str) -> (u64, u64) {
    let (requests, errors) = text.split_once('/').expect("requests/errors");
    (requests.parse().expect("a number"), errors.parse().expect("a number"))
}

fn strategy(words: &[&str]) -> Strategy {
    if words[0] == "recreate" {
        return Strategy::Recreate;
    }
    let number = |at: usize| words[at].parse::<u32>().expect("a number");
    match words[0] {
        "rolling" => return rolling(number(1), number(2), number(3).into()),
        "blue-green" => return blue_green(number(1).into()),
        _ => {}
    }
    let step = |word: &&str| {
        let parts: Vec<&str> = word.split(':').collect();
        let percent: u16 = parts[0].parse().expect("a percentage");
        (percent * 10, parts[1].parse().expect("seconds"), parts.len() > 2)
    };
    canary(&words[1..].iter().map(step).collect::<Vec<_>>())
}

fn queue(word: &str) -> Queue {
    match word {
        "superseded" => Queue::Superseded,
        "queued" => Queue::Queued,
        "parallel" => Queue::Parallel,
        other => panic!("`{other}` is no queue"),
    }
}

fn gate(words: &[&str]) -> Gate {
    let timezone = "UTC".to_owned();
    match words[0] {
        "approval" => approval(words[1].parse().expect("a number")),
        "window" => {
            Gate::Window(WindowGate { days: words[1].to_owned(), hours: words[2].to_owned(), timezone })
        }
        "freeze" => Gate::Freeze(FreezeGate {
            from: words[1].to_owned(),
            until: words[2].to_owned(),
            timezone,
            reason: "sale".to_owned(),
        }),
        "soak" => Gate::Soak(SoakGate {
            environment: words[1].parse().expect("a name"),
            duration: seconds(words[2].parse().expect("seconds")),
            expires: LONG_PATIENCE,
        }),
        other => panic!("`{other}` is no gate"),
    }
}

fn verification(kind: &str) -> Verification {
    if kind == "http" {
        let path = "/".to_owned();
        return Verification::Http(HttpVerification {
            path,
            status: 200,
            contains: None,
            within: seconds(30),
        });
    }
    Verification::Run(RunVerification {
        name: "smoke".to_owned(),
        run: "./smoke.sh".to_owned(),
        secrets: Vec::new(),
        junit: Vec::new(),
        timeout: seconds(60),
    })
}
