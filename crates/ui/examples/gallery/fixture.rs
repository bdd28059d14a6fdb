//! One moment in the life of a small shop, for looking at pages and for testing them.

use jiff::{SignedDuration, Timestamp};
use towpath_ui::routes;
use towpath_ui::view::*;

/// Text that must never become markup.
pub const HOSTILE: &str = "<script>alert('x')</script>\"'&";
/// The Promotion that is under way.
pub const PROMOTION: &str = "0192f0c1-7b1e-7cc2-9d5e-6f1f3a2b4c5d";
/// The Attempt that failed.
pub const ATTEMPT: &str = "0192f0c1-aaaa-7cc2-9d5e-6f1f3a2b4c5d";

/// An Attempt that goes on, with a long log.
pub const RUNNING: &str = "0192f0c1-bbbb-7cc2-9d5e-6f1f3a2b4c5d";

const DIGEST: &str = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
const OTHER: &str = "sha256:60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752";

/// The moment shown. The gallery gives the present, tests a fixed one.
#[derive(Clone, Copy)]
pub struct Moment(pub Timestamp);

impl Moment {
    /// So many seconds ago; negative for the future.
    fn ago(self, seconds: i64) -> Timestamp {
        self.0 - SignedDuration::from_secs(seconds)
    }

    /// The frame for someone who may do everything.
    pub fn shell(self) -> Shell {
        Shell {
            user: Some(Viewer { login: "mona".into(), admin: true }),
            csrf: "c5rf".into(),
            now: self.0,
            instance: "ci.example".into(),
            approvals_waiting: 1,
            live: Some("/api/v1/events".into()),
            notice: None,
        }
    }

    /// The frame for a stranger.
    pub fn stranger(self) -> Shell {
        Shell { user: None, live: None, approvals_waiting: 0, ..self.shell() }
    }

    /// All Projects.
    pub fn overview(self) -> OverviewView {
        let broken = ProjectCard {
            name: "pricing".into(),
            route: vec![
                stage("dev", None, vec![self.serving("dev", "2.4.1-31.gb7e1", 240, State::Healthy)]),
                stage(
                    "production",
                    Some((State::Held, "held by noah until resume")),
                    vec![EnvironmentCard {
                        hold: Some("2.4.0 was rolled back: error rate 6.1 % against 0.2 %".into()),
                        ..self.serving("production", "2.3.9", 86_400 * 3, State::Healthy)
                    }],
                ),
            ],
            last_run: Some(self.run_row(31, State::Running, "Round prices to the customer's currency")),
        };
        let fresh = ProjectCard { name: "newsletter".into(), route: vec![], last_run: None };
        OverviewView {
            shell: self.shell(),
            url: "https://towpath.example.org".into(),
            projects: vec![
                ProjectCard {
                    name: "shop".into(),
                    route: self.route(),
                    last_run: Some(self.run_row(12, State::Failed, "Show the basket's weight")),
                },
                broken,
                fresh,
            ],
        }
    }

    fn route(self) -> Vec<RouteStage> {
        let production = EnvironmentCard {
            rollout: Some(RolloutSummary {
                promotion: PROMOTION.into(),
                version: "1.0.2".into(),
                state: State::Running,
                weight: 250,
                phase: "step 2 of 4".into(),
            }),
            waiting: vec![WaitingPromotion {
                promotion: PROMOTION.into(),
                version: "1.0.3".into(),
                reason: "1 of 2 approvals from release-manager; window opens Mon 09:00".into(),
            }],
            url: Some("http://127.0.0.1:8080/".into()),
            ..self.serving("production", "1.0.1", 86_400 * 2, State::Healthy)
        };
        vec![
            stage("dev", None, vec![self.serving("dev", "1.0.3", 300, State::Healthy)]),
            stage(
                "staging",
                Some((State::Open, "1.0.3 went through")),
                vec![self.serving("staging", "1.0.3", 120, State::Healthy)],
            ),
            stage(
                "production",
                Some((State::Waiting, "1 of 2 approvals from release-manager")),
                vec![production],
            ),
        ]
    }

    fn serving(self, name: &str, version: &str, seconds: i64, health: State) -> EnvironmentCard {
        EnvironmentCard {
            name: name.into(),
            health,
            current: Some(Current {
                revision: revision(version),
                since: self.ago(seconds),
                ready: 3,
                desired: 3,
            }),
            rollout: None,
            waiting: vec![],
            hold: None,
            url: None,
        }
    }

    fn run_row(self, number: u64, state: State, subject: &str) -> RunRow {
        RunRow {
            number,
            imported: None,
            state,
            reason: (state == State::Failed)
                .then(|| "job `test` failed: exit code 101 in step `cargo test`".into()),
            commit: commit(subject),
            reference: "main".into(),
            trigger: "push by mona".into(),
            created: self.ago(190),
            started: Some(self.ago(185)),
            finished: (state != State::Running).then(|| self.ago(100)),
        }
    }

