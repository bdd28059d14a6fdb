//! What pages and commands ask.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use towpath_artifact::ReleaseManifest;
use towpath_model::environment::{Environment, Promotion};
use towpath_model::run::Run;
use towpath_model::{AttemptId, Digest, EnvironmentKey, ProjectName, PromotionId};
use towpath_store::core::agents::{self, Agent};
use towpath_store::core::gateways::{self, Gateway};
use towpath_store::core::measurements::{self, Total};
use towpath_store::core::projects::{self, Project};
use towpath_store::core::releases::{self, Release};
use towpath_store::core::{attempts, environments, policy_changes, promotions, runs};

use crate::error::blocking;
use crate::{Engine, EngineError};

/// An Environment with what it waits for.
#[derive(Debug, Clone)]
pub struct EnvironmentStatus {
    /// The Environment.
    pub environment: Environment,
    /// What it waits for, one sentence each, most important first.
    pub waits: Vec<String>,
}

/// A part of a log.
#[derive(Debug, Clone)]
pub struct LogPage {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// The offset behind them.
    pub next: u64,
    /// Whether more may come.
    pub open: bool,
}

/// A Release's way through the Stages.
#[derive(Debug, Clone)]
pub struct Journey {
    /// The Release.
    pub release: Release,
    /// Its manifest.
    pub manifest: ReleaseManifest,
    /// One step for each Environment of each Stage, in the order of the route.
    pub steps: Vec<JourneyStep>,
}

/// One Environment on a Release's way.
#[derive(Debug, Clone)]
pub struct JourneyStep {
    /// The Stage.
    pub stage: String,
    /// The Environment.
    pub environment: EnvironmentKey,
    /// The newest Promotion of the Release there.
    pub promotion: Option<Promotion>,
    /// What it waits for.
    pub waits: Vec<String>,
    /// Whether the Release is what serves there now.
    pub serves: bool,
}

impl Engine {
    /// Makes a Project with an empty history.
    ///
    /// # Errors
    /// When the name is taken.
    pub async fn create_project(&self, project: &Project, person: &crate::Person) -> Result<(), EngineError> {
        let mut unit = self.begin().await?;
        if !projects::insert(&mut unit.tx, project).await? {
            return Err(EngineError::refused(format!("a project named {} is there already", project.name)));
        }
        let text = format!("{} made project {}", person.login, project.name);
        let entry = towpath_model::timeline::Entry::new("project-created", person.actor(), text);
        unit.record(Some(&project.name), None, &format!("project:{}", project.name), entry).await?;
        unit.commit().await
    }

