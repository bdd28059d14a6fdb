//! One Attempt from assignment to the last acknowledged word about it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};
use towpath_api::agent::{
    Assignment, AttemptEvent, AttemptOutcome, AttemptReport, ExecutorKind, Lease, LogAcknowledged, Secret,
    TestCounts,
};
use towpath_artifact::ContentStore;
use towpath_artifact::extract::{self, Symlinks};
use towpath_model::reports::{ANNOTATIONS, ReportFile, ReportKind};
use towpath_model::run::Trust;
use towpath_model::{ArtifactName, Digest};

use super::client::{CallError, Client};
use super::downloads::{self, InUse};
use super::reuse::RemoteDepot;
use super::spool::Spool;
use crate::container::{Build, ContainerHost, Wait};
use crate::executor::{
    self, Attempt, AttemptDirectory, Cancel, CancelReason, Ended, Limits, Masker, Sink as _, TEST_TIMES,
    chain,
};
use crate::inputs;
use crate::instances::fetch_artifact;
use crate::local::build_image;
use crate::reports::{self, Quarantine};
use crate::reuse::Reuse;
use crate::sandbox::{Isolation, Policy};

/// The least time between two parts of a log: a busy Step makes twenty calls a second, not thousands.
const LOG_INTERVAL: Duration = Duration::from_millis(50);

/// Time between attempts to reach the server.
const FIRST_RETRY: Duration = Duration::from_millis(100);
const LONGEST_RETRY: Duration = Duration::from_secs(2);

/// What all Attempts of one agent have in common.
#[derive(Debug)]
pub(super) struct Runner {
    pub(super) client: Client,
    pub(super) store: ContentStore,
    /// Snapshots: caches, outputs of Steps, workspaces.
    pub(super) kept: ContentStore,
    pub(super) work: PathBuf,
    pub(super) caches: PathBuf,
    /// Towpath's own data, which no confined Step sees.
    pub(super) data: PathBuf,
    /// What this host offers; `None` where it offers nothing and that was accepted.
    pub(super) sandbox: Option<Isolation>,
    /// For Jobs that ask not to be confined.
    pub(super) host: Isolation,
    pub(super) allow_unsandboxed: bool,
    pub(super) limits: Limits,
    pub(super) containers: Arc<ContainerHost>,
    /// Whether contributions from outside may run in containers.
    pub(super) allow_fork_containers: bool,
}

/// What is known at the end.
#[derive(Debug)]
struct Outcome {
    ended: Ended,
    artifacts: BTreeMap<ArtifactName, Digest>,
    tests: Option<TestCounts>,
    reports: Vec<ReportFile>,
}

impl Runner {
    /// Runs one Attempt and stays until the server knows all of it, or somebody else holds it.
    pub(super) async fn run(self: Arc<Self>, assignment: Assignment, cancel: Cancel) {
        let place = AttemptDirectory::new(&self.work, assignment.lease.attempt);
        let prepared =
            std::fs::create_dir_all(&place.scratch).and_then(|()| Spool::create(&place.root.join("log")));
        match prepared {
            Ok(spool) => self.run_with(&assignment, &cancel, &place, &spool).await,
            // Without a place for its log nothing can be said of it: the server finds the lease lost.
            Err(error) => {
                tracing::error!(attempt = %assignment.lease.attempt, "{} cannot be used: {error}", place.root.display())
            }
        }
        let removed = tokio::task::spawn_blocking(move || std::fs::remove_dir_all(place.root)).await;
        if let Ok(Err(error)) = removed {
            tracing::warn!(attempt = %assignment.lease.attempt, "its workspace could not be removed: {error}");
        }
    }

