//! Gates that look outside, against systems that are really there.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use jiff::SignedDuration;
use towpath_artifact::SecretValue;
use towpath_model::environment::{Outcome, Promotion};

use crate::receiver::Receiver;
use crate::world::{DOCUMENTS, World, admin, developer, key, manager, shop};

/// The usual Environments; production has these Gates instead of its approval.
fn documents(gates: &str) -> String {
    let approval = "gates: [{ approval: { by: [release-manager], count: 1 } }]";
    let documents = DOCUMENTS.replace(approval, &format!("gates:\n{gates}"));
    assert_ne!(documents, DOCUMENTS);
    documents
}

/// Brings a Release to the door of production.
fn knock(world: &mut World) -> Promotion {
    let version = world.release(1, &[("towpath.yaml", crate::world::PIPELINE)]);
    world.waiting("production", &version)
}

/// Waits until a Gate of what waits says something.
fn says(world: &mut World, words: &str) {
    world.until(words, |world| {
        let waiting = world.environment("production").environment.waiting?;
        waiting.gates.iter().any(|gate| gate.reason.contains(words)).then_some(())
    });
}

#[test]
fn a_webhook_is_asked_until_it_says_yes_and_its_question_is_signed() {
    let mut world = World::start::<110>();
    let other = Receiver::start(409, r#"{"reason":"change 17 is not approved"}"#);
    let gate = format!("  - webhook: {{ url: {}/gate, secret: CHANGE_KEY, every: 5s }}\n", other.url());
    world.apply(&documents(&gate)).unwrap();
    let version = knock(&mut world).revision.version;
    says(&mut world, "secret CHANGE_KEY of shop/production is not set");
    assert!(other.taken().is_empty(), "a question without its signature was sent");
    let key = key("production");
    let name = "CHANGE_KEY".parse().unwrap();
    let value = SecretValue::new(b"hook-secret".to_vec());
    world.run(world.engine.set_secret(&shop(), Some(&key.environment), &name, &value, &admin())).unwrap();
    says(&mut world, "409 change 17 is not approved");
    let asked = other.taken().remove(0);
    assert_eq!(asked.path, "/gate");
    assert!(asked.headers["webhook-id"].starts_with("gate_"), "{asked:?}");
    assert!(asked.headers["webhook-signature"].starts_with("v1,"), "{asked:?}");
    let body = asked.json();
    assert_eq!(body["release"]["version"], version);
    assert_eq!(body["environment"]["name"], "production");
    assert_eq!(body["promotion"]["requested_by"], "towpath");
    other.answers(200, "change 17 is approved");
    assert_eq!(world.outcome("production", &version), Outcome::Succeeded);
}

#[test]
fn a_webhook_at_a_private_address_is_never_asked() {
    let mut world = World::start::<111>();
    // The test's server allows 127.0.0.1 alone.
    let listener = TcpListener::bind("127.0.0.2:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    world.apply(&documents(&format!("  - webhook: {{ url: http://127.0.0.2:{port}/ }}\n"))).unwrap();
    knock(&mut world);
    says(&mut world, "127.0.0.2 is not a public address");
    assert!(listener.accept().is_err(), "somebody came");
}

#[test]
fn a_webhook_that_never_says_yes_ends_the_promotion() {
    let mut world = World::start::<112>();
    let other = Receiver::start(503, "");
    let gate = format!("  - webhook: {{ url: {}/, expires: 1m }}\n", other.url());
    world.apply(&documents(&gate)).unwrap();
    let version = knock(&mut world).revision.version;
    world.pass(SignedDuration::from_mins(1));
    let Outcome::Expired { reason } = world.outcome("production", &version) else {
        panic!("it did not expire")
    };
    assert!(reason.contains("says not yet: 503") && reason.contains("it had 1m for that"), "{reason}");
}

#[test]
fn a_hold_is_lifted_by_its_role_and_an_expression_reads_the_change() {
    let mut world = World::start::<113>();
    let gates = "  - hold: { by: [release-manager], reason: the campaign starts first }\n  \
                 - expression: { holds: \"environment.runs == null || change.lines < 3\", reason: small steps }\n";
    world.apply(&documents(gates)).unwrap();
    let first = knock(&mut world);
    let refused = world.run(world.engine.lift(first.id, None, "", &developer())).unwrap_err().to_string();
    assert!(refused.contains("ada is none of these"), "{refused}");
    world.run(world.engine.lift(first.id, None, "posters hang", &manager())).unwrap();
    assert_eq!(world.outcome("production", &first.revision.version), Outcome::Succeeded);
    // The second one is larger than the expression lets through.
    let second = world.release(2, &[("notes.txt", "1\n2\n3\n4\n")]);
    let waiting = world.waiting("production", &second);
    world.run(world.engine.lift(waiting.id, Some("hold"), "", &manager())).unwrap();
    says(&mut world, "change.lines < 3` does not hold (small steps)");
}

/// A real Prometheus that watches itself; ends with the test.
struct Prometheus {
    port: u16,
    child: Child,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn prometheus(directory: &Path) -> Option<Prometheus> {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let config = format!(
        "global: {{ scrape_interval: 1s }}\nscrape_configs:\n  - job_name: self\n    static_configs:\n      - targets: ['127.0.0.1:{port}']\n"
    );
    std::fs::write(directory.join("prometheus.yml"), config).unwrap();
    let started = Command::new("prometheus")
        .arg(format!("--config.file={}", directory.join("prometheus.yml").display()))
        .arg(format!("--storage.tsdb.path={}", directory.join("tsdb").display()))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    match started {
        Ok(child) => Some(Prometheus { port, child }),
        Err(_) => {
            eprintln!("SKIPPED: metric gates are not tried with a real Prometheus; `apt install prometheus`");
            None
        }
    }
}

#[test]
fn a_metric_opens_with_data_of_a_real_prometheus_and_never_without() {
    let directory = tempfile::tempdir().unwrap();
    let Some(source) = prometheus(directory.path()) else { return };
    let mut world = World::start::<114>();
    let at = format!("prometheus: http://127.0.0.1:{}", source.port);
    world
        .apply(&documents(&format!("  - metric: {{ {at}, query: no_such_series, max: 1, every: 5s }}\n")))
        .unwrap();
    let version = knock(&mut world).revision.version;
    says(&mut world, "`no_such_series` has no data, and no data never opens a gate");
    let change = |world: &World, query: &str, bounds: &str| {
        world
            .apply(&documents(&format!("  - metric: {{ {at}, query: '{query}', {bounds}, every: 5s }}\n")))
            .unwrap();
    };
    // With nobody to approve, an admin may change the policy alone.
    change(&world, "up{job=\"self\"}", "max: 0");
    says(&mut world, "`up{job=\"self\"}` is 1, and may be at most 0");
    change(&world, "up{job=\"self\"}", "min: 1");
    assert_eq!(world.outcome("production", &version), Outcome::Succeeded);
}
