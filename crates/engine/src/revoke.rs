//! Taking a Release back for good, and letting it start again.

use towpath_model::environment::{Environment, EnvironmentEvent};
use towpath_model::intake::Intake;
use towpath_model::migration;
use towpath_model::revocation::{Lifting, OnRevocation, Revocation, Unrevoke};
use towpath_model::timeline::Entry;
use towpath_model::{Digest, EnvironmentKey, ProjectName};
use towpath_store::core::releases::{self, Release};
use towpath_store::core::{environments, revocations};

use crate::promote::rollback_promotion;
use crate::unit::Unit;
use crate::{Engine, EngineError, Person};

/// What a revocation came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revoked {
    /// Which Release.
    pub release: Digest,
    /// By whom, and why; absent once it may start again.
    pub revocation: Option<Revocation>,
    /// Where it serves or moves, and what is done there or what to do.
    pub places: Vec<RevokedPlace>,
}

/// An Environment in which a revoked Release serves or moves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevokedPlace {
    /// Which.
    pub environment: EnvironmentKey,
    /// What happens there, or what to do, as a sentence.
    pub text: String,
}

impl Engine {
    /// Takes a Release back: it starts nowhere any more. With `then`, what a running Rollout of it does, and whether the Environments that it
    /// serves in go back, too.
    ///
    /// # Errors
    /// When there is no such Release, no reason, or it is revoked already and nothing is left to do.
    pub async fn revoke(
        &self,
        project: &ProjectName,
        version: &str,
        reason: &str,
        then: OnRevocation,
        person: &Person,
    ) -> Result<Revoked, EngineError> {
        let reason = reason.trim();
        if reason.is_empty() {
            let why = "a revocation needs a reason: others will ask why it starts nowhere any more";
            return Err(EngineError::refused(why.to_owned()));
        }
        let mut unit = self.begin().await?;
        let release = unit.release(project, version).await?;
        let known = revocations::find(&mut unit.tx, release.digest).await?;
        let again = known.is_some();
        if let Some(known) = known.as_ref().filter(|_| then == OnRevocation::Hold) {
            let rollback = "`--rollback` takes it back where it serves";
            return Err(EngineError::refused(format!("{} already; {rollback}", known.words())));
        }
        let revocation = known.unwrap_or_else(|| Revocation {
            version: release.version.clone(),
            by: person.actor(),
            at: unit.now,
            reason: reason.to_owned(),
            asks: None,
        });
        if !again {
            unit.write_revocation(project, &release, &revocation).await?;
        }
        for environment in environments::all(&mut unit.tx, Some(project)).await? {
            unit.revoke_in(&environment.key, release.digest, &revocation, then).await?;
        }
        let mut places = Vec::new();
        for environment in environments::all(&mut unit.tx, Some(project)).await? {
            let text = match then {
                OnRevocation::RollBack => unit.take_back(&environment, &release, &revocation, person).await?,
                OnRevocation::Hold => None,
            };
            let environment = unit.environment(&environment.key).await?;
            let text = text.or_else(|| told(&environment, release.digest));
            places.extend(text.map(|text| RevokedPlace { environment: environment.key.clone(), text }));
        }
        unit.commit().await?;
        Ok(Revoked { release: release.digest, revocation: Some(revocation), places })
    }

    /// Lets a revoked Release start again; where an Environment of the Project wants that of two people, the first asks.
    ///
    /// # Errors
    /// When it is not revoked, or the same person asks twice.
    pub async fn unrevoke(
        &self,
        project: &ProjectName,
        version: &str,
        comment: &str,
        person: &Person,
    ) -> Result<Revoked, EngineError> {
        let mut unit = self.begin().await?;
        let release = unit.release(project, version).await?;
        let known = revocations::find(&mut unit.tx, release.digest).await?;
        let mut revocation =
            known.ok_or_else(|| EngineError::refused(format!("{version} of {project} is not revoked")))?;
        let all = environments::all(&mut unit.tx, Some(project)).await?;
        let together = |intake: &Intake| intake.unrevoke == Unrevoke::Together;
        let two = all.iter().any(|environment| together(&environment.policy.document.intake));
        let rule = if two { Unrevoke::Together } else { Unrevoke::Alone };
        let asked = revocation.asks.as_ref().map(|asks| asks.by.name().to_owned());
        let lifting = revocation.lift(rule, &person.actor(), comment, unit.now)?;
        let words = if comment.is_empty() { String::new() } else { format!(": {comment}") };
        let (kind, text) = match (lifting, asked.filter(|_| two)) {
            (Lifting::Asked, _) => {
                revocations::put(&mut unit.tx, project, release.digest, &revocation).await?;
                let waits = revocation.waits(unit.now).unwrap_or_default();
                ("unrevocation-asked", format!("{waits}{words}"))
            }
            (Lifting::Lifted, Some(first)) => {
                let who = format!("{first} and {}", person.login);
                ("release-unrevoked", format!("{who} let {version} of {project} start again{words}"))
            }
            (Lifting::Lifted, None) => (
                "release-unrevoked",
                format!("{} let {version} of {project} start again{words}", person.login),
            ),
        };
        let entry = Entry::new(kind, person.actor(), text).fact("release", release.digest);
        unit.record(Some(project), None, &format!("release:{}", release.digest), entry).await?;
        if lifting == Lifting::Lifted {
            revocations::remove(&mut unit.tx, release.digest).await?;
            for environment in all {
                let actor = person.actor();
                let event = EnvironmentEvent::RevocationLifted { release: release.digest, actor };
                unit.environment_event(&environment.key, event).await?;
            }
        }
        unit.commit().await?;
        let left = (lifting == Lifting::Asked).then_some(revocation);
        Ok(Revoked { release: release.digest, revocation: left, places: Vec::new() })
    }