    async fn run_with(
        &self,
        assignment: &Assignment,
        cancel: &Cancel,
        place: &AttemptDirectory,
        spool: &Arc<Spool>,
    ) {
        let lease = assignment.lease;
        let uplink = Uplink { client: &self.client, lease, spool, cancel };
        let ending = async {
            let done = self.work(assignment, cancel, place, spool).await;
            let Outcome { ended: Ended { outcome, message, outputs, .. }, artifacts, tests, reports } = done;
            if outcome == AttemptOutcome::Errored {
                spool.notice(&message);
            }
            // The log is complete from here on: what the server has of it then is all of it.
            let log_bytes = spool.written();
            uplink.unless_abandoned(spool.wait_for_log(log_bytes)).await;
            spool.event(AttemptEvent::Finished {
                outcome,
                message,
                outputs,
                artifacts,
                tests,
                reports,
                log_bytes,
            });
            uplink.unless_abandoned(spool.wait_for_events()).await;
        };
        let sending = async {
            tokio::join!(uplink.send_events(), uplink.send_log());
            // Given up: the Steps' end is still awaited, so that nothing is left running.
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = ending => {}
            () = sending => {}
        }
    }

    async fn work(
        &self,
        assignment: &Assignment,
        cancel: &Cancel,
        place: &AttemptDirectory,
        spool: &Arc<Spool>,
    ) -> Outcome {
        let errored = |message: String| Outcome {
            ended: Ended::bare(AttemptOutcome::Errored, message),
            artifacts: BTreeMap::new(),
            tests: None,
            reports: Vec::new(),
        };
        let isolation = match self.isolation(assignment) {
            Ok(isolation) => isolation,
            Err(reason) => return errored(reason),
        };
        let confinement = match isolation.describe(&assignment.limits, assignment.network) {
            _ if assignment.containers.image.is_some() => {
                self.containers.confinement(&assignment.containers, &isolation)
            }
            Ok(description) => description,
            Err(refusal) => return errored(format!("{} was not run: {refusal}", assignment.title)),
        };
        spool.event(AttemptEvent::Started { isolation: confinement });
        let begun = std::time::Instant::now();
        let timeout = Duration::from_millis(assignment.timeout_ms);
        let prepared = tokio::select! {
            prepared = self.prepare(assignment, place) => prepared,
            reason = cancelled(cancel) => {
                let mut result = errored(format!("cancelled before the first step: {reason}"));
                result.ended.outcome = AttemptOutcome::Cancelled;
                return result;
            }
            () = sleep(timeout) => Err(format!("the workspace was not ready within {timeout:?}")),
        };
        let policy = match prepared {
            Ok(policy) => policy,
            Err(reason) => return errored(format!("{} could not be prepared: {reason}", assignment.title)),
        };
        let (policy, in_use) = policy;
        let left = timeout.saturating_sub(begun.elapsed());
        let depot = RemoteDepot {
            client: self.client.clone(),
            lease: assignment.lease,
            runtime: tokio::runtime::Handle::current(),
        };
        let ended = execute(
            assignment.clone(),
            isolation,
            policy,
            place.clone(),
            left,
            self.limits,
            cancel.clone(),
            Arc::clone(spool),
            Arc::clone(&self.containers),
            (depot, self.kept.clone()),
        )
        .await;
        drop(in_use);
        self.collect(assignment, place, spool, ended, cancel).await
    }

    fn isolation(&self, assignment: &Assignment) -> Result<Isolation, String> {
        let from_outside =
            assignment.env.get("TOWPATH_TRUST").is_some_and(|trust| trust == Trust::Fork.word());
        let builds = assignment.artifacts.iter().any(|artifact| artifact.image.is_some());
        if (builds || assignment.containers.need_engine()) && from_outside && !self.allow_fork_containers {
            return Err("the job wants a container, and this agent gives none to contributions from outside: its \
                        engine has all rights of the host. `towpath agent --allow-fork-containers` gives them one"
                .to_owned());
        }
        match (assignment.executor, &self.sandbox) {
            // What runs beside the container is confined as strongly as this host can.
            (ExecutorKind::Container, sandbox) => Ok(sandbox.clone().unwrap_or_else(|| self.host.clone())),
            (ExecutorKind::Sandbox, None) | (ExecutorKind::Host, _) if from_outside => Err(
                "this run is of a contribution from outside, whose jobs run in a sandbox only, and this one would run \
                 unconfined, with --allow-unsandboxed or without"
                    .to_owned(),
            ),
            (ExecutorKind::Sandbox, Some(sandbox)) => Ok(sandbox.clone()),
            (ExecutorKind::Sandbox, None) | (ExecutorKind::Host, _) if self.allow_unsandboxed => {
                Ok(self.host.clone())
            }
            (ExecutorKind::Sandbox, None) => Err("this agent has no sandbox".to_owned()),
            (ExecutorKind::Host, _) => Err(
                "the job wants to run unconfined, and this agent was not started with --allow-unsandboxed"
                    .to_owned(),
            ),
        }
    }

