//! How a Stage deploys: the strategy and what belongs to it.

use std::ops::Range;

use jiff::SignedDuration;
use towpath_model::Weight;
use towpath_model::pipeline::{Amount, BlueGreen, Canary, CanaryStep, Rolling, Strategy, Verification};
use towpath_model::strategy::WARM;

use super::{DAY, MINUTE, SECOND, routing, stage};
use crate::diagnostic::{Problem, Report};
use crate::fields::{Fields, Located, share, wrong_kind};
use crate::spec::pipeline::{CANARY_STEP, DEPLOY, WATCH};
use crate::tree::{Entry, Node, Value};
use crate::values::{self, show_duration};

/// How long a step of a canary lasts that gives only its weight.
const STEP: SignedDuration = SignedDuration::from_mins(5);

/// Which strategy each key of `deploy` belongs to.
const OWNERS: [(&str, &str); 9] = [
    ("steps", "canary"),
    ("sticky", "canary"),
    ("routes", "canary"),
    ("max_surge", "rolling"),
    ("max_unavailable", "rolling"),
    ("for", "rolling"),
    ("max", "rolling"),
    ("watch", "blue-green"),
    ("warm", "blue-green"),
];

/// Lowers `deploy`, and the checks before the first weight; without it, what runs is stopped and the new is started.
pub(super) fn strategy(fields: &mut Fields<'_, '_>) -> (Strategy, Vec<Verification>) {
    let report = fields.report;
    let Some(entry) = fields.entry("deploy") else { return (Strategy::Recreate, Vec::new()) };
    let Some(mut deploy) = Fields::open(&entry.value, &entry.key_span, &DEPLOY, report) else {
        return (Strategy::Recreate, Vec::new());
    };
    let word = deploy.choice("strategy");
    let entries: Vec<(&str, &str, Option<&Entry>)> =
        OWNERS.iter().map(|(key, owner)| (*key, *owner, deploy.entry(key))).collect();
    let strategy = match word {
        Some("canary") => Strategy::Canary(canary(&mut deploy, &entry.key_span)),
        Some("rolling") => Strategy::Rolling(rolling(&mut deploy)),
        Some("blue-green") => Strategy::BlueGreen(blue_green(&mut deploy)),
        Some(_) | None => Strategy::Recreate,
    };
    let before: Vec<_> =
        deploy.list("before").iter().filter_map(|node| stage::verification(node, report)).collect();
    if let (Strategy::Recreate | Strategy::Rolling(_), Some(entry)) = (&strategy, deploy.entry("before")) {
        let problem = Problem::error(
            "useless-key",
            format!("`{}` has no moment in which only checks reach the new Instances", strategy.word()),
        )
        .hint("`before` belongs to `canary` and `blue-green`; put these checks under `verify`");
        report.at(&entry.key_span, problem);
    }
    deploy.close();
    if let Some(word) = word {
        let strange = entries.iter().filter(|(_, owner, _)| *owner != word);
        for (key, owner, entry) in strange {
            if let Some(entry) = entry {
                let problem =
                    Problem::error("useless-key", format!("`{word}` has no `{key}`: that is `{owner}`'s"))
                        .hint(format!("write `strategy: {owner}`, or drop `{key}`"));
                report.at(&entry.key_span, problem);
            }
        }
    }
    (strategy, before)
}

fn canary(deploy: &mut Fields<'_, '_>, place: &Range<usize>) -> Canary {
    let report = deploy.report;
    let place = deploy.entry("steps").map_or(place, |entry| &entry.key_span);
    let nodes = deploy.list("steps");
    let steps: Vec<_> = nodes.iter().filter_map(|node| canary_step(node, report)).collect();
    if nodes.is_empty() {
        let problem = Problem::error("no-steps", "a canary needs steps")
            .hint("for example `steps: [{ weight: 5%, for: 5m }, { weight: 50%, for: 5m }]`");
        report.at(place, problem);
    }
    check_rising(&steps, report);
    let (sticky, routes) = (routing::sticky(deploy), routing::routes(deploy));
    Canary { steps: steps.into_iter().map(|(step, _)| step).collect(), sticky, routes }
}

fn rolling(deploy: &mut Fields<'_, '_>) -> Rolling {
    let report = deploy.report;
    let surge = deploy.node("max_surge").and_then(|node| amount(node, "max_surge", report));
    let unavailable = deploy.node("max_unavailable").cloned();
    let missing = unavailable.as_ref().and_then(|node| amount(node, "max_unavailable", report));
    let nothing = [Amount::Count(0), Amount::Percent(0)];
    if let (Some(surge), Some(missing), Some(node)) = (surge, missing, &unavailable)
        && nothing.contains(&surge)
        && nothing.contains(&missing)
    {
        let problem = Problem::error(
            "out-of-bounds",
            "`max_surge` and `max_unavailable` are both 0: nothing could begin",
        )
        .hint("allow one more Instance, `max_surge: 1`, or one fewer, `max_unavailable: 1`");
        report.at(&node.span, problem);
    }
    let duration = deploy.duration("for", (SECOND, DAY)).unwrap_or(MINUTE);
    let max = most(deploy, duration);
    Rolling {
        max_surge: surge.unwrap_or(Amount::Percent(25)),
        max_unavailable: missing.unwrap_or(Amount::Count(0)),
        duration,
        max,
    }
}

