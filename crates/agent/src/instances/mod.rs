//! Makes the Instances on this host what the server wants.
//!
//! Each Instance is a supervisor process with a directory of its own, and here a task that watches
//! it. An agent that starts finds running supervisors by their locks and carries on; it stops
//! nothing before the server has said in this session what shall run.

mod cgroup;
mod contained;
mod containers;
mod log;
mod probe;
mod release;
mod spec;
mod supervise;
mod watch;

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use tokio::sync::{Notify, watch as channel};
use towpath_api::agent::{DesiredInstances, InstanceOrder, InstancePhase, InstanceStatus};
use towpath_artifact::ContentStore;
use towpath_model::{Digest, EnvironmentKey, InstanceId};

use self::containers::{Containers, Wanted};
use self::release::Installer;
pub(crate) use self::release::fetch_artifact;
pub(crate) use self::spec::write_json;
pub use self::spec::{ChildState, ContainerSpec, InstanceDirectory, InstanceSpec, SupervisorStatus};
pub use self::supervise::{ALREADY_SUPERVISED, supervise_main};
use self::watch::Watch;
use crate::container::Engine;
use crate::process::Client;

/// How often it is looked for what containers have left.
const SWEEP: Duration = Duration::from_secs(60);

/// How many stopped Instances' logs are kept.
const KEPT_LOGS: usize = 5;

/// How long unpacked files that no Instance uses are kept, for a rollback to them.
const UNUSED_ARTIFACT: Duration = Duration::from_secs(60 * 60);

/// What the Instances of one agent have in common.
#[derive(Debug)]
struct Shared {
    instances: PathBuf,
    stopped: PathBuf,
    /// The program whose hidden command `supervise` calls [`supervise_main`].
    program: PathBuf,
    address: IpAddr,
    installer: Installer,
    containers: Arc<Containers>,
    /// What the server wants, once it has said so in this session; nothing is cleared away before.
    wanted: channel::Sender<Option<Wanted>>,
    statuses: Mutex<BTreeMap<InstanceId, InstanceStatus>>,
    changed: Notify,
}

impl Shared {
    /// Whether an Instance was ready when last looked at.
    fn is_ready(&self, instance: InstanceId) -> bool {
        let statuses = self.statuses.lock().unwrap_or_else(PoisonError::into_inner);
        statuses.get(&instance).is_some_and(|status| status.phase == InstancePhase::Ready)
    }

    /// Says how an Instance is; `since` moves only with the phase.
    fn report(&self, instance: InstanceId, about: &About, phase: InstancePhase, message: String) {
        let mut statuses = self.statuses.lock().unwrap_or_else(PoisonError::into_inner);
        let before = statuses.get(&instance);
        let since =
            before.filter(|before| before.phase == phase).map_or_else(Timestamp::now, |before| before.since);
        let address = about.port.map(|port| (self.address, port).into());
        let (environment, revision) = (about.environment.clone(), about.revision);
        let status = InstanceStatus {
            instance,
            environment,
            revision,
            phase,
            address,
            restarts: about.restarts,
            message,
            since,
        };
        if before != Some(&status) {
            tracing::info!(instance = %instance, environment = %status.environment, phase = ?phase, "{}", status.message);
            statuses.insert(instance, status);
            self.changed.notify_one();
        }
    }
}

/// What a status says besides the phase.
#[derive(Debug, Clone)]
struct About {
    environment: EnvironmentKey,
    revision: Digest,
    port: Option<u16>,
    restarts: u32,
}

/// Where things are, for [`Instances::open`].
#[derive(Debug)]
pub struct InstancesOptions {
    /// The agent's directory; `instances/`, `artifacts/` and `stopped/` are below it.
    pub directory: PathBuf,
    /// The agent's own release public key in PEM.
    pub release_key: PathBuf,
    /// The program with the hidden command `supervise`.
    pub program: PathBuf,
    /// Where Instances listen.
    pub address: IpAddr,
    /// Where blobs are kept.
    pub store: ContentStore,
    /// The way to the server.
    pub client: Client,
    /// The container engine, where one answered when the agent was started.
    pub engine: Option<Engine>,
}