    /// A Project with everything.
    pub fn project(self) -> ProjectView {
        let release = |version: &str, seconds: i64, reached: &[(&str, State)]| ReleaseRow {
            version: version.into(),
            digest: DIGEST.into(),
            commit: commit("Cache the catalogue for a minute"),
            sealed: self.ago(seconds),
            reached: reached.iter().map(|(name, state)| ((*name).to_owned(), *state)).collect(),
        };
        ProjectView {
            triggers: TriggersView::default(),
            shell: self.shell(),
            name: "shop".into(),
            route: self.route(),
            runs: vec![
                self.run_row(12, State::Failed, "Show the basket's weight"),
                self.run_row(11, State::Passed, "Cache the catalogue for a minute"),
                RunRow { reference: HOSTILE.into(), ..self.run_row(10, State::Cancelled, HOSTILE) },
                RunRow {
                    imported: Some("https://ci.example.org/".into()),
                    trigger: "imported by mona".into(),
                    ..self.run_row(1, State::Failed, "Round the totals")
                },
            ],
            releases: vec![
                release(
                    "1.0.3",
                    300,
                    &[("dev", State::Passed), ("staging", State::Passed), ("production", State::Waiting)],
                ),
                release(
                    "1.0.2",
                    4000,
                    &[("dev", State::Passed), ("staging", State::Passed), ("production", State::Running)],
                ),
                release(
                    "1.0.1",
                    90_000,
                    &[("dev", State::Passed), ("staging", State::Passed), ("production", State::Healthy)],
                ),
            ],
            holds: vec![HoldRow {
                environment: "production".into(),
                by: "noah".into(),
                since: self.ago(4000),
                reason: "the warehouse counts its stock until noon".into(),
                resume: Some(self.environment_action(
                    ActionKind::Resume,
                    "Resume",
                    "The next promotion that has passed its gates starts at once.",
                )),
            }],
            quarantined: vec![QuarantineRow {
                environment: "production".into(),
                version: "1.0.0".into(),
                digest: OTHER.into(),
                since: self.ago(100_000),
                reason: "error rate 4.8 % against 0.3 % of 0.9.9".into(),
                release: Some(self.environment_action(
                    ActionKind::Release,
                    "Lift",
                    "1.0.0 may be promoted into production again. It starts at its first gate.",
                )),
            }],
            clone_url: "http://127.0.0.1:7420/git/shop.git".into(),
            branch: "main".into(),
        }
    }

    fn environment_action(self, kind: ActionKind, label: &str, consequence: &str) -> Action {
        action(kind, label, &routes::environment("shop", "production"), consequence)
    }

    /// A Run that failed.
    pub fn run(self) -> RunView {
        let url = routes::run("shop", 12);
        RunView {
            shell: self.shell(),
            project: "shop".into(),
            number: 12,
            page: url.clone(),
            file: Some(routes::export("shop", 12)),
            imported: None,
            reports: self.reports(),
            commit: commit("Show the basket's weight"),
            reference: "main".into(),
            trigger: "push by mona".into(),
            trust: "protected".into(),
            state: State::Failed,
            reason: Some("job `test` failed: exit code 101 in step `cargo test --locked`; `image` was not run because it needs `test`".into()),
            created: self.ago(190),
            started: Some(self.ago(185)),
            finished: Some(self.ago(100)),
            release: None,
            jobs: vec![
                self.job("lint", &[], State::Passed),
                JobView {
                    tests: Some(TestCounts { passed: 213, failed: 1, skipped: 2 }),
                    reason: Some("exit code 101 in step `cargo test --locked`, both attempts".into()),
                    attempts: vec![self.attempt(1, State::Failed), self.attempt(2, State::Failed)],
                    commands: vec!["towpath resume shop#12/test --edit".into(), "towpath shell shop#12/test".into()],
                    ..self.job("test", &["lint"], State::Failed)
                },
                JobView {
                    artifacts: vec![ArtifactRow { name: "shop".into(), digest: DIGEST.into(), bytes: 8_412_000, kind: "files".into() }],
                    ..self.job("build", &["lint"], State::Passed)
                },
                self.job("docs", &["lint"], State::Running),
                self.cell("e2e", "firefox", State::Passed),
                self.cell("e2e", "chromium", State::Running),
                self.cell("e2e", "webkit", State::Passed),
                JobView { attempts: vec![], reason: Some("needs `test`, which failed".into()), ..self.job("image", &["test", "build"], State::Skipped) },
            ],
            selected: None,
            attempt: None,
            diagnostics: vec![],
            actions: vec![
                action(ActionKind::Rerun, "Rerun failed jobs", &url, "`test` and `image` run again at the same commit as Run #13; what `lint` and `build` made is used."),
                Action { refused: Some("The Run has ended.".into()), ..action(ActionKind::Cancel, "Cancel", &url, "Every process of this Run is stopped.") },
            ],
        }
    }

    fn job(self, name: &str, needs: &[&str], state: State) -> JobView {
        JobView {
            of: None,
            label: None,
            commands: vec![],
            name: name.into(),
            needs: needs.iter().map(|need| (*need).to_owned()).collect(),
            state,
            reason: None,
            attempts: vec![self.attempt(1, state)],
            tests: None,
            artifacts: vec![],
        }
    }

    fn attempt(self, number: u32, state: State) -> AttemptView {
        let failed = state == State::Failed;
        let step = |name: &str, state: State, from: i64, to: i64| StepView {
            name: name.into(),
            state,
            note: (state == State::Failed).then(|| "exit code 101".into()),
            started: Some(self.ago(from)),
            finished: (state != State::Running).then(|| self.ago(to)),
        };
        AttemptView {
            log: {
                let id = if state == State::Running { RUNNING } else { ATTEMPT };
                Some(LogAt { lines: routes::log(id), text: routes::log_text(id), groups: routes::log_groups(id) })
            },
            number,
            state,
            reason: None,
            agent: Some("build-1".into()),
            isolation: Some("bubblewrap".into()),
            images: vec![(
                "service db".into(),
                "postgres:17".into(),
                "sha256:3b1f4c0e5a7d92861f0c4d5be8a1697302c4d8e5f6a7b8c9d0e1f2a3b4c5d6e7".into(),
            )],
            started: Some(self.ago(150)),
            finished: (state != State::Running).then(|| self.ago(104)),
            steps: vec![
                step("Fetch the source", State::Passed, 150, 149),
                step("cargo build --locked", State::Passed, 149, 121),
                step("cargo test --locked", state, 121, 104),
            ],
            log_bytes: 48_213,
            failing_line: failed.then_some(1871),
            reuse: vec![
                "cache `cargo-6c1f0d0b` missed: `Cargo.lock` changed (6c1f0d0b → 0a9d44e1) since shop#41 build".into(),
            ],
            seen: failed.then(|| {
                "`error: lock # is stuck`: seen 14 times since commit 4f1c2ab0, first on build-7.".to_owned()
            }),
        }
    }

