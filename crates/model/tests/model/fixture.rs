//! Revisions, plans and documents in their smallest form, for every test of the model.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use towpath_model::environment::{
    Environment, NewPromotion, Policy, PromotionKind, PromotionPlan, Revision, Voter,
};
use towpath_model::intake::Intake;
use towpath_model::pipeline::{
    Amount, Analysis, ApprovalGate, BlueGreen, Canary, CanaryStep, Comment, Gate, Health, Limits, OnFailure,
    Protocol, Rolling, SelfApproval, Stop, Strategy, Verification, WebhookGate, When, Workload,
};
use towpath_model::policy::{Allow, EnvironmentDocument, Target};
use towpath_model::strategy::WARM;
use towpath_model::timeline::Actor;
use towpath_model::{AgentId, Digest, PromotionId, StageName, UserId, Weight};

pub fn seconds(seconds: i64) -> SignedDuration {
    SignedDuration::from_secs(seconds)
}

/// A Monday, 08:00 UTC.
pub fn start() -> Timestamp {
    "2026-11-16T08:00:00Z".parse().expect("a time")
}

pub fn agent(number: u128) -> AgentId {
    AgentId(uuid::Uuid::from_u128(number))
}

pub fn user(login: &str) -> Actor {
    Actor::User { id: user_id(login), login: login.to_owned() }
}

fn user_id(login: &str) -> UserId {
    UserId(uuid::Uuid::from_u128(login.bytes().fold(7, |id, byte| id * 256 + u128::from(byte))))
}

pub fn voter(login: &str, role: &str) -> Voter {
    Voter { user: user_id(login), login: login.to_owned(), roles: vec![role.to_owned()] }
}

pub fn revision(version: &str, config: &str) -> Revision {
    let workload = Workload {
        name: "web".parse().expect("a name"),
        artifact: "web".parse().expect("a name"),
        image: None,
        command: Some("./web --port $PORT".to_owned()),
        port: None,
        env: BTreeMap::new(),
        health: Health::default(),
        stop: Stop::default(),
        limits: Limits::default(),
        protocol: Protocol::Http1,
    };
    Revision {
        digest: Digest::of(format!("{version} {config}").as_bytes()),
        release: Digest::of(version.as_bytes()),
        signature: Digest::of(b"signature"),
        config: Digest::of(config.as_bytes()),
        version: version.to_owned(),
        commit: "0".repeat(40),
        source: Digest::of(b"source"),
        directory: String::new(),
        workloads: vec![workload],
        databases: Vec::new(),
    }
}

pub fn canary(steps: &[(u16, i64, bool)]) -> Strategy {
    let step = |(permille, duration, pause): &(u16, i64, bool)| CanaryStep {
        weight: Weight::from_permille(*permille).expect("a weight"),
        duration: seconds(*duration),
        max: seconds(*duration * 4),
        pause: *pause,
    };
    Strategy::Canary(Canary { steps: steps.iter().map(step).collect(), sticky: None, routes: Vec::new() })
}

/// A rolling replacement with so many Instances more and fewer, and so many seconds between batches.
pub fn rolling(surge: u32, unavailable: u32, duration: i64) -> Strategy {
    let (max_surge, max_unavailable) = (Amount::Count(surge), Amount::Count(unavailable));
    let duration = seconds(duration);
    Strategy::Rolling(Rolling { max_surge, max_unavailable, duration, max: duration * 4 })
}

/// A switch that is watched for so many seconds.
pub fn blue_green(watch: i64) -> Strategy {
    let duration = seconds(watch);
    let watch = CanaryStep { weight: Weight::FULL, duration, max: duration * 4, pause: false };
    Strategy::BlueGreen(BlueGreen { watch: Some(watch), warm: WARM })
}

pub fn plan(strategy: Strategy, gates: Vec<Gate>, verify: Vec<Verification>) -> PromotionPlan {
    PromotionPlan {
        stage: "production".parse::<StageName>().expect("a name"),
        gates,
        strategy,
        analysis: Analysis::default(),
        verify,
        before: 0,
        on_failure: OnFailure::Rollback,
        deadline: SignedDuration::from_mins(30),
    }
}

pub fn rollback_plan() -> PromotionPlan {
    PromotionPlan {
        stage: StageName::rollback(),
        deadline: SignedDuration::from_mins(15),
        ..plan(Strategy::Recreate, Vec::new(), Vec::new())
    }
}

pub fn approval(count: u32) -> Gate {
    Gate::Approval(ApprovalGate {
        by: vec!["release-manager".to_owned()],
        count,
        expires: SignedDuration::from_hours(24),
        self_approval: SelfApproval::Deny,
        instructions: String::new(),
        when: None,
        comment: Comment::Optional,
    })
}

/// An approval that is needed for changes of some paths alone.
pub fn approval_for(paths: &str) -> Gate {
    let when = Some(When { paths: vec![paths.to_owned()], ..When::default() });
    match approval(1) {
        Gate::Approval(gate) => Gate::Approval(ApprovalGate { when, ..gate }),
        other => other,
    }
}

/// Another system, asked at least once a minute for two hours.
pub fn webhook() -> Gate {
    Gate::Webhook(WebhookGate {
        url: "https://change.example.com/t0ken".to_owned(),
        secret: None,
        every: seconds(60),
        expires: SignedDuration::from_hours(2),
    })
}

pub fn document(gates: Vec<Gate>, instances: u32) -> EnvironmentDocument {
    EnvironmentDocument {
        environment: "production".parse().expect("a name"),
        project: "shop".parse().expect("a name"),
        target: Target {
            hosts: BTreeMap::from([("role".to_owned(), "web".to_owned())]),
            instances,
            replace_after: seconds(60),
            docker: None,
        },
        listen: "127.0.0.1:8080".parse().expect("an address"),
        tls: None,
        preview: None,
        allow: Allow::default(),
        intake: Intake::default(),
        gates,
        values: BTreeMap::new(),
        secrets: Vec::new(),
    }
}

pub fn environment(gates: Vec<Gate>, instances: u32, now: Timestamp) -> Environment {
    let policy = Policy { version: 1, document: document(gates, instances), editors: BTreeSet::new() };
    Environment::new(policy, Digest::of(b"c1"), now)
}

pub fn promotion_id(number: u128) -> PromotionId {
    PromotionId(uuid::Uuid::from_u128(number))
}

pub fn new_promotion(number: u128, revision: Revision, plan: PromotionPlan, actor: Actor) -> NewPromotion {
    NewPromotion {
        id: promotion_id(number),
        revision,
        kind: PromotionKind::Release,
        plan,
        makers: BTreeSet::from(["mallory".to_owned()]),
        actor,
        comment: String::new(),
        override_quarantine: false,
        older_than: None,
    }
}
