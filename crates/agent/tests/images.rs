//! Images built by real engines, sealed as OCI images, and built again from their layers.

#![allow(clippy::unwrap_used, reason = "a failed helper fails the test")]

mod support;

use std::collections::BTreeMap;
use std::path::Path;

use support::containers::{BUSYBOX, command_of, engines, output};
use support::{Bench, Recorder, step};
use towpath_agent::container::{ContainerHost, Engine, Owner};
use towpath_agent::executor::Cancel;
use towpath_agent::local::{LocalEnd, LocalJob, SourceTree};
use towpath_agent::sandbox::{Isolation, Watch};
use towpath_api::agent::{ArtifactOrder, AttemptEvent, AttemptOutcome, Input};
use towpath_api::containers::{Containers, ImageOrder};
use towpath_artifact::{ContentStore, image};
use towpath_model::container::ImageBuild;
use towpath_model::{ArtifactName, AttemptId, Digest};

const DOCKERFILE: &str = "ARG BASE\nFROM ${BASE} AS build\nCOPY lock /lock\nRUN sleep 0.1 && date +%s%N > /installed\nCOPY . /src\n\
                          FROM build AS runtime\nENV MODE=production\nCMD [\"cat\", \"/src/hello\"]\n";

/// Steps run by containers need no sandbox.
fn host() -> Isolation {
    Isolation::host(&support::helper(), Watch::Go)
}

fn bench(engine: &Engine) -> Bench {
    let mut bench = Bench::new(host());
    bench.runner.containers =
        ContainerHost { engine: Ok(engine.clone()), owner: Owner::agent(bench.root.path()) };
    let source = bench.source();
    std::fs::create_dir_all(source.join("app")).unwrap();
    for (name, text) in [
        ("app/Dockerfile", DOCKERFILE),
        ("app/.dockerignore", "*.key\n"),
        ("app/lock", "1"),
        ("app/hello", "hello from an image"),
        ("app/release.key", "must stay out"),
    ] {
        std::fs::write(source.join(name), text).unwrap();
    }
    bench
}

fn order(name: &str, args: &[(&str, &str)], layers: Option<Digest>) -> ArtifactOrder {
    let args: BTreeMap<_, _> =
        args.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let build = ImageBuild {
        context: "app".to_owned(),
        dockerfile: "Dockerfile".to_owned(),
        target: Some("runtime".to_owned()),
        args,
        tags: Vec::new(),
    };
    let image = Some(ImageOrder { build, layers });
    ArtifactOrder { name: name.parse().unwrap(), files: Vec::new(), image }
}

fn run(bench: &Bench, orders: &[ArtifactOrder], inputs: &[Input], script: &str) -> (LocalEnd, Recorder) {
    let recorder = Recorder::default();
    let source = SourceTree::list(&bench.source()).unwrap();
    let job = LocalJob {
        attempt: AttemptId(uuid::Uuid::new_v4()),
        title: "shop#1 image",
        source: &source,
        directory: "",
        steps: &[step(script)],
        env: &bench.env,
        secrets: &bench.secrets,
        inputs,
        artifacts: orders,
        reports: &[],
        network: true,
        containers: &Containers::default(),
        limits: Default::default(),
        reuse: &Default::default(),
        timeout: bench.timeout,
    };
    let end = bench.runner.run_job(&job, &Cancel::new(), &recorder);
    (end, recorder)
}

/// The digest of the layer that a Dockerfile's RUN made: equal only where it was not run again.
fn layers(bench: &Bench, manifest: Digest) -> Vec<Digest> {
    let store = ContentStore::open(&bench.runner.artifacts).unwrap();
    let image = image::image_manifest(manifest, &store).unwrap().expect("it is an image");
    image.layers.iter().map(|layer| layer.digest).collect()
}