    /// A Run that another server made.
    pub fn imported_run(self) -> RunView {
        let page = routes::imported("shop", 1);
        let remove = action(ActionKind::Remove, "Remove", &page, "This copy and its file are removed.");
        RunView {
            number: 1,
            file: Some(routes::imported_file("shop", 1)),
            imported: Some(ImportedView {
                instance: HOSTILE.into(),
                title: "till#7".into(),
                exported_by: "ada".into(),
                exported: self.ago(90_000),
                by: "mona".into(),
                at: self.ago(300),
                digest: DIGEST.into(),
                release: Some("1.0.3".into()),
                left_out: vec!["the first 4096 bytes of 33558528 bytes of the log of test, attempt 1".into()],
            }),
            jobs: vec![JobView {
                attempts: vec![AttemptView { log: None, ..self.attempt(1, State::Failed) }],
                ..self.job("test", &[], State::Failed)
            }],
            actions: vec![remove],
            page,
            ..self.run()
        }
    }

    /// A Run whose file cannot be read.
    pub fn invalid_run(self) -> RunView {
        let line = |number: u32, text: &str, mark: Option<(usize, usize)>| SnippetLine {
            number,
            text: text.into(),
            mark,
        };
        RunView {
            number: 13,
            state: State::Invalid,
            reason: Some("towpath.yaml has 1 error; nothing was run".into()),
            jobs: vec![],
            diagnostics: vec![Diagnostic {
                error: true,
                file: "towpath.yaml".into(),
                line: 14,
                column: 13,
                message: "stage `production` needs `stagng`, which is not defined".into(),
                hint: Some("did you mean `staging`?".into()),
                snippet: vec![
                    line(13, "  - name: production", None),
                    line(14, "    needs: [stagng]", Some((12, 18))),
                    line(15, "    environments: [production]", None),
                ],
            }],
            actions: vec![],
            ..self.run()
        }
    }

    /// A Release on its way.
    pub fn release(self) -> ReleaseView {
        let leg = |environment: &str, state: State, gates: Vec<GateView>| Leg {
            environment: environment.into(),
            promotion: Some(PROMOTION.into()),
            state,
            reason: None,
            gates,
            rollout: Some((State::Passed, "recreated 1 instance in 1.2 s".into())),
            verification: Some((State::Passed, "smoke.sh: 4 tests passed".into())),
            finished: Some(self.ago(250)),
        };
        let waiting = Leg {
            reason: Some(
                "production waits: 1 of 2 approvals from release-manager; window opens Mon 09:00".into(),
            ),
            rollout: Some((State::Queued, "canary 5 %, 25 %, 50 %, 100 %".into())),
            verification: None,
            finished: None,
            ..leg("production", State::Waiting, self.gates())
        };
        ReleaseView {
            shell: self.shell(),
            project: "shop".into(),
            version: "1.0.3".into(),
            digest: DIGEST.into(),
            commit: commit("Cache the catalogue for a minute"),
            run: Some(11),
            sealed: self.ago(300),
            revoked: None,
            signature: (State::Passed, "signed by this server's release key".into()),
            artifacts: vec![ArtifactRow {
                name: "shop".into(),
                digest: OTHER.into(),
                bytes: 8_412_000,
                kind: "files".into(),
            }],
            workloads: vec![WorkloadRow {
                name: "shop".into(),
                artifact: "shop".into(),
                command: "./shop --port $PORT".into(),
            }],
            evidence: vec![
                EvidenceRow {
                    kind: "tests".into(),
                    summary: "214 passed, 0 failed, 2 skipped".into(),
                    state: State::Passed,
                    digest: Some(OTHER.into()),
                },
                EvidenceRow {
                    kind: "provenance".into(),
                    summary: "Run #11 on build-1, bubblewrap".into(),
                    state: State::Passed,
                    digest: None,
                },
            ],
            journey: vec![
                JourneyStage { name: "dev".into(), legs: vec![leg("dev", State::Passed, vec![])] },
                JourneyStage {
                    name: "staging".into(),
                    legs: vec![leg(
                        "staging",
                        State::Passed,
                        vec![gate(
                            GateKind::Soak,
                            "2 min in dev",
                            State::Open,
                            "soaked 2 min without an unhealthy verdict",
                        )],
                    )],
                },
                JourneyStage { name: "production".into(), legs: vec![waiting] },
            ],
            actions: vec![Action {
                refused: Some("It is already on its way into every environment.".into()),
                ..action(
                    ActionKind::Promote,
                    "Promote",
                    &routes::release("shop", "1.0.3"),
                    "1.0.3 goes to the gates of production.",
                )
            }],
        }
    }

    fn gates(self) -> Vec<GateView> {
        vec![
            gate(
                GateKind::Approval,
                "2 approvals from release-manager",
                State::Waiting,
                "1 of 2; noah approved, you may",
            ),
            GateView {
                opens_at: Some(self.ago(-151_000)),
                ..gate(
                    GateKind::Window,
                    "mon-thu 09:00-16:00 Europe/Berlin",
                    State::Waiting,
                    "opens Mon 09:00",
                )
            },
            gate(
                GateKind::Soak,
                "30 min in staging",
                State::Open,
                "soaked 34 min without an unhealthy verdict",
            ),
        ]
    }