    /// Brings the source tree and the inputs into the workspace.
    async fn prepare(
        &self,
        assignment: &Assignment,
        place: &AttemptDirectory,
    ) -> Result<(Policy, InUse), String> {
        let call = |error: CallError| error.to_string();
        self.client.fetch(assignment.source, &self.store).await.map_err(call)?;
        if let Some(times) = assignment.test_times {
            self.client.fetch(times, &self.store).await.map_err(call)?;
        }
        for input in &assignment.inputs {
            fetch_artifact(&self.client, input.manifest, &self.store).await.map_err(call)?;
        }
        // Runs on unprotected refs must not write what protected ones read: the server names the class.
        let class = assignment.env.get("TOWPATH_TRUST").map_or("default", String::as_str);
        let class: String = class.chars().filter(char::is_ascii_alphanumeric).collect();
        let cache = match class.as_str() {
            // One contribution from outside must not reach the next one either.
            "fork" => place.root.join("downloads"),
            _ => self.caches.join(assignment.project.as_str()).join(class),
        };
        let in_use = downloads::hold(&cache)
            .map_err(|error| format!("{} cannot be used: {error}", cache.display()))?;
        let policy = Policy {
            limits: assignment.limits,
            ..Policy::for_attempt(&place.root, &self.data, Some(cache), assignment.network)
        };
        let (store, place, assignment, prepared) =
            (self.store.clone(), place.clone(), assignment.clone(), policy.clone());
        let unpacked = tokio::task::spawn_blocking(move || {
            prepared.prepare_cache().map_err(|error| format!("the cache cannot be written: {error}"))?;
            fill(&store, &assignment, &place.source)?;
            bring_times(&store, &assignment, &place.scratch)
        });
        unpacked.await.map_err(|error| chain(&error))??;
        Ok((policy, in_use))
    }

    /// Reads test reports and packs artifacts.
    async fn collect(
        &self,
        assignment: &Assignment,
        place: &AttemptDirectory,
        spool: &Arc<Spool>,
        mut ended: Ended,
        cancel: &Cancel,
    ) -> Outcome {
        let root = place.source.join(&assignment.directory);
        let (tests, reports) =
            self.send_reports(assignment, &root, spool, std::mem::take(&mut ended.annotations)).await;
        let mut artifacts = BTreeMap::new();
        if ended.outcome == AttemptOutcome::Passed {
            match self.pack(assignment, place, spool, cancel).await {
                Ok(packed) => artifacts = packed,
                Err((outcome, message)) => {
                    spool.notice(&message);
                    ended = Ended { outcome, message, ..ended };
                }
            }
        }
        Outcome { ended, artifacts, tests, reports }
    }

