//! The keys under `reports`.

use super::Presence::Default;
use super::pipeline::key;
use super::{Kind, Object, one_or_many};

pub(crate) static REPORTS: Object = Object {
    name: "reports",
    doc: "Reports of a Job. They become Evidence of what the Run makes: the server keeps each as it is, by digest, and reads it itself. Files are named by patterns relative to the Project's directory, and sent whether the Steps passed or not.",
    keys: &[
        key(
            "junit",
            one_or_many!(Kind::Text),
            Default("[]"),
            "JUnit XML, in any dialect.",
            "target/junit/*.xml",
        ),
        key(
            "coverage",
            one_or_many!(Kind::Text),
            Default("[]"),
            "LCOV, Cobertura or JaCoCo; which of them is told from the content.",
            "coverage/lcov.info",
        ),
        key(
            "sarif",
            one_or_many!(Kind::Text),
            Default("[]"),
            "Findings of scanners and linters, in SARIF 2.1.0.",
            "findings.sarif",
        ),
        key(
            "load",
            one_or_many!(Kind::Text),
            Default("[]"),
            "The summary of a load test: of k6, JMeter, Gatling, wrk or oha.",
            "k6-summary.json",
        ),
        key(
            "contract",
            one_or_many!(Kind::Text),
            Default("[]"),
            "What a verification of Pact contracts says.",
            "pact-results.json",
        ),
        key(
            "annotations",
            one_or_many!(Kind::Text),
            Default("[]"),
            "What tools say of places in the source, as JSON lines with `file`, `line`, `level`, `title` and `message`, or as the `::error …::` commands of GitHub. A Step can write the same to `$TOWPATH_ANNOTATIONS`.",
            "lint.jsonl",
        ),
    ],
    foreign: &[
        ("coverage_report", "write `coverage`; the format is told from the content"),
        ("cobertura", "write `coverage`; the format is told from the content"),
        ("lcov", "write `coverage`; the format is told from the content"),
        ("jacoco", "write `coverage`; the format is told from the content"),
        ("sast", "write `sarif`"),
        ("codequality", "write `sarif`, and let the linter write SARIF"),
        ("performance", "write `load`"),
        ("load_performance", "write `load`"),
        ("tests", "write `junit`"),
        ("pact", "write `contract`"),
    ],
};

pub(crate) static CHECK_REPORTS: Object = Object {
    name: "check reports",
    doc: "Reports of a check after a Rollout.",
    keys: &[key(
        "junit",
        one_or_many!(Kind::Text),
        Default("[]"),
        "JUnit XML; its tests are counted.",
        "smoke.xml",
    )],
    foreign: &[
        ("coverage", "coverage belongs to the `reports` of a Job"),
        ("sarif", "findings belong to the `reports` of a Job"),
        ("load", "load tests belong to the `reports` of a Job"),
        ("contract", "contract tests belong to the `reports` of a Job"),
        ("annotations", "annotations belong to the `reports` of a Job"),
    ],
};
