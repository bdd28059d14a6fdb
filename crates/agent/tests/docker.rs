//! Instances that are containers of a real engine: verified, published, probed, followed, taken over, cleared away.

#![allow(clippy::unwrap_used, reason = "a failed helper fails the test")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant, SystemTime};

use support::containers::{BUSYBOX, command_of, engines, output};
use support::server::Server;
use towpath_agent::container::Engine;
use towpath_agent::instances::{ChildState, InstanceDirectory, SupervisorStatus};
use towpath_api::agent::{DesiredInstances, InstanceOrder, InstancePhase, Secret};
use towpath_api::containers::ContainerOrder;
use towpath_artifact::image::pack_image;
use towpath_artifact::{ReleaseKey, ReleaseManifest, sign_release};
use towpath_model::pipeline::{Health, Limits, Stop, Workload};
use towpath_model::policy::{Docker, Registry};
use towpath_model::{Digest, EnvironmentKey, InstanceId, RunId};

/// Answers with `version`, says so, and ends by itself when it is told to.
const DOCKERFILE: &str = r#"
ARG VERSION=one
RUN mkdir -p /www && echo -n "$VERSION" > /www/index.html
EXPOSE 9000
CMD ["sh", "-c", "trap 'echo bye; exit 0' TERM; echo \"listening; token $TOKEN\"; echo oops >&2; httpd -f -p $PORT -h /www & wait"]
"#;