/// All Instances of this agent.
#[derive(Debug)]
pub struct Instances {
    shared: Arc<Shared>,
    /// Throwing a switch stops its Instance.
    stops: HashMap<InstanceId, channel::Sender<bool>>,
    generation: u64,
}

impl Instances {
    /// Finds the Instances that an earlier agent left and watches them. Nothing is stopped. Must be called
    /// within a tokio runtime.
    ///
    /// # Errors
    ///
    /// Fails when the directories cannot be made or read.
    pub fn open(options: InstancesOptions) -> std::io::Result<Self> {
        let InstancesOptions { directory, release_key, program, address, store, client, engine } = options;
        let below = |name: &str| directory.join(name);
        for name in ["instances", "artifacts", "stopped"] {
            fs::create_dir_all(below(name))?;
        }
        let artifacts = below("artifacts");
        let unpacking = tokio::sync::Mutex::new(());
        let (instances, stopped) = (below("instances"), below("stopped"));
        let containers = Arc::new(Containers::new(directory, store.clone(), engine));
        let installer = Installer {
            client,
            store,
            artifacts,
            release_key,
            unpacking,
            containers: Arc::clone(&containers),
        };
        let (statuses, changed) = Default::default();
        let (wanted, told) = channel::channel(None);
        let shared = Arc::new(Shared {
            instances,
            stopped,
            program,
            address,
            installer,
            containers: Arc::clone(&containers),
            wanted,
            statuses,
            changed,
        });
        tokio::spawn(keep_clear(containers, told));
        let mut adopted = Self { shared, stops: HashMap::new(), generation: 0 };
        adopted.adopt()?;
        Ok(adopted)
    }

    fn adopt(&mut self) -> std::io::Result<()> {
        for entry in fs::read_dir(&self.shared.instances)? {
            let name = entry?.file_name();
            let Some(instance) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
            let directory = InstanceDirectory::new(&self.shared.instances, instance);
            let state = directory.status().map(|status| status.state);
            let was_ending = matches!(state, Some(ChildState::Stopping | ChildState::Stopped))
                && !directory.is_supervised();
            match directory.spec() {
                // The agent that stopped it was ended before it could put it away.
                // Its container, where it was one, goes with the first word of the server.
                Ok(_) if was_ending => retire(&self.shared, &directory, instance)?,
                Ok(spec) => {
                    self.watch(instance, |shared, stop| Watch::adopted(shared, directory, spec, stop))
                }
                // Its agent died before there was anything to run; a new order begins anew.
                Err(error) => {
                    tracing::warn!(instance = %instance, "an instance directory without a spec is removed: {error}");
                    fs::remove_dir_all(&directory.path)?;
                }
            }
        }
        Ok(())
    }

    /// The generation that was applied last; 0 if none in this session.
    #[must_use]
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// Starts what is wanted and missing, and stops what is not wanted. An old generation changes nothing.
    pub fn apply(&mut self, desired: DesiredInstances) {
        let DesiredInstances { generation, instances, keep } = desired;
        if generation <= self.generation {
            return;
        }
        self.generation = generation;
        let wanted: HashMap<InstanceId, InstanceOrder> =
            instances.into_iter().map(|order| (order.instance, order)).collect();
        for (instance, stop) in &self.stops {
            if !wanted.contains_key(instance) {
                stop.send_replace(true);
            }
        }
        self.forget_ended();
        for (instance, order) in wanted {
            if !self.stops.contains_key(&instance) {
                let directory = InstanceDirectory::new(&self.shared.instances, instance);
                self.watch(instance, |shared, stop| Watch::ordered(shared, directory, order, stop));
            }
        }
        let instances = self.stops.keys().map(ToString::to_string).collect();
        self.shared.wanted.send_replace(Some(Wanted { instances, keep }));
        if let Err(error) = remove_unused(&self.shared) {
            tracing::warn!("unused artifacts could not be removed: {error}");
        }
    }