    /// A canary under way.
    pub fn promotion(self) -> PromotionView {
        let url = routes::promotion(PROMOTION);
        let decision = |seconds: i64, by: &str, state: State, text: &str| DecisionRow {
            at: self.ago(seconds),
            by: by.into(),
            state,
            text: text.into(),
        };
        PromotionView {
            shell: self.shell(),
            id: PROMOTION.into(),
            project: "shop".into(),
            environment: "production".into(),
            stage: "production".into(),
            state: State::Running,
            reason: Some(
                "Step 2 of 4: 25 % of the traffic for at least 20 s; the judge has not seen enough yet."
                    .into(),
            ),
            revision: revision("1.0.2"),
            commit: commit("Write receipts in the customer's language"),
            previous: Some(revision("1.0.1")),
            plan: vec![],
            requested_by: "route, after staging".into(),
            created: self.ago(260),
            finished: None,
            gates: self
                .gates()
                .into_iter()
                .map(|gate| GateView { state: State::Open, opens_at: None, ..gate })
                .collect(),
            told: vec!["releases was told 2026-11-21T09:14:00Z.".to_owned()],
            approvals: vec![ApprovalRow {
                by: "noah".into(),
                state: State::Open,
                at: self.ago(120),
                comment: "Looked at staging, receipts are fine.".into(),
            }],
            rollout: Some(self.rollout()),
            checks: vec![CheckRow {
                name: "http /health".into(),
                state: State::Queued,
                detail: "runs at 100 %".into(),
                log: None,
            }],
            decisions: vec![
                decision(9, "judge", State::Unknown, "412 requests of the candidate: not enough to tell"),
                decision(
                    22,
                    "towpath",
                    State::Running,
                    "weight 5 % → 25 %, confirmed by the gateway in 38 ms",
                ),
                decision(
                    23,
                    "judge",
                    State::Healthy,
                    "error rate 0.31 % against 0.28 %: not worse by 0.5 points (e = 27)",
                ),
                decision(58, "towpath", State::Running, "weight 0 % → 5 %"),
                decision(
                    61,
                    "towpath",
                    State::Passed,
                    "the way back was tried: 3 instances of 1.0.1 are ready",
                ),
                decision(120, "noah", State::Open, "approved"),
            ],
            actions: vec![
                action(
                    ActionKind::Hold,
                    "Hold",
                    &url,
                    "Traffic stays at 25 % for 1.0.2 until someone resumes. The judge goes on and still rolls back if 1.0.2 turns out unhealthy.",
                ),
                action(
                    ActionKind::RollBack,
                    "Roll back",
                    &url,
                    "Traffic goes back to 1.0.1 within a second; 1.0.2 is quarantined, and automatic promotion into production is held until resume.",
                ),
            ],
        }
    }

    fn rollout(self) -> RolloutView {
        let step = |weight: u32, state: State| RolloutStep {
            weight,
            state,
            lasts: "20 s".into(),
            ends: (state == State::Running).then(|| self.ago(-11)),
        };
        let arm = |version: &str, requests: u64, errors: u64| Arm {
            revision: revision(version),
            ready: 3,
            desired: 3,
            requests,
            errors,
        };
        RolloutView {
            strategy: "canary".into(),
            state: State::Running,
            stable: Some(arm("1.0.1", 28_412, 80)),
            candidate: arm("1.0.2", 2_904, 9),
            weight: 250,
            steps: vec![step(50, State::Passed), step(250, State::Running), step(500, State::Queued), step(1000, State::Queued)],
            deadline: Some(self.ago(-540)),
            verdict: VerdictView {
                state: Some(State::Unknown),
                reason: "1.0.2 fails no more often than 1.0.1 so far, but 2,904 requests are too few to be sure; about 1,100 more are needed.".into(),
                tests: vec![
                    JudgeTest { name: "error rate".into(), state: State::Unknown, reason: "0.31 % against 0.28 %, at most 0.5 points more is allowed".into(), e_worse: Some(0.4), e_fine: Some(6.2), threshold: 20.0 },
                    JudgeTest { name: "traffic share".into(), state: State::Healthy, reason: "25.1 % of the requests reached 1.0.2, 25 % were sent".into(), e_worse: Some(1.1), e_fine: None, threshold: 1000.0 },
                ],
            },
            time_to_safe_ms: None,
            polls: true,
            series: self.series(),
        }
    }

    /// Measurements that move with the moment.
    pub fn series(self) -> Series {
        let now = self.0.as_millisecond();
        let second = now / 1000;
        let noise = |t: i64, salt: i64| {
            (((t % 100_000) as f64 * 12.9898 + salt as f64 * 78.233).sin() * 43_758.545).rem_euclid(1.0)
        };
        let point = |t: i64, salt: i64, share: f64, slower: f64| Point {
            t: t * 1000,
            rate: (410.0 + 60.0 * (t as f64 / 9.0).sin() + 30.0 * noise(t, salt)) * share,
            errors: Some(0.002 + 0.002 * noise(t, salt + 1)),
            p50: Some(3.1 * slower + noise(t, salt + 2)),
            p99: Some(18.0 * slower + 6.0 * noise(t, salt + 3)),
        };
        let share = |age: i64| if age > 22 { 0.05 } else { 0.25 };
        Series {
            now,
            live: true,
            stable: (0..150)
                .rev()
                .map(|age| point(second - age, 1, if age > 58 { 1.0 } else { 1.0 - share(age) }, 1.0))
                .collect(),
            candidate: (0..58).rev().map(|age| point(second - age, 5, share(age), 0.93)).collect(),
        }
    }

    /// A canary that went wrong, seen afterwards.
    pub fn rolled_back(self) -> PromotionView {
        let mut view = PromotionView {
            state: State::RolledBack,
            reason: Some("1.0.2 fails more often than 1.0.1: 6.1 % against 0.28 %, e = 41 of 20. Traffic is back on 1.0.1; 1.0.2 is quarantined.".into()),
            finished: Some(self.ago(3)),
            actions: vec![],
            ..self.promotion()
        };
        if let Some(rollout) = &mut view.rollout {
            rollout.state = State::RolledBack;
            rollout.weight = 0;
            rollout.polls = false;
            rollout.series.live = false;
            rollout.time_to_safe_ms = Some(84);
            rollout.verdict.state = Some(State::Unhealthy);
            rollout.verdict.reason = "1.0.2 fails more often than 1.0.1: 6.1 % against 0.28 %.".into();
            rollout.verdict.tests[0].state = State::Unhealthy;
            rollout.verdict.tests[0].reason =
                "6.1 % against 0.28 %, at most 0.5 points more is allowed".into();
            rollout.verdict.tests[0].e_worse = Some(41.0);
            rollout.steps[1].state = State::RolledBack;
            rollout.candidate.errors = 177;
        }
        view
    }

