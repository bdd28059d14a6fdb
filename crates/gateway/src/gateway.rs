//! The gateway as a process: start, the control loop, the end.

use std::fs::File;
use std::future::Future;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use towpath_api::gateway::{MeasurementReport, Poll, Routes};
use uuid::Uuid;

use crate::control::listener::{Ask, HandedOver};
use crate::control::{self, ControlError, Presence};
use crate::disk::{Directory, DiskError};
use crate::link::{Link, LinkError};
use crate::outbox::Outbox;
use crate::plane::Plane;
use crate::worker::{Handle, Limits};

/// How the gateway runs.
#[derive(Debug, Clone)]
pub struct GatewayOptions {
    /// The data directory; the gateway keeps its own things in `gateway/` there.
    pub data: PathBuf,
    /// The gateway's name; `local` for the one that `serve` starts.
    pub name: String,
    /// The version of Towpath that runs.
    pub version: String,
    /// Worker threads; `None` for as many as there are cores, four at the most.
    pub threads: Option<usize>,
    /// Whether to take over from a gateway that serves the same directory, rather than to refuse to start.
    pub take_over: bool,
    /// Bounds and waits of the data path.
    pub limits: Limits,
    /// How long requests in flight may take to end once the gateway drains.
    pub drain: Duration,
}

impl GatewayOptions {
    /// The usual options for a data directory.
    #[must_use]
    pub fn new(data: impl Into<PathBuf>, version: impl Into<String>) -> Self {
        Self {
            data: data.into(),
            name: "local".to_owned(),
            version: version.into(),
            threads: None,
            take_over: false,
            limits: Limits::default(),
            drain: Duration::from_secs(30),
        }
    }
}

/// Why the gateway could not start.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// Another one serves this data directory.
    #[error(
        "a gateway already serves {}{}; start with `--take-over` to replace it without losing a request",
        .data.display(),
        .presence.as_ref().map(|it| format!(" (process {}, version {})", it.pid, it.version)).unwrap_or_default()
    )]
    AlreadyRunning {
        /// The data directory.
        data: PathBuf,
        /// Who it is, if it says so.
        presence: Option<Presence>,
    },
    /// Its directory cannot be used.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The older gateway did not hand over.
    #[error("the older gateway did not hand over; it goes on serving")]
    HandOver(#[source] ControlError),
    /// The control socket cannot be opened.
    #[error("cannot open the control socket in {}", .data.display())]
    ControlSocket {
        /// The data directory.
        data: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// A worker cannot be started.
    #[error("cannot start a worker thread")]
    Worker(#[source] std::io::Error),
}

/// How long the server may hold a poll.
const WAIT_MS: u32 = 20_000;

/// How often measurements are collected and sent.
const COLLECT: Duration = Duration::from_secs(1);

/// How long resting connections live on while the gateway drains. Each of their requests until then is answered with
/// `Connection: close`, which loses nothing; closing them at once could cross a request.
const REST_WHILE_DRAINING: Duration = Duration::from_secs(5);

/// How long the last measurements may take to reach the server when the gateway ends.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// Runs a gateway until `stop` completes, another gateway takes over, or it is told to shut down; then drains it.
///
/// # Errors
/// When it cannot start. What goes wrong later is logged, told to the server and tried again.
pub async fn run(options: GatewayOptions, stop: impl Future<Output = ()>) -> Result<(), GatewayError> {
    let directory = Directory::of(&options.data);
    directory.create()?;
    raise_file_limit();
    let start = Start::find(&options, &directory).await?;
    let threads = options.threads.unwrap_or_else(default_threads).max(1);
    let limits =
        Limits { connections: connections_per_worker(&options.limits, threads), ..options.limits.clone() };
    let workers: Result<Vec<Handle>, _> =
        (0..threads).map(|index| Handle::start(index, limits.clone())).collect();
    let mut plane = Plane::new(workers.map_err(GatewayError::Worker)?, directory.path(), Timestamp::now());
    if let Some(routes) = start.routes {
        plane.apply(routes, start.sockets).await;
    }
    let socket = control::listener::open(&directory)
        .map_err(|source| GatewayError::ControlSocket { data: options.data.clone(), source })?;
    if let Some(line) = start.predecessor {
        control::Inheritance::serve(line).await.map_err(GatewayError::HandOver)?;
    }
    let (asks, asked) = mpsc::channel(16);
    let control = tokio::spawn(control::listener::serve(socket, directory.clone(), asks));
    tracing::info!(threads, generation = plane.desired().generation, "the gateway serves");
    let mut gateway = Gateway::new(options, directory, plane, start.lock, threads);
    let succeeded = gateway.serve(stop, asked).await;
    if !succeeded {
        control.abort();
    }
    gateway.drain().await;
    Ok(())
}

fn default_threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).min(4)
}

/// Raises the limit of open files to what the system permits: each request under way needs two.
fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        tracing::debug!(%error, "the limit of open files stays as it is");
    }
}

