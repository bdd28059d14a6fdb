//! The expressions of Gates: what they may ask for, and what it is.

use towpath_model::environment::{PromotionKind, Subject};
use towpath_model::evidence::ReleaseEvidence;
use towpath_model::gate::Changed;

use crate::expression::names::Known;
use crate::expression::{Expression, Scope, Value};

/// What there is to ask for.
pub(crate) const KNOWN: &[Known] = &[
    ("release", &["version", "commit"]),
    ("environment", &["name", "project", "stage", "runs"]),
    ("evidence", &["tests", "coverage", "findings"]),
    ("change", &["files", "lines", "paths", "migrations"]),
    ("actor", &["login", "makers"]),
    ("promotion", &["kind"]),
];

/// Whether an expression holds for a Promotion that waits.
///
/// # Errors
/// Says in words what is not known, or what does not fit.
pub fn holds(text: &str, subject: &Subject<'_>) -> Result<bool, String> {
    let explain = |error: crate::expression::ExpressionError| error.message;
    let expression = Expression::parse(text).map_err(explain)?;
    match expression.evaluate(&scope(subject)).map_err(explain)? {
        Value::Boolean(holds) => Ok(holds),
        Value::Unknown(why) => Err(why),
        other => Err(format!("it gives {}, not true or false", other.kind())),
    }
}

fn scope(subject: &Subject<'_>) -> Scope {
    let Subject { promotion, current, evidence, change } = subject;
    let text = |text: &str| Value::from(text);
    let revision = &promotion.revision;
    let kind = match promotion.kind {
        PromotionKind::Release => "release",
        PromotionKind::Configuration => "configuration",
        PromotionKind::Rollback => "rollback",
    };
    let runs = current.map_or(Value::Null, |current| text(&current.version));
    let makers = promotion.makers.iter().map(|maker| text(maker)).collect();
    Scope::default()
        .with(
            "release",
            Value::map([("version", text(&revision.version)), ("commit", text(&revision.commit))]),
        )
        .with(
            "environment",
            Value::map([
                ("name", text(promotion.environment.environment.as_str())),
                ("project", text(promotion.environment.project.as_str())),
                ("stage", text(promotion.plan.stage.as_str())),
                ("runs", runs),
            ]),
        )
        .with("evidence", evidence_value(evidence))
        .with("change", change_value(*change, current.is_some()))
        .with(
            "actor",
            Value::map([("login", text(promotion.requested_by.name())), ("makers", Value::List(makers))]),
        )
        .with("promotion", Value::map([("kind", text(kind))]))
}

fn number(number: u64) -> Value {
    Value::Integer(i64::try_from(number).unwrap_or(i64::MAX))
}

/// What was never reported is unknown, and what could not be read, too: neither is ever taken for good.
fn evidence_value(evidence: &ReleaseEvidence) -> Value {
    let unknown = |what: &str| Value::Unknown(format!("no {what} was reported"));
    let tests = match &evidence.tests {
        None => unknown("test"),
        Some(tests) => match &tests.problem {
            Some(problem) => Value::Unknown(format!("the tests cannot be read: {problem}")),
            None => Value::map([
                ("passed", number(tests.passed.into())),
                ("failed", number(tests.failed.into())),
                ("retried", number(tests.retried.into())),
                ("quarantined", number(tests.quarantined.into())),
            ]),
        },
    };
    let coverage = match &evidence.coverage {
        None => unknown("coverage"),
        Some(Err(problem)) => Value::Unknown(format!("the coverage cannot be read: {problem}")),
        Some(Ok(basis_points)) => {
            Value::Double(f64::from(u32::try_from(*basis_points).unwrap_or(u32::MAX)) / 100.0)
        }
    };
    let findings = match &evidence.findings {
        None => unknown("finding of a scanner"),
        Some(Err(problem)) => Value::Unknown(format!("the findings cannot be read: {problem}")),
        Some(Ok(found)) => Value::map([
            ("errors", number(found.errors)),
            ("warnings", number(found.warnings)),
            ("notes", number(found.notes)),
        ]),
    };
    Value::map([("tests", tests), ("coverage", coverage), ("findings", findings)])
}

fn change_value(change: Option<&Changed>, something_runs: bool) -> Value {
    let why = if something_runs { "what the change touches" } else { "nothing runs there to compare with" };
    let Some(change) = change else { return Value::Unknown(why.to_owned()) };
    let paths = if change.is_cut() {
        Value::Unknown(format!("{} files changed, too many to name", change.files))
    } else {
        Value::List(change.paths.iter().map(|path| Value::from(path.as_str())).collect())
    };
    let migrations = match (change.migrations(), change.is_cut()) {
        (Some(_), _) => Value::Boolean(true),
        (None, true) => Value::Unknown("too many files changed to look at each".to_owned()),
        (None, false) => Value::Boolean(false),
    };
    Value::map([
        ("files", number(change.files)),
        ("lines", number(change.lines)),
        ("paths", paths),
        ("migrations", migrations),
    ])
}