    /// An Environment in the middle of a canary.
    pub fn environment(self) -> EnvironmentView {
        let instance = |id: &str, version: &str, state: State, restarts: u32| InstanceRow {
            id: id.into(),
            agent: "web-1".into(),
            address: Some("10.0.0.4:41873".into()),
            version: version.into(),
            state,
            note: (restarts > 0).then(|| "started again after exit code 137".into()),
            restarts,
            since: self.ago(4000),
        };
        let past = |version: &str, state: State, seconds: i64, back: bool| {
            HistoryRow {
            revision: revision(version),
            promotion: PROMOTION.into(),
            state,
            reason: (state == State::RolledBack).then(|| "error rate 4.8 % against 0.3 %; safe after 84 ms".into()),
            by: "mona".into(),
            at: self.ago(seconds),
            rollback: back.then(|| Action {
                fields: vec![("revision".into(), OTHER.into())],
                ..self.environment_action(ActionKind::RollBack, "Roll back to this", &format!("Traffic goes to {version} as soon as its instances are ready (about 2 s: it is not warm any more). Gates are not asked. Automatic promotion is held until resume."))
            }),
        }
        };
        EnvironmentView {
            shell: self.shell(),
            project: "shop".into(),
            name: "production".into(),
            health: State::Healthy,
            current: Some(Current { revision: revision("1.0.1"), since: self.ago(172_000), ready: 3, desired: 3 }),
            url: Some("http://127.0.0.1:8080/".into()),
            target: "3 instances on hosts with role=web".into(),
            rollout: self.route().pop().and_then(|mut stage| stage.environments.pop()).and_then(|card| card.rollout),
            waiting: vec![WaitingPromotion { promotion: PROMOTION.into(), version: "1.0.3".into(), reason: "1 of 2 approvals from release-manager".into() }],
            hold: None,
            instances: vec![instance("a1b2c3d4e5f6", "1.0.1", State::Healthy, 0), instance("b1b2c3d4e5f6", "1.0.1", State::Healthy, 2), instance("c1b2c3d4e5f6", "1.0.2", State::Starting, 0)],
            history: vec![past("1.0.2", State::Running, 260, false), past("1.0.1", State::Healthy, 172_000, false), past("1.0.0", State::RolledBack, 200_000, false), past("0.9.9", State::Superseded, 400_000, true)],
            policy: PolicyView {
                version: 4,
                applied_by: "noah".into(),
                applied_at: self.ago(900_000),
                refs: vec!["refs/heads/main".into(), "refs/tags/v*".into()],
                gates: vec!["2 approvals from release-manager within 24 h; not one's own".into(), "window: mon-thu 09:00-16:00 Europe/Berlin".into()],
            },
            policies: vec![self.policy_change()],
            values: vec![("LOG_LEVEL".into(), "info".into()), ("GREETING".into(), HOSTILE.into())],
            secrets: vec![
                SecretRow { name: "DATABASE_URL".into(), version: Some(3), set_by: "noah".into(), set_at: Some(self.ago(500_000)) },
                SecretRow { name: "MAIL_KEY".into(), version: None, set_by: "–".into(), set_at: None },
            ],
            actions: vec![
                self.environment_action(ActionKind::Hold, "Hold", "No promotion into production starts by itself until someone resumes. The rollout of 1.0.2 stays at 25 %."),
                self.environment_action(ActionKind::RollBack, "Roll back", "Traffic goes back to 1.0.1 within a second; 1.0.2 is quarantined."),
            ],
        }
    }

    /// A document that waits for signatures.
    pub fn policy_change(self) -> PolicyChangeCard {
        let url = routes::policy_change("shop", "production", 3);
        PolicyChangeCard {
            project: "shop".into(),
            environment: "production".into(),
            number: 3,
            base: 4,
            author: "mona".into(),
            since: self.ago(700),
            expires: self.ago(-80_000),
            changes: vec![
                format!("values.GREETING: {HOSTILE} is new"),
                "gates: without 2 approvals from release-manager".into(),
                "gates: with 1 approval from release-manager".into(),
            ],
            loosens: vec!["2 approvals from release-manager".into()],
            needs: "1 of 2 signatures from release-manager (noah signed)".into(),
            actions: vec![
                action(
                    ActionKind::Approve,
                    "Sign",
                    &url,
                    "Signs policy change 3 of shop/production. With the last signature the document takes effect at once.",
                ),
                action(
                    ActionKind::Reject,
                    "Reject",
                    &url,
                    "Ends policy change 3 of shop/production. Version 4 of the document stays in force.",
                ),
            ],
        }
    }

    /// The timeline.
    pub fn timeline(self) -> TimelineView {
        let entry =
            |sequence: u64, seconds: i64, actor: &str, state: State, text: &str, comment: Option<&str>| {
                TimelineEntry {
                    sequence,
                    at: self.ago(seconds),
                    actor: actor.into(),
                    state,
                    text: text.into(),
                    comment: comment.map(str::to_owned),
                    project: Some("shop".into()),
                    environment: Some("production".into()),
                    href: Some(routes::promotion(PROMOTION)),
                }
            };
        TimelineView {
            shell: self.shell(),
            filter: TimelineFilter { project: "shop".into(), ..TimelineFilter::default() },
            projects: vec!["shop".into(), "pricing".into()],
            environments: vec!["dev".into(), "staging".into(), "production".into()],
            actors: vec!["mona".into(), "noah".into(), "towpath".into()],
            entries: vec![
                entry(1042, 22, "towpath", State::Running, "moved 1.0.2 to 25 % in production", None),
                entry(
                    1041,
                    120,
                    "noah",
                    State::Open,
                    "approved 1.0.2 for production",
                    Some("Looked at staging, receipts are fine."),
                ),
                entry(
                    1040,
                    3600,
                    "mona",
                    State::RolledBack,
                    "rolled production back from 1.0.0 to 0.9.9",
                    Some(HOSTILE),
                ),
                entry(1039, 3700, "mona", State::Passed, "pushed main at 3f2a1b9c", None),
            ],
            older: Some(1039),
        }
    }

