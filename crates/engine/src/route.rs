//! The route: which Environment a Release goes to next.

use std::collections::BTreeSet;

use towpath_artifact::Revision as RevisionName;
use towpath_model::environment::{
    Environment, EnvironmentEvent, Hold, NewPromotion, Outcome, Promotion, PromotionKind, PromotionPlan,
    Revision,
};
use towpath_model::intake;
use towpath_model::migration;
use towpath_model::pattern::fits;
use towpath_model::pipeline::{Gate, Stage};
use towpath_model::timeline::Actor;
use towpath_model::{Digest, EnvironmentKey, EnvironmentName, PromotionId, StageName};
use towpath_store::core::releases::{self, Release};
use towpath_store::core::{Connection, environments, outbox, promotions};

use crate::unit::Unit;
use crate::{Engine, EngineError};

impl Engine {
    /// Offers a Release to the Stages that nothing comes before.
    pub(crate) async fn offer(&self, effect: i64, digest: Digest) -> Result<(), EngineError> {
        let mut unit = self.begin().await?;
        unit.go_on(digest).await?;
        outbox::remove(&mut unit.tx, effect).await?;
        unit.commit().await
    }

    /// A Promotion ended: its Release may go on to the Stages behind.
    pub(crate) async fn settled(
        &self,
        effect: i64,
        key: &EnvironmentKey,
        id: PromotionId,
    ) -> Result<(), EngineError> {
        let mut unit = self.begin().await?;
        let promotion = promotions::find(&mut unit.tx, id).await?;
        if let Some(promotion) = promotion {
            if promotion.outcome == Some(Outcome::Succeeded) {
                unit.go_on(promotion.revision.release).await?;
                unit.wake_soaks(key).await?;
            }
            unit.name_suspects(key, &promotion).await?;
            unit.try_suspect(key).await?;
            unit.catch_up_config(key, &promotion).await?;
            unit.offer_untried(key).await?;
        }
        outbox::remove(&mut unit.tx, effect).await?;
        unit.commit().await
    }
}

