//! What there is right now, in numbers: for whoever watches the server.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use towpath_model::ProjectName;
use towpath_model::delivery::Delivery;
use towpath_model::environment::{GateState, Promotion};
use towpath_store::core::figures::{self, Figures};
use towpath_store::core::{environments, incidents, promotions};

use crate::{Engine, EngineError};

/// Numbers of one moment.
#[derive(Debug, Clone)]
pub struct Watched {
    /// When.
    pub at: Timestamp,
    /// What the database counts.
    pub figures: Figures,
    /// Gates that keep Promotions waiting, by kind; of 1,000 Promotions at most.
    pub gates: BTreeMap<String, u64>,
    /// Since when the Promotion waits that waits longest.
    pub waits_since: Option<Timestamp>,
    /// Environments that a person holds.
    pub held: u64,
    /// Agents that are connected, and that are not.
    pub agents: (u64, u64),
    /// Incidents that last, by Project.
    pub incidents: Vec<(String, u64)>,
}

/// How a Project delivers.
#[derive(Debug, Clone)]
pub struct ProjectDelivery {
    /// The Project.
    pub project: ProjectName,
    /// How.
    pub delivery: Delivery,
    /// The median time of a Run.
    pub run_time: Option<SignedDuration>,
}

/// The Gates that keep Promotions waiting, by kind, and since when the first of them waits.
fn waits(open: &[Promotion]) -> (BTreeMap<String, u64>, Option<Timestamp>) {
    let mut gates = BTreeMap::new();
    let waiting: Vec<&Promotion> = open.iter().filter(|promotion| promotion.started_at.is_none()).collect();
    for gate in waiting.iter().flat_map(|promotion| &promotion.gates) {
        if gate.state == GateState::Waiting {
            *gates.entry(gate.kind.clone()).or_default() += 1;
        }
    }
    (gates, waiting.iter().map(|promotion| promotion.requested_at).min())
}

impl Engine {
    /// Counts what there is.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn watched(&self) -> Result<Watched, EngineError> {
        let mut db = self.db().snapshot().await?;
        let (gates, waits_since) = waits(&promotions::open(&mut db).await?);
        let all = environments::all(&mut db, None).await?;
        let held = all.iter().filter(|environment| environment.hold.is_some()).count() as u64;
        let (figures, incidents) = (figures::count(&mut db).await?, incidents::open(&mut db).await?);
        drop(db);
        let agents = self.agents().await?;
        let connected = agents.iter().filter(|(_, connected)| *connected).count();
        Ok(Watched {
            at: self.now(),
            figures,
            gates,
            waits_since,
            held,
            agents: (connected as u64, (agents.len() - connected) as u64),
            incidents,
        })
    }

    /// How Projects delivered in the last days, of the first `most` by name; and how many are left out.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn deliveries_of_all(
        &self,
        days: u32,
        most: usize,
    ) -> Result<(Vec<ProjectDelivery>, usize), EngineError> {
        let projects = self.projects().await?;
        let left_out = projects.len().saturating_sub(most);
        let mut found = Vec::new();
        for project in projects.into_iter().take(most) {
            let insights = self.delivery_insights(&project.name, days, BTreeSet::new()).await?;
            let (delivery, run_time) = (insights.delivery, insights.run_time);
            found.push(ProjectDelivery { project: project.name, delivery, run_time });
        }
        Ok((found, left_out))
    }
}
