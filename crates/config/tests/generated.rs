//! What is generated from the tables is what stands in the repository, and is true.
//!
//! Regenerate with `UPDATE=1 cargo test -p towpath-config --test generated`.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use towpath_config::diagnostic::{Colour, render_all};
use towpath_config::load::{Includer, Loader};
use towpath_config::{parse_environments, parse_notifications, reference, schema};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn check(path: &str, generated: &str) {
    let path = root().join(path);
    if std::env::var_os("UPDATE").is_some() {
        fs::create_dir_all(path.parent().expect("it is in a directory")).expect("it can be made");
        fs::write(&path, generated).expect("it can be written");
    }
    let there = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        there == generated,
        "{} is out of date; run: UPDATE=1 cargo test -p towpath-config",
        path.display()
    );
}

/// Sorted by key, whichever map `serde_json` was built with.
fn pretty(schema: &Value) -> String {
    let mut schema = schema.clone();
    schema.sort_all_objects();
    format!("{schema:#}\n")
}

#[test]
fn reference_and_schemas_are_current() {
    check("docs/reference/towpath-yaml.md", &reference::pipeline());
    check("docs/reference/environment.md", &reference::environment());
    check("docs/reference/towpath.schema.json", &pretty(&schema::pipeline()));
    check("docs/reference/environment.schema.json", &pretty(&schema::environment()));
    check("docs/reference/notifications.md", &reference::notifications());
    check("docs/reference/notifications.schema.json", &pretty(&schema::notifications()));
}

/// Every key of the schema, with its path of definitions.
fn keys(schema: &Value) -> Vec<(String, String)> {
    let definitions = schema["$defs"].as_object().expect("it has definitions");
    let keys = definitions.iter().flat_map(|(name, object)| {
        let properties = object["properties"].as_object().expect("each is an object");
        properties.keys().map(|key| (name.clone(), key.clone())).collect::<Vec<_>>()
    });
    keys.collect()
}

/// One example of each key, put together: the files below use every key of the schemas but those that exclude each other.
const EVERYTHING: &str = r#"
name: shop
on:
  push: { branches: [main], paths: ["src/**"] }
  tag: { patterns: [v*] }
  pull_request: { branches: [main], paths: ["src/**"], types: [opened, labeled] }
  schedule: [{ cron: 0 3 * * mon-fri, timezone: Europe/Berlin, branch: release/2 }]
  release: [{ project: base, versions: [2.*] }]
  manual:
    inputs:
      hosts: { type: number, description: How many, default: 3 }
      target: { type: choice, options: [staging, production], required: true }
env: { A: 1 }
cancel_superseded: false
include: [{ project: platform, file: ci/rust.yaml, commit: "0123456789012345678901234567890123456789", digest: "sha256:9119353bafa97bb9afdd96fa9c2e412bd876432f3d93d297aac1a384908e2be0" }]
defaults: { shell: bash }
templates:
  rust:
    description: The compiler
    parameters:
      toolchain: { type: string, required: false, default: stable, options: [stable, nightly], description: Which }
    steps: [rustup show]
