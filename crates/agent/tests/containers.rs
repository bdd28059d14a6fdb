//! Jobs in real containers, on every engine that answers here.

mod support;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use jiff::SignedDuration;
use support::containers::{BUSYBOX, command_of, engines, output};
use support::{Bench, Recorder, eventually, step};
use towpath_agent::container::{ContainerHost, Engine, Owner};
use towpath_agent::executor::{Cancel, CancelReason};
use towpath_agent::sandbox::{Isolation, Watch};
use towpath_api::agent::{AttemptEvent, AttemptOutcome, Secret, StepOutcome};
use towpath_api::containers::{Containers, ServiceOrder};
use towpath_model::AttemptId;
use towpath_model::container::{HealthCheck, Image, Probe, Pull, ServiceSource};

/// A place to run Jobs in containers of one engine.
/// Steps run by containers need no sandbox.
fn host() -> Isolation {
    Isolation::host(&support::helper(), Watch::Go)
}

fn bench(engine: &Engine) -> Bench {
    let mut bench = Bench::new(host());
    bench.runner.containers =
        ContainerHost { engine: Ok(engine.clone()), owner: Owner::agent(bench.root.path()) };
    bench.containers.image = Some(image(BUSYBOX));
    bench
}

fn image(name: &str) -> Image {
    Image { name: name.to_owned(), pull: Pull::Never, user: None, credentials: None }
}

fn service(name: &str, source: ServiceSource, ports: &[u16], probe: Probe) -> ServiceOrder {
    let health =
        HealthCheck { probe, within: SignedDuration::from_secs(5), period: SignedDuration::from_millis(50) };
    ServiceOrder { name: name.to_owned(), source, env: BTreeMap::new(), ports: ports.to_vec(), health }
}

fn web(text: &str) -> ServiceSource {
    let script = format!(
        "mkdir -p /www && echo {text} > /www/index.html && sleep 0.3 && exec httpd -f -p 8080 -h /www"
    );
    ServiceSource::Image { image: image(BUSYBOX), command: ["sh", "-c", &script].map(str::to_owned).to_vec() }
}

/// The containers and networks of an owner that are left.
fn left(engine: &Engine, bench: &Bench) -> String {
    let mut containers = command_of(engine);
    let mut all = String::new();
    containers.args(["ps", "--all", "--format", "{{.Names}} {{.Labels}}"]);
    for line in
        output(containers).lines().filter(|line| line.contains(&bench.root.path().display().to_string()))
    {
        all.push_str(line);
    }
    all
}

#[test]
fn steps_share_one_container_and_nothing_of_it_is_left() {
    for engine in engines() {
        let mut bench = bench(engine);
        std::fs::write(bench.source().join("hello.txt"), "from the source").unwrap();
        bench.secrets.insert("TOKEN".to_owned(), Secret::new("s3cr3t-value".to_owned()));
        bench.env.insert("GREETING".to_owned(), "hi".to_owned());
        let (ended, recorder) = bench.run(&[
            step(
                "cat hello.txt; echo; echo $GREETING $TOKEN; echo installed > /opt-tool; pwd; echo oops >&2",
            ),
            step("cat /opt-tool; echo made > made.txt; echo answer=42 >> $TOWPATH_OUTPUT; (sleep 1000 &)"),
            step("ps; test ! -e /run/docker.sock; test ! -e /var/run/docker.sock"),
        ]);
        let text = recorder.text();
        assert_eq!(ended.outcome, AttemptOutcome::Passed, "{engine}: {}\n{text}", ended.message);
        for wanted in ["from the source", "hi ***", "installed", "/towpath/source", "oops"] {
            assert!(text.contains(wanted), "{engine}: no `{wanted}` in\n{text}");
        }
        assert!(!text.contains("s3cr3t"), "{text}");
        assert!(!text.contains("sleep 1000"), "{engine}: a process outlived its step\n{text}");
        assert_eq!(ended.outputs["answer"], "42");
        let images = recorder.events.lock().unwrap().iter().find_map(|event| match event {
            AttemptEvent::Images { images } => Some(images.clone()),
            _ => None,
        });
        let images = images.expect("images are reported");
        assert_eq!((images[0].role.as_str(), images[0].reference.as_str()), ("job", BUSYBOX));
        assert!(images[0].digest.starts_with("sha256:") && images[0].digest.len() == 71, "{images:?}");
        assert_eq!(left(engine, &bench), "");
    }
}

