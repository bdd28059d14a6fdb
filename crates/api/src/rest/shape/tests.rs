//! What the model writes is what the description says.

use jiff::{SignedDuration, Timestamp};
use serde::de::DeserializeOwned;
use towpath_model::cron::Cron;
use towpath_model::environment as model;
use towpath_model::evidence;
use towpath_model::intake;
use towpath_model::pipeline as pipe;
use towpath_model::policy;
use towpath_model::revocation;
use towpath_model::timeline;
use towpath_model::{AgentId, Digest, InstanceId, UserId, Weight};

use super::*;

/// Reads what the model writes. A field too many or too few is an error.
#[track_caller]
pub(super) fn reads<T: DeserializeOwned>(value: &impl serde::Serialize) {
    let written = serde_json::to_value(value).unwrap();
    if let Err(error) = serde_json::from_value::<T>(written.clone()) {
        panic!("{error}: {written:#}");
    }
}

fn gates() -> Vec<pipe::Gate> {
    let text = |text: &str| text.to_owned();
    vec![
        pipe::Gate::Approval(pipe::ApprovalGate {
            by: vec![text("@mona")],
            count: 2,
            expires: SignedDuration::from_hours(24),
            self_approval: pipe::SelfApproval::Deny,
            instructions: text("look"),
            when: Some(pipe::When { paths: vec![text("infra/**")], ..pipe::When::default() }),
            comment: pipe::Comment::Required,
        }),
        pipe::Gate::Window(pipe::WindowGate {
            days: text("daily"),
            hours: text("09:00-16:00"),
            timezone: text("UTC"),
        }),
        pipe::Gate::Freeze(pipe::FreezeGate {
            from: text("2026-12-24"),
            until: text("2026-12-27"),
            timezone: text("UTC"),
            reason: text("feast"),
        }),
        pipe::Gate::Soak(pipe::SoakGate {
            environment: "dev".parse().unwrap(),
            duration: SignedDuration::from_mins(30),
            expires: SignedDuration::from_hours(24),
        }),
        pipe::Gate::Webhook(pipe::WebhookGate {
            url: text("https://change.example.com"),
            secret: "CHANGE_KEY".parse().ok(),
            every: SignedDuration::from_mins(1),
            expires: SignedDuration::from_hours(24),
        }),
        pipe::Gate::Metric(pipe::MetricGate {
            prometheus: text("https://p.example.com"),
            query: text("up"),
            min: Some(1.0),
            max: None,
            token: None,
            every: SignedDuration::from_mins(1),
            expires: SignedDuration::from_hours(24),
        }),
        pipe::Gate::Expression(pipe::ExpressionGate {
            holds: pipe::Condition(text("true")),
            reason: text("why"),
            expires: SignedDuration::from_hours(24),
        }),
        pipe::Gate::Hold(pipe::HoldGate {
            name: text("hold"),
            by: vec![text("ops")],
            reason: text("why"),
            expires: SignedDuration::from_hours(24),
        }),
        pipe::Gate::Delay(pipe::DelayGate {
            duration: Some(SignedDuration::from_hours(1)),
            until: Some(text("2026-12-01")),
            timezone: text("UTC"),
        }),
        pipe::Gate::Upstream(pipe::UpstreamGate {
            project: "payments".parse().ok(),
            environment: "production".parse().unwrap(),
            at_least: Some(text("1.4.0")),
            same_commit: true,
            expires: SignedDuration::from_hours(24),
        }),
        pipe::Gate::Schedule(Cron::parse("@daily", "UTC").unwrap()),
        pipe::Gate::Evidence(evidence::EvidenceGate {
            tests: Some(evidence::TestsDemand {
                max_failed: 0,
                passed_on_retry: evidence::PassedOnRetry::Refuse,
                max_quarantined: Some(1),
                min_passed: 1,
            }),
            coverage: Some(evidence::CoverageDemand { min: Some(8_000), max_drop: None }),
            sarif: Some(evidence::FindingsDemand { max_errors: 0, max_warnings: None, max_notes: None }),
            load: Some(evidence::LoadDemand {
                p50: None,
                p95: Some(SignedDuration::from_millis(200)),
                p99: None,
                max_failed: Some(10),
            }),
            contract: true,
            expires: SignedDuration::from_hours(24),
        }),
    ]
}