/// Engines on a busy machine take their time, and an Instance that ended often is started again after a while.
fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(90);
    while !done() {
        assert!(Instant::now() < deadline, "did not happen within 90 s: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// An engine and a server with an agent's directory; what is left in the engine at the end fails the test.
struct Dock {
    server: Server,
    key: ReleaseKey,
    engine: Engine,
}

impl Dock {
    fn open() -> Option<Self> {
        let engine = engines().first()?.clone();
        let server = Server::start();
        let key = ReleaseKey::generate();
        std::fs::write(server.data.path().join("keys/release.pub"), key.public().to_pem()).unwrap();
        Some(Self { server, key, engine })
    }

    fn docker(&self, words: &[&str]) -> String {
        let mut command = command_of(&self.engine);
        command.args(words).stderr(Stdio::null());
        output(command)
    }

    /// The label of everything that belongs to this test's agent.
    fn own(&self) -> String {
        let agent = self.server.data.path().join("agent");
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        format!("label=dev.towpath.deployer=agent {} on {host}", agent.display())
    }

    fn containers(&self) -> Vec<String> {
        let own = self.own();
        let listed = self.docker(&["ps", "--all", "--quiet", "--no-trunc", "--filter", &own]);
        listed.lines().map(str::to_owned).collect()
    }

    fn networks(&self) -> Vec<String> {
        let own = self.own();
        self.docker(&["network", "ls", "--quiet", "--filter", &own]).lines().map(str::to_owned).collect()
    }

    fn inspect(&self, container: &str) -> serde_json::Value {
        serde_json::from_str::<serde_json::Value>(&self.docker(&["inspect", container])).unwrap()[0].clone()
    }

    /// Builds an image, seals it, and takes it out of the engine again.
    fn build(&self, version: &str, more: &str) -> Digest {
        let place = tempfile::tempdir().unwrap();
        let dockerfile = format!("FROM {BUSYBOX}{DOCKERFILE}{more}");
        std::fs::write(place.path().join("Dockerfile"), dockerfile).unwrap();
        let tag = format!("localhost/towpath-dock:{}", uuid::Uuid::new_v4());
        let argument = format!("VERSION={version}");
        let mut build = command_of(&self.engine);
        build.env("DOCKER_BUILDKIT", "0");
        build.args(["build", "--quiet", "--tag", &tag, "--build-arg", &argument]).arg(place.path());
        build.stderr(Stdio::null());
        output(build);
        let archive = place.path().join("image.tar");
        self.docker(&["save", "--output", archive.to_str().unwrap(), &tag]);
        let mut archive = std::fs::File::open(&archive).unwrap();
        let manifest = pack_image(&mut archive, BTreeMap::new(), &mut &self.server).unwrap();
        self.docker(&["image", "rm", &tag]);
        manifest
    }

    fn order(&self, artifact: Option<Digest>, change: impl FnOnce(&mut Workload)) -> InstanceOrder {
        let mut workload = Workload {
            name: "web".parse().unwrap(),
            artifact: "web".parse().unwrap(),
            image: None,
            command: None,
            port: None,
            env: BTreeMap::from([("GREETING".to_owned(), "hello".to_owned())]),
            health: Health { period: jiff::SignedDuration::from_millis(200), ..Health::default() },
            stop: Stop { grace: jiff::SignedDuration::from_secs(5), ..Stop::default() },
            limits: Limits { memory: Some(64 << 20), cpu: Some(500), processes: Some(40) },
            protocol: Default::default(),
        };
        change(&mut workload);
        let manifest = ReleaseManifest {
            schema: 1,
            project: "shop".parse().unwrap(),
            version: "1.0.0".to_owned(),
            commit: "0123456789abcdef0123456789abcdef01234567".parse().unwrap(),
            reference: "refs/heads/main".to_owned(),
            source_tree: Digest::of(b"tree"),
            pipeline: Digest::of(b"pipeline"),
            run: RunId(uuid::Uuid::from_u128(7)),
            run_number: 1,
            artifacts: artifact.into_iter().map(|artifact| ("web".parse().unwrap(), artifact)).collect(),
            workloads: vec![workload],
            databases: Vec::new(),
            executors: BTreeMap::new(),
        };
        let bytes = manifest.to_bytes();
        let envelope = sign_release(&bytes, &self.key).unwrap();
        let docker = Docker { tmpfs: vec!["/tmp".to_owned()], ..Docker::default() };
        InstanceOrder {
            instance: InstanceId(uuid::Uuid::new_v4()),
            environment: EnvironmentKey {
                project: "shop".parse().unwrap(),
                environment: "edge".parse().unwrap(),
            },
            workload: "web".parse().unwrap(),
            revision: Digest::of(b"revision"),
            release: self.server.put(bytes),
            signature: self.server.put(envelope),
            values: BTreeMap::new(),
            secrets: BTreeMap::from([("TOKEN".to_owned(), Secret::new("hunter2-hunter2".to_owned()))]),
            container: Some(ContainerOrder { docker, passwords: BTreeMap::new() }),
        }
    }

    fn want(&self, generation: u64, instances: Vec<InstanceOrder>, keep: BTreeSet<Digest>) {
        self.server.with(|world| world.desired = Some(DesiredInstances { generation, instances, keep }));
    }

    fn phase(&self, instance: InstanceId) -> Option<InstancePhase> {
        self.server.status(instance).map(|status| status.phase)
    }

    fn message(&self, instance: InstanceId) -> String {
        self.server.status(instance).map(|status| status.message).unwrap_or_default()
    }

    fn ready(&self, instance: InstanceId) {
        eventually(&format!("it is ready: {}", self.message(instance)), || {
            assert_ne!(self.phase(instance), Some(InstancePhase::Failed), "{}", self.message(instance));
            self.phase(instance) == Some(InstancePhase::Ready)
        });
    }

    fn ask(&self, instance: InstanceId) -> String {
        let address = self.server.status(instance).unwrap().address.unwrap();
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.rsplit("\r\n\r\n").next().unwrap_or_default().to_owned()
    }

    fn supervisor(&self, instance: InstanceId) -> SupervisorStatus {
        self.directory(instance).status().unwrap()
    }

    fn directory(&self, instance: InstanceId) -> InstanceDirectory {
        InstanceDirectory::new(&self.server.data.path().join("agent/instances"), instance)
    }

    fn log(&self, instance: InstanceId) -> String {
        std::fs::read_to_string(self.directory(instance).log()).unwrap_or_default()
    }

    fn kill_supervisor(&self, instance: InstanceId) {
        let pid = rustix::process::Pid::from_raw(self.supervisor(instance).supervisor).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        eventually("its supervisor is gone", || !self.directory(instance).is_supervised());
    }

    /// Stops everything and looks that nothing is left but images, which stay for a while.
    fn close(&self, generation: u64, instances: &[InstanceId]) {
        self.want(generation, Vec::new(), BTreeSet::new());
        for instance in instances {
            eventually("it is stopped", || {
                self.phase(*instance).is_none_or(|it| it == InstancePhase::Stopped)
            });
        }
        eventually("no container is left", || self.containers().is_empty());
        self.want(generation + 1, Vec::new(), BTreeSet::new());
        eventually("no network is left", || self.networks().is_empty());
    }

    /// As if two hours had gone by since an image was needed.
    fn age_images(&self) {
        let long_ago = SystemTime::now() - Duration::from_secs(2 * 60 * 60);
        for file in std::fs::read_dir(self.server.data.path().join("agent/images")).unwrap() {
            std::fs::File::open(file.unwrap().path()).unwrap().set_modified(long_ago).unwrap();
        }
    }

    fn images(&self) -> Vec<String> {
        let listed = self.docker(&["image", "ls", "--format", "{{.Repository}}:{{.Tag}}"]);
        let kept = std::fs::read_dir(self.server.data.path().join("agent/images")).into_iter().flatten();
        let tag = |file: &Path| {
            let kept: serde_json::Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
            kept["tag"].as_str().unwrap().to_owned()
        };
        let own: Vec<String> = kept.map(|file| tag(&file.unwrap().path())).collect();
        listed.lines().filter(|line| own.iter().any(|tag| tag == line)).map(str::to_owned).collect()
    }
}

impl Drop for Dock {
    fn drop(&mut self) {
        // After a failure: what supervises would start again what is removed here.
        for entry in std::fs::read_dir(self.server.data.path().join("agent/instances")).into_iter().flatten()
        {
            let status = InstanceDirectory { path: entry.unwrap().path() }.status();
            if let Some(pid) = status.and_then(|status| rustix::process::Pid::from_raw(status.supervisor)) {
                let _gone = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
        for container in self.containers() {
            self.docker(&["rm", "--force", &container]);
        }
        for image in self.images() {
            self.docker(&["image", "rm", &image]);
        }
    }
}

#[test]
fn a_container_is_what_was_sealed_and_may_no_more_than_its_document_says() {
    let Some(dock) = Dock::open() else { return };
    let order = dock.order(Some(dock.build("one", "")), |_| {});
    let instance = order.instance;
    let _agent = dock.server.agent();
    dock.want(1, vec![order.clone()], BTreeSet::new());
    dock.ready(instance);
    assert_eq!(dock.ask(instance), "one");
    let containers = dock.containers();
    let found = dock.inspect(&containers[0]);
    let host = &found["HostConfig"];
    assert_eq!((&host["ReadonlyRootfs"], &host["Privileged"]), (&true.into(), &false.into()));
    assert_eq!(host["CapDrop"][0].as_str().map(str::to_uppercase).as_deref(), Some("ALL"), "{host}");
    assert!(host["SecurityOpt"].to_string().contains("no-new-privileges"), "{host}");
    if host["Memory"] != 0 {
        assert_eq!((&host["Memory"], &host["PidsLimit"]), (&(64 << 20).into(), &40.into()));
    }
    let env = found["Config"]["Env"].to_string();
    for wanted in ["HOST=0.0.0.0", "PORT=9000", "GREETING=hello", "TOWPATH_ENVIRONMENT=shop/edge"] {
        assert!(env.contains(wanted), "{wanted} in {env}");
    }
    let labels = &found["Config"]["Labels"];
    assert_eq!(labels["dev.towpath.instance"], instance.to_string());
    assert_eq!(labels["dev.towpath.revision"], order.revision.to_string());
    let denied = command_of(&dock.engine).args(["exec", &containers[0], "touch", "/www/x"]).output().unwrap();
    assert!(!denied.status.success(), "the image's files can be changed");
    let allowed =
        command_of(&dock.engine).args(["exec", &containers[0], "touch", "/tmp/x"]).output().unwrap();
    assert!(allowed.status.success(), "{allowed:?}");
    eventually("its output is in its log", || dock.log(instance).contains(" err oops"));
    let log = dock.log(instance);
    assert!(log.contains(" out listening; token ****") && !log.contains("hunter2"), "{log}");

    dock.close(2, &[instance]);
    let kept =
        std::fs::read_dir(dock.server.data.path().join("agent/stopped")).unwrap().next().unwrap().unwrap();
    let log = std::fs::read_to_string(kept.path().join("log")).unwrap();
    assert!(
        log.contains("sending SIGTERM") && log.contains(" out bye\n"),
        "it could not end by itself: {log}"
    );
    assert!(log.contains("the container ended with exit code 0"), "{log}");
    assert!(!kept.path().join("spec.json").exists(), "secrets stay on the disk");
    assert_eq!(dock.images().len(), 1, "a way back needs no new transfer");
}

#[test]
fn a_container_outlives_agent_and_supervisor_and_is_taken_over() {
    let Some(dock) = Dock::open() else { return };
    let order = dock.order(Some(dock.build("one", "")), |_| {});
    let instance = order.instance;
    let mut agent = dock.server.agent();
    dock.want(1, vec![order], BTreeSet::new());
    dock.ready(instance);
    let (containers, before) = (dock.containers(), dock.supervisor(instance));
    agent.0.kill().unwrap();
    agent.0.wait().unwrap();
    dock.kill_supervisor(instance);
    assert_eq!(dock.ask(instance), "one", "it died with its agent");
    dock.docker(&["exec", &containers[0], "sh", "-c", "echo while nobody looks > /proc/1/fd/1"]);
    dock.server.with(|world| (world.desired.take(), world.statuses.clear(), world.polls.clear()));
    let _next = dock.server.agent();
    eventually("it is ready again", || dock.phase(instance) == Some(InstancePhase::Ready));
    assert_eq!(dock.containers(), containers, "it was started anew");
    eventually("another supervisor has taken it over", || {
        let after = dock.supervisor(instance);
        after.supervisor != before.supervisor && matches!(after.state, ChildState::Running { .. })
    });
    assert_eq!(dock.supervisor(instance).restarts, before.restarts);
    eventually("what it printed meanwhile is in its log", || {
        dock.log(instance).contains("while nobody looks")
    });
    assert_eq!(dock.log(instance).matches("listening;").count(), 1, "{}", dock.log(instance));
    dock.close(2, &[instance]);
}

#[test]
fn a_container_that_ends_is_started_again_whoever_ended_it() {
    let Some(dock) = Dock::open() else { return };
    let order = dock.order(Some(dock.build("one", "")), |_| {});
    let instance = order.instance;
    let _agent = dock.server.agent();
    dock.want(1, vec![order], BTreeSet::new());
    dock.ready(instance);
    let first = dock.containers();
    let restarts = |count: u32| {
        eventually("it is ready again", || {
            dock.server
                .status(instance)
                .is_some_and(|status| status.restarts == count && status.phase == InstancePhase::Ready)
        });
        assert_eq!(dock.ask(instance), "one");
    };
    dock.docker(&["kill", &first[0]]);
    restarts(1);
    let second = dock.containers();
    assert!(second.len() == 1 && second != first, "it starts with the files of its image");
    dock.docker(&["restart", "--time", "2", &second[0]]);
    restarts(2);
    // Removed by hand, and its image with it.
    dock.docker(&["rm", "--force", &dock.containers()[0]]);
    for image in dock.images() {
        dock.docker(&["image", "rm", "--force", &image]);
    }
    eventually("it is there again", || {
        dock.server
            .status(instance)
            .is_some_and(|status| status.restarts > 2 && status.phase == InstancePhase::Ready)
    });
    assert_eq!(dock.ask(instance), "one");
    dock.close(2, &[instance]);
}

#[test]
fn a_healthcheck_of_the_image_counts_and_a_release_of_another_key_does_not() {
    let Some(dock) = Dock::open() else { return };
    let check = "HEALTHCHECK --interval=1s --timeout=2s --retries=1 CMD test -e /tmp/well\n";
    let image = dock.build("one", check);
    let order = dock.order(Some(image), |_| {});
    let forged = Dock { key: ReleaseKey::generate(), server: Server::start(), engine: dock.engine.clone() };
    let mut evil = forged.order(Some(image), |_| {});
    for digest in [&mut evil.release, &mut evil.signature] {
        *digest = dock.server.put(forged.server.with(|world| world.blobs[digest].clone()));
    }
    let files = dock.order(Some(dock.server.put(b"{}".to_vec())), |_| {});
    let (instance, refused, not_an_image) = (order.instance, evil.instance, files.instance);
    let _agent = dock.server.agent();
    dock.want(1, vec![order, evil, files], BTreeSet::new());
    eventually("the forged one is refused", || dock.phase(refused) == Some(InstancePhase::Failed));
    assert!(dock.message(refused).contains("signature"), "{}", dock.message(refused));
    eventually("files are refused", || dock.phase(not_an_image) == Some(InstancePhase::Failed));
    assert!(dock.message(not_an_image).contains("no `command`"), "{}", dock.message(not_an_image));
    eventually("its port is open and it is not well", || dock.message(instance).contains("HEALTHCHECK"));
    assert_ne!(dock.phase(instance), Some(InstancePhase::Ready));
    assert_eq!(dock.containers().len(), 1);
    dock.docker(&["exec", &dock.containers()[0], "touch", "/tmp/well"]);
    dock.ready(instance);
    dock.close(2, &[instance, refused, not_an_image]);
}

#[test]
fn an_image_goes_when_nothing_needs_it_any_more() {
    let Some(dock) = Dock::open() else { return };
    let (one, two) = (dock.build("one", ""), dock.build("two", ""));
    let (first, second) = (dock.order(Some(one), |_| {}), dock.order(Some(two), |_| {}));
    let _agent = dock.server.agent();
    dock.want(1, vec![first.clone(), second.clone()], BTreeSet::new());
    dock.ready(first.instance);
    dock.ready(second.instance);
    assert_eq!(dock.images().len(), 2);
    let keep = BTreeSet::from([first.release]);
    dock.want(2, Vec::new(), keep.clone());
    eventually("both are stopped", || {
        let stopped = |order: &InstanceOrder| {
            dock.phase(order.instance).is_none_or(|phase| phase == InstancePhase::Stopped)
        };
        stopped(&first) && stopped(&second)
    });
    dock.age_images();
    dock.want(3, Vec::new(), keep);
    eventually("the second image is gone", || dock.images().len() == 1);
    assert!(dock.images()[0].ends_with(&one.hex()), "{:?}", dock.images());
    dock.want(4, Vec::new(), BTreeSet::new());
    eventually("the first image is gone, too", || dock.images().is_empty());
    eventually("no network is left", || dock.networks().is_empty());
}

/// A registry that asks who is there, on a port of its own.
struct PrivateRegistry {
    process: std::process::Child,
    place: tempfile::TempDir,
    port: u16,
}

impl PrivateRegistry {
    fn start() -> Option<Self> {
        let place = tempfile::tempdir().unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        // `htpasswd -Bbn robot sesame`
        let users = "robot:$2y$05$kuRp1w.MGQUp1J5I4TDdOOtKrqKBz/cnQuKYzNG1sT6HkTdLZQ96i\n";
        std::fs::write(place.path().join("htpasswd"), users).unwrap();
        let at = |name: &str| place.path().join(name).display().to_string();
        let configuration = format!(
            "version: 0.1\nstorage: {{ filesystem: {{ rootdirectory: {} }}, delete: {{ enabled: true }} }}\nhttp: {{ addr: \
             \"127.0.0.1:{port}\" }}\nauth: {{ htpasswd: {{ realm: test, path: {} }} }}\n",
            at("blobs"),
            at("htpasswd")
        );
        std::fs::write(place.path().join("registry.yml"), configuration).unwrap();
        let started = std::process::Command::new("docker-registry")
            .arg("serve")
            .arg(place.path().join("registry.yml"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let Ok(process) = started else {
            eprintln!("SKIPPED: there is no docker-registry to fetch from; `apt install docker-registry`");
            return None;
        };
        let registry = Self { process, place, port };
        eventually("the registry answers", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
        Some(registry)
    }

    /// Pushes an image and says by which digest the registry knows it.
    fn push(&self, dock: &Dock, version: &str) -> String {
        let reference = format!("127.0.0.1:{}/team/web:{version}", self.port);
        let context = tempfile::tempdir().unwrap();
        std::fs::write(context.path().join("Dockerfile"), format!("FROM {BUSYBOX}{DOCKERFILE}")).unwrap();
        let argument = format!("VERSION={version}");
        let mut build = command_of(&dock.engine);
        build.env("DOCKER_BUILDKIT", "0").stderr(Stdio::null());
        build.args(["build", "--quiet", "--tag", &reference, "--build-arg", &argument]).arg(context.path());
        output(build);
        let login = self.place.path().join("login");
        let with_login = || {
            let mut command = command_of(&dock.engine);
            command.env("DOCKER_CONFIG", &login).stderr(Stdio::null());
            command
        };
        let host = format!("127.0.0.1:{}", self.port);
        let mut logs_in = with_login();
        logs_in.args(["login", "--username", "robot", "--password", "sesame", &host]);
        output(logs_in);
        let mut push = with_login();
        push.args(["push", "--quiet", &reference]);
        output(push);
        let known = dock.docker(&["image", "inspect", "--format", "{{index .RepoDigests 0}}", &reference]);
        dock.docker(&["image", "rm", &reference]);
        known
    }
}

impl Drop for PrivateRegistry {
    fn drop(&mut self) {
        let _ended = self.process.kill().and_then(|()| self.process.wait());
    }
}

#[test]
fn an_image_of_a_private_registry_comes_by_its_digest_to_whoever_has_the_password() {
    let Some(dock) = Dock::open() else { return };
    if dock.engine.kind() != towpath_agent::container::EngineKind::Docker {
        eprintln!("SKIPPED: only Docker fetches from a registry without TLS on the loopback address unasked");
        return;
    }
    let Some(registry) = PrivateRegistry::start() else { return };
    let reference = registry.push(&dock, "far");
    let with = |password: &str| {
        let mut order = dock.order(None, |workload| workload.image = Some(reference.clone()));
        let container = order.container.as_mut().unwrap();
        container.docker.registries = vec![Registry {
            host: format!("127.0.0.1:{}", registry.port),
            username: "robot".to_owned(),
            password: "REGISTRY_TOKEN".parse().unwrap(),
        }];
        container.passwords =
            BTreeMap::from([("REGISTRY_TOKEN".parse().unwrap(), Secret::new(password.to_owned()))]);
        order
    };
    let (wrong, right) = (with("wrong"), with("sesame"));
    let _agent = dock.server.agent();
    dock.want(1, vec![wrong.clone()], BTreeSet::new());
    eventually("the registry refuses", || {
        let message = dock.message(wrong.instance);
        message.contains("could not be pulled") && message.contains("it is tried again")
    });
    assert_eq!(dock.phase(wrong.instance), Some(InstancePhase::Fetching));
    dock.want(2, vec![right.clone()], BTreeSet::new());
    dock.ready(right.instance);
    assert_eq!(dock.ask(right.instance), "far");
    let found = dock.inspect(&dock.containers()[0]);
    assert!(!found.to_string().contains("sesame"), "the password is in the container");
    dock.close(3, &[wrong.instance, right.instance]);
    dock.age_images();
    dock.want(5, Vec::new(), BTreeSet::new());
    eventually("the image is gone", || {
        let found = command_of(&dock.engine).args(["image", "inspect", &reference]).output().unwrap();
        !found.status.success()
    });
}

#[test]
fn containers_of_one_network_find_each_other_by_their_workloads() {
    let Some(dock) = Dock::open() else { return };
    let image = dock.build("one", "");
    let network = format!("towpath-test-{}", uuid::Uuid::new_v4());
    let joined = |name: &str| {
        let mut order = dock.order(Some(image), |workload| workload.name = name.parse().unwrap());
        order.workload = name.parse().unwrap();
        order.container.as_mut().unwrap().docker.network = Some(network.clone());
        order
    };
    let (web, api) = (joined("web"), joined("api"));
    let _agent = dock.server.agent();
    dock.want(1, vec![web.clone(), api.clone()], BTreeSet::new());
    dock.ready(web.instance);
    dock.ready(api.instance);
    let name = format!("towpath-shop-edge-web-{}", web.instance);
    assert_eq!(dock.docker(&["exec", &name, "wget", "-q", "-O", "-", "http://api:9000/"]), "one");
    assert_eq!(dock.networks().len(), 1);
    dock.close(2, &[web.instance, api.instance]);
}