    /// Counts tests, and sends every report as it is: the server reads them itself.
    async fn send_reports(
        &self,
        assignment: &Assignment,
        root: &Path,
        spool: &Arc<Spool>,
        annotations: Vec<u8>,
    ) -> (Option<TestCounts>, Vec<ReportFile>) {
        let (declared, root) = (assignment.reports.clone(), root.to_owned());
        let (store, complaints) = (self.store.clone(), Arc::clone(spool));
        let masker = Masker::new(assignment.secrets.values().map(Secret::expose));
        let stored = tokio::task::spawn_blocking(move || {
            let found = reports::find(&root, &declared, |text| complaints.notice(&text));
            let tests = reports::count(&found, |text| complaints.notice(&text));
            let stored = found.into_iter().filter_map(|found| {
                let put = reports::bytes(&found.path).and_then(|bytes| {
                    // A test that prints a secret must not bring it onto a page.
                    let bytes = masker.mask(&bytes);
                    Ok((store.put(&bytes).map_err(|error| chain(&error))?, bytes.len()))
                });
                match put {
                    Ok((digest, length)) => {
                        Some(ReportFile { kind: found.kind, name: found.name, digest, bytes: length as u64 })
                    }
                    Err(why) => {
                        complaints.notice(&format!("the report {} cannot be sent: {why}", found.name));
                        None
                    }
                }
            });
            let mut stored: Vec<ReportFile> = stored.collect();
            stored.extend(store_annotations(&store, &annotations, |text| complaints.notice(&text)));
            (tests, stored)
        });
        let (tests, stored) = stored.await.unwrap_or_default();
        let mut sent = Vec::with_capacity(stored.len());
        for report in stored {
            match self.upload(report.digest).await {
                Ok(()) => sent.push(report),
                Err(error) => spool.notice(&format!("the report {} was not sent: {error}", report.name)),
            }
        }
        (tests, sent)
    }

    async fn pack(
        &self,
        assignment: &Assignment,
        place: &AttemptDirectory,
        spool: &Arc<Spool>,
        cancel: &Cancel,
    ) -> Result<BTreeMap<ArtifactName, Digest>, (AttemptOutcome, String)> {
        let mut artifacts = BTreeMap::new();
        for order in &assignment.artifacts {
            let root = place.source.join(&assignment.directory);
            let (order, mut sink) = (order.clone(), Recording::new(self.store.clone()));
            let name = order.name.clone();
            if let Some(layers) = order.image.as_ref().and_then(|image| image.layers) {
                // Without them the build is slower, and as right.
                if let Err(error) = fetch_artifact(&self.client, layers, &self.store).await {
                    spool.notice(&format!("layers of the last release cannot be fetched: {error}"));
                }
            }
            let (assignment, scratch) = (assignment.clone(), place.scratch.clone());
            let (store, spool, cancel) = (self.store.clone(), Arc::clone(spool), cancel.clone());
            let host = Arc::clone(&self.containers);
            let packing = tokio::task::spawn_blocking(move || {
                let manifest = match &order.image {
                    Some(image) => {
                        let trust = assignment.env.get("TOWPATH_TRUST").map_or("", String::as_str);
                        let timeout = Duration::from_millis(assignment.timeout_ms);
                        let build = Build {
                            owner: &format!("{} {trust}", assignment.project),
                            artifact: &order.name,
                            order: image,
                            directory: &root,
                            scratch: &scratch,
                            network: assignment.network,
                            store: &store,
                            wait: Wait::until(std::time::Instant::now() + timeout, &cancel),
                            names: false,
                        };
                        build_image(&build, &host, &assignment.secrets, &mut sink, &*spool)
                    }
                    None => towpath_artifact::pack(&root, &order.files, &mut sink)
                        .map(|packed| packed.manifest)
                        .map_err(|error| {
                            let message =
                                format!("artifact `{}` was not packed: {}", order.name, chain(&error));
                            (AttemptOutcome::Failed, message)
                        }),
                };
                manifest.map(|manifest| (manifest, sink.blobs))
            });
            let packed = packing.await.map_err(|error| (AttemptOutcome::Errored, chain(&error)))?;
            let (manifest, blobs) = packed?;
            for blob in blobs {
                self.upload(blob).await.map_err(|error| {
                    (AttemptOutcome::Errored, format!("artifact `{name}` could not be uploaded: {error}"))
                })?;
            }
            artifacts.insert(name, manifest);
        }
        Ok(artifacts)
    }

    async fn upload(&self, blob: Digest) -> Result<(), CallError> {
        let mut pause = FIRST_RETRY;
        for _ in 0..10 {
            match self.client.upload(blob, &self.store).await {
                Err(CallError::Unreachable(_)) => sleep(pause).await,
                done => return done,
            }
            pause = (pause * 2).min(LONGEST_RETRY);
        }
        self.client.upload(blob, &self.store).await
    }
}

