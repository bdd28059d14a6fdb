//! The keys of a Gate that demands Evidence.

use super::Presence::Default;
use super::pipeline::key;
use super::{Kind, Object};

pub(crate) static EVIDENCE: Object = Object {
    name: "evidence",
    doc: "What must be known of the Release from the reports of its Run. What is demanded and was never reported is missing: no data is never good.",
    keys: &[
        key(
            "tests",
            Kind::Object(&TESTS),
            Default("-"),
            "Its tests.",
            "{ max_failed: 0, passed_on_retry: refuse }",
        ),
        key(
            "coverage",
            Kind::Object(&COVERAGE),
            Default("-"),
            "The lines that its tests go through.",
            "{ min: 80%, max_drop: 1% }",
        ),
        key(
            "sarif",
            Kind::Object(&FINDINGS),
            Default("-"),
            "What scanners and linters found.",
            "{ max_errors: 0 }",
        ),
        key("load", Kind::Object(&LOAD), Default("-"), "Each of its load tests.", "{ p95: 200ms }"),
        key(
            "contract",
            Kind::OneOf(&["verified"]),
            Default("-"),
            "Every contract was verified, and kept; at least one.",
            "verified",
        ),
        key(
            "expires",
            Kind::Duration,
            Default("30d"),
            "How long it may be missing until the Promotion ends, 1m to 365d.",
            "7d",
        ),
    ],
    foreign: &[
        ("junit", "write `tests`"),
        ("findings", "write `sarif`"),
        ("contracts", "write `contract: verified`"),
    ],
};

static TESTS: Object = Object {
    name: "demanded tests",
    doc: "What is demanded of tests.",
    keys: &[
        key(
            "max_failed",
            Kind::Integer { min: 0, max: 1_000_000 },
            Default("0"),
            "How many may have failed, those in quarantine aside.",
            "1",
        ),
        key(
            "passed_on_retry",
            Kind::OneOf(&["allow", "refuse"]),
            Default("allow"),
            "Whether a test may have failed, and passed when it was tried again.",
            "refuse",
        ),
        key(
            "max_quarantined",
            Kind::Integer { min: 0, max: 1_000_000 },
            Default("any"),
            "How many may have failed in quarantine.",
            "3",
        ),
        key(
            "min_passed",
            Kind::Integer { min: 0, max: 1_000_000 },
            Default("1"),
            "How many must have passed.",
            "100",
        ),
    ],
    foreign: &[("flaky", "write `passed_on_retry: refuse`")],
};

static COVERAGE: Object = Object {
    name: "demanded coverage",
    doc: "What is demanded of coverage.",
    keys: &[
        key("min", Kind::Share, Default("-"), "The least share of lines.", "80%"),
        key(
            "max_drop",
            Kind::Share,
            Default("-"),
            "How much less than the Release that runs in the Environment; where none runs there is no drop.",
            "1%",
        ),
    ],
    foreign: &[("threshold", "write `min`")],
};

static FINDINGS: Object = Object {
    name: "demanded findings",
    doc: "How many findings there may be, those that were accepted aside.",
    keys: &[
        key("max_errors", Kind::Integer { min: 0, max: 1_000_000 }, Default("0"), "How many errors.", "1"),
        key(
            "max_warnings",
            Kind::Integer { min: 0, max: 1_000_000 },
            Default("any"),
            "How many warnings.",
            "10",
        ),
        key("max_notes", Kind::Integer { min: 0, max: 1_000_000 }, Default("any"), "How many notes.", "100"),
    ],
    foreign: &[("max", "write `max_errors`, `max_warnings` or `max_notes`")],
};

static LOAD: Object = Object {
    name: "demanded load",
    doc: "What is demanded of every load test.",
    keys: &[
        key("p50", Kind::Duration, Default("-"), "How long the median may take.", "50ms"),
        key("p95", Kind::Duration, Default("-"), "How long 95 of 100 requests may take.", "200ms"),
        key("p99", Kind::Duration, Default("-"), "How long 99 of 100 requests may take.", "1s"),
        key("max_failed", Kind::Share, Default("-"), "How many of the requests may have failed.", "1%"),
    ],
    foreign: &[],
};