    /// The revocation of a Release, where it is revoked.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn revocation(&self, release: Digest) -> Result<Option<Revocation>, EngineError> {
        Ok(revocations::find(&mut *self.db().reader().await?, release).await?)
    }
}

impl Unit<'_> {
    async fn release(&mut self, project: &ProjectName, version: &str) -> Result<Release, EngineError> {
        let release = releases::by_version(&mut self.tx, project, version).await?;
        release.ok_or_else(|| EngineError::not_found(format!("release {version} of {project}")))
    }

    async fn write_revocation(
        &mut self,
        project: &ProjectName,
        release: &Release,
        revocation: &Revocation,
    ) -> Result<(), EngineError> {
        let count = revocations::of_project(&mut self.tx, project).await?.len();
        if count >= usize::try_from(revocations::MOST).unwrap_or(usize::MAX) {
            return Err(EngineError::refused(format!(
                "{count} releases of {project} are revoked already, as many as may be; let some start again first, or narrow \
                 `allow.refs` in the documents"
            )));
        }
        revocations::put(&mut self.tx, project, release.digest, revocation).await?;
        let entry = Entry::new("release-revoked", revocation.by.clone(), revocation.words());
        let entry = entry.fact("release", release.digest).fact("version", &release.version);
        self.record(Some(project), None, &format!("release:{}", release.digest), entry).await
    }

    async fn revoke_in(
        &mut self,
        key: &EnvironmentKey,
        release: Digest,
        revocation: &Revocation,
        then: OnRevocation,
    ) -> Result<(), EngineError> {
        let revocation = Box::new(revocation.clone());
        let event = EnvironmentEvent::ReleaseRevoked { release, revocation, then };
        self.environment_event(key, event).await?;
        Ok(())
    }

    /// Goes back where the Release serves: to the newest that ran there before, is not revoked, and runs on the databases as they are.
    async fn take_back(
        &mut self,
        environment: &Environment,
        release: &Release,
        revocation: &Revocation,
        person: &Person,
    ) -> Result<Option<String>, EngineError> {
        let serves =
            environment.current.as_ref().filter(|current| current.revision.release == release.digest);
        let Some(current) = serves.filter(|_| environment.active.is_none()) else { return Ok(None) };
        let Some(back) = environment.way_back().cloned() else {
            return Ok(Some(
                "it serves here, and nothing that ran before may start; promote something newer".to_owned(),
            ));
        };
        if let Some(why) = migration::closed(&back.databases, &current.revision.databases) {
            return Ok(Some(format!(
                "it serves here, and {} cannot run on its databases: {why}; promote something newer",
                back.version
            )));
        }
        let version = back.version.clone();
        let new = rollback_promotion(back, &revocation.words(), person);
        let event = EnvironmentEvent::RollbackRequested(Box::new(new));
        self.environment_event(&environment.key, event).await?;
        Ok(Some(format!("it goes back to {version}")))
    }
}

/// What happens in an Environment in which a revoked Release serves or moves, or what to do there.
fn told(environment: &Environment, release: Digest) -> Option<String> {
    let key = &environment.key;
    if let Some(active) = environment.active.as_ref().filter(|active| active.revision.release == release) {
        let returning = active.rollout.as_ref().is_some_and(|rollout| rollout.is_returning());
        return Some(if returning {
            "its rollout goes back".to_owned()
        } else {
            format!("its rollout stays where it is; `towpath rollback {key}` takes it back")
        });
    }
    environment.current.as_ref().filter(|current| current.revision.release == release)?;
    Some(match environment.way_back() {
        Some(back) => format!("it serves here; `towpath rollback {key} --to {}`", back.version),
        None => "it serves here, and nothing that ran before may start; promote something newer".to_owned(),
    })
}
