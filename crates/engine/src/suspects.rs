//! After a rollback: which Releases came at once, and which of them is tried next.

use towpath_model::environment::{
    Environment, EnvironmentEvent, NewPromotion, Outcome, Promotion, PromotionKind, Suspect,
};
use towpath_model::intake::AfterRollback;
use towpath_model::timeline::Actor;
use towpath_model::{Digest, EnvironmentKey};
use towpath_store::core::releases;

use crate::EngineError;
use crate::route::{missing, new_promotion, passed, promotion_id};
use crate::unit::Unit;

/// How many Releases are looked through between the one that ran well and the one that did not.
const LOOKED_THROUGH: u32 = 100;

impl Unit<'_> {
    /// Names the Releases that a Promotion brought at once, where it went back.
    pub(crate) async fn name_suspects(
        &mut self,
        key: &EnvironmentKey,
        ended: &Promotion,
    ) -> Result<(), EngineError> {
        let (Some(Outcome::RolledBack { reason, .. }), PromotionKind::Release) =
            (&ended.outcome, &ended.kind)
        else {
            return Ok(());
        };
        let stable = ended.rollout.as_ref().and_then(|rollout| rollout.stable.as_ref());
        let Some(stable) = stable else { return Ok(()) };
        let environment = self.environment(key).await?;
        let suspects = self.between(&environment, stable.release, ended.revision.release).await?;
        if suspects.len() < 2 {
            return Ok(());
        }
        let event = EnvironmentEvent::SuspectsFound {
            promotion: ended.id,
            good: stable.version.clone(),
            reason: reason.clone(),
            suspects,
        };
        self.environment_event(key, event).await?;
        Ok(())
    }

    /// The Releases after one and up to another that may enter an Environment, oldest first. Where an earlier one went back as well, that
    /// is the last of them: whatever came after it cannot be what broke it.
    async fn between(
        &mut self,
        environment: &Environment,
        good: Digest,
        bad: Digest,
    ) -> Result<Vec<Suspect>, EngineError> {
        let good = releases::find(&mut self.tx, good).await?;
        let bad = releases::find(&mut self.tx, bad).await?;
        let (Some(good), Some(bad)) = (good, bad) else { return Ok(Vec::new()) };
        let older = releases::page(&mut self.tx, &bad.project, Some(bad.created_at), LOOKED_THROUGH).await?;
        let suspect = |release: &releases::Release| Suspect {
            release: release.digest,
            version: release.version.clone(),
        };
        let mut suspects = vec![suspect(&bad)];
        for release in older.into_iter().take_while(|release| release.created_at > good.created_at) {
            let here = |stage: &&_| {
                let stage: &towpath_model::pipeline::Stage = stage;
                stage.environments.contains(&environment.key.environment)
            };
            let Some(stage) = release.route.stages.iter().find(here).cloned() else { continue };
            let Ok(new) = new_promotion(environment, &release, &stage, Actor::Towpath) else { continue };
            if missing(&release, &stage, &passed(&mut self.tx, release.digest).await?).is_some() {
                continue;
            }
            if environment.revoked.contains_key(&release.digest) {
                continue;
            }
            if environment.quarantine.contains_key(&new.revision.digest) {
                suspects.clear();
            }
            suspects.push(suspect(&release));
        }
        suspects.reverse();
        Ok(suspects)
    }

    /// Proposes the suspect in the middle, where the Environment wants that and nothing else is on its way.
    pub(crate) async fn try_suspect(&mut self, key: &EnvironmentKey) -> Result<(), EngineError> {
        let environment = self.environment(key).await?;
        let free = environment.active.is_none() && environment.in_line().next().is_none();
        let wanted = environment.policy.document.intake.after_rollback == AfterRollback::Bisect;
        let Some(bisection) = environment.bisection.as_ref().filter(|_| free && wanted) else {
            return Ok(());
        };
        let Some(next) = bisection.next() else { return Ok(()) };
        let Some(release) = releases::find(&mut self.tx, next.release).await? else { return Ok(()) };
        let stages = &release.route.stages;
        let stage = stages.iter().find(|stage| stage.environments.contains(&key.environment)).cloned();
        let Some(stage) = stage else { return Ok(()) };
        match new_promotion(&environment, &release, &stage, Actor::Towpath) {
            Ok(new) => {
                // It may have been proposed before, and superseded; in one search each is tried once.
                let id =
                    promotion_id(&format!("{key}\0{}\0bisect\0{}", new.revision.digest, bisection.since));
                self.request_or_note(key, NewPromotion { id, ..new }, &release.version).await
            }
            Err(reason) => self.not_proposed(key, release.digest, &release.version, &reason).await,
        }
    }
}