/// As many connections as the options say, unless the files would run out: a connection and its backend need two.
fn connections_per_worker(limits: &Limits, threads: usize) -> usize {
    let files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX);
    let room = usize::try_from(files).unwrap_or(usize::MAX) / 3 / threads;
    limits.connections.min(room).max(1)
}

/// What a gateway starts from.
struct Start {
    lock: File,
    routes: Option<Routes>,
    sockets: Vec<(SocketAddr, TcpListener)>,
    predecessor: Option<control::Line>,
}

impl Start {
    async fn find(options: &GatewayOptions, directory: &Directory) -> Result<Self, GatewayError> {
        if let Some(lock) = directory.lock()? {
            let routes = load(directory);
            return Ok(Self { lock, routes, sockets: Vec::new(), predecessor: None });
        }
        if options.take_over {
            let inheritance = control::hand_over(directory).await.map_err(GatewayError::HandOver)?;
            if let Some(inheritance) = inheritance {
                let (routes, sockets, lock, line) = inheritance.into_parts();
                return Ok(Self { lock, routes: Some(routes), sockets, predecessor: Some(line) });
            }
        }
        let presence = control::probe(&options.data).await.ok().flatten();
        Err(GatewayError::AlreadyRunning { data: options.data.clone(), presence })
    }
}

/// The last desired state. A damaged one is worth less than the server's next answer, so it stops nothing.
fn load(directory: &Directory) -> Option<Routes> {
    directory.load().unwrap_or_else(|error| {
        tracing::error!(error = %chain(&error), "starts without routes until the server answers");
        None
    })
}

/// A gateway that serves.
struct Gateway {
    options: GatewayOptions,
    directory: Directory,
    plane: Plane,
    /// Held for as long as this gateway may accept connections.
    lock: Option<File>,
    threads: usize,
    session: Uuid,
    link: Arc<Link>,
    outbox: Outbox,
    poll: Option<JoinHandle<Result<Routes, LinkError>>>,
    poll_at: Instant,
    poll_failures: u32,
    report: Option<JoinHandle<(u64, Result<(), LinkError>)>>,
    retry_at: Option<Instant>,
    retries: u32,
    /// Set while a successor prepares itself: nothing new is applied.
    handing_over: bool,
}

impl Gateway {
    fn new(options: GatewayOptions, directory: Directory, plane: Plane, lock: File, threads: usize) -> Self {
        let session = Uuid::new_v4();
        let mut gateway = Self {
            link: Arc::new(Link::new(&options.data)),
            outbox: Outbox::new(options.name.clone(), session),
            options,
            directory,
            plane,
            lock: Some(lock),
            threads,
            session,
            poll: None,
            poll_at: Instant::now(),
            poll_failures: 0,
            report: None,
            retry_at: None,
            retries: 0,
            handing_over: false,
        };
        gateway.plan_retry();
        gateway
    }

    /// Serves until it is told to stop; says whether a successor serves now.
    async fn serve(&mut self, stop: impl Future<Output = ()>, mut asked: mpsc::Receiver<Ask>) -> bool {
        let mut stop = std::pin::pin!(stop);
        let mut collect = tokio::time::interval(COLLECT);
        collect.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        loop {
            let retry_at = self.retry_at;
            tokio::select! {
                () = &mut stop => return false,
                Some(ask) = asked.recv() => {
                    if let Some(succeeded) = self.answer(ask).await {
                        return succeeded;
                    }
                }
                () = tokio::time::sleep_until(self.poll_at), if self.poll.is_none() && !self.handing_over => {
                    self.start_poll();
                }
                result = finished(&mut self.poll) => self.take_poll(result).await,
                _ = collect.tick() => self.collect(),
                result = finished(&mut self.report) => self.take_report(result),
                () = tokio::time::sleep_until(retry_at.unwrap_or_else(Instant::now)), if retry_at.is_some() => {
                    self.retry().await;
                }
            }
        }
    }

    /// Answers on the control socket; tells how to end if it is to end.
    async fn answer(&mut self, ask: Ask) -> Option<bool> {
        match ask {
            Ask::Presence(reply) => {
                let _ = reply.send(self.presence());
            }
            Ask::Estate(reply) => {
                self.handing_over = true;
                self.stop_polling();
                let _ = reply.send(self.estate());
            }
            Ask::Resume => self.handing_over = false,
            Ask::Retire { succeeded, done } => {
                self.plane.drain(REST_WHILE_DRAINING, self.options.drain).await;
                // From here on the lock is the successor's alone.
                self.lock = None;
                let _ = done.send(());
                return Some(succeeded);
            }
        }
        None
    }

    fn presence(&self) -> Presence {
        Presence {
            version: self.options.version.clone(),
            pid: std::process::id(),
            session: self.session,
            generation: self.plane.desired().generation,
            threads: self.threads,
        }
    }

