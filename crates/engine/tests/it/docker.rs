//! Environments whose Instances are containers: who gets them, what they are told, and what is said where something is missing.

use std::collections::BTreeMap;

use towpath_artifact::image::{CONFIG, ImageManifest, LAYER};
use towpath_artifact::oci::{Layer, MANIFEST};
use towpath_artifact::{SecretValue, canonical};
use towpath_model::Digest;
use towpath_model::environment::Outcome;

use crate::agent::SimAgent;
use crate::world::{World, admin, key, shop};

const PIPELINE: &str = "
name: shop
on: { push: { branches: [main] } }
jobs:
  build: { steps: [make], artifacts: { shop: { image: . } } }
workloads:
  shop: { port: 3000, health: { ready: /ready } }
stages:
  - { name: dev, environments: [dev], deploy: { strategy: recreate } }
";

fn document(target: &str) -> String {
    format!("environment: dev\nproject: shop\ntarget: {{ {target} }}\nlisten: 127.0.0.1:18181\n")
}

/// An image in the content store, and the Jobs of the agent leave it.
fn image(world: &mut World, text: &str) {
    let content = world.engine.content();
    let put = |media_type: &str, bytes: &[u8]| Layer {
        media_type: media_type.to_owned(),
        digest: content.put(bytes).unwrap(),
        size: bytes.len() as u64,
        annotations: BTreeMap::new(),
    };
    let manifest = ImageManifest {
        schema_version: 2,
        media_type: MANIFEST.to_owned(),
        config: put(CONFIG, format!("{{\"of\":\"{text}\"}}").as_bytes()),
        layers: vec![put(LAYER, text.as_bytes())],
        annotations: BTreeMap::new(),
    };
    let digest = content.put(&canonical::to_vec(&manifest)).unwrap();
    world.agent.claims = Some(BTreeMap::from([("shop".to_owned(), digest)]));
}

/// Pushes, and says the version and digest of the Release.
fn release(world: &mut World, number: u64, files: &[(&str, &str)]) -> (String, Digest) {
    world.push(files);
    let run = world.ended_run(number);
    let release = run.release.unwrap_or_else(|| panic!("run {number} sealed nothing: {}", run.reason));
    (release.version, release.digest)
}

#[test]
fn containers_go_to_agents_with_an_engine_and_their_images_stay_while_they_may_be_needed() {
    let mut world = World::start::<110>();
    world.apply(&document("docker: { hosts: { role: web }, network: shop, capabilities: CHOWN }")).unwrap();
    image(&mut world, "one");
    world.push(&[("towpath.yaml", PIPELINE)]);
    world.tick();
    let findings = world.run(world.engine.doctor(&BTreeMap::new())).unwrap();
    let finding = findings.iter().find(|finding| finding.subject == "hosts of shop/dev").unwrap();
    assert!(finding.text.contains("has a container engine"), "{finding:?}");
    assert!(world.agent.given.is_empty(), "an image is built where there is an engine");

    world.agent.container_engine = Some("docker 28.2.2".to_owned());
    let run = world.ended_run(1);
    let first = run.release.unwrap();
    assert_eq!(world.outcome("dev", &first.version), Outcome::Succeeded);
    let order = world.agent.orders.values().next().unwrap();
    let container = order.container.as_ref().expect("it is a container");
    assert_eq!(container.docker.network.as_deref(), Some("shop"));
    assert_eq!(
        (container.docker.tmpfs.as_slice(), container.docker.writable),
        (&["/tmp".to_owned()][..], false)
    );
    let findings = world.run(world.engine.doctor(&BTreeMap::new())).unwrap();
    assert!(!findings.iter().any(|finding| finding.subject == "hosts of shop/dev"), "{findings:?}");

    let mut releases = vec![first.digest];
    for (number, text) in [(2, "two"), (3, "three")] {
        image(&mut world, text);
        let (version, digest) = release(&mut world, number, &[("greeting", text)]);
        assert_eq!(world.outcome("dev", &version), Outcome::Succeeded);
        releases.push(digest);
    }
    // What runs now is kept by its own container; the way back has none.
    world.until("the word that the image of the way back stays", |world| {
        world.agent.kept.contains(&releases[1]).then_some(())
    });
}

