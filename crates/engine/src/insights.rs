//! How a Project delivers, from what happened.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use towpath_model::delivery::{Delivery, Shipped, delivery, median};
use towpath_model::pipeline::Stage;
use towpath_model::{EnvironmentName, ProjectName};
use towpath_store::core::{Connection, incidents, promotions, releases, runs};

use crate::{Engine, EngineError};

/// How a Project delivers, and how long its Runs take.
#[derive(Debug, Clone)]
pub struct DeliveryInsights {
    /// The Environments that count.
    pub environments: BTreeSet<EnvironmentName>,
    /// Since when.
    pub since: Timestamp,
    /// How it delivers into them.
    pub delivery: Delivery,
    /// The median time of a Run.
    pub run_time: Option<SignedDuration>,
    /// The same for as many days before.
    pub run_time_before: Option<SignedDuration>,
}

impl Engine {
    /// How a Project delivered in the last days. Without Environments those at the end of the route count: users are there.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn delivery_insights(
        &self,
        project: &ProjectName,
        days: u32,
        environments: BTreeSet<EnvironmentName>,
    ) -> Result<DeliveryInsights, EngineError> {
        let now = self.now();
        let span = SignedDuration::from_hours(24) * i32::try_from(days).unwrap_or(i32::MAX);
        let since = now.saturating_sub(span).unwrap_or(Timestamp::UNIX_EPOCH);
        let before = since.saturating_sub(span).unwrap_or(Timestamp::UNIX_EPOCH);
        let mut db = self.db().snapshot().await?;
        let environments =
            if environments.is_empty() { last_of_route(&mut db, project).await? } else { environments };
        let shipped = promotions::shipped(&mut db, project, since).await?;
        let shipped: Vec<Shipped> = shipped
            .iter()
            .filter(|(promotion, _)| environments.contains(&promotion.environment.environment))
            .map(|(promotion, pushed_at)| Shipped::of(promotion, *pushed_at))
            .collect();
        let run_time = median(runs::durations(&mut db, project, (since, now)).await?);
        let run_time_before = median(runs::durations(&mut db, project, (before, since)).await?);
        let mut reported = incidents::since(&mut db, project, since).await?;
        reported.retain(|incident| environments.contains(&incident.environment));
        let delivery = delivery(&shipped, &reported, days);
        Ok(DeliveryInsights { environments, since, delivery, run_time, run_time_before })
    }
}

/// The Environments of the Stages that no other Stage comes after, by the newest Release.
async fn last_of_route(
    db: &mut Connection,
    project: &ProjectName,
) -> Result<BTreeSet<EnvironmentName>, EngineError> {
    let newest = releases::page(db, project, None, 1).await?;
    let stages: Vec<Stage> = newest.into_iter().flat_map(|release| release.route.stages).collect();
    let last = stages.iter().filter(|stage| !stages.iter().any(|other| other.needs.contains(&stage.name)));
    Ok(last.flat_map(|stage| stage.environments.iter().cloned()).collect())
}