/// Stores what Steps said of places in the source, as one more report.
fn store_annotations(
    store: &ContentStore,
    annotations: &[u8],
    complain: impl FnOnce(String),
) -> Option<ReportFile> {
    if annotations.is_empty() {
        return None;
    }
    match store.put(annotations) {
        Ok(digest) => Some(ReportFile {
            kind: ReportKind::Annotations,
            name: ANNOTATIONS.to_owned(),
            digest,
            bytes: annotations.len() as u64,
        }),
        Err(error) => {
            complain(format!("the annotations cannot be sent: {}", chain(&error)));
            None
        }
    }
}

/// Unpacks the source tree, and the inputs over it.
fn fill(store: &ContentStore, assignment: &Assignment, into: &Path) -> Result<(), String> {
    let fail = |what: &str, error: &dyn std::error::Error| format!("{what}: {}", chain(error));
    std::fs::create_dir_all(into).map_err(|error| fail("the workspace cannot be made", &error))?;
    if assignment.reuse.resume.is_some() {
        // It goes on from a workspace that was kept, which has all of this in it.
        return Ok(());
    }
    let limits = extract::Limits::default();
    let source = store.open_verified(assignment.source).map_err(|error| fail("the source tree", &error))?;
    extract::extract(source, into, limits, Symlinks::Verbatim)
        .map_err(|error| fail("the source tree", &error))?;
    for input in &assignment.inputs {
        inputs::bring(input, store, into, limits)
            .map_err(|error| fail(&format!("artifact `{}`", input.name), &error))?;
    }
    Ok(())
}

/// Puts the times of tests where the Steps can read them, and not change them.
fn bring_times(store: &ContentStore, assignment: &Assignment, scratch: &Path) -> Result<(), String> {
    let Some(times) = assignment.test_times else { return Ok(()) };
    let fail = |error: &dyn std::error::Error| format!("the times of tests: {}", chain(error));
    let path = scratch.join(TEST_TIMES);
    path.parent().map_or(Ok(()), std::fs::create_dir_all).map_err(|error| fail(&error))?;
    let mut from = store.open_verified(times).map_err(|error| fail(&error))?;
    let mut file = std::fs::File::create_new(&path).map_err(|error| fail(&error))?;
    std::io::copy(&mut from, &mut file).map_err(|error| fail(&error))?;
    Ok(())
}

/// Runs the Steps on a thread of their own.
#[expect(clippy::too_many_arguments, reason = "moves everything to the thread, once")]
async fn execute(
    assignment: Assignment,
    isolation: Isolation,
    policy: Policy,
    place: AttemptDirectory,
    timeout: Duration,
    limits: Limits,
    cancel: Cancel,
    spool: Arc<Spool>,
    host: Arc<ContainerHost>,
    (depot, kept): (RemoteDepot, ContentStore),
) -> Ended {
    let run = move || {
        // A verification of an Environment reuses nothing: it tests what was sealed.
        let reuse = assignment.job.as_ref().map(|_| Reuse {
            depot: &depot,
            store: kept,
            order: &assignment.reuse,
            source: &place.source,
        });
        let directory = place.source.join(&assignment.directory);
        let tests = assignment.quarantine.iter().map(String::as_str).collect();
        let quarantine = Quarantine { root: &directory, declared: &assignment.reports, tests };
        let attempt = Attempt {
            id: assignment.lease.attempt,
            title: &assignment.title,
            directory: &directory,
            scratch: &place.scratch,
            steps: &assignment.steps,
            env: &assignment.env,
            secrets: &assignment.secrets,
            timeout,
            isolation: &isolation,
            policy: &policy,
            limits,
            containers: &assignment.containers,
            host: &host,
            reuse,
            quarantine: Some(&quarantine),
        };
        executor::run(&attempt, &cancel, &*spool)
    };
    match tokio::task::spawn_blocking(run).await {
        Ok(ended) => ended,
        Err(error) => Ended::bare(AttemptOutcome::Errored, chain(&error)),
    }
}

