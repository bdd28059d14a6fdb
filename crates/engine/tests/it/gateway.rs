//! A gateway that serves nobody, confirms every split, and measures what it is told to measure.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use towpath_api::gateway::{
    AppliedRoute, Delta, MeasurementReport, Poll, Route, Routes, Way, latency_edges_micros,
};
use towpath_engine::{Engine, EngineError};
use towpath_model::Digest;
use uuid::Uuid;

/// Requests to a route in each interval.
const REQUESTS: u64 = 400;

/// The length of an interval.
const INTERVAL: SignedDuration = SignedDuration::from_millis(1000);

/// A gateway in the test's own process.
pub struct SimGateway {
    /// Whether it answers at all.
    pub alive: bool,
    /// The share of each Revision's requests that fail, in thousandths.
    pub failing: BTreeMap<Digest, u64>,
    pub routes: Routes,
    /// Whom it leaves alone.
    pub outliers: Vec<std::net::SocketAddr>,
    session: Uuid,
    sequence: u64,
    measured_to: Timestamp,
}

impl Default for SimGateway {
    fn default() -> Self {
        Self {
            alive: true,
            failing: BTreeMap::new(),
            routes: Routes { generation: 0, routes: Vec::new() },
            outliers: Vec::new(),
            session: Uuid::now_v7(),
            sequence: 0,
            measured_to: Timestamp::UNIX_EPOCH,
        }
    }
}

impl SimGateway {
    pub fn poll(&self) -> Poll {
        let applied = self.routes.routes.iter().map(|route| AppliedRoute {
            environment: route.environment.clone(),
            generation: route.generation,
            problem: None,
            outliers: self.outliers.clone(),
        });
        Poll {
            gateway: "local".to_owned(),
            session: self.session,
            version: "test".to_owned(),
            generation: self.routes.generation,
            applied: applied.collect(),
            wait_ms: 0,
        }
    }

    /// Asks once, and measures when an interval is over.
    pub async fn tick(&mut self, engine: &Engine, now: Timestamp) -> Result<(), EngineError> {
        if !self.alive {
            return Ok(());
        }
        let routes = engine.gateway_poll(&self.poll()).await?;
        let changed = routes != self.routes;
        for route in &routes.routes {
            assert_points_at_something(route);
        }
        self.routes = routes;
        let from = self.measured_to;
        if changed {
            self.measured_to = now;
        } else if now.duration_since(from) >= INTERVAL {
            self.measured_to = now;
            self.sequence += 1;
            let deltas = self.routes.routes.iter().flat_map(|route| self.measure(route, from, now)).collect();
            let (gateway, session, sequence) = ("local".to_owned(), self.session, self.sequence);
            engine.gateway_measured(&MeasurementReport { gateway, session, sequence, deltas }).await?;
        }
        Ok(())
    }

    fn measure(&self, route: &Route, from: Timestamp, to: Timestamp) -> Vec<Delta> {
        let mut deltas = Vec::new();
        for arm in route.arms.iter().filter(|arm| arm.weight > 0) {
            let requests = REQUESTS * u64::from(arm.weight) / 1000;
            deltas.push(Delta {
                environment: route.environment.clone(),
                revision: arm.revision,
                way: Way::Split,
                from,
                to,
                generation: route.generation,
                weight: arm.weight,
                started: requests,
                requests,
                errors: requests * self.failing.get(&arm.revision).copied().unwrap_or(0) / 1000,
                gateway_errors: 0,
                latency: vec![0; latency_edges_micros().len() + 1],
                in_flight: 0,
            });
        }
        deltas
    }
}

/// Traffic never points at nothing: an arm with weight has an endpoint, and weights sum to all or nothing.
fn assert_points_at_something(route: &Route) {
    let sum: u16 = route.arms.iter().map(|arm| arm.weight).sum();
    assert!(sum == 1000 || sum == 0, "{route:?}");
    for arm in route.arms.iter().filter(|arm| arm.weight > 0) {
        assert!(!arm.endpoints.is_empty(), "{route:?}");
    }
}
