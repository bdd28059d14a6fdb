//! What a Gate demands of the Evidence of a Release, and whether it is there.
//!
//! Fail-closed: what is demanded and was never reported, or could not be read, is missing.
//! Reading reports, and deciding which of a Run's Attempts count, is left to the engine.

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

/// What is demanded. What is absent is not looked at.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct EvidenceGate {
    /// Of its tests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tests: Option<TestsDemand>,
    /// Of its coverage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coverage: Option<CoverageDemand>,
    /// Of what scanners and linters found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sarif: Option<FindingsDemand>,
    /// Of its load tests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load: Option<LoadDemand>,
    /// Whether every contract must have been verified, and kept.
    #[serde(default)]
    pub contract: bool,
    /// How long it may be missing.
    #[serde(default = "crate::pipeline::long_patience")]
    pub expires: SignedDuration,
}

/// What is demanded of tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestsDemand {
    /// How many may have failed, those in quarantine aside.
    pub max_failed: u32,
    /// Whether one may have failed and passed when it was tried again.
    pub passed_on_retry: PassedOnRetry,
    /// How many may have failed in quarantine.
    pub max_quarantined: Option<u32>,
    /// How many must have passed at least.
    pub min_passed: u32,
}

/// Whether a test that passed when it was tried again is good enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PassedOnRetry {
    /// It is.
    Allow,
    /// It is not.
    Refuse,
}

/// What is demanded of coverage, in hundredths of a percent of lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoverageDemand {
    /// At least.
    pub min: Option<u64>,
    /// How much less than what runs in the Environment.
    pub max_drop: Option<u64>,
}

/// How many findings there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FindingsDemand {
    /// Errors.
    pub max_errors: u64,
    /// Warnings.
    pub max_warnings: Option<u64>,
    /// Notes.
    pub max_notes: Option<u64>,
}

/// What is demanded of every load test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadDemand {
    /// The median may take so long.
    pub p50: Option<SignedDuration>,
    /// The 95th percentile may take so long.
    pub p95: Option<SignedDuration>,
    /// The 99th percentile may take so long.
    pub p99: Option<SignedDuration>,
    /// How many of the requests may have failed, in hundredths of a percent.
    pub max_failed: Option<u64>,
}

/// What is known of a Release.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ReleaseEvidence {
    /// Its tests.
    pub tests: Option<KnownTests>,
    /// Its coverage in hundredths of a percent of lines, or what is wrong with the report.
    pub coverage: Option<Result<u64, String>>,
    /// What was found, or what is wrong with the report.
    pub findings: Option<Result<KnownFindings, String>>,
    /// Its load tests.
    pub load: Vec<KnownLoad>,
    /// Its contracts.
    pub contracts: Vec<KnownContract>,
}

/// What is known of tests.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct KnownTests {
    /// How many passed, those on retry among them.
    pub passed: u32,
    /// How many failed, those in quarantine among them.
    pub failed: u32,
    /// How many passed on retry.
    pub retried: u32,
    /// How many failed in quarantine.
    pub quarantined: u32,
    /// What is wrong with the reports.
    pub problem: Option<String>,
}

/// How much was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct KnownFindings {
    /// Errors.
    pub errors: u64,
    /// Warnings.
    pub warnings: u64,
    /// Notes.
    pub notes: u64,
}

/// What is known of a load test. Times are in microseconds.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct KnownLoad {
    /// Its file.
    pub name: String,
    /// Requests in all.
    pub requests: u64,
    /// Those that failed.
    pub failed: u64,
    /// The median.
    pub p50: Option<u64>,
    /// The 95th percentile.
    pub p95: Option<u64>,
    /// The 99th percentile.
    pub p99: Option<u64>,
}

/// What is known of a contract.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownContract {
    /// Between whom.
    pub name: String,
    /// Whether it was looked at, and kept.
    pub kept: bool,
}

impl EvidenceGate {
    /// What is missing, for people; nothing where all that is demanded is there.
    ///
    /// `current` is what runs in the Environment, which a drop is measured against.
    #[must_use]
    pub fn missing(&self, known: &ReleaseEvidence, current: Option<&ReleaseEvidence>) -> Vec<String> {
        let mut missing = Vec::new();
        if let Some(demand) = &self.tests {
            tests(demand, known.tests.as_ref(), &mut missing);
        }
        if let Some(demand) = &self.coverage {
            coverage(demand, known, current, &mut missing);
        }
        if let Some(demand) = &self.sarif {
            findings(demand, known, &mut missing);
        }
        if let Some(demand) = &self.load {
            load(demand, &known.load, &mut missing);
        }
        if self.contract {
            contracts(&known.contracts, &mut missing);
        }
        missing
    }