    fn watch(
        &mut self,
        instance: InstanceId,
        make: impl FnOnce(Arc<Shared>, channel::Receiver<bool>) -> Watch,
    ) {
        let (stop, stopped) = channel::channel(false);
        tokio::spawn(make(Arc::clone(&self.shared), stopped).run());
        self.stops.insert(instance, stop);
    }

    /// Forgets switches whose task has ended.
    fn forget_ended(&mut self) {
        self.stops.retain(|_, stop| !stop.is_closed());
    }

    /// Every Instance that exists, and those that were stopped and not yet reported.
    #[must_use]
    pub fn statuses(&self) -> Vec<InstanceStatus> {
        self.shared.statuses.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Forgets stopped Instances, once the server has heard of them in `reported`.
    pub fn reported(&mut self, reported: &[InstanceStatus]) {
        let mut statuses = self.shared.statuses.lock().unwrap_or_else(PoisonError::into_inner);
        for status in reported.iter().filter(|status| status.phase == InstancePhase::Stopped) {
            statuses.remove(&status.instance);
        }
    }

    /// Completes when a status has changed since the last call. Does not borrow the Instances.
    pub fn changed(&self) -> impl Future<Output = ()> + use<> {
        let shared = Arc::clone(&self.shared);
        async move { shared.changed.notified().await }
    }
}

/// Clears away what containers have left, after each word of the server and from time to time.
async fn keep_clear(containers: Arc<Containers>, mut told: channel::Receiver<Option<Wanted>>) {
    loop {
        let wanted = told.borrow_and_update().clone();
        if let Some(wanted) = wanted {
            let own = Arc::clone(&containers);
            match tokio::task::spawn_blocking(move || own.sweep(&wanted)).await {
                Ok(Ok(0)) => {}
                Ok(Ok(removed)) => tracing::info!(removed, "containers, networks and images were removed"),
                failed => tracing::warn!("what containers have left could not be removed: {failed:?}"),
            }
        }
        // An error only where nobody can tell anything any more: the agent ends.
        if let Ok(Err(_)) = tokio::time::timeout(SWEEP, told.changed()).await {
            return;
        }
    }
}

/// Keeps the log of a stopped Instance and deletes the rest, the spec with its secrets first.
fn retire(shared: &Shared, directory: &InstanceDirectory, instance: InstanceId) -> std::io::Result<()> {
    directory.remove_spec()?;
    // Named by time, so that names sort by age.
    let kept = shared.stopped.join(format!("{}-{instance}", Timestamp::now().as_millisecond()));
    fs::rename(&directory.path, &kept)?;
    let mut all: Vec<PathBuf> =
        fs::read_dir(&shared.stopped)?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    all.sort();
    for oldest in &all[..all.len().saturating_sub(KEPT_LOGS)] {
        fs::remove_dir_all(oldest)?;
    }
    Ok(())
}

/// Removes unpacked Artifacts that no Instance uses and that have not been used for a while.
fn remove_unused(shared: &Shared) -> std::io::Result<()> {
    let in_use = artifacts_in_use(&shared.instances)?;
    for entry in fs::read_dir(&shared.installer.artifacts)? {
        let entry = entry?;
        let age = SystemTime::now().duration_since(entry.metadata()?.modified()?).unwrap_or_default();
        if age > UNUSED_ARTIFACT && !in_use.contains(&entry.path()) {
            release::remove_read_only(&entry.path())?;
        }
    }
    Ok(())
}

fn artifacts_in_use(instances: &Path) -> std::io::Result<Vec<PathBuf>> {
    let directories =
        fs::read_dir(instances)?.filter_map(|entry| Some(InstanceDirectory { path: entry.ok()?.path() }));
    Ok(directories.filter_map(|directory| Some(directory.spec().ok()?.directory)).collect())
}
