//! What people do with Promotions and Environments.

use towpath_model::environment::{
    Environment, EnvironmentEvent, NewPromotion, PromotionKind, PromotionPlan, Revision,
};
use towpath_model::migration;
use towpath_model::pipeline::{Analysis, OnFailure, Strategy};
use towpath_model::timeline::{Actor, Entry};
use towpath_model::{Digest, EnvironmentKey, PromotionId};
use towpath_store::core::{promotions, releases};

use crate::route::{self, missing, revision};
use crate::{Engine, EngineError, Person};

/// A Release that somebody wants in an Environment.
#[derive(Debug, Clone)]
pub struct PromoteRequest {
    /// Where to.
    pub environment: EnvironmentKey,
    /// The Release's version.
    pub version: String,
    /// Their words.
    pub comment: String,
    /// Takes the Revision out of quarantine.
    pub override_quarantine: bool,
}

impl Engine {
    /// Proposes a Release for an Environment. Its Gates still have to open.
    ///
    /// # Errors
    /// When there is no such Release, an earlier Stage has not passed, or the Environment refuses it.
    pub async fn promote(
        &self,
        request: &PromoteRequest,
        person: &Person,
    ) -> Result<Environment, EngineError> {
        let key = &request.environment;
        let mut unit = self.begin().await?;
        let environment = unit.environment(key).await?;
        let release = releases::by_version(&mut unit.tx, &key.project, &request.version).await?;
        let release = release.ok_or_else(|| {
            EngineError::not_found(format!("release {} of {}", request.version, key.project))
        })?;
        let stage =
            release.route.stages.iter().find(|stage| stage.environments.contains(&key.environment)).cloned();
        let stage = stage.ok_or_else(|| {
            EngineError::refused(format!(
                "no stage of {} leads to {key}; see its towpath.yaml",
                release.version
            ))
        })?;
        let passed = unit.passed(release.digest).await?;
        if let Some(missing) = missing(&release, &stage, &passed) {
            let reason =
                format!("{} has not passed stage `{missing}` yet; promote it there first", release.version);
            return Err(EngineError::refused(reason));
        }
        let new = route::new_promotion(&environment, &release, &stage, person.actor())
            .map_err(EngineError::refused)?;
        let older_than = unit.runs_newer(&environment, &release).await?;
        let new = NewPromotion {
            id: PromotionId(uuid::Uuid::now_v7()),
            comment: request.comment.clone(),
            override_quarantine: request.override_quarantine,
            older_than,
            ..new
        };
        let environment =
            unit.environment_event(key, EnvironmentEvent::PromotionRequested(Box::new(new))).await?;
        unit.commit().await?;
        Ok(environment)
    }

    /// Says yes or no to a Promotion. `binding` is what the person saw; it is refused if that has changed.
    ///
    /// # Errors
    /// When the Promotion does not wait any more, has changed, or the person's word does not count.
    pub async fn vote(
        &self,
        promotion: PromotionId,
        approve: bool,
        comment: &str,
        binding: Option<Digest>,
        person: &Person,
    ) -> Result<Environment, EngineError> {
        let key = self.environment_of(promotion).await?;
        let event = EnvironmentEvent::Voted {
            promotion,
            voter: person.voter(),
            approve,
            comment: comment.to_owned(),
            binding,
        };
        self.environment_order(&key, event).await
    }

    /// Lifts the holds of a Promotion: the one with a name, or every one that the person may lift.
    ///
    /// # Errors
    /// When it does not wait any more, no such hold is left, or the person may not lift it.
    pub async fn lift(
        &self,
        promotion: PromotionId,
        name: Option<&str>,
        comment: &str,
        person: &Person,
    ) -> Result<Environment, EngineError> {
        let key = self.environment_of(promotion).await?;
        let event = EnvironmentEvent::Lifted {
            promotion,
            voter: person.voter(),
            name: name.map(str::to_owned),
            comment: comment.to_owned(),
        };
        self.environment_order(&key, event).await
    }

    /// Holds an Environment: nothing is promoted by itself, and a running Rollout stays where it is.
    ///
    /// # Errors
    /// When it is on hold already.
    pub async fn hold(
        &self,
        key: &EnvironmentKey,
        reason: &str,
        person: &Person,
    ) -> Result<Environment, EngineError> {
        let event = EnvironmentEvent::HoldRequested { actor: person.actor(), reason: reason.to_owned() };
        self.environment_order(key, event).await
    }