#[test]
fn a_failure_has_its_exit_code_and_ends_the_job() {
    for engine in engines() {
        let bench = bench(engine);
        let (ended, recorder) = bench.run(&[step("exit 7"), step("echo never")]);
        assert_eq!(ended.outcome, AttemptOutcome::Failed);
        assert!(ended.message.contains("exit code 7"), "{}", ended.message);
        let events = recorder.events.lock().unwrap();
        let failed = StepOutcome::Failed { code: 7 };
        assert!(events.contains(&AttemptEvent::StepFinished { step: 0, outcome: failed }), "{events:?}");
        assert!(!recorder.text().contains("never"));
    }
}

#[test]
fn a_container_has_no_right_that_reaches_the_host() {
    for engine in engines() {
        let mut bench = bench(engine);
        bench.network = false;
        let (ended, recorder) = bench.run(&[
            step("grep -E 'NoNewPrivs:.1' /proc/self/status"),
            step("if mount -t tmpfs none /mnt 2>/dev/null || mknod /tmp/disk b 8 0 2>/dev/null; then exit 1; fi"),
            step("if chroot / true 2>/dev/null; then exit 1; fi"),
            step("grep CapBnd /proc/self/status"),
            step("ip -o addr show | grep -v ' lo ' && exit 1 || echo only loopback"),
        ]);
        let text = recorder.text();
        assert_eq!(ended.outcome, AttemptOutcome::Passed, "{engine}: {}\n{text}", ended.message);
        // CHOWN, DAC_OVERRIDE, FOWNER, KILL, SETGID, SETUID and nothing else.
        assert!(text.contains("CapBnd:\t00000000000000eb"), "{engine}: {text}");
        assert!(text.contains("only loopback"));
    }
}

#[test]
fn cancelling_ends_a_step_with_grace_and_removes_everything() {
    for engine in engines() {
        let bench = bench(engine);
        let (cancel, recorder) = (Cancel::new(), Recorder::default());
        let attempt = AttemptId(uuid::Uuid::new_v4());
        std::thread::scope(|scope| {
            scope.spawn(|| {
                eventually("the step has begun", || recorder.text().contains("ready"));
                cancel.cancel(CancelReason::Cancelled("enough".to_owned()));
            });
            let began = Instant::now();
            let ended = bench.run_with(
                attempt,
                &[
                    step("trap 'echo going; exit 3' TERM; echo ready; while :; do sleep 0.1; done"),
                    step("echo never"),
                ],
                &cancel,
                &recorder,
            );
            assert_eq!(ended.outcome, AttemptOutcome::Cancelled, "{engine}: {}", ended.message);
            assert!(began.elapsed() < Duration::from_secs(30));
        });
        assert!(recorder.text().contains("going"), "{engine}: {}", recorder.text());
        assert_eq!(left(engine, &bench), "");
    }
}

#[test]
fn a_step_that_ignores_its_end_is_killed_in_time() {
    for engine in engines() {
        let bench = bench(engine);
        let mut stubborn = step("trap '' TERM; while :; do sleep 0.1; done");
        stubborn.timeout_ms = Some(500);
        let began = Instant::now();
        let (ended, _) = bench.run(&[stubborn]);
        assert_eq!(ended.outcome, AttemptOutcome::TimedOut, "{engine}: {}", ended.message);
        assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
        assert_eq!(left(engine, &bench), "");
    }
}

#[test]
fn want_of_memory_is_told_as_such() {
    for engine in engines() {
        let mut bench = bench(engine);
        bench.containers.limits.memory = Some(24 << 20);
        let (ended, recorder) =
            bench.run(&[step("head -c 200m /dev/zero | tail -c 190m > /dev/null; echo survived")]);
        if recorder.text().contains("survived") && ended.outcome == AttemptOutcome::Passed {
            eprintln!("SKIPPED: {engine} does not limit memory here");
            continue;
        }
        assert_eq!(ended.outcome, AttemptOutcome::Failed, "{engine}: {}", ended.message);
        assert!(
            ended.message.contains("ran out of memory: its container may use 24 MiB"),
            "{engine}: {}",
            ended.message
        );
    }
}

