//! The agent process: asks the server what to do, runs Attempts, keeps Instances as wanted.
//!
//! One thread runs the loop here; each Attempt's Steps have a thread of their own. Nothing that the
//! server did not acknowledge is forgotten, and nothing is done for a lease that another may hold.

mod attempt;
mod client;
mod downloads;
mod enrol;
mod pinned;
pub(crate) mod prune;
mod reuse;
mod spool;

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::future::pending;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use towpath_api::agent::{Assignment, Cancel as CancelOrder, InstanceReport, Lease, Orders, Poll};
use towpath_artifact::{ContentStore, LockFile};
use towpath_model::lease::works_for;
use towpath_model::{AgentId, AttemptId};
use uuid::Uuid;

use self::attempt::Runner;
pub use self::client::{CallError, Client, Credentials};
use self::enrol::Renewal;
pub use self::enrol::{JoinError, join};
use crate::container::{ContainerHost, Engine, Owner};
use crate::executor::{Cancel, CancelReason, Limits};
use crate::instances::{Instances, InstancesOptions};
use crate::processes::{ATTEMPT_MARKER, Marker, SERVICE_MARKER};
use crate::sandbox::{self, Isolation, Missing, NoIsolation, Watch};

/// How long the server may hold a poll.
const POLL_WAIT: Duration = Duration::from_secs(20);

/// How much longer than that an answer may take.
const POLL_SLACK: Duration = Duration::from_secs(10);

/// Time between attempts to reach the server.
const FIRST_RETRY: Duration = Duration::from_millis(100);
const LONGEST_RETRY: Duration = Duration::from_secs(5);

/// How often Instances are reported though nothing has changed.
const REPORT_EVERY: Duration = Duration::from_secs(10);

/// How long a report may take, and the pause after one that failed.
const REPORT_CALL: Duration = Duration::from_secs(3);
const REPORT_RETRY: Duration = Duration::from_secs(1);

/// How long Attempts may take to end when the agent is told to.
const SHUTDOWN: Duration = Duration::from_secs(30);

/// How an agent is set up.
#[derive(Debug, Clone)]
pub struct AgentOptions {
    /// The agent's own directory: `work/`, `instances/`, `artifacts/`, `blobs/`, `cache/`.
    pub directory: PathBuf,
    /// Towpath's data directory, which no confined Step sees; for a remote agent, its own.
    pub data: PathBuf,
    /// How to find the server and prove who this is.
    pub credentials: Credentials,
    /// The agent's own copy of the release public key in PEM.
    pub release_key: PathBuf,
    /// Labels, as `role: web`.
    pub labels: BTreeMap<String, String>,
    /// Whether it takes Attempts.
    pub runner: bool,
    /// Whether it runs Instances.
    pub deployer: bool,
    /// Where its Instances listen and can be reached.
    pub address: IpAddr,
    /// How many Attempts it runs at once.
    pub capacity: u32,
    /// Whether it ends after one Attempt.
    pub one_job: bool,
    /// The program with the hidden commands `supervise` and `sandbox-exec`: the current one in production.
    pub program: PathBuf,
    /// Whether Steps may run unconfined where the host has no sandbox or a Job asks for it.
    pub allow_unsandboxed: bool,
    /// The bounds of each Attempt.
    pub limits: Limits,
    /// Whether contributions from outside may run in containers: the engine has all rights of the host.
    pub allow_fork_containers: bool,
}