    /// Lets an Environment, and a held Rollout, go on. What the hold kept away is offered again.
    ///
    /// # Errors
    /// When nothing is on hold.
    pub async fn resume(
        &self,
        key: &EnvironmentKey,
        reason: &str,
        person: &Person,
    ) -> Result<Environment, EngineError> {
        let mut unit = self.begin().await?;
        let hold = unit.environment(key).await?.hold;
        let event = EnvironmentEvent::ResumeRequested { actor: person.actor(), reason: reason.to_owned() };
        let mut environment = unit.environment_event(key, event).await?;
        if let Some(hold) = hold {
            unit.offer_again(&environment, &hold).await?;
            environment = unit.environment(key).await?;
        }
        unit.commit().await?;
        Ok(environment)
    }

    /// Withdraws a waiting Promotion.
    ///
    /// # Errors
    /// When it does not wait any more.
    pub async fn withdraw(
        &self,
        promotion: PromotionId,
        reason: &str,
        person: &Person,
    ) -> Result<Environment, EngineError> {
        let key = self.environment_of(promotion).await?;
        let event =
            EnvironmentEvent::Withdrawn { promotion, actor: person.actor(), reason: reason.to_owned() };
        self.environment_order(&key, event).await
    }

    /// Goes back: a running Rollout turns around; else an earlier Revision comes back, exempt from every Gate.
    ///
    /// `to` is a version or a Revision's digest; without it, what served before. `anyway` goes past a migration for which
    /// that was not made.
    ///
    /// # Errors
    /// When there is nothing to go back to, or the databases have gone on without it.
    pub async fn rollback(
        &self,
        key: &EnvironmentKey,
        to: Option<&str>,
        anyway: bool,
        comment: &str,
        person: &Person,
    ) -> Result<Environment, EngineError> {
        let mut unit = self.begin().await?;
        let environment = unit.environment(key).await?;
        let event = match (to, &environment.active) {
            (None, Some(_)) => {
                let reason =
                    if comment.is_empty() { "asked for by hand".to_owned() } else { comment.to_owned() };
                EnvironmentEvent::AbortRequested { actor: person.actor(), reason }
            }
            (to, _) => {
                let revision = way_back(&environment, to)?.clone();
                if !anyway {
                    check_databases(&environment, &revision)?;
                }
                let new = rollback_promotion(revision, comment, person);
                EnvironmentEvent::RollbackRequested(Box::new(new))
            }
        };
        let environment = unit.environment_event(key, event).await?;
        unit.commit().await?;
        Ok(environment)
    }

    /// Where a Promotion belongs.
    ///
    /// # Errors
    /// When there is no such Promotion.
    pub async fn environment_of(&self, promotion: PromotionId) -> Result<EnvironmentKey, EngineError> {
        let mut reader = self.db().reader().await?;
        let found = promotions::find(&mut reader, promotion).await?;
        Ok(found.ok_or_else(|| EngineError::not_found(format!("promotion {promotion}")))?.environment)
    }

    async fn environment_order(
        &self,
        key: &EnvironmentKey,
        event: EnvironmentEvent,
    ) -> Result<Environment, EngineError> {
        let mut unit = self.begin().await?;
        let environment = unit.environment_event(key, event).await?;
        unit.commit().await?;
        Ok(environment)
    }
}