#[test]
fn services_are_reached_by_name_once_they_are_healthy() {
    for engine in engines() {
        let mut bench = bench(engine);
        let probe = Probe::Http { port: 8080, path: "/index.html".to_owned() };
        let cache = ServiceSource::Command { run: "sleep 0.2; exec nc -ll -p $PORT -e echo pong".to_owned() };
        bench.containers.services = vec![
            service("shop-web", web("open"), &[8080], probe),
            service(
                "cache",
                cache,
                &[7000],
                Probe::Command { run: "nc 127.0.0.1 7000 < /dev/null | grep -q pong".to_owned() },
            ),
        ];
        let (ended, recorder) = bench.run(&[
            step("wget -q -O - http://shop-web:8080/"),
            step("wget -q -O - http://$SHOP_WEB_HOST:$SHOP_WEB_PORT_8080/"),
            step("nc cache 7000 < /dev/null"),
        ]);
        let text = recorder.text();
        assert_eq!(ended.outcome, AttemptOutcome::Passed, "{engine}: {}\n{text}", ended.message);
        assert!(
            text.contains("service shop-web is ready after") && text.contains("pong"),
            "{engine}: {text}"
        );
        assert_eq!(left(engine, &bench), "");
    }
}

#[test]
fn services_without_the_network_are_reached_and_nothing_else_is() {
    for engine in engines() {
        let mut bench = bench(engine);
        bench.network = false;
        bench.containers.services = vec![service("db", web("inner"), &[8080], Probe::Tcp { port: 8080 })];
        let (cancel, recorder) = (Cancel::new(), Recorder::default());
        let attempt = AttemptId(uuid::Uuid::new_v4());
        std::thread::scope(|scope| {
            scope.spawn(|| {
                eventually("the service was reached", || recorder.text().contains("inner"));
                let mut inspect = command_of(engine);
                inspect.args(["network", "inspect", &format!("towpath-{attempt}")]);
                let network = output(inspect).to_lowercase();
                assert!(network.contains("\"internal\": true"), "{engine}: {network}");
                std::fs::write(bench.runner.work.join(attempt.to_string()).join("source/seen"), "").unwrap();
            });
            let wait = step("wget -q -O - http://db:8080/; until test -e seen; do sleep 0.1; done");
            let ended = bench.run_with(attempt, &[wait], &cancel, &recorder);
            assert_eq!(
                ended.outcome,
                AttemptOutcome::Passed,
                "{engine}: {}\n{}",
                ended.message,
                recorder.text()
            );
        });
    }
}

#[test]
fn a_service_that_never_becomes_healthy_shows_its_log() {
    for engine in engines() {
        let mut bench = bench(engine);
        let source = ServiceSource::Image {
            image: image(BUSYBOX),
            command: ["sh", "-c", "echo waiting for a disk; sleep 60"].map(str::to_owned).to_vec(),
        };
        let mut stuck = service("db", source, &[5432], Probe::Tcp { port: 5432 });
        stuck.health.within = SignedDuration::from_secs(1);
        bench.containers.services = vec![stuck];
        let (ended, recorder) = bench.run(&[step("echo never")]);
        assert_eq!(ended.outcome, AttemptOutcome::Failed);
        assert!(ended.message.contains("service `db` was not ready within 1 s"), "{}", ended.message);
        let text = recorder.text();
        assert!(text.contains("waiting for a disk") && !text.contains("never"), "{engine}: {text}");
        let gone = ServiceSource::Image {
            image: image(BUSYBOX),
            command: ["sh", "-c", "echo no licence; exit 9"].map(str::to_owned).to_vec(),
        };
        bench.containers.services = vec![service("db", gone, &[5432], Probe::Tcp { port: 5432 })];
        let (ended, recorder) = bench.run(&[step("echo never")]);
        assert!(ended.message.contains("service `db` ended with exit code 9"), "{}", ended.message);
        assert!(recorder.text().contains("no licence"));
        assert_eq!(left(engine, &bench), "");
    }
}