#[test]
fn a_host_without_an_engine_is_passed_over_and_the_reason_says_so() {
    let mut world = World::start::<111>();
    world.apply(&document("docker: { hosts: { role: edge } }")).unwrap();
    world.agent.container_engine = Some("podman 5.0".to_owned());
    image(&mut world, "one");
    let mut second = SimAgent::new(2, world.engine.content().clone());
    second.labels = BTreeMap::from([("role".to_owned(), "edge".to_owned())]);
    second.capacity = 0;
    world.push(&[("towpath.yaml", PIPELINE)]);
    let waits = world.until("the reason why it waits", |world| {
        world.run(second.tick(&world.engine, world.now())).unwrap();
        world.environment("dev").waits.into_iter().find(|wait| wait.contains("container engine"))
    });
    assert!(
        waits.contains("a deploy agent with a container engine, role=edge; none is connected"),
        "{waits}"
    );
    assert!(second.started.is_empty());
    second.container_engine = Some("podman 5.0".to_owned());
    world.until("its container", |world| {
        world.run(second.tick(&world.engine, world.now())).unwrap();
        world.version_in("dev")
    });
    assert_eq!(second.started.len(), 1);
}

#[test]
fn files_in_docker_and_images_on_hosts_are_refused_before_anything_changes() {
    let mut world = World::start::<112>();
    world.agent.container_engine = Some("docker 28.2.2".to_owned());
    world.apply(&document("hosts: {}")).unwrap();
    image(&mut world, "one");
    let (version, _) = release(&mut world, 1, &[("towpath.yaml", PIPELINE)]);
    let refused = format!("{:?}", world.outcome("dev", &version));
    assert!(refused.contains("is an image, and this Environment starts processes on hosts"), "{refused}");
    world.apply(&document("docker: {}")).unwrap();
    world.agent.claims = None;
    let (version, _) = release(&mut world, 2, &[("greeting", "two")]);
    let refused = format!("{:?}", world.outcome("dev", &version));
    assert!(refused.contains("is made of files, and this Environment starts containers"), "{refused}");
    assert!(world.agent.started.is_empty(), "something was started");

    // From files on hosts to containers in one Rollout: the way back are the files.
    world.apply(&document("hosts: {}")).unwrap();
    let files = PIPELINE.replace("{ image: . }", "shop").replace("port: 3000", "command: ./shop");
    let (version, _) = release(&mut world, 3, &[("towpath.yaml", &files)]);
    assert_eq!(world.outcome("dev", &version), Outcome::Succeeded);
    world.apply(&document("docker: {}")).unwrap();
    image(&mut world, "two");
    let (version, _) = release(&mut world, 4, &[("towpath.yaml", PIPELINE)]);
    assert_eq!(world.outcome("dev", &version), Outcome::Succeeded);
}

#[test]
fn only_the_registry_that_the_document_names_gets_the_password() {
    let mut world = World::start::<113>();
    world.agent.container_engine = Some("docker 28.2.2".to_owned());
    let registry =
        "docker: { registries: [{ host: 'r.example.com:5000', username: robot, password: REGISTRY_TOKEN }] }";
    world.apply(&document(registry)).unwrap();
    let pipeline = format!(
        "name: shop\non: {{ push: {{ branches: [main] }} }}\njobs: {{ test: {{ steps: [./test] }} }}\nworkloads:\n  \
         shop: {{ image: 'r.example.com:5000/shop@sha256:{}' }}\nstages: [{{ name: dev }}]\n",
        "0".repeat(64)
    );
    let (version, _) = release(&mut world, 1, &[("towpath.yaml", &pipeline)]);
    let refused = format!("{:?}", world.outcome("dev", &version));
    assert!(refused.contains("secret REGISTRY_TOKEN of shop/dev is not set"), "{refused}");

    let (name, value) = ("REGISTRY_TOKEN".parse().unwrap(), SecretValue::from("hunter2".to_owned()));
    let environment = key("dev").environment;
    world.run(world.engine.set_secret(&shop(), Some(&environment), &name, &value, &admin())).unwrap();
    let (version, _) = release(&mut world, 2, &[("greeting", "two")]);
    assert_eq!(world.outcome("dev", &version), Outcome::Succeeded);
    let order = world.agent.orders.values().next().unwrap();
    let container = order.container.as_ref().unwrap();
    assert_eq!(container.passwords[&name].expose(), "hunter2");
    assert!(order.secrets.is_empty(), "the container got it");
    let kept =
        world.run(world.engine.remove_secret(&shop(), Some(&environment), &name, &admin())).unwrap_err();
    assert!(kept.to_string().contains("images of shop/dev are fetched from r.example.com:5000"), "{kept}");
}