impl crate::unit::Unit<'_> {
    /// The version that runs, where it was sealed after a Release.
    async fn runs_newer(
        &mut self,
        environment: &Environment,
        release: &releases::Release,
    ) -> Result<Option<String>, EngineError> {
        let Some(current) = &environment.current else { return Ok(None) };
        let runs = releases::find(&mut self.tx, current.revision.release).await?;
        Ok(runs.filter(|runs| runs.created_at > release.created_at).map(|runs| runs.version))
    }

    /// Gives an Environment the configuration that its document and its secrets make now; if that is a new one,
    /// proposes it for the Release that runs there.
    pub(crate) async fn refresh_config(
        &mut self,
        key: &EnvironmentKey,
        person: &Person,
    ) -> Result<(), EngineError> {
        let environment = self.environment(key).await?;
        let policy = environment.policy.clone();
        let config = self.make_config(key, &policy.document).await?;
        if config == environment.config {
            return Ok(());
        }
        let event =
            EnvironmentEvent::PolicyApplied { policy: Box::new(policy), config, actor: person.actor() };
        let environment = self.environment_event(key, event).await?;
        self.propose_config(&environment, person.actor()).await
    }

    /// Proposes the newest configuration for the Release that waits for an Environment, else for the one that runs there.
    ///
    /// While a Rollout runs, its end decides for which Release: see [`Engine::settled`].
    pub(crate) async fn propose_config(
        &mut self,
        environment: &Environment,
        actor: Actor,
    ) -> Result<(), EngineError> {
        let running = environment.current.as_ref().map(|current| &current.revision);
        let waiting = environment.in_line().last().map(|waiting| &waiting.revision);
        let Some(base) = waiting.or(running.filter(|_| environment.active.is_none())) else { return Ok(()) };
        if base.config == environment.config {
            return Ok(());
        }
        let Some(release) = releases::find(&mut self.tx, base.release).await? else { return Ok(()) };
        let key = &environment.key;
        let stages = &release.route.stages;
        let Some(stage) = stages.iter().find(|stage| stage.environments.contains(&key.environment)) else {
            return Ok(());
        };
        let mut makers = release.route.makers.clone();
        makers.extend(actor.login().map(str::to_owned));
        let new = NewPromotion {
            id: PromotionId(uuid::Uuid::now_v7()),
            revision: revision(&release, environment.config),
            kind: PromotionKind::Configuration,
            plan: route::plan(environment, stage),
            makers,
            actor,
            comment: String::new(),
            override_quarantine: false,
            older_than: None,
        };
        let version = &release.version;
        let what = format!("{version} with the new configuration");
        self.request_or_note(key, new, &what).await
    }

    /// Requests a Promotion; where the Environment refuses it, the timeline says why.
    pub(crate) async fn request_or_note(
        &mut self,
        key: &EnvironmentKey,
        new: NewPromotion,
        what: &str,
    ) -> Result<(), EngineError> {
        let release = new.revision.release;
        let event = EnvironmentEvent::PromotionRequested(Box::new(new));
        match self.environment_event(key, event).await {
            Ok(_) => Ok(()),
            Err(EngineError::Refused { reason }) => self.not_proposed(key, release, what, &reason).await,
            Err(error) => Err(error),
        }
    }

    /// Writes down why a Release was not proposed for an Environment.
    pub(crate) async fn not_proposed(
        &mut self,
        key: &EnvironmentKey,
        release: Digest,
        what: &str,
        reason: &str,
    ) -> Result<(), EngineError> {
        let text = format!("{what} was not proposed for {key}: {reason}");
        let entry = Entry::new("promotion-refused", Actor::Towpath, text).fact("release", release);
        self.record(Some(&key.project), Some(key), &format!("release:{release}"), entry).await
    }
}

pub(crate) fn rollback_promotion(revision: Revision, comment: &str, person: &Person) -> NewPromotion {
    NewPromotion {
        id: PromotionId(uuid::Uuid::now_v7()),
        revision,
        kind: PromotionKind::Rollback,
        plan: PromotionPlan {
            stage: towpath_model::StageName::rollback(),
            gates: Vec::new(),
            strategy: Strategy::Recreate,
            analysis: Analysis::default(),
            verify: Vec::new(),
            before: 0,
            on_failure: OnFailure::Rollback,
            // Readiness alone decides; fifteen minutes are enough for any cold start that still helps.
            deadline: jiff::SignedDuration::from_mins(15),
        },
        makers: std::collections::BTreeSet::new(),
        actor: person.actor(),
        comment: comment.to_owned(),
        override_quarantine: true,
        older_than: None,
    }
}

/// Refuses a Revision whose code the databases have left behind.
fn check_databases(environment: &Environment, back: &Revision) -> Result<(), EngineError> {
    let Some(current) = &environment.current else { return Ok(()) };
    let Some(why) = migration::closed(&back.databases, &current.revision.databases) else { return Ok(()) };
    let version = &back.version;
    Err(EngineError::refused(format!(
        "{version} cannot run on the databases of {}: {why}. Roll forward: mend {} and promote that. If you know that {version} runs \
         there all the same: `towpath rollback {} --to {version} --anyway`",
        environment.key, current.revision.version, environment.key
    )))
}

fn way_back<'e>(environment: &'e Environment, to: Option<&str>) -> Result<&'e Revision, EngineError> {
    let key = &environment.key;
    let past = environment.history.iter().map(|deployment| &deployment.revision);
    let Some(to) = to else {
        return environment.way_back().ok_or_else(|| {
            let nothing =
                if environment.history.is_empty() { "nothing ran" } else { "only revoked releases ran" };
            EngineError::refused(format!("{nothing} in {key} before; there is no way back"))
        });
    };
    let current = environment.current.iter().map(|deployment| &deployment.revision);
    let fits = |revision: &&Revision| revision.version == to || revision.digest.to_string() == to;
    past.chain(current).find(fits).ok_or_else(|| {
        let known: Vec<&str> =
            environment.history.iter().map(|past| past.revision.version.as_str()).collect();
        let known = if known.is_empty() { "nothing".to_owned() } else { known.join(", ") };
        EngineError::refused(format!("{to} did not run in {key}; earlier there ran {known}"))
    })
}
