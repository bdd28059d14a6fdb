//! A Gate that demands Evidence.

use jiff::SignedDuration;
use towpath_model::evidence::{
    CoverageDemand, EvidenceGate, FindingsDemand, LoadDemand, PassedOnRetry, TestsDemand,
};
use towpath_model::gate::LONG_PATIENCE;

use super::outside::EXPIRES;
use super::{HOUR, small};
use crate::diagnostic::Problem;
use crate::fields::{Fields, Located};
use crate::spec::{Kind, Object};

/// The shortest time that a load test can be held to.
const MILLISECOND: SignedDuration = SignedDuration::from_millis(1);

pub(super) fn evidence(mut fields: Fields<'_, '_>) -> Option<EvidenceGate> {
    let tests = under(&mut fields, "tests", |mut map| {
        let demand = TestsDemand {
            max_failed: small(map.integer("max_failed"), 0),
            passed_on_retry: match map.choice("passed_on_retry") {
                Some("refuse") => PassedOnRetry::Refuse,
                _ => PassedOnRetry::Allow,
            },
            max_quarantined: map.integer("max_quarantined").map(|most| small(Some(most), 0)),
            min_passed: small(map.integer("min_passed"), 1),
        };
        map.close();
        demand
    });
    let coverage = under(&mut fields, "coverage", |mut map| {
        let demand = CoverageDemand {
            min: map.share("min").map(basis_points),
            max_drop: map.share("max_drop").map(basis_points),
        };
        let empty = !map.has("min") && !map.has("max_drop");
        says_nothing(empty, &map, "`min`, `max_drop` or both");
        map.close();
        demand
    });
    let sarif = under(&mut fields, "sarif", |mut map| {
        let demand = FindingsDemand {
            max_errors: map.integer("max_errors").unwrap_or(0),
            max_warnings: map.integer("max_warnings"),
            max_notes: map.integer("max_notes"),
        };
        map.close();
        demand
    });
    let load = under(&mut fields, "load", |mut map| {
        let range = (MILLISECOND, HOUR);
        let demand = LoadDemand {
            p50: map.duration("p50", range),
            p95: map.duration("p95", range),
            p99: map.duration("p99", range),
            max_failed: map.share("max_failed").map(basis_points),
        };
        let empty = !["p50", "p95", "p99", "max_failed"].iter().any(|name| map.has(name));
        says_nothing(empty, &map, "a time, as `p95: 200ms`, or `max_failed`");
        map.close();
        demand
    });
    let contract = fields.choice("contract").is_some();
    let named = ["tests", "coverage", "sarif", "load", "contract"].iter().any(|name| fields.has(name));
    let expires = fields.duration("expires", EXPIRES).unwrap_or(LONG_PATIENCE);
    says_nothing(!named, &fields, "for example `tests: {}`, or `coverage: { min: 80% }`");
    fields.close();
    named.then_some(EvidenceGate { tests, coverage, sarif, load, contract, expires })
}

/// What stands under a key that may be an empty map.
fn under<'n, 'r, T>(
    fields: &mut Fields<'n, 'r>,
    name: &'static str,
    read: impl FnOnce(Fields<'n, 'r>) -> T,
) -> Option<T> {
    let object: &'static Object = match fields.key(name).kind {
        Kind::Object(object) => object,
        _ => return None,
    };
    let report = fields.report;
    let entry = fields.entry(name)?;
    Fields::open(&entry.value, &entry.key_span, object, report).map(read)
}

fn says_nothing(empty: bool, fields: &Fields<'_, '_>, hint: &str) {
    if empty {
        let problem = Problem::error("bad-gate", "this demands nothing, so it would always be open");
        fields.report.at(&fields.span, problem.hint(hint));
    }
}

/// A share in hundredths of a percent.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share is from 0 to 1, so that this is 0 to 10,000"
)]
fn basis_points(share: Located<f64>) -> u64 {
    (share.value * 10_000.0).round() as u64
}