    /// What is demanded, for people.
    #[must_use]
    pub fn words(&self) -> String {
        let Self { tests, coverage, sarif, load, contract, expires: _ } = self;
        let mut all = Vec::new();
        if let Some(TestsDemand { max_failed, passed_on_retry, max_quarantined, min_passed }) = tests {
            let mut words = format!("tests ({max_failed} failed at most");
            if *passed_on_retry == PassedOnRetry::Refuse {
                words.push_str(", none passed on retry");
            }
            if let Some(most) = max_quarantined {
                words.push_str(&format!(", {most} in quarantine at most"));
            }
            if *min_passed > 1 {
                words.push_str(&format!(", {min_passed} passed at least"));
            }
            all.push(format!("{words})"));
        }
        if let Some(CoverageDemand { min, max_drop }) = coverage {
            let min = min.map(|min| format!("{} at least", percent(min)));
            let drop = max_drop.map(|drop| format!("{} less than what runs at most", percent(drop)));
            all.push(bracketed("coverage", [min, drop]));
        }
        if let Some(FindingsDemand { max_errors, max_warnings, max_notes }) = sarif {
            let most = |most: u64, what: &str| format!("{most} {what} at most");
            let warnings = max_warnings.map(|count| most(count, "warnings"));
            all.push(bracketed(
                "findings",
                [Some(most(*max_errors, "errors")), warnings, max_notes.map(|count| most(count, "notes"))],
            ));
        }
        if let Some(LoadDemand { p50, p95, p99, max_failed }) = load {
            let time =
                |name: &str, most: &Option<SignedDuration>| most.map(|most| format!("{name} {most:#}"));
            let failed = max_failed.map(|most| format!("{} failed", percent(most)));
            all.push(bracketed("load", [time("p50", p50), time("p95", p95), time("p99", p99), failed]));
        }
        if *contract {
            all.push("contracts verified".to_owned());
        }
        all.join(", ")
    }

    /// Whether it demands at least what another one does.
    #[must_use]
    pub fn demands_as_much(&self, other: &Self) -> bool {
        let part = |new: Option<bool>, old: bool| !old || new.unwrap_or(false);
        let tests = self.tests.map(|new| {
            other.tests.is_none_or(|old| {
                new.max_failed <= old.max_failed
                    && new.min_passed >= old.min_passed
                    && (old.passed_on_retry == PassedOnRetry::Allow
                        || new.passed_on_retry == PassedOnRetry::Refuse)
                    && at_most(new.max_quarantined.map(u64::from), old.max_quarantined.map(u64::from))
            })
        });
        let coverage = self.coverage.map(|new| {
            other.coverage.is_none_or(|old| {
                old.min.is_none_or(|old| new.min.is_some_and(|new| new >= old))
                    && at_most(new.max_drop, old.max_drop)
            })
        });
        let sarif = self.sarif.map(|new| {
            other.sarif.is_none_or(|old| {
                new.max_errors <= old.max_errors
                    && at_most(new.max_warnings, old.max_warnings)
                    && at_most(new.max_notes, old.max_notes)
            })
        });
        let load = self.load.map(|new| {
            other.load.is_none_or(|old| {
                at_most(new.p50, old.p50)
                    && at_most(new.p95, old.p95)
                    && at_most(new.p99, old.p99)
                    && at_most(new.max_failed, old.max_failed)
            })
        });
        part(tests, other.tests.is_some())
            && part(coverage, other.coverage.is_some())
            && part(sarif, other.sarif.is_some())
            && part(load, other.load.is_some())
            && (self.contract || !other.contract)
    }
}

/// Whether a bound is as strict as another one, where that one is there.
fn at_most<T: PartialOrd>(new: Option<T>, old: Option<T>) -> bool {
    old.is_none_or(|old| new.is_some_and(|new| new <= old))
}

fn bracketed<const N: usize>(what: &str, details: [Option<String>; N]) -> String {
    let details: Vec<String> = details.into_iter().flatten().collect();
    if details.is_empty() { what.to_owned() } else { format!("{what} ({})", details.join(", ")) }
}

/// Hundredths of a percent: `80%`, `79.31%`.
fn percent(basis_points: u64) -> String {
    match (basis_points / 100, basis_points % 100) {
        (whole, 0) => format!("{whole}%"),
        (whole, part) => format!("{whole}.{part:02}%"),
    }
}

