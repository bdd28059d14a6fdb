//! What gateways ask and say.

use std::collections::BTreeMap;

use jiff::Timestamp;
use tokio::time::Instant;
use towpath_api::gateway::{AppliedRoute, Arm, Delta, MeasurementReport, Poll, Route, Routes};
use towpath_model::EnvironmentKey;
use towpath_model::environment::{Environment, EnvironmentEvent, Sample};
use towpath_store::core::gateways::{self, Gateway};
use towpath_store::core::measurements::{self, Measurement};
use towpath_store::core::{counters, environments};

use crate::{Engine, EngineError};

/// The longest that a gateway's call is held.
const MAX_WAIT_MS: u32 = 30_000;

impl Engine {
    /// Takes in a gateway's read-back, then answers at once if its routes are old, else when they change.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn gateway_poll(&self, poll: &Poll) -> Result<Routes, EngineError> {
        let deadline =
            Instant::now() + std::time::Duration::from_millis(poll.wait_ms.min(MAX_WAIT_MS).into());
        let mut changes = self.signals().routes();
        self.gateway_seen(poll).await?;
        loop {
            changes.mark_unchanged();
            let routes = self.routes().await?;
            let is_news = routes.generation != poll.generation;
            if is_news || tokio::time::timeout_at(deadline, changes.changed()).await.is_err() {
                return Ok(routes);
            }
        }
    }

    async fn gateway_seen(&self, poll: &Poll) -> Result<(), EngineError> {
        let now = self.now();
        let gateway = Gateway { name: poll.gateway.clone(), version: poll.version.clone(), seen_at: now };
        if self.0.live.is_news_of(&gateway) {
            let mut unit = self.begin().await?;
            gateways::seen(&mut unit.tx, &gateway).await?;
            unit.commit().await?;
            self.0.live.noted(gateway);
        }
        for route in self.0.live.news(&poll.gateway, &poll.applied) {
            self.route_confirmed(&poll.gateway, route).await?;
        }
        Ok(())
    }

    async fn route_confirmed(&self, gateway: &str, route: AppliedRoute) -> Result<(), EngineError> {
        let mut unit = self.begin().await?;
        let known = environments::find(&mut unit.tx, &route.environment).await?;
        if known.is_some() {
            let event = EnvironmentEvent::RouteConfirmed {
                gateway: gateway.to_owned(),
                generation: route.generation,
                problem: route.problem.clone(),
            };
            unit.environment_event(&route.environment, event).await?;
            unit.commit().await?;
        }
        self.0.live.taken_in(gateway, route);
        Ok(())
    }

    /// The desired state of every listener.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn routes(&self) -> Result<Routes, EngineError> {
        let mut db = self.db().snapshot().await?;
        let generation = counters::value(&mut db, counters::ROUTES).await?;
        let routes = environments::all(&mut db, None).await?.iter().map(route).collect();
        Ok(Routes { generation, routes })
    }

    /// Takes in what a gateway measured. Taking it in again changes nothing.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn gateway_measured(&self, report: &MeasurementReport) -> Result<(), EngineError> {
        let mut by_environment: BTreeMap<&EnvironmentKey, Vec<&Delta>> = BTreeMap::new();
        for delta in &report.deltas {
            by_environment.entry(&delta.environment).or_default().push(delta);
        }
        let mut unit = self.begin().await?;
        let session = report.session.to_string();
        if !gateways::take_in(&mut unit.tx, &report.gateway, &session, report.sequence, self.now()).await? {
            return Ok(());
        }
        for (key, deltas) in by_environment {
            let Some(environment) = environments::find(&mut unit.tx, key).await? else { continue };
            for delta in &deltas {
                measurements::add(&mut unit.tx, key, &measurement(delta)).await?;
            }
            if environment.is_judged() {
                let samples = deltas.into_iter().map(sample).collect();
                unit.environment_event(key, EnvironmentEvent::Measured { samples }).await?;
            }
        }
        unit.commit().await
    }

    /// What was measured in an Environment from a time on.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn measurements(
        &self,
        key: &EnvironmentKey,
        from: Timestamp,
    ) -> Result<Vec<Measurement>, EngineError> {
        let mut reader = self.db().reader().await?;
        Ok(measurements::since(&mut reader, key, from).await?)
    }
}

fn route(environment: &Environment) -> Route {
    let traffic = &environment.traffic;
    let arms = traffic.arms.iter().map(|arm| Arm {
        revision: arm.revision,
        weight: arm.weight.permille(),
        endpoints: arm.endpoints.clone(),
    });
    Route {
        environment: environment.key.clone(),
        generation: traffic.generation,
        listen: environment.policy.document.listen,
        arms: arms.collect(),
    }
}

fn measurement(delta: &Delta) -> Measurement {
    Measurement {
        second: delta.to.as_second(),
        revision: delta.revision,
        requests: delta.requests,
        errors: delta.errors,
        gateway_errors: delta.gateway_errors,
        weight: delta.weight,
        latency: delta.latency.clone(),
    }
}

fn sample(delta: &Delta) -> Sample {
    Sample {
        revision: delta.revision,
        from: delta.from,
        to: delta.to,
        generation: delta.generation,
        started: delta.started,
        requests: delta.requests,
        errors: delta.errors,
    }
}
