//! Runs Jobs on this machine for `towpath run`: the same executor, no server, nothing sealed.

mod source;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use towpath_api::agent::{ArtifactOrder, AttemptEvent, AttemptOutcome, Input, Secret, StepOrder, TestCounts};
use towpath_api::containers::Containers;
use towpath_api::reuse::ReuseOrder;
use towpath_artifact::{BlobSink, ContentError, ContentStore, extract};
use towpath_model::reports::ReportDeclaration;
use towpath_model::reuse::KeepWorkspace;
use towpath_model::{ArtifactName, AttemptId, Digest, JobLimits};

use crate::container::{Build, Built, ContainerHost, Wait};
use crate::executor::{
    self, Attempt, AttemptDirectory, Cancel, Ended, Limits, LogLine, Masker, Sink, Stream, chain,
    say_annotations,
};
use crate::inputs::{self, InputError};
use crate::reports;
use crate::reuse::{LocalDepot, Reuse};
use crate::sandbox::{Isolation, Policy};
use crate::sweep::Sweeper;

pub use self::source::{CloneError, SourceTree};

/// What holds for all Jobs of one local run.
#[derive(Debug)]
pub struct LocalRunner {
    /// A directory for workspaces; not within the source tree.
    pub work: PathBuf,
    /// How Jobs are confined.
    pub isolation: Isolation,
    /// A directory for downloads of package managers, kept between runs.
    pub cache: Option<PathBuf>,
    /// Towpath's own data directory, which no confined Job sees.
    pub data: PathBuf,
    /// The directory of a content store through which Artifacts pass from Job to Job; made when the first one is packed.
    pub artifacts: PathBuf,
    /// A directory for caches and outputs of Steps, kept between runs; without one, nothing is reused.
    pub kept: Option<PathBuf>,
    /// The bounds.
    pub limits: Limits,
    /// Removes workspaces while others are used.
    pub sweeper: Sweeper,
    /// What runs the containers of Jobs that have some.
    pub containers: ContainerHost,
}

/// One Job.
#[derive(Debug)]
pub struct LocalJob<'a> {
    /// Its identity; marks its processes.
    pub attempt: AttemptId,
    /// For people.
    pub title: &'a str,
    /// What its Steps get a copy of, deleted afterwards.
    pub source: &'a SourceTree,
    /// Where in the source tree the Project lives; empty for its root.
    pub directory: &'a str,
    /// The Steps.
    pub steps: &'a [StepOrder],
    /// Environment of every Step.
    pub env: &'a BTreeMap<String, String>,
    /// Environment whose values are masked.
    pub secrets: &'a BTreeMap<String, Secret>,
    /// Artifacts of earlier Jobs, unpacked at the root of the copy.
    pub inputs: &'a [Input],
    /// Artifacts to pack when every Step has passed.
    pub artifacts: &'a [ArtifactOrder],
    /// Reports to read when the Steps have ended, passed or not.
    pub reports: &'a [ReportDeclaration],
    /// Whether the network may be used.
    pub network: bool,
    /// The image of its Steps, and the Services beside them.
    pub containers: &'a Containers,
    /// What it may use.
    pub limits: JobLimits,
    /// The time of all Steps together.
    pub timeout: Duration,
    /// What it reuses of earlier runs, and leaves for later ones.
    pub reuse: &'a ReuseOrder,
}

/// How a Job ended, and what it left.
#[derive(Debug)]
pub struct LocalEnd {
    /// How its Steps ended.
    pub ended: Ended,
    /// The manifest of each packed Artifact.
    pub artifacts: BTreeMap<ArtifactName, Digest>,
    /// What the JUnit files say.
    pub tests: Option<TestCounts>,
}

