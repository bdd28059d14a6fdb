//! What gateways ask and say.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use tokio::time::Instant;
use towpath_api::gateway::{
    AppliedRoute, Arm, CertificateFiles, Delta, MeasurementReport, Poll, Preview, Route, Routes, Rule,
    RuleField, Sticky, Tls, Way,
};
use towpath_model::EnvironmentKey;
use towpath_model::environment::{Environment, EnvironmentEvent, Sample, TrafficArm, TrafficRule};
use towpath_model::pipeline;
use towpath_model::policy::{self, Certificates};
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
                outliers: route.outliers.clone(),
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

    /// Environments whose listeners need certificates of the instance's own authority, and for which names.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn listener_names(&self) -> Result<Vec<(EnvironmentKey, Vec<String>)>, EngineError> {
        let mut db = self.db().snapshot().await?;
        let names = |environment: Environment| match environment.policy.document.tls?.certificates {
            Certificates::Names(names) => Some((environment.key, names)),
            Certificates::Files(_) => None,
        };
        Ok(environments::all(&mut db, None).await?.into_iter().filter_map(names).collect())
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
                // What a rule brought was not drawn: its errors say something of those who wrote the rule.
                let drawn = deltas.into_iter().filter(|delta| delta.way == Way::Split);
                let samples = drawn.map(sample).collect();
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
    let arm = |arm: &TrafficArm| Arm {
        revision: arm.revision,
        weight: arm.weight.permille(),
        protocol: arm.protocol,
        endpoints: arm.endpoints.clone(),
    };
    let preview = environment.policy.document.preview;
    Route {
        environment: environment.key.clone(),
        generation: traffic.generation,
        listen: environment.policy.document.listen,
        arms: traffic.arms.iter().map(arm).collect(),
        preview: preview.map(|listen| Preview { listen, arm: traffic.preview.as_ref().map(arm) }),
        tls: environment.policy.document.tls.as_ref().map(|tls| self::tls(&environment.key, tls)),
        sticky: traffic.sticky.as_ref().map(|sticky| Sticky {
            cookie: sticky.cookie.clone(),
            seconds: sticky.duration.as_secs().unsigned_abs(),
        }),
        rules: traffic.rules.iter().map(rule).collect(),
    }
}

fn rule(rule: &TrafficRule) -> Rule {
    let on = match &rule.on {
        pipeline::RouteField::Header(name) => RuleField::Header(name.clone()),
        pipeline::RouteField::Cookie(name) => RuleField::Cookie(name.clone()),
    };
    Rule { on, equals: rule.equals.clone(), revision: rule.revision }
}

fn tls(key: &EnvironmentKey, tls: &policy::Tls) -> Tls {
    let certificates = match &tls.certificates {
        Certificates::Files(files) => files
            .iter()
            .map(|files| CertificateFiles { certificate: files.certificate.clone(), key: files.key.clone() })
            .collect(),
        Certificates::Names(_) => {
            let file = own_certificate(key);
            vec![CertificateFiles { certificate: file.clone(), key: file }]
        }
    };
    Tls { certificates, redirect: tls.redirect }
}

/// Where the server leaves the certificate that it makes for an Environment, with its key, below the gateway's directory.
#[must_use]
pub fn own_certificate(key: &EnvironmentKey) -> PathBuf {
    Path::new("certificates").join(format!("{}.{}.pem", key.project, key.environment))
}

fn measurement(delta: &Delta) -> Measurement {
    Measurement {
        second: delta.to.as_second(),
        revision: delta.revision,
        way: delta.way.word().to_owned(),
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