    fn estate(&self) -> std::io::Result<HandedOver> {
        let lock =
            self.lock.as_ref().ok_or_else(|| std::io::Error::other("the gateway is ending"))?.try_clone()?;
        Ok(HandedOver { routes: self.plane.desired().clone(), sockets: self.plane.sockets()?, lock })
    }

    fn stop_polling(&mut self) {
        if let Some(poll) = self.poll.take() {
            poll.abort();
        }
        self.poll_at = Instant::now();
    }

    fn start_poll(&mut self) {
        let poll = Poll {
            gateway: self.options.name.clone(),
            session: self.session,
            version: self.options.version.clone(),
            generation: self.plane.desired().generation,
            applied: self.plane.applied(),
            wait_ms: WAIT_MS,
        };
        let link = Arc::clone(&self.link);
        self.poll = Some(tokio::spawn(async move { link.poll(&poll).await }));
    }

    async fn take_poll(&mut self, result: Option<Result<Routes, LinkError>>) {
        self.poll = None;
        match result {
            Some(Ok(routes)) => {
                self.poll_failures = 0;
                self.poll_at = Instant::now();
                if !self.apply(routes).await {
                    // Nothing new: a server that does not hold its answers must not make this loop spin.
                    self.poll_at += Duration::from_millis(20);
                }
            }
            Some(Err(error)) => {
                if self.poll_failures == 0 {
                    tracing::warn!(error = %chain(&error), "serves the last routes and looks for the server");
                }
                self.poll_failures = self.poll_failures.saturating_add(1);
                self.poll_at = Instant::now() + server_back_off(self.poll_failures);
            }
            None => self.poll_at = Instant::now() + server_back_off(1),
        }
    }

    /// Applies desired state and only then keeps it: traffic moves at once, and what is read back is durable.
    async fn apply(&mut self, routes: Routes) -> bool {
        if !self.plane.apply(routes.clone(), Vec::new()).await {
            return false;
        }
        let directory = self.directory.clone();
        match tokio::task::spawn_blocking(move || directory.save(&routes)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(error = %chain(&error), "a restart would serve older routes"),
            Err(error) => tracing::error!(%error, "a restart would serve older routes"),
        }
        self.retries = 0;
        self.plan_retry();
        true
    }

    fn plan_retry(&mut self) {
        let wait = Duration::from_millis(250u64 << self.retries.min(5));
        self.retry_at = self.plane.has_problems().then(|| Instant::now() + wait);
    }

    async fn retry(&mut self) {
        self.retries = self.retries.saturating_add(1);
        if !self.handing_over && self.plane.retry().await {
            // The poll under way told an older read-back.
            self.stop_polling();
        }
        self.plan_retry();
    }

    fn collect(&mut self) {
        let (certificates, outliers) = (self.plane.refresh_certificates(), self.plane.refresh_outliers());
        if (certificates || outliers) && !self.handing_over {
            // The poll under way told an older read-back.
            self.stop_polling();
        }
        let deltas = self.plane.collect(Timestamp::now());
        self.outbox.add(deltas);
        self.send_report();
    }

    fn send_report(&mut self) {
        if self.report.is_some() {
            return;
        }
        if let Some(report) = self.outbox.next() {
            let link = Arc::clone(&self.link);
            self.report = Some(tokio::spawn(send(link, report)));
        }
    }

    fn take_report(&mut self, result: Option<(u64, Result<(), LinkError>)>) {
        self.report = None;
        match result {
            Some((sequence, Ok(()))) => self.outbox.acknowledge(sequence),
            Some((_, Err(error))) => {
                tracing::debug!(error = %chain(&error), "measurements wait for the server")
            }
            None => {}
        }
    }

    /// Lets requests end, then tells the server the last measurements.
    async fn drain(mut self) {
        self.stop_polling();
        self.plane.drain(REST_WHILE_DRAINING, self.options.drain).await;
        self.lock = None;
        while !self.plane.has_drained() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let deltas = self.plane.collect(Timestamp::now());
        self.outbox.add(deltas);
        let last_words = async {
            while !self.outbox.is_empty() {
                self.send_report();
                let result = finished(&mut self.report).await;
                let failed = result.as_ref().is_none_or(|(_, result)| result.is_err());
                self.take_report(result);
                if failed {
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            }
        };
        if tokio::time::timeout(LAST_WORDS, last_words).await.is_err() {
            tracing::warn!("the last measurements did not reach the server");
        }
        tracing::info!("the gateway has drained");
    }
}

async fn send(link: Arc<Link>, report: MeasurementReport) -> (u64, Result<(), LinkError>) {
    (report.sequence, link.report(&report).await)
}

/// Waits for a task, if there is one; `None` if it was aborted or panicked.
async fn finished<T>(task: &mut Option<JoinHandle<T>>) -> Option<T> {
    match task {
        Some(task) => task.await.ok(),
        None => std::future::pending().await,
    }
}

fn server_back_off(failures: u32) -> Duration {
    Duration::from_millis((100u64 << failures.saturating_sub(1).min(5)).min(2_000))
}

/// An error with all its causes, for the log.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