    /// The inbox.
    pub fn approvals(self) -> ApprovalsView {
        let url = routes::promotion(PROMOTION);
        ApprovalsView {
            shell: self.shell(),
            waiting: vec![ApprovalRequest {
                promotion: PROMOTION.into(),
                project: "shop".into(),
                environment: "production".into(),
                version: "1.0.3".into(),
                current: Some("1.0.1".into()),
                commit: commit("Cache the catalogue for a minute"),
                since: self.ago(900),
                plan: vec![
                    "canary: 5%, 25%, 50%, then everything, each step judged".into(),
                    "then verified by GET /health".into(),
                    "what fails goes back to 1.0.1".into(),
                ],
                expires: Some(self.ago(-80_000)),
                needs: "1 of 2 approvals from release-manager; noah approved".into(),
                actions: vec![
                    action(
                        ActionKind::Approve,
                        "Approve",
                        &url,
                        "With yours, 1.0.3 has both approvals. It enters production when the window opens Mon 09:00: canary 5 %, 25 %, 50 %, 100 %.",
                    ),
                    action(
                        ActionKind::Reject,
                        "Reject",
                        &url,
                        "1.0.3 will not enter production. 1.0.1 goes on serving.",
                    ),
                ],
            }],
            policies: vec![self.policy_change()],
        }
    }

    /// The agents.
    pub fn agents(self) -> AgentsView {
        let agent = |hostname: &str, state: State, seen: i64, busy: &[&str]| AgentRow {
            id: format!("0192-{hostname}"),
            hostname: hostname.into(),
            version: "0.1.0".into(),
            address: "10.0.0.4".into(),
            labels: vec!["role=web".into(), "zone=a".into()],
            roles: vec!["runner".into(), "deploy".into()],
            state,
            held: (state == State::Lost).then(|| "drained by ada: new disk".to_owned()),
            can_undrain: state == State::Lost,
            seen: self.ago(seen),
            busy: busy.iter().map(|work| (*work).to_owned()).collect(),
            certificate: Some(self.ago(-50_000)),
        };
        AgentsView {
            shell: self.shell(),
            agents: vec![
                agent("web-1", State::Healthy, 2, &["3 instances"]),
                agent("build-1", State::Healthy, 1, &["shop#12 test"]),
                agent("web-2", State::Lost, 700, &[]),
            ],
            join: Some("towpath agent --server https://ci.example:7420 --join tpj_1f00aa77".into()),
            may_join: true,
            pools: vec![PoolRow {
                name: "linux".into(),
                driver: "process".into(),
                labels: vec!["os=linux".into()],
                there: 2,
                wanted: 3,
                bounds: (0, 4),
                why: "2 of at most 4 agents; 1 more for 5 waiting jobs".into(),
                members: vec![("linux-1".into(), "busy".into()), ("linux-2".into(), "starting".into())],
            }],
        }
    }

    /// The queue.
    pub fn queue(self) -> QueueView {
        let waits = |job: &str, run: u64, reason: &str, eta: Option<i64>| WaitingRow {
            title: format!("shop#{run} {job}"),
            project: "shop".into(),
            run,
            reason: reason.into(),
            since: self.ago(40),
            eta: eta.map(|seconds| self.ago(-seconds)),
            priority: 50,
        };
        QueueView {
            shell: self.shell(),
            waiting: vec![
                waits("test", 12, "all 2 agents are busy; it is next", Some(30)),
                waits("e2e", 12, "shop#11 e2e has concurrency group `staging`", Some(90)),
                waits("mac", 12, "no connected agent with `os=mac`; start one, or change `runs_on`", None),
            ],
            waiting_in_all: 5,
            running: vec![RunningRow {
                title: "shop#11 e2e".into(),
                since: self.ago(70),
                usually: Some(160),
            }],
            agents: 2,
            free: 0,
        }
    }

    /// The users.
    pub fn users(self) -> UsersView {
        let grant = |project: Option<&str>, role: &str| Grant {
            project: project.map(str::to_owned),
            role: role.into(),
        };
        let user = |login: &str, active: bool, grants: Vec<Grant>| UserRow {
            login: login.into(),
            active,
            grants,
            created: self.ago(9_000_000),
            seen: active.then(|| self.ago(60)),
        };
        UsersView {
            shell: self.shell(),
            users: vec![
                user("mona", true, vec![grant(None, "admin")]),
                user(
                    "noah",
                    true,
                    vec![grant(Some("shop"), "release-manager"), grant(Some("pricing"), "developer")],
                ),
                user("old", false, vec![]),
            ],
            invitation: Some(InvitationView {
                login: "bea".into(),
                url: "https://ci.example/setup/q9Jd0c".into(),
                ends: self.ago(-86_400),
            }),
            projects: vec!["shop".into(), "pricing".into()],
            roles: ["viewer", "developer", "release-manager", "admin"].map(str::to_owned).to_vec(),
        }
    }

    /// The account.
    pub fn account(self) -> AccountView {
        AccountView {
            shell: self.shell(),
            grants: vec![Grant { project: None, role: "admin".into() }],
            tokens: vec![TokenRow {
                id: "t1".into(),
                name: "laptop".into(),
                scopes: vec!["read".into(), "push".into()],
                created: self.ago(900_000),
                used: Some(self.ago(40)),
                expires: Some(self.ago(-900_000)),
            }],
            scopes: vec![
                ("read".into(), "see everything that you see".into()),
                ("push".into(), "push to repositories".into()),
                ("deliver".into(), "promote, approve, hold, roll back".into()),
            ],
            new_token: None,
        }
    }

