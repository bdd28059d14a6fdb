//! A server that orders, backends that answer, and clients that ask: all on real sockets.

#![expect(clippy::unwrap_used, reason = "what goes wrong in a helper fails the test")]

use std::collections::BTreeMap;
use std::future::Future;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use towpath_api::gateway::{AppliedRoute, Arm, Delta, MeasurementReport, Poll, Protocol, Route, Routes};
use towpath_gateway::{GatewayOptions, Limits};
use towpath_model::{Digest, EnvironmentKey};

pub fn key(environment: &str) -> EnvironmentKey {
    EnvironmentKey { project: "shop".parse().unwrap(), environment: environment.parse().unwrap() }
}

pub fn revision(name: &str) -> Digest {
    Digest::of(name.as_bytes())
}

pub fn arm(name: &str, weight: u16, endpoints: &[SocketAddr]) -> Arm {
    let protocol = Protocol::Http1;
    Arm { revision: revision(name), weight, protocol, endpoints: endpoints.to_vec() }
}

/// A route without anything that is not asked for.
pub fn plain(environment: &str, listen: SocketAddr, arms: Vec<Arm>) -> Route {
    Route {
        environment: key(environment),
        generation: 0,
        listen,
        arms,
        tls: None,
        sticky: None,
        rules: Vec::new(),
        preview: None,
    }
}

/// A port that was free a moment ago.
pub fn free_address() -> SocketAddr {
    StdListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Polls until `done` gives something.
pub async fn eventually<T>(what: &str, mut done: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(found) = done() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// One HTTP message: its head, and its body without framing.
pub async fn read_message(stream: &mut BufReader<TcpStream>) -> Option<(String, Vec<u8>)> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).await.ok()? == 0 {
            return None;
        }
    }
    let lower = head.to_ascii_lowercase();
    let field =
        |name: &str| lower.lines().find_map(|line| line.strip_prefix(name)).map(|v| v.trim().to_owned());
    let mut body = Vec::new();
    if let Some(length) = field("content-length:") {
        body.resize(length.parse().unwrap(), 0);
        stream.read_exact(&mut body).await.ok()?;
    } else if field("transfer-encoding:").is_some() {
        loop {
            let mut size = String::new();
            stream.read_line(&mut size).await.ok()?;
            let size = usize::from_str_radix(size.trim(), 16).ok()?;
            let mut chunk = vec![0; size + 2];
            stream.read_exact(&mut chunk).await.ok()?;
            if size == 0 {
                break;
            }
            body.extend_from_slice(&chunk[..size]);
        }
    }
    Some((head, body))
}

/// A client's connection.
pub struct Client(pub BufReader<TcpStream>);

impl Client {
    pub async fn connect(address: SocketAddr) -> Self {
        Self(BufReader::new(TcpStream::connect(address).await.unwrap()))
    }

    pub async fn send(&mut self, text: &str) {
        self.0.get_mut().write_all(text.as_bytes()).await.unwrap();
    }

    pub async fn receive(&mut self) -> Option<(String, String)> {
        let received =
            tokio::time::timeout(Duration::from_secs(20), read_message(&mut self.0)).await.unwrap();
        received.map(|(head, body)| (head, String::from_utf8(body).unwrap()))
    }

    pub async fn get(&mut self, path: &str) -> (String, String) {
        self.send(&format!("GET {path} HTTP/1.1\r\nHost: shop.test\r\n\r\n")).await;
        self.receive().await.expect("an answer")
    }
}

/// Listens and lets `serve` have each connection.
pub async fn listen<F>(serve: impl Fn(BufReader<TcpStream>) -> F + Send + Clone + 'static) -> SocketAddr
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            stream.set_nodelay(true).unwrap();
            tokio::spawn(serve.clone()(BufReader::new(stream)));
        }
    });
    address
}

