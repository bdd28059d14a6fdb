//! A server that a test scripts: it keeps what agents say and answers what it was told to.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Path as Segment, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use towpath_api::agent::{
    Assignment, AttemptEvent, AttemptReport, Cancel, DesiredInstances, ExecutorKind, Fenced, InstanceReport,
    InstanceStatus, Lease, LogAcknowledged, Orders, Poll, StepOrder,
};
use towpath_artifact::BlobSink;
use towpath_model::{AttemptId, Digest, InstanceId};

#[derive(Default)]
pub struct World {
    pub assignments: VecDeque<Assignment>,
    pub cancels: Vec<Cancel>,
    pub desired: Option<DesiredInstances>,
    pub logs: HashMap<AttemptId, Vec<u8>>,
    pub events: HashMap<AttemptId, BTreeMap<u64, AttemptEvent>>,
    pub blobs: HashMap<Digest, Vec<u8>>,
    pub statuses: Vec<InstanceStatus>,
    pub polls: Vec<Poll>,
    pub fenced: HashSet<AttemptId>,
    /// Everything is answered with 503 while it is set.
    pub down: bool,
    pub lease_ms: u32,
}

/// The server, its data directory, and agents of it.
pub struct Server {
    pub world: Arc<Mutex<World>>,
    pub data: tempfile::TempDir,
    runtime: tokio::runtime::Runtime,
}

/// An agent process; killed with the test.
pub struct Agent(pub Child);

impl Drop for Agent {
    fn drop(&mut self) {
        let _ended = self.0.kill().and_then(|()| self.0.wait().map(|_| ()));
    }
}

impl Server {
    pub fn start() -> Self {
        let world = Arc::new(Mutex::new(World { lease_ms: 10_000, ..World::default() }));
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address: SocketAddr = listener.local_addr().unwrap();
        let app = router(Arc::clone(&world));
        runtime.spawn(async move { axum::serve(listener, app).await });
        let data = tempfile::tempdir().unwrap();
        for directory in ["run", "keys"] {
            std::fs::create_dir(data.path().join(directory)).unwrap();
        }
        let local = serde_json::json!({ "url": format!("http://{address}"), "token": "local-token" });
        std::fs::write(data.path().join("run/local.json"), local.to_string()).unwrap();
        Self { world, data, runtime }
    }

    pub fn agent(&self) -> Agent {
        self.agent_with(&[])
    }

    /// One whose environment says more of how it is set up.
    pub fn agent_with(&self, env: &[(&str, &str)]) -> Agent {
        let mut command = Command::new(super::helper());
        command.arg("agent").arg(self.data.path()).stdin(Stdio::null()).stdout(Stdio::null());
        command.envs(env.iter().copied());
        Agent(command.spawn().unwrap())
    }

    pub fn with<T>(&self, look: impl FnOnce(&mut World) -> T) -> T {
        look(&mut self.world.lock().unwrap())
    }

    pub fn put(&self, bytes: Vec<u8>) -> Digest {
        let digest = Digest::of(&bytes);
        self.with(|world| world.blobs.insert(digest, bytes));
        digest
    }

    /// Assigns an Attempt with these Steps to whoever polls next.
    pub fn assign(&self, steps: Vec<StepOrder>, change: impl FnOnce(&mut Assignment)) -> AttemptId {
        let source = self.put(vec![0; 1024]);
        let attempt = AttemptId(uuid::Uuid::new_v4());
        let mut assignment = Assignment {
            lease: Lease { attempt, fence: 1 },
            title: "shop#1 test".to_owned(),
            project: "shop".parse().unwrap(),
            job: None,
            source,
            directory: String::new(),
            steps,
            env: BTreeMap::new(),
            secrets: BTreeMap::new(),
            inputs: Vec::new(),
            artifacts: Vec::new(),
            reports: Vec::new(),
            quarantine: Vec::new(),
            test_times: None,
            executor: ExecutorKind::Host,
            containers: Default::default(),
            network: true,
            limits: Default::default(),
            timeout_ms: 60_000,
            reuse: Default::default(),
        };
        change(&mut assignment);
        self.with(|world| world.assignments.push_back(assignment));
        attempt
    }

    pub fn log(&self, attempt: AttemptId) -> String {
        self.with(|world| String::from_utf8(world.logs.get(&attempt).cloned().unwrap_or_default()).unwrap())
    }

    pub fn finished(&self, attempt: AttemptId) -> Option<AttemptEvent> {
        self.with(|world| {
            let events = world.events.get(&attempt)?;
            events.values().find(|event| matches!(event, AttemptEvent::Finished { .. })).cloned()
        })
    }