impl Unit<'_> {
    /// Proposes the configuration that came while a Promotion was on its way. Who went back keeps what ran then.
    async fn catch_up_config(&mut self, key: &EnvironmentKey, ended: &Promotion) -> Result<(), EngineError> {
        let environment = self.environment(key).await?;
        let outdated = ended.kind != PromotionKind::Rollback && ended.revision.config != environment.config;
        if outdated && environment.active.is_none() && environment.waiting.is_none() {
            self.propose_config(&environment, Actor::Towpath).await?;
        }
        Ok(())
    }

    /// Proposes a Release wherever it is its turn and it comes by itself.
    async fn go_on(&mut self, digest: Digest) -> Result<(), EngineError> {
        let Some(release) = releases::find(&mut self.tx, digest).await? else { return Ok(()) };
        let passed = self.passed(digest).await?;
        let tried: BTreeSet<EnvironmentName> = promotions::of_release(&mut self.tx, digest)
            .await?
            .into_iter()
            .map(|promotion| promotion.environment.environment)
            .collect();
        for stage in release.route.stages.clone() {
            if missing(&release, &stage, &passed).is_some() {
                continue;
            }
            for name in stage.environments.iter().filter(|name| !tried.contains(name)) {
                self.propose(&release, &stage, name).await?;
            }
        }
        Ok(())
    }

    /// An Environment is new: the newest Release that may enter it does, where its Stage takes Releases by itself.
    pub(crate) async fn offer_newest(&mut self, environment: &Environment) -> Result<(), EngineError> {
        match newest_for(&mut self.tx, environment).await? {
            Some((release, stage)) => self.propose(&release, &stage, &environment.key.environment).await,
            None => Ok(()),
        }
    }

    /// A hold has ended: what it kept away comes now, unless a person promotes there. What a rollback left does not.
    pub(crate) async fn offer_again(
        &mut self,
        environment: &Environment,
        hold: &Hold,
    ) -> Result<(), EngineError> {
        let free =
            environment.hold.is_none() && environment.active.is_none() && environment.waiting.is_none();
        let Some(current) = environment.current.as_ref().filter(|_| free) else { return Ok(()) };
        let Some(runs) = releases::find(&mut self.tx, current.revision.release).await? else { return Ok(()) };
        let Some((release, stage)) = newest_for(&mut self.tx, environment).await? else { return Ok(()) };
        let kept_away = hold.promotion.is_some() || release.created_at > hold.at;
        let by_hand = *intake::promote(Some(&environment.policy.document), &stage) == intake::Promote::Manual;
        if release.created_at <= runs.created_at || !kept_away || by_hand {
            return Ok(());
        }
        match new_promotion(environment, &release, &stage, Actor::Towpath) {
            // It may have been proposed before, and superseded by what a person wanted.
            Ok(new) => {
                let id = PromotionId(uuid::Uuid::now_v7());
                self.request_or_note(&environment.key, NewPromotion { id, ..new }, &release.version).await
            }
            Err(_) => Ok(()),
        }
    }

    /// Proposes the newest Release where it was kept away when its turn came, as by a line that was full or a hold that is over.
    async fn offer_untried(&mut self, key: &EnvironmentKey) -> Result<(), EngineError> {
        let environment = self.environment(key).await?;
        let free =
            environment.hold.is_none() && environment.active.is_none() && environment.waiting.is_none();
        let Some(current) = environment.current.as_ref().filter(|_| free) else { return Ok(()) };
        let Some(runs) = releases::find(&mut self.tx, current.revision.release).await? else { return Ok(()) };
        let Some((release, stage)) = newest_for(&mut self.tx, &environment).await? else { return Ok(()) };
        let tried = promotions::of_release(&mut self.tx, release.digest).await?;
        let tried = tried.iter().any(|promotion| promotion.environment == *key);
        if tried || release.created_at <= runs.created_at {
            return Ok(());
        }
        self.propose(&release, &stage, &key.environment).await
    }

    async fn propose(
        &mut self,
        release: &Release,
        stage: &Stage,
        name: &EnvironmentName,
    ) -> Result<(), EngineError> {
        let key = EnvironmentKey { project: release.project.clone(), environment: name.clone() };
        let known = environments::find(&mut self.tx, &key).await?;
        let document = known.as_ref().map(|environment| &environment.policy.document);
        if *intake::promote(document, stage) == intake::Promote::Manual {
            return Ok(());
        }
        let Some(environment) = known else {
            let reason = format!("{key} has no document yet; `towpath apply` makes it");
            return self.not_proposed(&key, release.digest, &release.version, &reason).await;
        };
        match new_promotion(&environment, release, stage, Actor::Towpath) {
            Ok(new) => self.request_or_note(&key, new, &release.version).await,
            Err(reason) => self.not_proposed(&key, release.digest, &release.version, &reason).await,
        }
    }

    /// Environments in which a Promotion of a Release succeeded.
    pub(crate) async fn passed(&mut self, release: Digest) -> Result<BTreeSet<EnvironmentName>, EngineError> {
        passed(&mut self.tx, release).await
    }

    /// What runs in an Environment has changed: soaks elsewhere in the Project look again.
    async fn wake_soaks(&mut self, key: &EnvironmentKey) -> Result<(), EngineError> {
        for other in environments::all(&mut self.tx, Some(&key.project)).await? {
            let soaks = other.in_line().flat_map(|waiting| &waiting.plan.gates);
            let concerned = soaks.into_iter().any(|gate| looks_at(gate, &key.environment));
            if concerned {
                self.environment_event(&other.key, EnvironmentEvent::Looked).await?;
            }
        }
        Ok(())
    }
}

/// Whether a Gate depends on what runs in another Environment of the Project.
fn looks_at(gate: &Gate, environment: &EnvironmentName) -> bool {
    match gate {
        Gate::Soak(gate) => gate.environment == *environment,
        Gate::Upstream(gate) => gate.environment == *environment,
        _ => false,
    }
}

pub(crate) async fn passed(
    db: &mut Connection,
    release: Digest,
) -> Result<BTreeSet<EnvironmentName>, EngineError> {
    let all = promotions::of_release(db, release).await?;
    let succeeded = all.into_iter().filter(|promotion| promotion.outcome == Some(Outcome::Succeeded));
    Ok(succeeded.map(|promotion| promotion.environment.environment).collect())
}