#[test]
fn services_of_images_serve_steps_outside_of_containers() {
    for engine in engines() {
        let mut bench = bench(engine);
        bench.containers.image = None;
        bench.containers.services = vec![service("web", web("outside"), &[8080], Probe::Tcp { port: 8080 })];
        let fetch = "exec 3<>/dev/tcp/$WEB_HOST/$WEB_PORT; printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3";
        let mut fetch = step(fetch);
        fetch.shell = Some(vec!["bash".to_owned(), "-eu".to_owned()]);
        let (ended, recorder) = bench.run(&[fetch]);
        let text = recorder.text();
        assert_eq!(ended.outcome, AttemptOutcome::Passed, "{engine}: {}\n{text}", ended.message);
        assert!(text.contains("outside"), "{engine}: {text}");
        assert_eq!(left(engine, &bench), "");
    }
}

#[test]
fn what_a_killed_agent_left_is_swept_away() {
    for engine in engines() {
        let bench = bench(engine);
        let owner = format!(
            "agent {} on {}",
            bench.root.path().display(),
            rustix::system::uname().nodename().to_string_lossy()
        );
        let mut orphan = command_of(engine);
        orphan.args(["run", "--detach", "--label", &format!("dev.towpath.owner={owner}")]);
        orphan.args(["--label", "dev.towpath.process=1 1", BUSYBOX, "sleep", "1000"]);
        output(orphan);
        assert_ne!(left(engine, &bench), "");
        let removed = bench.runner.containers.owner.sweep(engine).unwrap();
        assert_eq!((removed, left(engine, &bench)), (1, String::new()));
    }
}

#[test]
fn an_image_that_cannot_be_had_is_no_fault_of_the_job() {
    for engine in engines() {
        let mut bench = bench(engine);
        bench.containers.image = Some(image("localhost/towpath-nothing:here"));
        let (ended, _) = bench.run(&[step("echo never")]);
        assert_eq!(ended.outcome, AttemptOutcome::Errored);
        assert!(ended.message.contains("`pull: never`"), "{}", ended.message);
        let name = "127.0.0.1:1/towpath/nothing:1";
        bench.containers.image = Some(Image { pull: Pull::IfMissing, ..image(name) });
        let (ended, _) = bench.run(&[step("echo never")]);
        assert_eq!(ended.outcome, AttemptOutcome::Errored);
        assert!(ended.message.contains("could not be pulled"), "{engine}: {}", ended.message);
    }
}

#[test]
fn without_an_engine_the_message_says_what_to_install() {
    let mut bench = Bench::new(host());
    bench.containers = Containers { image: Some(image(BUSYBOX)), ..Containers::default() };
    let (ended, _) = bench.run(&[step("echo never")]);
    assert_eq!(ended.outcome, AttemptOutcome::Errored);
    assert!(ended.message.contains("apt install docker.io"), "{}", ended.message);
}

#[test]
fn redis_as_a_command_beside_a_sandboxed_step() {
    if !std::path::Path::new("/usr/bin/redis-server").exists() {
        eprintln!("SKIPPED: redis-server is not installed; `apt install redis-server`");
        return;
    }
    for isolation in [host(), Isolation::detect(&support::helper()).unwrap_or_else(|_none| host())] {
        let mut bench = Bench::new(isolation);
        let run =
            "exec redis-server --port $PORT --bind $HOST --save '' --appendonly no --dir $TMPDIR".to_owned();
        let probe = Probe::Command { run: "redis-cli -h $HOST -p $PORT ping | grep -q PONG".to_owned() };
        bench.containers.services = vec![service("redis", ServiceSource::Command { run }, &[6379], probe)];
        let (ended, recorder) = bench.run(&[
            step("redis-cli -h $REDIS_HOST -p $REDIS_PORT set shop open"),
            step("redis-cli -h $REDIS_HOST -p $REDIS_PORT get shop"),
        ]);
        let text = recorder.text();
        assert_eq!(ended.outcome, AttemptOutcome::Passed, "{}\n{text}", ended.message);
        assert!(text.contains("open"), "{text}");
    }
}