#[test]
fn the_description_says_what_the_model_writes() {
    let now = Timestamp::UNIX_EPOCH;
    let digest = Digest::of(b"x");
    let user = UserId(uuid::Uuid::nil());
    for actor in [
        timeline::Actor::Towpath,
        timeline::Actor::User { id: user, login: "mona".to_owned() },
        timeline::Actor::Agent { name: "web-1".to_owned() },
    ] {
        reads::<Actor>(&actor);
    }
    let reason = "why".to_owned();
    for outcome in [
        model::Outcome::Succeeded,
        model::Outcome::RolledBack { reason: reason.clone(), time_to_safe_ms: Some(80) },
        model::Outcome::Rejected { reason: reason.clone() },
        model::Outcome::Expired { reason: reason.clone() },
        model::Outcome::Superseded { by: "1.0.0".to_owned() },
        model::Outcome::Cancelled { reason: reason.clone() },
    ] {
        reads::<Outcome>(&outcome);
    }
    for phase in [
        model::Phase::Preparing,
        model::Phase::Step { index: 1 },
        model::Phase::Batch { index: 1 },
        model::Phase::Verifying { index: 0, attempt: None },
    ] {
        reads::<Phase>(&phase);
    }
    let weight = Weight::from_permille(50).unwrap();
    let step = pipe::CanaryStep {
        weight,
        duration: SignedDuration::from_mins(5),
        max: SignedDuration::from_mins(20),
        pause: false,
    };
    reads::<PromotionPlan>(&model::PromotionPlan {
        stage: "production".parse().unwrap(),
        gates: gates(),
        strategy: pipe::Strategy::Canary(pipe::Canary {
            steps: vec![step.clone()],
            sticky: Some(pipe::Sticky { cookie: "arm".to_owned(), duration: step.duration }),
            routes: vec![pipe::Route {
                on: pipe::RouteField::Header("X-Canary".to_owned()),
                equals: "yes".to_owned(),
                to: pipe::Side::Candidate,
            }],
        }),
        analysis: pipe::Analysis::default(),
        verify: vec![
            pipe::Verification::Http(pipe::HttpVerification {
                path: "/".to_owned(),
                status: 200,
                contains: None,
                within: SignedDuration::from_secs(30),
            }),
            pipe::Verification::Run(pipe::RunVerification {
                name: "smoke".to_owned(),
                run: "./smoke.sh".to_owned(),
                secrets: Vec::new(),
                junit: Vec::new(),
                timeout: SignedDuration::from_mins(1),
            }),
        ],
        before: 1,
        on_failure: pipe::OnFailure::Rollback,
        deadline: SignedDuration::from_mins(30),
    });
    reads::<Strategy>(&pipe::Strategy::Recreate);
    reads::<Strategy>(&pipe::Strategy::Rolling(pipe::Rolling {
        max_surge: pipe::Amount::Percent(25),
        max_unavailable: pipe::Amount::Count(1),
        duration: step.duration,
        max: step.max,
    }));
    let warm = SignedDuration::from_mins(10);
    reads::<Strategy>(&pipe::Strategy::BlueGreen(pipe::BlueGreen { watch: Some(step), warm }));
    reads::<Policy>(&model::Policy {
        version: 1,
        document: policy::EnvironmentDocument {
            environment: "dev".parse().unwrap(),
            project: "shop".parse().unwrap(),
            target: policy::Target {
                hosts: BTreeMap::new(),
                instances: 1,
                replace_after: policy::REPLACE_AFTER,
                docker: Some(policy::Docker {
                    network: Some("shop".to_owned()),
                    writable: true,
                    tmpfs: vec!["/tmp".to_owned()],
                    capabilities: vec!["CHOWN".to_owned()],
                    ulimits: BTreeMap::from([("nofile".to_owned(), 65_536)]),
                    registries: vec![policy::Registry {
                        host: "registry.example.com".to_owned(),
                        username: "robot".to_owned(),
                        password: "REGISTRY_TOKEN".parse().unwrap(),
                    }],
                }),
            },
            listen: "127.0.0.1:8080".parse().unwrap(),
            tls: Some(policy::Tls {
                certificates: policy::Certificates::Files(vec![policy::CertificateFiles {
                    certificate: "/c".into(),
                    key: "/k".into(),
                }]),
                redirect: Some("127.0.0.1:80".parse().unwrap()),
            }),
            preview: Some("127.0.0.1:8081".parse().unwrap()),
            allow: policy::Allow::default(),
            intake: intake::Intake {
                promote: intake::Promote::Scheduled(Cron::parse("@daily", "UTC").unwrap()),
                queue: intake::Queue::Queued,
                after_rollback: intake::AfterRollback::Bisect,
                unrevoke: revocation::Unrevoke::Together,
            },
            gates: gates(),
            values: BTreeMap::new(),
            secrets: Vec::new(),
        },
        editors: std::collections::BTreeSet::new(),
    });
    let workload: towpath_model::WorkloadName = "shop".parse().unwrap();
    reads::<Fleet>(&model::Fleet {
        groups: 1,
        instances: vec![model::Instance {
            id: InstanceId(uuid::Uuid::nil()),
            workload: workload.clone(),
            revision: digest,
            host: AgentId(uuid::Uuid::nil()),
            wanted: true,
            leaving: Some(now),
            moving: false,
            health: model::InstanceHealth::Ready,
            address: None,
            restarts: 0,
            message: String::new(),
            since: now,
        }],
    });
    let mut traffic = model::Traffic::none(now);
    let arm = model::TrafficArm {
        revision: digest,
        workload,
        protocol: pipe::Protocol::H2c,
        weight,
        endpoints: Vec::new(),
    };
    traffic.preview = Some(arm.clone());
    traffic.arms.push(arm);
    traffic.sticky = Some(pipe::Sticky { cookie: "arm".to_owned(), duration: SignedDuration::from_hours(1) });
    traffic.rules.push(model::TrafficRule {
        on: pipe::RouteField::Cookie("beta".to_owned()),
        equals: "1".to_owned(),
        revision: digest,
    });
    traffic.outliers.insert("local".to_owned(), vec![std::net::SocketAddr::from(([127, 0, 0, 1], 8080))]);
    reads::<Traffic>(&traffic);
    reads::<Warm>(&model::Warm { revision: digest, until: now });
    reads::<Quarantine>(&model::Quarantine { version: "1.0.0".to_owned(), at: now, reason });
}