    pub fn status(&self, instance: InstanceId) -> Option<InstanceStatus> {
        self.with(|world| world.statuses.iter().find(|status| status.instance == instance).cloned())
    }

    pub fn work(&self) -> PathBuf {
        self.data.path().join("agent/work")
    }
}

impl BlobSink for &Server {
    fn put_blob(
        &mut self,
        blob: towpath_artifact::Descriptor,
        bytes: &mut dyn std::io::Read,
    ) -> std::io::Result<()> {
        let mut content = Vec::new();
        bytes.read_to_end(&mut content)?;
        assert_eq!(self.put(content), blob.digest);
        Ok(())
    }
}

type Shared = State<Arc<Mutex<World>>>;

fn router(world: Arc<Mutex<World>>) -> Router {
    Router::new()
        .route("/agent/v1/poll", post(poll))
        .route("/agent/v1/attempts/{attempt}/events", post(events))
        .route("/agent/v1/attempts/{attempt}/log", put(log))
        .route("/agent/v1/instances", post(instances))
        .route("/agent/v1/blobs/{digest}", get(blob).put(put_blob))
        .layer(axum::extract::DefaultBodyLimit::max(1 << 30))
        .with_state(world)
}

fn unavailable() -> Response {
    StatusCode::SERVICE_UNAVAILABLE.into_response()
}

fn fenced() -> Response {
    (StatusCode::CONFLICT, Json(Fenced { reason: "given to another".to_owned() })).into_response()
}

async fn poll(State(world): Shared, Json(poll): Json<Poll>) -> Response {
    let heard = std::time::Instant::now();
    let waited_ms = || u32::try_from(heard.elapsed().as_millis()).unwrap();
    for _ in 0..20 {
        {
            let mut world = world.lock().unwrap();
            if world.down {
                return unavailable();
            }
            let assignments: Vec<_> = world.assignments.drain(..).collect();
            let cancel: Vec<_> = world.cancels.drain(..).collect();
            let instances =
                world.desired.clone().filter(|desired| desired.generation > poll.instances_generation);
            if !assignments.is_empty() || !cancel.is_empty() || instances.is_some() {
                world.polls.push(poll);
                let lease_ms = world.lease_ms;
                return Json(Orders {
                    assignments,
                    cancel,
                    instances,
                    lease_ms,
                    waited_ms: waited_ms(),
                    notice: None,
                })
                .into_response();
            }
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let mut world = world.lock().unwrap();
    world.polls.push(poll);
    Json(Orders { lease_ms: world.lease_ms, waited_ms: waited_ms(), ..Orders::default() }).into_response()
}

async fn events(
    State(world): Shared,
    Segment(attempt): Segment<AttemptId>,
    Json(report): Json<AttemptReport>,
) -> Response {
    let mut world = world.lock().unwrap();
    if world.down {
        return unavailable();
    }
    if world.fenced.contains(&attempt) {
        return fenced();
    }
    let known = world.events.entry(attempt).or_default();
    known.extend(report.events.into_iter().map(|event| (event.sequence, event.event)));
    StatusCode::NO_CONTENT.into_response()
}

#[derive(serde::Deserialize)]
struct Offset {
    offset: u64,
}

async fn log(
    State(world): Shared,
    Segment(attempt): Segment<AttemptId>,
    Query(Offset { offset }): Query<Offset>,
    body: Bytes,
) -> Response {
    let mut world = world.lock().unwrap();
    if world.down {
        return unavailable();
    }
    if world.fenced.contains(&attempt) {
        return fenced();
    }
    let log = world.logs.entry(attempt).or_default();
    if offset == log.len() as u64 {
        log.extend_from_slice(&body);
    }
    Json(LogAcknowledged { length: log.len() as u64 }).into_response()
}

async fn instances(State(world): Shared, Json(report): Json<InstanceReport>) -> Response {
    let mut world = world.lock().unwrap();
    if world.down {
        return unavailable();
    }
    world.statuses = report.instances;
    StatusCode::NO_CONTENT.into_response()
}

async fn blob(State(world): Shared, Segment(digest): Segment<Digest>) -> Response {
    let world = world.lock().unwrap();
    world
        .blobs
        .get(&digest)
        .map_or_else(|| StatusCode::NOT_FOUND.into_response(), |bytes| bytes.clone().into_response())
}

async fn put_blob(State(world): Shared, Segment(digest): Segment<Digest>, body: Bytes) -> Response {
    assert_eq!(Digest::of(&body), digest, "an agent uploaded other bytes");
    world.lock().unwrap().blobs.insert(digest, body.to_vec());
    StatusCode::CREATED.into_response()
}

/// The memory of a process that is its own, not the program's file, in KiB.
pub fn own_memory_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
