//! Gateways as processes of their own: upgrade, `kill -9`, two at once.

#![expect(clippy::unwrap_used, reason = "what goes wrong in a helper fails the test")]

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{Client, Server, arm, backend, eventually, free_address};
use towpath_gateway::{GatewayOptions, control};
use towpath_load::LoadPlan;

/// The gateway process of the tests below: this test program, started again.
#[test]
#[ignore = "it is started by the other tests as a process of its own"]
fn gateway_process() {
    let Ok(data) = std::env::var("TEST_GATEWAY_DATA") else { return };
    let mut options = GatewayOptions::new(data, std::env::var("TEST_GATEWAY_VERSION").unwrap());
    options.threads = Some(2);
    options.take_over = true;
    options.drain = Duration::from_secs(10);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(towpath_gateway::run(options, std::future::pending())).unwrap();
}

pub struct Process(Child);

impl Process {
    pub fn start(data: &Path, version: &str) -> Self {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "process::gateway_process", "--nocapture"])
            .env("TEST_GATEWAY_DATA", data)
            .env("TEST_GATEWAY_VERSION", version)
            .stdout(Stdio::null())
            .spawn();
        Self(child.unwrap())
    }

    pub fn has_ended(&mut self) -> bool {
        self.0.try_wait().unwrap().is_some()
    }

    fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until a gateway of this version serves.
pub async fn serving(data: &Path, version: &str) -> control::Presence {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        if let Ok(Some(presence)) = control::probe(data).await
            && presence.version == version
        {
            return presence;
        }
        assert!(Instant::now() < deadline, "no gateway of version {version} serves");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn upgrades_under_load_lose_no_request_and_refuse_no_connection() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path()).await;
    let address = free_address();
    let mut gateway = Process::start(data.path(), "1.0.0");
    server.route(address, vec![arm("v1", 1000, &[backend("v1").await])]).await;
    let plan = |connections| LoadPlan { connections, ..LoadPlan::new(format!("http://{address}/")) };
    let load = towpath_load::start(plan(4)).unwrap();
    let (begun, fresh) = (Instant::now(), std::sync::atomic::AtomicU64::new(0));
    let upgrades = async {
        for version in ["1.1.0", "1.2.0", "1.3.0"] {
            let mut successor = Process::start(data.path(), version);
            let presence = serving(data.path(), version).await;
            assert_eq!(presence.generation, 1, "it serves what the older one served");
            eventually("the older gateway has drained", || gateway.has_ended().then_some(())).await;
            std::mem::swap(&mut gateway, &mut successor);
        }
    };
    // Connections that begin at any moment of it, each for one request.
    let strangers = async {
        loop {
            let mut client = Client::connect(address).await;
            assert!(client.get("/").await.1.starts_with("v1"));
            fresh.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
    };
    tokio::select! {
        () = upgrades => {}
        () = strangers => {}
    }
    load.stop();
    let report = load.finish().await;
    assert_eq!((report.failed, report.retried), (0, 0), "{report}");
    let fresh = fresh.into_inner();
    assert!(report.requests > 100 && fresh > 10, "{fresh} connections in {:?}, {report}", begun.elapsed());
    eventually("every request is measured", || {
        let counted = server.counted("v1");
        (counted.0 >= report.requests + fresh).then_some(())
    })
    .await;
}

#[tokio::test]
async fn after_kill_9_it_serves_the_last_routes_without_the_server() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path()).await;
    let address = free_address();
    let mut gateway = Process::start(data.path(), "1.0.0");
    let (v1, v2) = (backend("v1").await, backend("v2").await);
    server.route(address, vec![arm("v1", 1000, &[v1])]).await;
    server.route(address, vec![arm("v2", 1000, &[v2])]).await;
    std::fs::remove_file(data.path().join("run/local.json")).unwrap();
    gateway.kill();
    assert_eq!(control::probe(data.path()).await.unwrap(), None, "its socket answers no more");
    let gateway = Process::start(data.path(), "1.0.0");
    assert_eq!(serving(data.path(), "1.0.0").await.generation, 2);
    assert!(Client::connect(address).await.get("/").await.1.starts_with("v2"));
    server.appear(data.path()).await;
    server.route(address, vec![arm("v1", 1000, &[v1])]).await;
    assert!(Client::connect(address).await.get("/").await.1.starts_with("v1"));
    drop(gateway);
}

#[tokio::test]
async fn a_second_gateway_is_refused_and_a_shutdown_lets_requests_end() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path()).await;
    let address = free_address();
    let mut gateway = Process::start(data.path(), "1.0.0");
    server.route(address, vec![arm("v1", 1000, &[backend("v1").await])]).await;
    let options = GatewayOptions::new(data.path(), "2.0.0");
    let error = towpath_gateway::run(options, std::future::pending()).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("version 1.0.0") && text.contains("--take-over"), "{text}");
    let mut slow = Client::connect(address).await;
    slow.send("GET /slow/2500 HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let counting = server.clone();
    eventually("it is in flight", || counting.deltas("v1").iter().any(|it| it.in_flight == 1).then_some(()))
        .await;
    assert!(control::shutdown(data.path()).await.unwrap().is_some_and(|process| process > 0));
    assert!(slow.receive().await.unwrap().1.starts_with("v1"));
    eventually("it has drained", || gateway.has_ended().then_some(())).await;
    assert!(control::shutdown(data.path()).await.unwrap().is_none(), "there is none any more");
    assert_eq!(server.counted("v1"), (1, 0, 0));
}