jobs:
  test:
    matrix: { os: [linux, mac] }
    fail_fast: true
    max_parallel: 1
    parallel: 2
    steps: [{ uses: rust, with: { toolchain: nightly }, env: { A: b } }]
  build:
    needs: [{ job: test, optional: true }]
    run_when: always
    paths: [src/**]
    if: branch == 'main'
    env: { TAG: "${{ commit }}" }
    secrets: [LICENSE_KEY]
    steps:
      - { name: Build, run: make, shell: [bash, -e], env: { B: x }, directory: sub, timeout: 5m, always: true }
      - { run: make dist, inputs: { files: [src/**], env: [CC] }, outputs: [dist], verify: 5% }
    artifacts: { shop: { files: [out/shop] } }
    reports: { junit: [a.xml], coverage: c.info, sarif: [s.sarif], load: k.json, contract: p.json, annotations: n.jsonl }
    runs_on: { os: linux }
    executor: sandbox
    network: none
    limits: { memory: 4GiB, cpu: 2, processes: 500, disk: 10GiB }
    timeout: 20m
    retry: { attempts: 2, attempts_lost: 4, when: [network, { exit_code: 75, pattern: locked }], backoff: { first: 1s, longest: 1m } }
    concurrency: { group: db, limit: 2 }
    priority: 80
    allow_failure: true
    cache: [{ key: [deps, { file: lock }], restore: [deps], paths: [vendor, ~/.npm], save: always }]
    workspace: always
  contained:
    image: { name: "debian@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", pull: always, user: root, username: robot, password: REGISTRY_TOKEN }
    services:
      db:
        image: "postgres@sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
        command: [-x]
        env: { A: b }
        ports: [5432]
        health: { tcp: 5432, within: 2m, period: 1s }
      web: { run: ./web, ports: 80, health: { http: 80/h } }
      redis: { run: ./redis, health: { run: ./ping } }
    steps: [make]
    artifacts: { tool: { image: { context: a, dockerfile: D, target: t, args: { A: b }, tags: [tool:1] } } }
databases:
  shop: { dialect: postgresql, migrations: db/migrations }
workloads:
  shop:
    artifact: shop
    command: ./shop
    env: { LOG: info }
    health: { ready: /r, live: /l, start_within: 1m, period: 5s, timeout: 1s, failures: 3 }
    stop: { signal: INT, grace: 5s }
    limits: { memory: 1GB, cpu: 2, processes: 50 }
    protocol: h2c
  proxy: { image: "r.example.com/proxy@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", port: 3128 }
stages:
  - { name: dev, environments: [dev] }
  - { name: many, needs: [dev], deploy: { strategy: rolling, max_surge: 1, max_unavailable: 25%, for: 1m, max: 5m } }
  - { name: both, needs: [dev], deploy: { strategy: blue-green, watch: { for: 1m, max: 5m }, warm: 1h, before: [{ http: /h }] } }
  - name: production
    needs: [dev]
    environments: [production]
    promote: { schedule: 0 9 * * mon-thu, timezone: Europe/Berlin }
    gates:
      - approval:
          by: [ops]
          count: 2
          expires: 1h
          self_approval: allow
          instructions: Look.
          when: { paths: [infra/**], migrations: true, more_files_than: 20, more_lines_than: 500 }
          comment: required
      - window: { days: mon-thu, hours: "09:00-16:00", timezone: Europe/Berlin }
      - freeze: { from: 2026-12-24, until: 2026-12-27, timezone: UTC, reason: holidays }
      - soak: { environment: dev, for: 30m, expires: 3d }
      - webhook: { url: "https://change.example.com/x", secret: CHANGE_KEY, every: 1m, expires: 2d }
      - metric: { prometheus: "https://p.example.com", query: up, min: 1, max: 2.5, token: P_TOKEN, every: 30s, expires: 2d }
      - expression: { holds: change.lines < 500, reason: small, expires: 2d }
      - hold: { by: marketing, name: campaign, reason: later, expires: 2d }
      - delay: { for: 2h, until: 2026-12-01T09:00, timezone: Europe/Berlin }
      - evidence:
          tests: { max_failed: 1, passed_on_retry: refuse, max_quarantined: 2, min_passed: 3 }
          coverage: { min: 80%, max_drop: 1% }
          sarif: { max_errors: 1, max_warnings: 2, max_notes: 3 }
          load: { p50: 50ms, p95: 200ms, p99: 1s, max_failed: 1% }
          contract: verified
          expires: 3d
    deploy:
      strategy: canary
      steps: [{ weight: 5%, for: 5m, max: 1h, pause: true }]
      sticky: { cookie: arm, for: 2h }
      routes:
        - { header: X-Canary, equals: "yes", to: candidate }
        - { cookie: beta, equals: "0", to: stable }
    analysis: { error_rate: { max_increase: 1pp, max: 4%, false_alarm: 2%, min_requests: 9, block: 20s } }
    verify:
      - http: { path: /h, status: 204, contains: ok, within: 5s }
      - { run: ./smoke, name: smoke, secrets: [TOKEN], reports: { junit: s.xml }, timeout: 1m }
    on_failure: hold
    deadline: 3h
"#;

const EVERY_ENVIRONMENT: &str = r#"
environment: production
project: shop
target: { hosts: { role: web }, instances: 3, replace_after: 10m }
listen: "[::]:8080"
tls:
  certificates: [{ certificate: /etc/ssl/shop.pem, key: /etc/ssl/shop.key }]
  redirect: 80
preview: 8081
allow: { refs: [refs/heads/main] }
promote: { schedule: "@daily", timezone: Europe/Berlin }
queue: queued
after_rollback: bisect
unrevoke: together
gates:
  - approval: { by: "@ann" }
  - upstream: { project: payments, environment: production, at_least: 1.4.0, same_commit: true, expires: 2d }
values: { LOG_LEVEL: info }
secrets: DATABASE_URL
"#;

/// What excludes something in the other one.
const NAMED_ENVIRONMENT: &str = r#"
environment: dev
project: shop
target:
  docker:
    hosts: { role: web }
    network: shop
    read_only: false
    tmpfs: [/run, /tmp]
    capabilities: [CHOWN]
    ulimits: { nofile: 65536, nproc: 100, core: 0, memlock: 1, stack: 2 }
    registries: [{ host: "r.example.com:5000", username: robot, password: REGISTRY_TOKEN }]
listen: 8443
tls: { names: [shop.internal] }
"#;

/// Every key of notification documents.
const EVERY_NOTIFICATION: &str = r#"
project: shop
channels:
  releases: { slack: { secret: SLACK_URL } }
  team: { teams: { secret: TEAMS_URL } }
  managers: { email: { to: [ops@example.com, "@grace"], links: true } }
  audit: { webhook: { url: "https://audit.example.com/t", secret: AUDIT_KEY } }
  boards: { grafana: { url: "https://grafana.example.com/", token: GRAFANA_TOKEN } }
  metrics: { datadog: { site: datadoghq.eu, key: DATADOG_KEY } }
routes:
  - { on: [needs-people, rolled-back], environments: [production], to: [releases, managers] }
  - { on: deployed, to: boards }
templates: { deployed: "{version} is live: {url}" }
alerts: { secret: ALERT_TOKEN, rules: [{ environments: production, labels: { severity: page }, then: hold }] }
"#;

/// Finds the objects of a definition in a parsed document and collects the keys they use.
fn used(schema: &Value, definition: &Value, document: &Value, found: &mut Vec<(String, String)>) {
    if let Some(reference) = definition["$ref"].as_str() {
        let name = reference.trim_start_matches("#/$defs/");
        if let Some(object) = document.as_object() {
            for (key, value) in object {
                found.push((name.to_owned(), key.clone()));
                used(schema, &schema["$defs"][name]["properties"][key], value, found);
            }
        }
    }
    for alternative in definition["anyOf"].as_array().into_iter().flatten() {
        used(schema, alternative, document, found);
    }
    for item in document.as_array().into_iter().flatten() {
        used(schema, &definition["items"], item, found);
    }
    if definition["additionalProperties"].is_object() {
        for value in document.as_object().into_iter().flat_map(|map| map.values()) {
            used(schema, &definition["additionalProperties"], value, found);
        }
    }
}

fn check_all_keys_are_taken(schema: &Value, texts: &[&str]) {
    let mut found = Vec::new();
    for text in texts {
        let document: Value = serde_saphyr::from_str(text).expect("it is YAML");
        used(schema, schema, &document, &mut found);
    }
    for key in keys(schema) {
        let of_gates = matches!(
            key.0.as_str(),
            "approval" | "approval_condition" | "window" | "freeze" | "soak" | "evidence"
        ) || key.0.ends_with("gate")
            || key.0.starts_with("demanded");
        // Only a document may look into another Project.
        let of_documents = key.0 == "upstream_gate" || key.1 == "upstream";
        let own = !of_gates || of_documents != schema["$defs"].get("pipeline").is_some();
        assert!(!own || found.contains(&key), "the example lacks {}.{}", key.0, key.1);
    }
}

#[test]
fn every_key_of_the_schema_is_read() {
    let mut loader = Loader::new("towpath.yaml", EVERYTHING.as_bytes(), Includer::AsNamed);
    let wanted = loader.wanted().expect("it includes a file");
    assert_eq!(wanted.path, "ci/rust.yaml");
    loader.take(Ok(b"share: all\nx-note: 1\n".to_vec()));
    let (pipeline, diagnostics) = loader.finish();
    assert!(diagnostics.is_empty(), "{}", render_all(&diagnostics, Colour::No));
    check_all_keys_are_taken(&schema::pipeline(), &[EVERYTHING]);
    // No value in the file is a default, so what was lowered holds none of them either.
    let pipeline = serde_json::to_value(pipeline).expect("it can be written");
    assert_eq!(pipeline["jobs"][4]["retry"]["attempts_lost"], 4);
    assert_eq!(pipeline["stages"][3]["analysis"]["error_rate"]["max"], 0.04);
    assert_eq!(pipeline["stages"][3]["on_failure"], "hold");
    assert_eq!(pipeline["stages"][3]["promote"]["scheduled"]["timezone"], "Europe/Berlin");
    assert_eq!(pipeline["stages"][3]["strategy"]["steps"][0]["weight"], 50);
    assert_eq!(pipeline["workloads"][0]["limits"]["cpu"], 2000);
    assert_eq!(pipeline["workloads"][0]["protocol"], "h2c");

    let (documents, diagnostics) = parse_environments("production.yaml", EVERY_ENVIRONMENT);
    assert!(diagnostics.is_empty(), "{}", render_all(&diagnostics, Colour::No));
    assert_eq!(documents.len(), 1);
    let (_, diagnostics) = parse_environments("dev.yaml", NAMED_ENVIRONMENT);
    assert!(diagnostics.is_empty(), "{}", render_all(&diagnostics, Colour::No));
    check_all_keys_are_taken(&schema::environment(), &[EVERY_ENVIRONMENT, NAMED_ENVIRONMENT]);

    let (document, diagnostics) = parse_notifications("notifications.yaml", EVERY_NOTIFICATION);
    assert!(diagnostics.is_empty(), "{}", render_all(&diagnostics, Colour::No));
    let document = document.expect("it has no error");
    assert_eq!((document.channels.len(), document.routes.len()), (6, 2));
    check_all_keys_are_taken(&schema::notifications(), &[EVERY_NOTIFICATION]);
}