/// Why a workspace could not be prepared.
#[derive(Debug, thiserror::Error)]
enum PrepareError {
    #[error(transparent)]
    Clone(#[from] CloneError),
    #[error("failed to make {}", path.display())]
    Directory {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("failed to prepare the cache of downloads")]
    Cache(#[source] io::Error),
    #[error("the artifacts of earlier jobs cannot be read")]
    Store(#[source] ContentError),
    #[error("failed to unpack artifact `{name}`")]
    Input {
        name: ArtifactName,
        #[source]
        source: InputError,
    },
}

impl LocalRunner {
    /// How the Steps of a Job are confined, for the log and the report.
    #[must_use]
    pub fn confinement(&self, containers: &Containers) -> String {
        self.containers.confinement(containers, &self.isolation)
    }

    /// Runs one Job and reports to `sink`. Blocks; several may run at once on several threads.
    pub fn run_job(&self, job: &LocalJob<'_>, cancel: &Cancel, sink: &dyn Sink) -> LocalEnd {
        let place = AttemptDirectory::new(&self.work, job.attempt);
        let end = match self.prepare(&place, job) {
            Ok(policy) => self.run_in(&place, &policy, job, cancel, sink),
            Err(error) => {
                let message = format!("{} could not be prepared: {}", job.title, chain(&error));
                failed(AttemptOutcome::Errored, message, BTreeMap::new(), None)
            }
        };
        self.sweeper.remove(place.root);
        end
    }

    fn prepare(&self, place: &AttemptDirectory, job: &LocalJob<'_>) -> Result<Policy, PrepareError> {
        let policy = Policy {
            limits: job.limits,
            ..Policy::for_attempt(&place.root, &self.data, self.cache.clone(), job.network)
        };
        let directory = |path: &Path| {
            executor::make_directory(path)
                .map_err(|source| PrepareError::Directory { path: path.to_owned(), source })
        };
        directory(&place.root)?;
        job.source.copy_into(&place.source)?;
        if !job.inputs.is_empty() {
            let store = ContentStore::open(&self.artifacts).map_err(PrepareError::Store)?;
            for input in job.inputs {
                inputs::bring(input, &store, &place.source, extract::Limits::default())
                    .map_err(|source| PrepareError::Input { name: input.name.clone(), source })?;
            }
        }
        directory(&place.scratch)?;
        if !self.isolation.is_host() || job.containers.image.is_some() {
            policy.prepare_cache().map_err(PrepareError::Cache)?;
        }
        Ok(policy)
    }

    fn run_in(
        &self,
        place: &AttemptDirectory,
        policy: &Policy,
        job: &LocalJob<'_>,
        cancel: &Cancel,
        sink: &dyn Sink,
    ) -> LocalEnd {
        let directory = place.source.join(job.directory);
        let ReuseOrder { caches, workspace, resume } = job.reuse;
        let reuses = !caches.is_empty()
            || *workspace != KeepWorkspace::Never
            || resume.is_some()
            || job.steps.iter().any(|step| step.inputs.is_some());
        let kept = self.kept.as_deref().filter(|_| reuses).map(LocalDepot::open).transpose();
        let kept = kept.unwrap_or_else(|error| {
            notice(sink, &format!("nothing is reused: {}", chain(&error)));
            None
        });
        let reuse = kept.as_ref().map(|depot| Reuse {
            depot,
            store: depot.store(),
            order: job.reuse,
            source: &place.source,
        });
        let attempt = Attempt {
            id: job.attempt,
            title: job.title,
            directory: &directory,
            scratch: &place.scratch,
            steps: job.steps,
            env: job.env,
            secrets: job.secrets,
            timeout: job.timeout,
            isolation: &self.isolation,
            policy,
            limits: self.limits,
            containers: job.containers,
            host: &self.containers,
            reuse,
            quarantine: None,
        };
        let ended = executor::run(&attempt, cancel, sink);
        say_annotations(&ended.annotations, |text| notice(sink, text));
        let found = reports::find(&directory, job.reports, |text| notice(sink, &text));
        let tests = reports::count(&found, |text| notice(sink, &text));
        if ended.outcome != AttemptOutcome::Passed || job.artifacts.is_empty() {
            return LocalEnd { ended, artifacts: BTreeMap::new(), tests };
        }
        match self.pack(&directory, place, job, cancel, sink) {
            Ok(artifacts) => LocalEnd { ended, artifacts, tests },
            Err((outcome, message)) => {
                notice(sink, &message);
                failed(outcome, message, ended.outputs, tests)
            }
        }
    }

    fn pack(
        &self,
        directory: &Path,
        place: &AttemptDirectory,
        job: &LocalJob<'_>,
        cancel: &Cancel,
        sink: &dyn Sink,
    ) -> Result<BTreeMap<ArtifactName, Digest>, (AttemptOutcome, String)> {
        let mut store = ContentStore::open(&self.artifacts).map_err(|error| {
            (AttemptOutcome::Errored, format!("nothing can be packed: {}", chain(&error)))
        })?;
        let mut artifacts = BTreeMap::new();
        for ArtifactOrder { name, files, image } in job.artifacts {
            if let Some(order) = image {
                let until = Instant::now() + job.timeout;
                let build = Build {
                    owner: job.env.get("TOWPATH_PROJECT").map_or("local", String::as_str),
                    artifact: name,
                    order,
                    directory,
                    scratch: &place.scratch,
                    network: job.network,
                    store: &store.clone(),
                    wait: Wait::until(until, cancel),
                    names: true,
                };
                let manifest = build_image(&build, &self.containers, job.secrets, &mut store, sink)?;
                artifacts.insert(name.clone(), manifest);
                continue;
            }
            let packed = towpath_artifact::pack(directory, files, &mut store).map_err(|error| {
                (AttemptOutcome::Failed, format!("artifact `{name}` was not packed: {}", chain(&error)))
            })?;
            artifacts.insert(name.clone(), packed.manifest);
        }
        Ok(artifacts)
    }
}

/// Builds an image, says so in the log without the secrets, and reports what it was made from.
pub(crate) fn build_image(
    build: &Build<'_>,
    host: &ContainerHost,
    secrets: &BTreeMap<String, Secret>,
    blobs: &mut dyn BlobSink,
    sink: &dyn Sink,
) -> Result<Digest, (AttemptOutcome, String)> {
    let masker = Masker::new(secrets.values().map(Secret::expose));
    let mut say = |text: &str| notice(sink, &String::from_utf8_lossy(&masker.mask(text.as_bytes())));
    let built = build.run(host, blobs, &mut say);
    let Built { manifest, images } = built.map_err(|refusal| (refusal.outcome, refusal.message))?;
    if !images.is_empty() {
        sink.event(AttemptEvent::Images { images });
    }
    Ok(manifest)
}

fn failed(
    outcome: AttemptOutcome,
    message: String,
    outputs: BTreeMap<String, String>,
    tests: Option<TestCounts>,
) -> LocalEnd {
    LocalEnd { ended: Ended { outputs, ..Ended::bare(outcome, message) }, artifacts: BTreeMap::new(), tests }
}

fn notice(sink: &dyn Sink, text: &str) {
    sink.line(LogLine { at: Timestamp::now(), step: None, stream: Stream::Towpath, text });
}