async fn cancelled(cancel: &Cancel) -> String {
    loop {
        if let Some(
            CancelReason::Cancelled(reason)
            | CancelReason::Abandoned(reason)
            | CancelReason::Exceeded(reason),
        ) = cancel.reason()
        {
            return reason.clone();
        }
        sleep(Duration::from_millis(50)).await;
    }
}

/// Stores blobs and remembers which, in order.
struct Recording {
    store: ContentStore,
    blobs: Vec<Digest>,
}

impl Recording {
    const fn new(store: ContentStore) -> Self {
        Self { store, blobs: Vec::new() }
    }
}

impl towpath_artifact::BlobSink for Recording {
    fn put_blob(
        &mut self,
        blob: towpath_artifact::Descriptor,
        bytes: &mut dyn std::io::Read,
    ) -> std::io::Result<()> {
        self.blobs.push(blob.digest);
        self.store.put_blob(blob, bytes)
    }
}

/// Brings log and events of one Attempt to the server.
struct Uplink<'a> {
    client: &'a Client,
    lease: Lease,
    spool: &'a Spool,
    cancel: &'a Cancel,
}

impl Uplink<'_> {
    /// Sends log until the Attempt is over or held by another.
    async fn send_log(&self) {
        let Lease { attempt, fence } = self.lease;
        let mut acknowledged = 0;
        let mut pause = FIRST_RETRY;
        let mut next = Instant::now();
        while !self.is_abandoned() {
            if acknowledged >= self.spool.written() {
                self.spool.log_news.notified().await;
                continue;
            }
            sleep_until(next).await;
            next = Instant::now() + LOG_INTERVAL;
            let chunk = match self.spool.read(acknowledged) {
                Ok(chunk) => chunk,
                Err(error) => {
                    self.abandon(format!("its log cannot be read: {error}"));
                    return;
                }
            };
            let path = format!("/agent/v1/attempts/{attempt}/log?fence={fence}&offset={acknowledged}");
            match self.client.put_bytes::<LogAcknowledged>(&path, chunk).await {
                Ok(LogAcknowledged { length }) => {
                    pause = FIRST_RETRY;
                    acknowledged = length.min(self.spool.written());
                    self.spool.acknowledge_log(acknowledged);
                }
                Err(error) => self.settle(error, &mut pause).await,
            }
        }
    }

    /// Sends events until the Attempt is held by another.
    async fn send_events(&self) {
        let Lease { attempt, fence } = self.lease;
        let path = format!("/agent/v1/attempts/{attempt}/events");
        let mut pause = FIRST_RETRY;
        while !self.is_abandoned() {
            let events = self.spool.events();
            let Some(last) = events.last().map(|event| event.sequence) else {
                self.spool.event_news.notified().await;
                continue;
            };
            match self.client.post(&path, &AttemptReport { fence, events }).await {
                Ok(()) => {
                    pause = FIRST_RETRY;
                    self.spool.acknowledge_events(last);
                }
                Err(error) => self.settle(error, &mut pause).await,
            }
        }
    }

    /// Waits for `news`, or until the Attempt is given up.
    async fn unless_abandoned(&self, news: impl Future<Output = ()>) {
        let abandoned = async {
            while !self.is_abandoned() {
                sleep(LOG_INTERVAL).await;
            }
        };
        tokio::select! {
            () = news => {}
            () = abandoned => {}
        }
    }

    /// Waits after a passing failure; gives the Attempt up after a lasting one.
    async fn settle(&self, error: CallError, pause: &mut Duration) {
        if let CallError::Unreachable(_) = error {
            tracing::debug!(attempt = %self.lease.attempt, "the server was not reached: {error}");
            sleep(*pause).await;
            *pause = (*pause * 2).min(LONGEST_RETRY);
        } else {
            self.abandon(error.to_string());
        }
    }

    fn abandon(&self, reason: String) {
        tracing::info!(attempt = %self.lease.attempt, "it is given up: {reason}");
        self.cancel.cancel(CancelReason::Abandoned(reason));
    }

    fn is_abandoned(&self) -> bool {
        matches!(self.cancel.reason(), Some(CancelReason::Abandoned(_)))
    }
}