/// How many Releases are looked through for one that may enter an Environment.
const LOOKED_THROUGH: u32 = 20;

/// The newest Release that may enter an Environment, with the Stage that leads there: it has passed the Stages before, its
/// ref is allowed, and it was not rolled back there.
pub(crate) async fn newest_for(
    db: &mut Connection,
    environment: &Environment,
) -> Result<Option<(Release, Stage)>, EngineError> {
    let key = &environment.key;
    for release in releases::page(db, &key.project, None, LOOKED_THROUGH).await? {
        let here = |stage: &&Stage| stage.environments.contains(&key.environment);
        let Some(stage) = release.route.stages.iter().find(here).cloned() else { continue };
        let allowed = new_promotion(environment, &release, &stage, Actor::Towpath);
        let allowed = allowed.is_ok_and(|new| !environment.quarantine.contains_key(&new.revision.digest));
        let allowed = allowed && !environment.revoked.contains_key(&release.digest);
        if allowed && missing(&release, &stage, &passed(db, release.digest).await?).is_none() {
            return Ok(Some((release, stage)));
        }
    }
    Ok(None)
}

/// The first Stage before this one that a Release has not passed.
pub(crate) fn missing(
    release: &Release,
    stage: &Stage,
    passed: &BTreeSet<EnvironmentName>,
) -> Option<StageName> {
    let done = |name: &StageName| {
        let before = release.route.stages.iter().find(|stage| stage.name == *name);
        before.is_some_and(|before| before.environments.iter().all(|name| passed.contains(name)))
    };
    stage.needs.iter().find(|name| !done(name)).cloned()
}

/// A Promotion of a Release into an Environment, or in words why there can be none.
///
/// Its identity comes from what it is, so that proposing it twice proposes it once.
pub(crate) fn new_promotion(
    environment: &Environment,
    release: &Release,
    stage: &Stage,
    actor: Actor,
) -> Result<NewPromotion, String> {
    let document = &environment.policy.document;
    let reference = &release.route.reference;
    if !document.allow.refs.iter().any(|pattern| fits(pattern, reference)) {
        return Err(format!(
            "it was made from {reference}, and {} allows only {}",
            environment.key,
            document.allow.refs.join(", ")
        ));
    }
    let revision = revision(release, environment.config);
    let applied = environment.current.as_ref().map_or(&[][..], |current| &current.revision.databases);
    if let Some(contradiction) = migration::contradiction(applied, &revision.databases) {
        return Err(contradiction);
    }
    let id = promotion_id(&format!("{}\0{}\0proposed", environment.key, revision.digest));
    Ok(NewPromotion {
        id,
        revision,
        kind: PromotionKind::Release,
        plan: plan(environment, stage),
        makers: release.route.makers.clone(),
        actor,
        comment: String::new(),
        override_quarantine: false,
        older_than: None,
    })
}

/// A Release with a configuration.
pub(crate) fn revision(release: &Release, config: Digest) -> Revision {
    Revision {
        digest: RevisionName { release: release.digest, config }.digest(),
        release: release.digest,
        signature: release.signature,
        config,
        version: release.version.clone(),
        commit: release.commit.clone(),
        source: release.route.source,
        directory: release.route.directory.clone(),
        workloads: release.route.workloads.clone(),
        databases: release.route.databases.clone(),
    }
}

/// What the commit wishes under what the Environment demands.
pub(crate) fn plan(environment: &Environment, stage: &Stage) -> PromotionPlan {
    let document = &environment.policy.document;
    let schedule = intake::schedule(Some(document), stage);
    PromotionPlan {
        stage: stage.name.clone(),
        gates: document.gates.iter().chain(&stage.gates).cloned().chain(schedule).collect(),
        strategy: stage.strategy.clone(),
        analysis: stage.analysis.clone(),
        verify: stage.before.iter().chain(&stage.verify).cloned().collect(),
        before: stage.before.len(),
        on_failure: stage.on_failure,
        deadline: stage.deadline,
    }
}

/// An identity that is the same for the same name.
pub(crate) fn promotion_id(name: &str) -> PromotionId {
    PromotionId(towpath_model::ids::derived("promotion", name))
}
