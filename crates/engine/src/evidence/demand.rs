//! What the reports of a Release's Run say, as a Gate asks for it.

use std::collections::{BTreeMap, BTreeSet};

use towpath_api::rest::{ContractSummary, LoadSummary};
use towpath_model::Digest;
use towpath_model::environment::{Environment, NewPromotion};
use towpath_model::evidence::{KnownContract, KnownFindings, KnownLoad, KnownTests, ReleaseEvidence};
use towpath_model::pipeline::Gate;
use towpath_store::core::{Connection, evidence, releases, runs};

use super::query::{Known, known};
use crate::{Engine, EngineError};

impl Engine {
    /// What is known of the Releases that an Environment's Gates look at: of what waits, and of what runs. A policy without
    /// such a Gate costs nothing.
    pub(crate) async fn known_of_releases(
        &self,
        db: &mut Connection,
        environment: &Environment,
        asked: Option<&NewPromotion>,
    ) -> Result<BTreeMap<Digest, ReleaseEvidence>, EngineError> {
        let demands = |gates: &[Gate]| gates.iter().any(asks_for_evidence);
        let waiting = environment.in_line().filter(|waiting| demands(&waiting.plan.gates));
        let waiting: Vec<Digest> = waiting.map(|waiting| waiting.revision.release).collect();
        let asked = asked.filter(|new| demands(&new.plan.gates));
        if asked.is_none() && waiting.is_empty() {
            return Ok(BTreeMap::new());
        }
        let current = environment.current.as_ref().map(|current| current.revision.release);
        let asked = asked.map(|new| new.revision.release);
        let releases: BTreeSet<Digest> = waiting.into_iter().chain(asked).chain(current).collect();
        let mut found = BTreeMap::new();
        for digest in releases {
            let Some(release) = releases::find(db, digest).await? else { continue };
            let Some(run) = runs::find(db, release.run).await? else { continue };
            let said = known(evidence::of_run(db, &release.project, run.number).await?);
            found.insert(digest, of_release(said));
        }
        Ok(found)
    }
}

fn asks_for_evidence(gate: &Gate) -> bool {
    match gate {
        Gate::Evidence(_) => true,
        Gate::Expression(gate) => gate.holds.0.contains("evidence"),
        _ => false,
    }
}

fn of_release(known: Known) -> ReleaseEvidence {
    let Known { tests, coverage, findings, finding_jobs: _, load, contracts, said: _ } = known;
    let tests = tests.map(|tests| KnownTests {
        passed: tests.passed,
        failed: tests.failed,
        retried: tests.retried,
        quarantined: tests.quarantined,
        problem: tests.problem,
    });
    let coverage = coverage.map(|coverage| match coverage.problem {
        Some(problem) => Err(problem),
        None => Ok(coverage.lines.basis_points()),
    });
    let findings = findings.map(|found| match found.problem {
        Some(problem) => Err(problem),
        None => Ok(KnownFindings { errors: found.errors, warnings: found.warnings, notes: found.notes }),
    });
    let load = load.into_iter().map(|load| {
        let LoadSummary { name, requests, failed, p50, p95, p99, .. } = load;
        KnownLoad { name, requests, failed, p50, p95, p99 }
    });
    let contract = |contract: ContractSummary| {
        let ContractSummary { name, consumer, provider, verified, passed, .. } = contract;
        let name =
            consumer.zip(provider).map_or(name, |(consumer, provider)| format!("{consumer} -> {provider}"));
        KnownContract { name, kept: verified && passed }
    };
    ReleaseEvidence {
        tests,
        coverage,
        findings,
        load: load.collect(),
        contracts: contracts.into_iter().map(contract).collect(),
    }
}