/// `1` or `25%`.
fn amount(node: &Node, what: &str, report: &Report<'_>) -> Option<Amount> {
    let text = node.scalar();
    if let Some(count) = text.and_then(|text| text.parse().ok()).filter(|count| *count <= 10_000) {
        return Some(Amount::Count(count));
    }
    let percent = text.and_then(values::share).map(|share| share * 100.0);
    match percent.filter(|percent| (percent - percent.round()).abs() < 1e-6) {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share is 0 to 1")]
        Some(percent) => Some(Amount::Percent(percent.round() as u32)),
        None => {
            let problem = wrong_kind(what, "a number of Instances, or whole percent of them", node);
            report.at(&node.span, problem.hint("for example `1` or `25%`"));
            None
        }
    }
}

fn blue_green(deploy: &mut Fields<'_, '_>) -> BlueGreen {
    let report = deploy.report;
    let watch = deploy.entry("watch").and_then(|entry| watch(deploy, entry, report));
    BlueGreen { watch, warm: deploy.duration("warm", (SignedDuration::ZERO, DAY * 7)).unwrap_or(WARM) }
}

fn watch(deploy: &mut Fields<'_, '_>, entry: &Entry, report: &Report<'_>) -> Option<CanaryStep> {
    let (duration, max) = if matches!(entry.value.value, Value::Map(_)) {
        let mut fields = Fields::open(&entry.value, &entry.key_span, &WATCH, report)?;
        let duration = fields.duration("for", (SECOND, DAY));
        let max = duration.map(|duration| most(&mut fields, duration));
        fields.close();
        (duration?, max?)
    } else {
        let duration = deploy.duration("watch", (SECOND, DAY))?;
        (duration, duration * 4)
    };
    Some(CanaryStep { weight: Weight::FULL, duration, max, pause: false })
}

/// `max`, which must not be less than `for`.
fn most(fields: &mut Fields<'_, '_>, duration: SignedDuration) -> SignedDuration {
    let node = fields.node("max").cloned();
    let given = fields.duration("max", (SECOND, DAY * 7));
    if let (Some(node), Some(given)) = (&node, given)
        && given < duration
    {
        let message = format!(
            "`max` is {}, which is less than `for`, {}",
            show_duration(given),
            show_duration(duration)
        );
        let problem = Problem::error("out-of-bounds", message).hint("give `max` more time than `for`");
        fields.report.at(&node.span, problem);
    }
    given.unwrap_or(duration * 4)
}

fn check_rising(steps: &[(CanaryStep, Range<usize>)], report: &Report<'_>) {
    for pair in steps.windows(2) {
        let [(before, _), (step, span)] = pair else { continue };
        if step.weight <= before.weight {
            let message =
                format!("the weight goes from {} to {}: weights must rise", before.weight, step.weight);
            report.at(
                span,
                Problem::error("weights", message).hint("order the steps by weight, from small to large"),
            );
        }
    }
}

fn canary_step(node: &Node, report: &Report<'_>) -> Option<(CanaryStep, Range<usize>)> {
    if !matches!(node.value, Value::Map(_)) {
        let weight = weight(share(node, "weight", report)?, report)?;
        let step = CanaryStep { weight, duration: STEP, max: STEP * 4, pause: false };
        return Some((step, node.span.clone()));
    }
    let mut fields = Fields::open(node, &node.span, &CANARY_STEP, report)?;
    let share = fields.share("weight");
    let duration = fields.duration("for", (SECOND, DAY)).unwrap_or(STEP);
    let max = most(&mut fields, duration);
    let pause = fields.boolean("pause", false);
    fields.close();
    let share = share?;
    let span = share.span.clone();
    Some((CanaryStep { weight: weight(share, report)?, duration, max, pause }, span))
}

/// A share of traffic to a tenth of a percent.
fn weight(share: Located<f64>, report: &Report<'_>) -> Option<Weight> {
    let permille = share.value * 1000.0;
    let whole = permille.round();
    if (permille - whole).abs() > 1e-6 || whole < 1.0 {
        let problem = Problem::error("weights", "a weight must be at least 0.1%, in steps of 0.1%")
            .hint("for example `0.5%` or `5%`");
        report.at(&share.span, problem);
        return None;
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share is 0 to 1")]
    let weight = Weight::from_permille(whole as u16).ok();
    if weight == Some(Weight::FULL) {
        let problem = Problem::warning("weights", "a step of 100% has no stable side left to compare with")
            .hint("drop it: after the last step the candidate gets everything anyway");
        report.at(&share.span, problem);
    }
    weight
}