    /// Every Project.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn projects(&self) -> Result<Vec<Project>, EngineError> {
        Ok(projects::all(&mut *self.db().reader().await?).await?)
    }

    /// One Project.
    ///
    /// # Errors
    /// When there is none of that name.
    pub async fn project(&self, name: &ProjectName) -> Result<Project, EngineError> {
        let found = projects::find(&mut *self.db().reader().await?, name).await?;
        found.ok_or_else(|| EngineError::not_found(format!("project {name}")))
    }

    /// Runs, newest first, `limit` at most; with `below`, only those with a smaller number.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn runs(
        &self,
        project: Option<&ProjectName>,
        below: Option<u64>,
        limit: u32,
    ) -> Result<Vec<Run>, EngineError> {
        Ok(runs::page(&mut *self.db().reader().await?, project, below, limit).await?)
    }

    /// One Run.
    ///
    /// # Errors
    /// When there is none.
    pub async fn find_run(&self, project: &ProjectName, number: u64) -> Result<Run, EngineError> {
        let found = runs::by_number(&mut *self.db().reader().await?, project, number).await?;
        found.ok_or_else(|| EngineError::not_found(format!("run {project}#{number}")))
    }

    /// A part of an Attempt's log, from a byte offset on.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn log(&self, attempt: AttemptId, offset: u64, max: usize) -> Result<LogPage, EngineError> {
        let logs = Arc::clone(self.logs());
        // Whether it has ended is asked first: what is added afterwards is read with the next call.
        let known = attempts::find(&mut *self.db().reader().await?, attempt).await?;
        blocking("reading a log", move || {
            let open = known.is_some() && logs.sealed(attempt)?.is_none();
            let bytes = logs.read(attempt, offset, max)?;
            let next = offset + bytes.len() as u64;
            Ok::<_, towpath_artifact::LogError>(LogPage { bytes, next, open })
        })
        .await
    }

    /// Releases of a Project, newest first, `limit` at most; with `before`, only older ones.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn releases(
        &self,
        project: &ProjectName,
        before: Option<Timestamp>,
        limit: u32,
    ) -> Result<Vec<Release>, EngineError> {
        Ok(releases::page(&mut *self.db().reader().await?, project, before, limit).await?)
    }

    /// One Release.
    ///
    /// # Errors
    /// When there is none, or the database fails.
    pub async fn release(&self, project: &ProjectName, version: &str) -> Result<Release, EngineError> {
        let mut db = self.db().reader().await?;
        let release = releases::by_version(&mut db, project, version).await?;
        release.ok_or_else(|| EngineError::not_found(format!("release {version} of {project}")))
    }

    /// A Release's way through the Stages.
    ///
    /// # Errors
    /// When there is no such Release, or its manifest is gone.
    pub async fn journey(&self, project: &ProjectName, version: &str) -> Result<Journey, EngineError> {
        let mut db = self.db().snapshot().await?;
        let release = releases::by_version(&mut db, project, version).await?;
        let release =
            release.ok_or_else(|| EngineError::not_found(format!("release {version} of {project}")))?;
        let mut newest: BTreeMap<EnvironmentKey, Promotion> = BTreeMap::new();
        for promotion in promotions::of_release(&mut db, release.digest).await? {
            newest.insert(promotion.environment.clone(), promotion);
        }
        let known = environments::all(&mut db, Some(project)).await?;
        let mut steps = Vec::new();
        for stage in &release.route.stages {
            for name in &stage.environments {
                let key = EnvironmentKey { project: project.clone(), environment: name.clone() };
                let promotion = newest.get(&key).cloned();
                let here = known.iter().find(|known| known.key == key);
                let serves = here
                    .and_then(|environment| environment.current.as_ref())
                    .is_some_and(|current| current.revision.release == release.digest);
                let waits = match here {
                    Some(environment) if promotion.as_ref().is_some_and(|p| p.outcome.is_none()) => {
                        environment.waits(&self.facts(&mut db, environment, None).await?, self.now())
                    }
                    Some(_) => Vec::new(),
                    None => vec![format!("{key} has no document yet; `towpath apply` makes it")],
                };
                let stage = stage.name.to_string();
                steps.push(JourneyStep { stage, environment: key, promotion, waits, serves });
            }
        }
        drop(db);
        let manifest = self.manifest(release.digest).await?;
        Ok(Journey { release, manifest, steps })
    }

    /// The sealed manifest of a Release.
    ///
    /// # Errors
    /// When it is gone or cannot be read.
    pub async fn manifest(&self, digest: Digest) -> Result<ReleaseManifest, EngineError> {
        let content = self.content().clone();
        blocking("reading a Release", move || {
            let bytes = content.read(digest, towpath_artifact::release::MAX_BYTES as u64)?;
            ReleaseManifest::parse(&bytes)
                .map_err(|error| EngineError::internal("the Release cannot be read", error))
        })
        .await
    }

    /// The Environments of a Project, or of all, with what they wait for.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn environments(
        &self,
        project: Option<&ProjectName>,
    ) -> Result<Vec<EnvironmentStatus>, EngineError> {
        let mut db = self.db().snapshot().await?;
        let mut all = Vec::new();
        for environment in environments::all(&mut db, project).await? {
            let facts = self.facts(&mut db, &environment, None).await?;
            let mut waits = environment.waits(&facts, self.now());
            waits.extend(policy_wait(&mut db, &environment).await?);
            all.push(EnvironmentStatus { environment, waits });
        }
        Ok(all)
    }

    /// One Environment with what it waits for.
    ///
    /// # Errors
    /// When there is none.
    pub async fn environment(&self, key: &EnvironmentKey) -> Result<EnvironmentStatus, EngineError> {
        let mut db = self.db().snapshot().await?;
        let environment = environments::find(&mut db, key).await?;
        let environment = environment.ok_or_else(|| EngineError::not_found(format!("environment {key}")))?;
        let mut waits = environment.waits(&self.facts(&mut db, &environment, None).await?, self.now());
        waits.extend(policy_wait(&mut db, &environment).await?);
        Ok(EnvironmentStatus { environment, waits })
    }

    /// The version of the newest Release that may enter an Environment and is neither there nor on its way.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn offered(&self, environment: &Environment) -> Result<Option<String>, EngineError> {
        let mut db = self.db().snapshot().await?;
        let newest = crate::route::newest_for(&mut db, environment).await?.map(|(release, _)| release);
        let coming = environment.active.iter().chain(environment.in_line());
        let known = coming.map(|promotion| &promotion.revision);
        let known = known.chain(environment.current.iter().map(|current| &current.revision));
        let known: Vec<Digest> = known.map(|revision| revision.release).collect();
        Ok(newest.filter(|release| !known.contains(&release.digest)).map(|release| release.version))
    }

    /// One Promotion, ended or not.
    ///
    /// # Errors
    /// When there is none.
    pub async fn promotion(&self, id: PromotionId) -> Result<Promotion, EngineError> {
        let found = promotions::find(&mut *self.db().reader().await?, id).await?;
        found.ok_or_else(|| EngineError::not_found(format!("promotion {id}")))
    }

    /// Promotions into an Environment, newest first, `limit` at most.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn promotions_of(
        &self,
        key: &EnvironmentKey,
        limit: u32,
    ) -> Result<Vec<Promotion>, EngineError> {
        Ok(promotions::of_environment(&mut *self.db().reader().await?, key, limit).await?)
    }

    /// Every Promotion that has not ended, oldest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn open_promotions(&self) -> Result<Vec<Promotion>, EngineError> {
        Ok(promotions::open(&mut *self.db().reader().await?).await?)
    }

    /// Requests and errors of each Revision in an Environment, over all time that is kept.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn totals(&self, key: &EnvironmentKey) -> Result<Vec<Total>, EngineError> {
        Ok(measurements::totals(&mut *self.db().reader().await?, key).await?)
    }

    /// The versions of the Revisions that an Environment ran or tried lately, by their digests.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn versions_in(&self, key: &EnvironmentKey) -> Result<BTreeMap<Digest, String>, EngineError> {
        let all = self.promotions_of(key, 500).await?;
        Ok(all.into_iter().map(|promotion| (promotion.revision.digest, promotion.revision.version)).collect())
    }

    /// Every agent, each with whether it is connected.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn agents(&self) -> Result<Vec<(Agent, bool)>, EngineError> {
        let all = agents::all(&mut *self.db().reader().await?).await?;
        let now = self.now();
        Ok(all
            .into_iter()
            .map(|agent| {
                let connected = self.0.live.is_connected(agent.id, agent.seen_at, now);
                (agent, connected)
            })
            .collect())
    }

    /// Every gateway.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn gateways(&self) -> Result<Vec<Gateway>, EngineError> {
        Ok(gateways::all(&mut *self.db().reader().await?).await?)
    }
}

/// What a document waits for that loosens an Environment's policy.
async fn policy_wait(
    db: &mut towpath_store::core::Connection,
    environment: &Environment,
) -> Result<Option<String>, EngineError> {
    let open = policy_changes::open(db, &environment.key).await?;
    Ok(open.map(|change| change.waits(&environment.policy)))
}
