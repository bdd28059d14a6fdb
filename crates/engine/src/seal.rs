//! From the Artifacts of a Run to a signed Release.

use std::collections::BTreeMap;

use towpath_artifact::release::SCHEMA;
use towpath_artifact::{CommitId, ReleaseManifest, canonical, sign_release};
use towpath_model::run::{JobRun, JobState, Run, RunEvent, SealedRelease};
use towpath_model::{ArtifactName, Digest, JobName, RunId};
use towpath_store::core::releases::{self, Release, Route};
use towpath_store::core::{outbox, runs};

use crate::error::{blocking, chain};
use crate::{Engine, EngineError, git, version};

/// The most that is sealed of an agent's word on how it confined a Job.
const MAX_EXECUTOR: usize = 300;

impl Engine {
    /// Seals what a Run made. Sealing again gives the same bytes.
    pub(crate) async fn seal(&self, effect: i64, id: RunId) -> Result<(), EngineError> {
        let mut reader = self.db().reader().await?;
        let run =
            runs::find(&mut reader, id).await?.ok_or_else(|| EngineError::not_found(format!("run {id}")))?;
        drop(reader);
        let sealed = match self.sealed(&run).await {
            Ok(sealed) => Ok(sealed),
            // A database or a disk that fails may work again; anything else would fail for ever.
            Err(error @ (EngineError::Store(_) | EngineError::Content(_))) => return Err(error),
            Err(error) => Err(chain(&error)),
        };
        let mut unit = self.begin().await?;
        let event = match sealed {
            Ok(release) => {
                let event = SealedRelease { digest: release.digest, version: release.version.clone() };
                releases::insert(&mut unit.tx, &release).await?;
                unit.announce_later(&run, &event).await?;
                RunEvent::Sealed { release: event }
            }
            Err(message) => RunEvent::SealFailed { message },
        };
        unit.run_event(id, event).await?;
        outbox::remove(&mut unit.tx, effect).await?;
        unit.commit().await
    }

    async fn sealed(&self, run: &Run) -> Result<Release, EngineError> {
        let (Some(pipeline), Some(source)) = (&run.pipeline, run.source) else {
            return Err(EngineError::invalid("the Run has no pipeline or no source"));
        };
        let repository = git::repository(&self.0.parts.repositories, &run.project);
        let newest = repository.newest_version_tag(&run.cause.commit).await?;
        let version = version::version(run, newest.as_deref());
        let artifacts = artifacts(run);
        for workload in &pipeline.workloads {
            let missing = workload.needed_artifact().filter(|needed| !artifacts.contains_key(needed));
            if let Some(artifact) = missing {
                return Err(EngineError::invalid(format!(
                    "artifact `{artifact}` of workload `{}` was not made: its job did not pass",
                    workload.name
                )));
            }
        }
        let commit = CommitId::try_from(run.cause.commit.clone())
            .map_err(|error| EngineError::internal("the commit is not one", error))?;
        let pipeline_bytes = canonical::to_vec(pipeline);
        let manifest = ReleaseManifest {
            schema: SCHEMA,
            project: run.project.clone(),
            version: version.clone(),
            commit,
            reference: run.cause.reference.clone(),
            source_tree: source,
            pipeline: Digest::of(&pipeline_bytes),
            run: run.id,
            run_number: run.number,
            artifacts,
            workloads: pipeline.workloads.clone(),
            databases: pipeline.databases.clone(),
            executors: executors(run),
        };
        let executors = manifest.executors.clone();
        let (digest, signature) = self.store_signed(manifest, pipeline_bytes).await?;
        let route = Route {
            reference: run.cause.reference.clone(),
            source,
            directory: run.directory.clone(),
            workloads: pipeline.workloads.clone(),
            databases: pipeline.databases.clone(),
            stages: pipeline.stages.clone(),
            makers: run.cause.makers.iter().cloned().collect(),
            executors,
        };
        Ok(Release {
            digest,
            project: run.project.clone(),
            version,
            run: run.id,
            commit: run.cause.commit.clone(),
            signature,
            created_at: self.now(),
            route,
        })
    }

    async fn store_signed(
        &self,
        manifest: ReleaseManifest,
        pipeline: Vec<u8>,
    ) -> Result<(Digest, Digest), EngineError> {
        let engine = self.clone();
        blocking("sealing a Release", move || {
            let bytes = manifest.to_bytes();
            let envelope = sign_release(&bytes, &engine.0.parts.release_key)
                .map_err(|error| EngineError::internal("the Release could not be signed", error))?;
            let content = engine.content();
            content.put(&pipeline)?;
            let digest = content.put(&bytes)?;
            let signature = content.put(&envelope)?;
            Ok::<_, EngineError>((digest, signature))
        })
        .await
    }
}

fn artifacts(run: &Run) -> BTreeMap<ArtifactName, Digest> {
    run.jobs.iter().flat_map(|job| &job.artifacts).map(|(name, manifest)| (name.clone(), *manifest)).collect()
}

/// What confined each Job that passed. One that was not run, since what it would find was known, says so.
fn executors(run: &Run) -> BTreeMap<JobName, String> {
    let told = |job: &JobRun| {
        let last = job.attempts.last();
        let text = last.map_or(Some(&job.reason), |attempt| attempt.isolation.as_ref())?;
        Some(text.chars().take(MAX_EXECUTOR).collect::<String>())
    };
    let passed = run.jobs.iter().filter(|job| job.state == JobState::Passed);
    passed.filter_map(|job| Some((job.name.clone(), told(job)?))).collect()
}