#[test]
fn an_image_is_sealed_with_its_base_and_handed_on_as_a_layout() {
    for engine in engines() {
        let mut bench = bench(engine);
        bench.env.insert("TOWPATH_PROJECT".to_owned(), format!("test-{}", uuid::Uuid::new_v4().simple()));
        let name: ArtifactName = "shop".parse().unwrap();
        let (end, recorder) =
            run(&bench, &[order("shop", &[("BASE", BUSYBOX)], None)], &[], "echo made > app/hello");
        assert_eq!(
            end.ended.outcome,
            AttemptOutcome::Passed,
            "{engine}: {}\n{}",
            end.ended.message,
            recorder.text()
        );
        let manifest = end.artifacts[&name];
        let events = recorder.events.lock().unwrap();
        let base = events.iter().find_map(|event| match event {
            AttemptEvent::Images { images } => images.first().cloned(),
            _ => None,
        });
        let base = base.expect("the base is reported");
        assert_eq!((base.role.as_str(), base.reference.as_str()), ("base of shop", BUSYBOX));
        let store = ContentStore::open(&bench.runner.artifacts).unwrap();
        let sealed = image::image_manifest(manifest, &store).unwrap().unwrap();
        assert_eq!(sealed.annotations[image::BASE_DIGEST], base.digest);
        // What the Step wrote is in the image, what is ignored is not.
        let archive = bench.root.path().join("image.tar");
        let mut file = std::fs::File::create(&archive).unwrap();
        image::write_archive(manifest, &store, "localhost/towpath-sealed:test", &mut file).unwrap();
        let mut load = command_of(engine);
        load.arg("load").arg("--input").arg(&archive);
        output(load);
        let inside = |words: &[&str]| {
            let mut command = command_of(engine);
            command.args(["run", "--rm", "localhost/towpath-sealed:test"]).args(words);
            output(command)
        };
        assert_eq!(inside(&[]), "made", "{engine}");
        assert_eq!(
            inside(&["sh", "-c", "ls -A /src | sort | tr '\\n' ' '; echo $MODE"]),
            ".dockerignore Dockerfile hello lock production"
        );
        // The next Job finds it as files.
        let input = Input { name, manifest };
        let (end, recorder) =
            run(&bench, &[], &[input], "cat shop.oci/index.json; ls shop.oci/blobs/sha256 | wc -l");
        assert_eq!(end.ended.outcome, AttemptOutcome::Passed, "{}", recorder.text());
        assert!(recorder.text().contains(&manifest.to_string()), "{}", recorder.text());
    }
}

#[test]
fn layers_of_the_last_release_serve_an_engine_that_has_none() {
    for engine in engines() {
        let mut bench = bench(engine);
        let project = format!("test-{}", uuid::Uuid::new_v4().simple());
        bench.env.insert("TOWPATH_PROJECT".to_owned(), project.clone());
        let first = [order("shop", &[("BASE", BUSYBOX)], None)];
        let (end, recorder) = run(&bench, &first, &[], "true");
        assert_eq!(
            end.ended.outcome,
            AttemptOutcome::Passed,
            "{engine}: {}\n{}",
            end.ended.message,
            recorder.text()
        );
        let manifest = *end.artifacts.values().next().unwrap();
        let before = layers(&bench, manifest);
        // As on an agent that never built it.
        let mut forget = command_of(engine);
        forget.args(["rmi", "--force", &format!("towpath-layers/{project}-shop:latest")]);
        output(forget);
        let _dangling = command_of(engine).args(["image", "prune", "--force"]).output();
        std::fs::write(bench.source().join("app/hello"), "changed").unwrap();
        let again = [order("shop", &[("BASE", BUSYBOX)], Some(manifest))];
        let (end, recorder) = run(&bench, &again, &[], "true");
        assert_eq!(
            end.ended.outcome,
            AttemptOutcome::Passed,
            "{engine}: {}\n{}",
            end.ended.message,
            recorder.text()
        );
        let after = layers(&bench, *end.artifacts.values().next().unwrap());
        assert_ne!(before, after, "a file was changed");
        let shared = before.iter().filter(|layer| after.contains(layer)).count();
        eprintln!("{engine}: {shared} of {} layers serve again", before.len());
        assert!(
            recorder.text().contains("layers of the last release are here"),
            "{engine}: {}",
            recorder.text()
        );
        if engine.kind() == towpath_agent::container::EngineKind::Docker {
            assert!(shared >= before.len() - 1, "{engine}: {before:?} {after:?}\n{}", recorder.text());
        }
    }
}

#[test]
fn a_broken_dockerfile_is_the_jobs_own_fault() {
    for engine in engines() {
        let bench = bench(engine);
        std::fs::write(
            bench.source().join("app/Dockerfile"),
            format!("FROM {BUSYBOX} AS runtime\nRUN echo why; exit 3\n"),
        )
        .unwrap();
        let (end, recorder) = run(&bench, &[order("shop", &[], None)], &[], "true");
        assert_eq!(end.ended.outcome, AttemptOutcome::Failed, "{engine}: {}", end.ended.message);
        assert!(end.ended.message.starts_with("image `shop` was not built"), "{}", end.ended.message);
        assert!(recorder.text().contains("why"), "{engine}: {}", recorder.text());
        let mut outside = order("shop", &[], None);
        outside.image.as_mut().unwrap().build.context = "link".to_owned();
        let leads_out = Path::new("/etc");
        let (end, _) = run(&bench, &[outside], &[], &format!("ln -s {} link", leads_out.display()));
        assert!(end.ended.message.contains("leads out of the workspace"), "{}", end.ended.message);
    }
}