    /// The findings.
    pub fn doctor(self) -> DoctorView {
        let finding =
            |state: State, title: &str, detail: &str, advice: Option<&str>, command: Option<&str>| Finding {
                state,
                title: title.into(),
                detail: detail.into(),
                advice: advice.map(str::to_owned),
                command: command.map(str::to_owned),
            };
        DoctorView {
            shell: self.shell(),
            checked: self.ago(4),
            findings: vec![
                finding(
                    State::Unhealthy,
                    "Nobody can approve for shop/production",
                    "The policy asks for 2 release-managers; there is one, and one's own approval does not count.",
                    Some("Give the role to two more people."),
                    Some("towpath user grant noah release-manager --project shop"),
                ),
                finding(
                    State::Unknown,
                    "Build isolation",
                    "bubblewrap is not installed; jobs are confined by Landlock only.",
                    Some("Install bubblewrap."),
                    Some("apt install bubblewrap"),
                ),
                finding(State::Healthy, "Disk", "41 GB free under the data directory.", None, None),
            ],
        }
    }

    /// The door.
    pub fn sign_in(self) -> SignInView {
        SignInView { shell: self.stranger(), login: String::new(), next: "/".into(), error: None }
    }

    /// The first admin's door.
    pub fn decide(self) -> DecideView {
        DecideView {
            shell: self.stranger(),
            link: "bGluaw".into(),
            login: "grace".into(),
            title: "1.4.0 to shop/production".into(),
            current: Some("1.3.2".into()),
            commit: self.promotion().commit,
            needs: vec!["0 of 1 approvals from release-manager".into()],
            plan: vec!["canary: 5 % for 5m, then everything".into()],
            comment_needed: true,
            expires: self.ago(-7_000),
            error: None,
            done: None,
        }
    }

    pub fn setup(self) -> SetupView {
        SetupView {
            shell: self.stranger(),
            token: "tps_1".into(),
            login: String::new(),
            invited: false,
            error: Some("The two passwords differ.".into()),
        }
    }

    /// An error.
    pub fn error(self, status: u16) -> ErrorView {
        ErrorView {
            shell: self.shell(),
            status,
            detail: Some("There is no run #99 in shop.".into()),
            request: Some("01JD2".into()),
        }
    }
}

/// A log of some length, as it is stored.
pub fn stored_log() -> Vec<String> {
    let line = |number: u64, step: u8, stream: char, text: String| {
        format!(
            "2026-11-21T14:{:02}:{:02}.{:06}Z {step:02}{stream} {text}",
            number / 60 % 60,
            number % 60,
            number * 37 % 1_000_000
        )
    };
    let mut log = vec![line(0, 0, 's', "source 3f2a1b9c, 214 files".into())];
    log.extend((1..400).map(|n| {
        line(n, 1, 'e', format!("\u{1b}[1;32m   Compiling\u{1b}[0m crate-{n} v0.{}.{}", n % 20, n % 7))
    }));
    log.extend(
        (400..1870).map(|n| line(n, 2, 'o', format!("test basket::case_{n} ... \u{1b}[32mok\u{1b}[0m"))),
    );
    log.push(line(1870, 2, 'o', "test basket::weighs_nothing ... \u{1b}[31mFAILED\u{1b}[0m".into()));
    log.push(line(1871, 2, 'o', String::new()));
    log.push(line(1872, 2, 'e', "\u{1b}[1m\u{1b}[31merror: \u{1b}[0mthread 'weighs_nothing' panicked at src/basket.rs:41: <left> & \"right\" differ".into()));
    log.extend((1873..1900).map(|n| line(n, 2, 'e', format!("   {}: shop::basket::weigh", n - 1872))));
    log.push(line(1900, 2, 's', "exit code 101".into()));
    log
}

fn stage(name: &str, lock: Option<(State, &str)>, environments: Vec<EnvironmentCard>) -> RouteStage {
    RouteStage {
        name: name.into(),
        lock: lock.map(|(state, reason)| Lock { state, reason: reason.into() }),
        environments,
    }
}

fn gate(kind: GateKind, title: &str, state: State, reason: &str) -> GateView {
    GateView { kind, title: title.into(), state, reason: reason.into(), opens_at: None }
}

fn revision(version: &str) -> RevisionName {
    RevisionName { version: version.into(), digest: OTHER.into(), config: Some("config 3".into()) }
}

fn commit(subject: &str) -> Commit {
    Commit {
        sha: "3f2a1b9c0d8e7f6a5b4c3d2e1f0a9b8c7d6e5f4a".into(),
        subject: subject.into(),
        author: "Mona Lisa".into(),
    }
}

fn action(kind: ActionKind, label: &str, page: &str, consequence: &str) -> Action {
    Action {
        kind,
        label: label.into(),
        url: routes::act(page, kind),
        consequence: consequence.into(),
        fields: vec![],
        refused: None,
    }
}

impl Moment {
    fn cell(self, of: &str, label: &str, state: State) -> JobView {
        JobView {
            of: Some(of.into()),
            label: Some(label.into()),
            ..self.job(&format!("{of}-{label}"), &["lint"], state)
        }
    }