fn tests(demand: &TestsDemand, known: Option<&KnownTests>, missing: &mut Vec<String>) {
    let Some(KnownTests { passed, failed, retried, quarantined, problem }) = known else {
        missing.push("no tests were reported".to_owned());
        return;
    };
    if let Some(problem) = problem {
        missing.push(format!("a report of tests could not be read: {problem}"));
    }
    let counted = failed.saturating_sub(*quarantined);
    if counted > demand.max_failed {
        missing.push(format!("{counted} tests failed, and {} may", demand.max_failed));
    }
    if *passed < demand.min_passed {
        missing.push(format!("{passed} tests passed, and {} must", demand.min_passed));
    }
    if demand.passed_on_retry == PassedOnRetry::Refuse && *retried > 0 {
        missing.push(format!("{retried} tests passed only when they were tried again"));
    }
    if let Some(most) = demand.max_quarantined.filter(|most| quarantined > most) {
        missing.push(format!("{quarantined} tests failed in quarantine, and {most} may"));
    }
}

fn coverage(
    demand: &CoverageDemand,
    known: &ReleaseEvidence,
    current: Option<&ReleaseEvidence>,
    missing: &mut Vec<String>,
) {
    let covered = match &known.coverage {
        None => return missing.push("no coverage was reported".to_owned()),
        Some(Err(problem)) => return missing.push(format!("coverage could not be read: {problem}")),
        Some(Ok(covered)) => *covered,
    };
    if let Some(min) = demand.min.filter(|min| covered < *min) {
        missing.push(format!("{} of the lines are covered, and {} must be", percent(covered), percent(min)));
    }
    // Against what runs, not against the last Release: a drop that was refused must not become the measure.
    let before = current.and_then(|current| current.coverage.as_ref()?.as_ref().ok());
    if let (Some(most), Some(before)) = (demand.max_drop, before) {
        let drop = before.saturating_sub(covered);
        if drop > most {
            let (drop, most) = (percent(drop), percent(most));
            missing.push(format!("coverage drops by {drop} to {}, and may drop by {most}", percent(covered)));
        }
    }
}

fn findings(demand: &FindingsDemand, known: &ReleaseEvidence, missing: &mut Vec<String>) {
    let KnownFindings { errors, warnings, notes } = match &known.findings {
        None => return missing.push("no findings were reported, not even that there are none".to_owned()),
        Some(Err(problem)) => return missing.push(format!("findings could not be read: {problem}")),
        Some(Ok(findings)) => *findings,
    };
    for (count, most, what) in [
        (errors, Some(demand.max_errors), "errors"),
        (warnings, demand.max_warnings, "warnings"),
        (notes, demand.max_notes, "notes"),
    ] {
        if let Some(most) = most.filter(|most| count > *most) {
            missing.push(format!("scanners found {count} {what}, and {most} may be"));
        }
    }
}

fn load(demand: &LoadDemand, known: &[KnownLoad], missing: &mut Vec<String>) {
    if known.is_empty() {
        missing.push("no load test was reported".to_owned());
    }
    for KnownLoad { name, requests, failed, p50, p95, p99 } in known {
        if *requests == 0 {
            missing.push(format!("load test {name} made no requests"));
            continue;
        }
        for (what, took, most) in
            [("p50", p50, demand.p50), ("p95", p95, demand.p95), ("p99", p99, demand.p99)]
        {
            let Some(most) = most else { continue };
            let Some(took) = took else {
                missing.push(format!("load test {name} says nothing of its {what}"));
                continue;
            };
            let took = SignedDuration::from_micros(i64::try_from(*took).unwrap_or(i64::MAX));
            if took > most {
                missing.push(format!("load test {name}: {what} is {took:#}, and may be {most:#}"));
            }
        }
        let share = u128::from(*failed) * 10_000 / u128::from(*requests);
        if let Some(most) = demand.max_failed.filter(|most| share > u128::from(*most)) {
            missing.push(format!(
                "load test {name}: {failed} of {requests} requests failed, and {} may",
                percent(most)
            ));
        }
    }
}