/// Why the agent could not start.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// Another one runs in the same directory.
    #[error("another agent runs in {}; stop it first, or give this one a directory of its own", .0.display())]
    AlreadyRunning(PathBuf),
    /// The directory cannot be used.
    #[error("the agent's directory {} cannot be used", path.display())]
    Directory {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The content store cannot be used.
    #[error("the agent's blobs cannot be used")]
    Store(#[from] towpath_artifact::ContentError),
    /// Jobs cannot be confined.
    #[error(transparent)]
    NoIsolation(#[from] NoIsolation),
    /// The identity cannot be used.
    #[error("{0}")]
    Identity(String),
}

/// Runs an agent until `shutdown` completes. Instances go on running afterwards; Attempts are
/// abandoned and given to another agent, or to this one when it is back.
///
/// # Errors
///
/// Fails only at the start; from then on it goes on through every failure of server and network.
pub async fn run(options: AgentOptions, shutdown: impl Future<Output = ()>) -> Result<(), AgentError> {
    let directory = options.directory.clone();
    let unusable = |source| AgentError::Directory { path: directory.clone(), source };
    fs::create_dir_all(&options.directory).map_err(unusable)?;
    let _lock = lock(&options.directory)
        .map_err(unusable)?
        .ok_or_else(|| AgentError::AlreadyRunning(directory.clone()))?;
    clear_work(&options.directory.join("work")).map_err(unusable)?;
    let mut agent = Agent::new(options)?;
    tokio::select! {
        () = agent.serve() => {}
        () = shutdown => {}
    }
    agent.end().await;
    Ok(())
}

fn lock(directory: &Path) -> std::io::Result<Option<LockFile>> {
    let mut lock = LockFile::take(&directory.join("lock"))?;
    lock.as_mut().map(LockFile::sign).transpose()?;
    Ok(lock)
}

/// Kills what Attempts of an earlier process left running, and deletes their workspaces.
fn clear_work(work: &Path) -> std::io::Result<()> {
    fs::create_dir_all(work)?;
    for entry in fs::read_dir(work)? {
        let entry = entry?;
        let name = entry.file_name();
        if let Some(attempt) = name.to_str().filter(|name| name.parse::<AttemptId>().is_ok()) {
            let killed = Marker::new(ATTEMPT_MARKER, attempt).kill_all()
                + Marker::beginning(SERVICE_MARKER, attempt).kill_all();
            sandbox::clear_attempt(attempt);
            tracing::warn!(attempt, killed, "an attempt of an earlier agent process was cleared away");
        }
        fs::remove_dir_all(entry.path())?;
    }
    Ok(())
}

/// An Attempt that this agent holds.
#[derive(Debug)]
struct Held {
    lease: Lease,
    cancel: Cancel,
}

struct Agent {
    options: AgentOptions,
    client: Client,
    id: AgentId,
    session: Uuid,
    hostname: String,
    /// The container engine, for the server.
    engine: Option<String>,
    runner: Arc<Runner>,
    instances: Option<Instances>,
    held: HashMap<AttemptId, Held>,
    running: JoinSet<AttemptId>,
    /// When the leases end, if no poll succeeds before.
    leases_end: Instant,
    lease: Duration,
    /// When the Instances are reported though nothing has changed.
    report_at: Instant,
    /// When old blobs are removed.
    prune_at: Instant,
    /// Whether it has taken an Attempt.
    used: bool,
    /// What the server last had to say about this agent.
    notice: Option<String>,
}

impl Agent {
    fn new(options: AgentOptions) -> Result<Self, AgentError> {
        let sandbox = match Isolation::detect(&options.program) {
            Ok(isolation) => Some(isolation),
            Err(_) if options.allow_unsandboxed || !options.runner => None,
            Err(error) => return Err(error.into()),
        };
        let owner = Owner::agent(&options.directory);
        let wants_engine = options.runner || options.deployer;
        let containers = if wants_engine { ContainerHost::find(owner) } else { ContainerHost::none(owner) };
        let found = containers.engine.as_ref().ok().cloned();
        let engine = found.as_ref().map(|engine| format!("{} {}", engine.kind().word(), engine.version()));
        let store = ContentStore::open(&options.directory.join("blobs"))?;
        let kept = ContentStore::open_replaceable(&reuse::kept(&options.directory))?;
        if let Some(sandbox) = &sandbox {
            for Missing { layer, why, advice } in &sandbox.means().missing {
                tracing::warn!(layer, "jobs are confined without one of the layers: {why}; {advice}");
            }
        }
        let client = Client::new(options.credentials.clone());
        let runner = Arc::new(Runner {
            kept,
            client: client.clone(),
            store: store.clone(),
            work: options.directory.join("work"),
            caches: options.directory.join("cache"),
            data: options.data.clone(),
            host: Isolation::host(&options.program, Watch::Stay),
            sandbox,
            allow_unsandboxed: options.allow_unsandboxed,
            limits: options.limits,
            containers: Arc::new(containers),
            allow_fork_containers: options.allow_fork_containers,
        });
        let instances =
            options.deployer.then(|| open_instances(&options, store, client.clone(), found)).transpose()?;
        let id = identity(&options)?;
        let hostname = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let now = Instant::now();
        Ok(Self {
            client,
            id,
            session: Uuid::new_v4(),
            hostname,
            engine,
            runner,
            instances,
            held: HashMap::new(),
            running: JoinSet::new(),
            leases_end: now,
            lease: POLL_WAIT,
            report_at: now,
            prune_at: now,
            used: false,
            notice: None,
            options,
        })
    }

    /// Polls for ever; one that is for one Attempt, until that has ended.
    async fn serve(&mut self) {
        let mut pause = FIRST_RETRY;
        let mut renewal = Renewal::new(self.options.credentials.clone(), self.client.clone());
        while !(self.options.one_job && self.used && self.held.is_empty()) {
            let sent = Instant::now();
            match self.ask(&mut renewal).await {
                None => {}
                Some(Ok(orders)) => {
                    pause = FIRST_RETRY;
                    self.obey(orders, sent);
                }
                Some(Err(error)) => {
                    tracing::warn!("the server cannot be polled: {error}; next try in {pause:?}");
                    self.client.forget();
                    self.attend_until(Instant::now() + pause).await;
                    pause = (pause * 2).min(LONGEST_RETRY);
                }
            }
        }
    }

    /// Asks once and attends to everything else meanwhile. `None` when the question is out of date.
    ///
    /// A dropped poll loses its answer; what it assigned is given away again, as leases that this
    /// agent does not name.
    async fn ask(&mut self, renewal: &mut Renewal) -> Option<Result<Orders, CallError>> {
        let poll = self.poll();
        let client = self.client.clone();
        let asking = client.exchange::<Orders>("/agent/v1/poll", &poll, POLL_WAIT + POLL_SLACK);
        tokio::pin!(asking);
        loop {
            tokio::select! {
                answer = &mut asking => return Some(answer),
                news = self.news() => {
                    let has_room_again = matches!(news, News::AttemptEnded) && poll.runner && (poll.capacity == 0 || self.options.one_job);
                    self.attend(news).await;
                    if has_room_again {
                        return None;
                    }
                }
                () = renewal.due() => renewal.renew().await,
            }
        }
    }

    /// Leases end and Attempts end while the server is away, too.
    async fn attend_until(&mut self, until: Instant) {
        while let Ok(news) = timeout_at(until, self.news()).await {
            self.attend(news).await;
        }
    }

    /// What happens on this host.
    async fn news(&mut self) -> News {
        let Self { running, held, instances, leases_end, report_at, prune_at, .. } = self;
        tokio::select! {
            attempt = ended_attempt(running) => {
                if let Some(attempt) = attempt {
                    held.remove(&attempt);
                }
                News::AttemptEnded
            }
            () = report_due(instances.as_ref(), *report_at) => News::ReportDue,
            () = leases_ended(held, *leases_end) => News::LeasesEnded,
            () = sleep_until(*prune_at) => News::PruningDue,
        }
    }

    async fn attend(&mut self, news: News) {
        match news {
            News::AttemptEnded => {}
            News::ReportDue => self.report().await,
            News::PruningDue => self.prune().await,
            News::LeasesEnded => self.abandon_all("the server was not reached for the time of a lease"),
        }
    }

    fn poll(&self) -> Poll {
        let held: Vec<Lease> = self.held.values().map(|held| held.lease).collect();
        let capacity = self.options.capacity.saturating_sub(u32::try_from(held.len()).unwrap_or(u32::MAX));
        // Asked often enough that a lease outlives two lost polls.
        let wait = if held.is_empty() { POLL_WAIT } else { POLL_WAIT.min(self.lease / 3) };
        Poll {
            agent: self.id,
            session: self.session,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            hostname: self.hostname.clone(),
            labels: self.labels(),
            runner: self.options.runner,
            deployer: self.options.deployer,
            address: self.options.address,
            engine: self.engine.clone(),
            capacity: if self.options.runner && !(self.options.one_job && self.used) { capacity } else { 0 },
            one_job: self.options.one_job,
            held,
            instances_generation: self.instances.as_ref().map_or(0, Instances::generation),
            wait_ms: u32::try_from(wait.as_millis()).unwrap_or(u32::MAX),
        }
    }

    /// What the person gave, and, where they did not say otherwise, what this host confines Jobs with.
    fn labels(&self) -> BTreeMap<String, String> {
        let mut labels = BTreeMap::new();
        if self.options.runner {
            labels = self.runner.sandbox.as_ref().unwrap_or(&self.runner.host).labels();
        }
        labels.extend(self.options.labels.clone());
        labels
    }

    fn obey(&mut self, orders: Orders, sent: Instant) {
        let Orders { assignments, cancel, instances, lease_ms, waited_ms, notice } = orders;
        self.lease = Duration::from_millis(lease_ms.into()).max(Duration::from_secs(1));
        // Never later than the answer by the server's clock; see `towpath_model::lease`.
        self.leases_end = sent + works_for(Duration::from_millis(waited_ms.into()), self.lease);
        if let Some(notice) = notice.as_ref().filter(|notice| self.notice.as_ref() != Some(*notice)) {
            tracing::warn!("the server gives this agent no jobs: {notice}");
        }
        self.notice = notice;
        for CancelOrder { lease, reason } in cancel {
            if let Some(held) = self.held.get(&lease.attempt).filter(|held| held.lease == lease) {
                held.cancel.cancel(CancelReason::Cancelled(reason));
            }
        }
        for assignment in assignments {
            self.start(assignment);
        }
        if let (Some(running), Some(desired)) = (&mut self.instances, instances) {
            running.apply(desired);
        }
    }

    fn start(&mut self, assignment: Assignment) {
        let lease = assignment.lease;
        if let Some(held) = self.held.get(&lease.attempt) {
            if held.lease.fence < lease.fence {
                // The server gave it to this agent again; the older run ends, and the lease is lost.
                held.cancel.cancel(CancelReason::Abandoned("it was given away again".to_owned()));
            }
            return;
        }
        let cancel = Cancel::new();
        if Instant::now() >= self.leases_end {
            // The answer was on its way for so long that another agent may have it: it is left to its lease.
            tracing::warn!(attempt = %lease.attempt, "the answer that gave it came too late; it is not begun");
            return;
        }
        self.used = true;
        self.held.insert(lease.attempt, Held { lease, cancel: cancel.clone() });
        let runner = Arc::clone(&self.runner);
        tracing::info!(attempt = %lease.attempt, fence = lease.fence, "{} begins", assignment.title);
        self.running.spawn(async move {
            runner.run(assignment, cancel).await;
            lease.attempt
        });
    }

    fn abandon_all(&self, reason: &str) {
        for held in self.held.values() {
            tracing::warn!(attempt = %held.lease.attempt, "it is abandoned: {reason}");
            held.cancel.cancel(CancelReason::Abandoned(reason.to_owned()));
        }
    }

    /// Keeps what can be had again within its bounds.
    async fn prune(&mut self) {
        self.prune_at = Instant::now() + prune::EVERY;
        let (kept, downloads) = (self.options.directory.join("kept"), self.options.directory.join("cache"));
        let pruned = tokio::task::spawn_blocking(move || {
            // Neither waits for an idle agent, which a busy one never is: a blob in use is young, a directory locked.
            prune::prune(&kept, SystemTime::now())?;
            downloads::prune(&downloads, SystemTime::now())
        });
        match pruned.await {
            Ok(Ok(0)) => {}
            Ok(Ok(bytes)) => tracing::info!(bytes, "downloads of package managers were removed"),
            failed => tracing::warn!("caches could not be pruned: {failed:?}"),
        }
        // Sources and Artifacts only while no Attempt uses any.
        if !self.held.is_empty() {
            return;
        }
        let root = self.options.directory.join("blobs");
        match tokio::task::spawn_blocking(move || prune::prune(&root, SystemTime::now())).await {
            Ok(Ok(0)) => {}
            Ok(Ok(removed)) => tracing::info!(removed, "old blobs were removed"),
            failed => tracing::warn!("old blobs could not be removed: {failed:?}"),
        }
    }

    /// Tells how the Instances are.
    async fn report(&mut self) {
        let Some(instances) = &mut self.instances else { return };
        let statuses = instances.statuses();
        let generation = instances.generation();
        let report =
            InstanceReport { agent: self.id, session: self.session, generation, instances: statuses };
        let told = timeout(REPORT_CALL, self.client.post("/agent/v1/instances", &report)).await;
        self.report_at = Instant::now() + REPORT_EVERY;
        match told {
            Ok(Ok(())) => instances.reported(&report.instances),
            failed => {
                tracing::warn!("the instances could not be reported: {failed:?}");
                self.report_at = Instant::now() + REPORT_RETRY;
            }
        }
    }

    /// Ends what this process runs; Instances go on.
    async fn end(&mut self) {
        self.abandon_all("the agent is stopped");
        let all = async { while self.running.join_next().await.is_some() {} };
        if timeout(SHUTDOWN, all).await.is_err() {
            tracing::error!(
                "attempts did not end within {SHUTDOWN:?}; the next agent in this directory clears them away"
            );
        }
    }
}

/// What happens on this host while the agent waits for the server.
#[derive(Debug, Clone, Copy)]
enum News {
    AttemptEnded,
    ReportDue,
    LeasesEnded,
    PruningDue,
}

/// Completes when an Attempt was ended and put away.
async fn ended_attempt(running: &mut JoinSet<AttemptId>) -> Option<AttemptId> {
    match running.join_next().await {
        Some(Ok(attempt)) => Some(attempt),
        Some(Err(error)) => {
            tracing::error!("an attempt's task failed: {error}");
            None
        }
        None => pending().await,
    }
}

async fn leases_ended(held: &HashMap<AttemptId, Held>, leases_end: Instant) {
    if held.values().all(|held| held.cancel.reason().is_some()) {
        pending::<()>().await;
    }
    sleep_until(leases_end).await;
}

async fn report_due(instances: Option<&Instances>, at: Instant) {
    match instances {
        Some(instances) => tokio::select! {
            () = instances.changed() => {}
            () = sleep_until(at) => {}
        },
        None => pending().await,
    }
}

fn open_instances(
    options: &AgentOptions,
    store: ContentStore,
    client: Client,
    engine: Option<Engine>,
) -> Result<Instances, AgentError> {
    let AgentOptions { directory, release_key, program, address, .. } = options.clone();
    let opened =
        Instances::open(InstancesOptions { directory, release_key, program, address, store, client, engine });
    opened.map_err(|source| AgentError::Directory { path: options.directory.clone(), source })
}

/// Who this agent is: what its certificate says, or, for a local one, what it drew at its first start.
fn identity(options: &AgentOptions) -> Result<AgentId, AgentError> {
    if let Credentials::Remote { identity } = &options.credentials {
        return client::server_file(identity).map(|server| server.agent).map_err(AgentError::Identity);
    }
    let file = options.directory.join("id");
    if let Ok(text) = fs::read_to_string(&file) {
        let damaged = |_| {
            AgentError::Identity(format!("{} is damaged; remove it to get a new identity", file.display()))
        };
        return text.trim().parse().map_err(damaged);
    }
    let id = AgentId(Uuid::new_v4());
    fs::write(&file, id.to_string()).map_err(|source| AgentError::Directory { path: file, source })?;
    Ok(id)
}