    fn reports(self) -> ReportsView {
        let annotation = |tone, level: &str, place: &str, message: &str| AnnotationRow {
            tone,
            level: level.into(),
            place: Some(place.into()),
            message: message.into(),
            source: "cart::pays, in test".into(),
        };
        ReportsView {
            lines: vec![
                ("Tests".into(), Tone::Bad, "213 passed, 1 failed, 2 left out, 1 passed on retry".into()),
                ("Coverage".into(), Tone::Warn, "81.20% (-0.40%)".into()),
                ("Compared with".into(), Tone::Calm, "Release 1.0.1 (#11)".into()),
            ],
            annotations: vec![
                annotation(Tone::Bad, "error", "src/cart.rs:7", "assertion failed: declined"),
                annotation(Tone::Warn, "warning", "src/till.rs:19", "unused variable `change`"),
            ],
            more: 3,
        }
    }

    fn test_row(self, id: &str, health: &str, recent: &str) -> TestRow {
        TestRow {
            id: id.into(),
            job: "test".into(),
            health: health.into(),
            runs: 412,
            failures: 9,
            retried: 4,
            millis: Some(1840),
            recent: recent.into(),
            hushed: health == "flaky",
        }
    }

    fn hushed_row(self) -> HushedRow {
        HushedRow {
            test: "cart::pays".into(),
            owner: "dora".into(),
            reason: "the sandbox of the bank is down".into(),
            until: self.ago(-86_400 * 9),
            expired: false,
        }
    }

    pub fn tests(self) -> TestsView {
        TestsView {
            shell: self.shell(),
            project: "shop".into(),
            like: String::new(),
            order: "health".into(),
            counts: [211, 1, 1, 2],
            tests: vec![
                self.test_row("cart::pays", "flaky", "pppfprppfpprpppppppp"),
                self.test_row(HOSTILE, "failing", "ppppff"),
                self.test_row("till::opens", "stable", "pppppppppppppppppppppppp"),
            ],
            next: Some(100),
            quarantined: vec![self.hushed_row()],
        }
    }

    pub fn test(self) -> TestView {
        TestView {
            shell: self.shell(),
            project: "shop".into(),
            test: self.test_row("cart::pays", "flaky", "pppfprppfpprpppppppp"),
            file: Some("src/cart.rs".into()),
            quarantine: Some(self.hushed_row()),
            failures: vec![TestFailureRow {
                run: 12,
                job: "test".into(),
                attempt: 1,
                at: self.ago(700),
                retried: true,
                message: "assertion failed: declined".into(),
                detail: "at src/cart.rs:7\n  left: 402".into(),
            }],
        }
    }

    pub fn caches(self) -> CachesView {
        let row = |key: &str, state: &str| CacheRow {
            id: "0192f0c1-cccc-7cc2-9d5e-6f1f3a2b4c5d".into(),
            kind: "cache".into(),
            key: key.into(),
            scope: "protected".into(),
            files: 5210,
            bytes: 412_000_000,
            run: 11,
            job: "test".into(),
            created: self.ago(90_000),
            used: self.ago(700),
            state: state.into(),
            ended: if state == "live" { String::new() } else { "by mona: a poisoned dependency".into() },
        };
        let revoke = Action {
            kind: ActionKind::Revoke,
            label: "Revoke".into(),
            url: routes::revoke_cache("shop", "0192f0c1-cccc-7cc2-9d5e-6f1f3a2b4c5d"),
            consequence: "`cargo-9f86` and the 3 entries made from it are never given to a Run again.".into(),
            fields: vec![],
            refused: None,
        };
        CachesView {
            shell: self.shell(),
            project: "shop".into(),
            entries: vec![row("cargo-9f86d081", "live"), row("npm-60303ae2", "revoked")],
            older: Some("2026-11-20T12:00:00Z".into()),
            reached: Some(CacheReached {
                entry: row("cargo-9f86d081", "live"),
                entries: 3,
                runs: vec!["shop#11".into(), "shop#12".into()],
                releases: vec!["1.0.1".into()],
                revoke: Some(revoke),
            }),
        }
    }

    pub fn notifications(self) -> NotificationsView {
        let delivery = |whom: &str, state, word: &str, error: &str| DeliveryRow {
            at: self.ago(700),
            whom: whom.into(),
            state,
            word: word.into(),
            title: "shop/production 1.4.0: needs people".into(),
            promotion: Some(PROMOTION.into()),
            error: error.into(),
        };
        let channel = |name: &str, kind: &str, told_of: Vec<String>| ChannelRow {
            name: name.into(),
            kind: kind.into(),
            told_of,
        };
        NotificationsView {
            shell: self.shell(),
            project: "shop".into(),
            document: Some("Version 3, applied by mona.".into()),
            channels: vec![
                channel("releases", "slack", vec!["needs-people, rolled-back in production".into()]),
                channel("managers", "email", vec![]),
            ],
            refused: None,
            alerts: vec!["An alert with severity=page takes the rollout in production back.".into()],
            told: vec![
                delivery("releases", State::Passed, "sent", ""),
                delivery(
                    "managers (@grace)",
                    State::Failed,
                    "failed",
                    "this server knows no address of grace",
                ),
            ],
        }
    }

    pub fn insights(self) -> InsightsView {
        let incident = |version: &str, close: Option<Action>| IncidentRow {
            environment: "production".into(),
            version: version.into(),
            caught_by: "grace: checkout fails for cards of one bank".into(),
            opened: self.ago(7_000),
            closed: close.is_none().then(|| self.ago(3_000)),
            close,
        };
        let words = "Says that it is over, as of now.";
        let close = Action::on(&routes::incident("shop", 3), ActionKind::Close, "Close", words);
        let words = "Opens an incident of what runs in `production`.";
        let open = Action::on(&routes::insights("shop"), ActionKind::Open, "Report an incident", words);
        InsightsView {
            shell: self.shell(),
            project: "shop".into(),
            scope: "Into production, the last 30 days.".into(),
            metrics: vec![MetricRow {
                name: "Deployment frequency".into(),
                value: "1.37 a day".into(),
                band: Some("elite".into()),
                meaning: "Rollouts that users met.",
            }],
            incidents: vec![incident("1.4.0", Some(close)), incident("", None)],
            actions: vec![open.sending("environment", "production")],
        }
    }
}