fn contracts(known: &[KnownContract], missing: &mut Vec<String>) {
    if known.is_empty() {
        missing.push("no contract was verified".to_owned());
    }
    let broken = known.iter().filter(|contract| !contract.kept);
    missing
        .extend(broken.map(|contract| format!("contract {} was not verified, or is broken", contract.name)));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> EvidenceGate {
        EvidenceGate {
            tests: Some(TestsDemand {
                max_failed: 0,
                passed_on_retry: PassedOnRetry::Refuse,
                max_quarantined: Some(1),
                min_passed: 1,
            }),
            coverage: Some(CoverageDemand { min: Some(8000), max_drop: Some(100) }),
            sarif: Some(FindingsDemand { max_errors: 0, max_warnings: Some(2), max_notes: None }),
            load: Some(LoadDemand {
                p50: None,
                p95: Some(SignedDuration::from_millis(200)),
                p99: None,
                max_failed: Some(100),
            }),
            contract: true,
            expires: SignedDuration::from_hours(24),
        }
    }

    fn good() -> ReleaseEvidence {
        ReleaseEvidence {
            tests: Some(KnownTests { passed: 10, failed: 1, retried: 0, quarantined: 1, problem: None }),
            coverage: Some(Ok(8050)),
            findings: Some(Ok(KnownFindings { errors: 0, warnings: 2, notes: 9 })),
            load: vec![KnownLoad {
                name: "k6.json".to_owned(),
                requests: 1000,
                failed: 10,
                p50: None,
                p95: Some(200_000),
                p99: None,
            }],
            contracts: vec![KnownContract { name: "web -> cart".to_owned(), kept: true }],
        }
    }

    #[test]
    fn no_data_is_never_good() {
        let missing = all().missing(&ReleaseEvidence::default(), None);
        assert_eq!(
            missing,
            [
                "no tests were reported",
                "no coverage was reported",
                "no findings were reported, not even that there are none",
                "no load test was reported",
                "no contract was verified",
            ]
        );
        assert_eq!(EvidenceGate::default().missing(&ReleaseEvidence::default(), None), [""; 0]);
        let broken = ReleaseEvidence {
            tests: Some(KnownTests {
                passed: 1,
                problem: Some("it breaks off".to_owned()),
                ..Default::default()
            }),
            coverage: Some(Err("it is HTML".to_owned())),
            ..good()
        };
        assert_eq!(all().missing(&broken, None).len(), 2);
    }

    #[test]
    fn each_demand_is_held_on_its_border_and_broken_beyond_it() {
        assert_eq!(all().missing(&good(), None), [""; 0]);
        let check = |change: fn(&mut ReleaseEvidence), expected: &str| {
            let mut evidence = good();
            change(&mut evidence);
            assert_eq!(all().missing(&evidence, Some(&good())), [expected]);
        };
        check(|e| e.tests.get_or_insert_default().failed = 2, "1 tests failed, and 0 may");
        check(
            |e| e.tests.get_or_insert_default().retried = 1,
            "1 tests passed only when they were tried again",
        );
        check(|e| e.tests.get_or_insert_default().passed = 0, "0 tests passed, and 1 must");
        check(
            |e| {
                let tests = e.tests.get_or_insert_default();
                (tests.failed, tests.quarantined) = (2, 2);
            },
            "2 tests failed in quarantine, and 1 may",
        );
        check(
            |e| e.findings = Some(Ok(KnownFindings { errors: 1, ..Default::default() })),
            "scanners found 1 errors, and 0 may be",
        );
        check(|e| e.load[0].failed = 20, "load test k6.json: 20 of 1000 requests failed, and 1% may");
        check(|e| e.load[0].p95 = Some(200_001), "load test k6.json: p95 is 200ms 1µs, and may be 200ms");
        check(|e| e.load[0].p95 = None, "load test k6.json says nothing of its p95");
        check(|e| e.contracts[0].kept = false, "contract web -> cart was not verified, or is broken");
        check(|e| e.coverage = Some(Ok(7999)), "79.99% of the lines are covered, and 80% must be");
    }

    #[test]
    fn a_drop_is_measured_against_what_runs() {
        let gate = EvidenceGate {
            coverage: Some(CoverageDemand { min: None, max_drop: Some(100) }),
            ..EvidenceGate::default()
        };
        let with = |covered| ReleaseEvidence { coverage: Some(Ok(covered)), ..ReleaseEvidence::default() };
        assert_eq!(gate.missing(&with(8000), Some(&with(8100))), [""; 0]);
        let dropped = ["coverage drops by 1.01% to 79.99%, and may drop by 1%"];
        assert_eq!(gate.missing(&with(7999), Some(&with(8100))), dropped);
        assert_eq!(gate.missing(&with(1), None), [""; 0], "nothing runs: there is nothing to drop from");
    }

    #[test]
    fn knows_which_demands_are_less() {
        let strict = all();
        assert!(strict.demands_as_much(&strict) && strict.demands_as_much(&EvidenceGate::default()));
        assert!(!EvidenceGate::default().demands_as_much(&strict));
        let mut lax = all();
        lax.coverage = Some(CoverageDemand { min: Some(7000), max_drop: Some(100) });
        assert!(strict.demands_as_much(&lax) && !lax.demands_as_much(&strict));
        let mut without = all();
        without.contract = false;
        assert!(!without.demands_as_much(&strict));
        assert_eq!(
            strict.words(),
            "tests (0 failed at most, none passed on retry, 1 in quarantine at most), coverage (80% at least, \
             1% less than what runs at most), findings (0 errors at most, 2 warnings at most), load (p95 200ms, 1% failed), \
             contracts verified"
        );
    }
}