/// A backend that answers with its name and the request as it saw it; `/slow/N` after N milliseconds.
pub async fn backend(name: &'static str) -> SocketAddr {
    listen(move |mut stream| async move {
        while let Some((head, body)) = read_message(&mut stream).await {
            let path = head.split(' ').nth(1).unwrap_or("");
            if let Some(millis) = path.strip_prefix("/slow/") {
                tokio::time::sleep(Duration::from_millis(millis.parse().unwrap())).await;
            }
            let status = if path == "/broken" { "500 Broken" } else { "200 OK" };
            let echo = format!("{name} {} {head}", body.len());
            let length = echo.len();
            let echo = if head.starts_with("HEAD") { "" } else { &echo };
            let answer =
                format!("HTTP/1.1 {status}\r\nX-Version: {name}\r\nContent-Length: {length}\r\n\r\n{echo}");
            if stream.get_mut().write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
    })
    .await
}

/// What the server knows.
#[derive(Default)]
struct Known {
    routes: Vec<Route>,
    generation: u64,
    applied: Vec<AppliedRoute>,
    reports: BTreeMap<(uuid::Uuid, u64), MeasurementReport>,
}

/// A server that gives orders and keeps what it is told.
#[derive(Clone, Default)]
pub struct Server {
    known: Arc<Mutex<Known>>,
    changed: Arc<Notify>,
}

impl Server {
    /// Starts it and leaves its address in the data directory.
    pub async fn start(data: &Path) -> Self {
        let server = Self::default();
        server.appear(data).await;
        server
    }

    /// Listens on a new port, as a server does that restarts.
    pub async fn appear(&self, data: &Path) {
        let server = self.clone();
        let address = listen(move |stream| server.clone().serve(stream)).await;
        std::fs::create_dir_all(data.join("run")).unwrap();
        let local = format!(r#"{{"url":"http://{address}","token":"secret"}}"#);
        std::fs::write(data.join("run/local.json"), local).unwrap();
    }

    async fn serve(self, mut stream: BufReader<TcpStream>) {
        while let Some((head, body)) = read_message(&mut stream).await {
            assert!(head.to_ascii_lowercase().contains("authorization: bearer secret\r\n"), "{head}");
            let answer = if head.starts_with("POST /gateway/v1/poll") {
                serde_json::to_string(&self.poll(serde_json::from_slice(&body).unwrap()).await).unwrap()
            } else {
                let report: MeasurementReport = serde_json::from_slice(&body).unwrap();
                self.known.lock().unwrap().reports.insert((report.session, report.sequence), report);
                String::new()
            };
            let length = answer.len();
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{answer}");
            if stream.get_mut().write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
    }

    async fn poll(&self, poll: Poll) -> Routes {
        let deadline = Instant::now() + Duration::from_millis(u64::from(poll.wait_ms));
        loop {
            let changed = self.changed.notified();
            let mut changed = std::pin::pin!(changed);
            changed.as_mut().enable();
            {
                let mut known = self.known.lock().unwrap();
                known.applied.clone_from(&poll.applied);
                if known.generation > poll.generation || Instant::now() >= deadline {
                    return Routes { generation: known.generation, routes: known.routes.clone() };
                }
            }
            let _ = tokio::time::timeout(Duration::from_secs(1), changed).await;
        }
    }

    /// Orders routes; each is (environment, where, arms).
    pub fn order(&self, routes: Vec<(&str, SocketAddr, Vec<Arm>)>) -> u64 {
        let route = |(environment, listen, arms)| plain(environment, listen, arms);
        self.order_all(routes.into_iter().map(route).collect())
    }

    /// Orders routes, whatever they are, under the next generation.
    pub fn order_all(&self, mut routes: Vec<Route>) -> u64 {
        let mut known = self.known.lock().unwrap();
        known.generation += 1;
        let generation = known.generation;
        routes.iter_mut().for_each(|route| route.generation = generation);
        known.routes = routes;
        drop(known);
        self.changed.notify_waiters();
        generation
    }

    /// Orders one route to production and waits for its read-back.
    pub async fn put(&self, route: Route) {
        let generation = self.order_all(vec![route]);
        eventually("the route is read back", || {
            self.applied("production").filter(|it| it.generation == generation)
        })
        .await;
    }

    /// Orders one route and waits for its read-back.
    pub async fn route(&self, listen: SocketAddr, arms: Vec<Arm>) {
        self.put(plain("production", listen, arms)).await;
    }

    pub fn applied(&self, environment: &str) -> Option<AppliedRoute> {
        let known = self.known.lock().unwrap();
        known.applied.iter().find(|applied| applied.environment == key(environment)).cloned()
    }

    /// Everything measured of a Revision.
    pub fn deltas(&self, name: &str) -> Vec<Delta> {
        let known = self.known.lock().unwrap();
        let all = known.reports.values().flat_map(|report| report.deltas.clone());
        all.filter(|delta| delta.revision == revision(name)).collect()
    }

    /// Requests, errors and gateway errors of a Revision.
    pub fn counted(&self, name: &str) -> (u64, u64, u64) {
        self.deltas(name).iter().fold((0, 0, 0), |(requests, errors, own), delta| {
            (requests + delta.requests, errors + delta.errors, own + delta.gateway_errors)
        })
    }
}

/// A gateway in this process, with its server and its data.
pub struct World {
    pub data: tempfile::TempDir,
    pub server: Server,
    pub address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    gateway: Option<JoinHandle<()>>,
}

impl World {
    pub async fn start() -> Self {
        Self::with(Limits::default()).await
    }

    pub async fn with(limits: Limits) -> Self {
        let data = tempfile::tempdir().unwrap();
        let server = Server::start(data.path()).await;
        let mut options = GatewayOptions::new(data.path(), "1.0.0");
        options.threads = Some(2);
        options.limits = limits;
        options.drain = Duration::from_secs(5);
        let (stop, stopped) = oneshot::channel();
        let gateway = tokio::spawn(async move {
            let stopped = async { drop(stopped.await) };
            towpath_gateway::run(options, stopped).await.unwrap();
        });
        Self { data, server, address: free_address(), stop: Some(stop), gateway: Some(gateway) }
    }

    /// Sends all traffic as `arms` say.
    pub async fn route(&self, arms: Vec<Arm>) {
        self.server.route(self.address, arms).await;
    }

    pub async fn client(&self) -> Client {
        Client::connect(self.address).await
    }

    /// Ends the gateway as a signal would; returns when it has drained and told what it measured.
    pub async fn stop(&mut self) {
        drop(self.stop.take());
        self.gateway.take().unwrap().await.unwrap();
    }
}
