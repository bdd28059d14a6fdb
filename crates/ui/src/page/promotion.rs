//! One Promotion: its Gates, the Rollout as it happens, and what was decided why.

use maud::{Markup, PreEscaped, html};

use crate::part::action::buttons;
use crate::part::frame::{Page, frame};
use crate::part::small::{badge, commit, digest, dot, prose, revision, time, tone, until, weight_bar};
use crate::view::{Arm, JudgeTest, Point, PromotionView, RolloutStep, RolloutView, State};
use crate::{format, routes};

/// Renders a Promotion.
#[must_use]
pub fn promotion(view: &PromotionView) -> Markup {
    let body = html! {
        (header(view))
        @if let Some(rollout) = &view.rollout { (self::rollout(view, rollout)) }
        div.columns {
            (gates(view))
            (checks(view))
        }
        (decisions(view))
    };
    let title = format!("{} → {} {}", view.revision.version, view.environment, view.state.label());
    let crumbs = vec![
        ("Projects".into(), routes::OVERVIEW.into()),
        (view.project.clone(), routes::project(&view.project)),
        (view.environment.clone(), routes::environment(&view.project, &view.environment)),
    ];
    frame(&view.shell, &Page { title: &title, crumbs, tone: view.state.tone(), body })
}

fn header(view: &PromotionView) -> Markup {
    let now = view.shell.now;
    html! {
        div #head data-region {
            div.title {
                h1 { (view.revision.version) span.muted { " into " } (view.environment) } (badge(view.state))
                (buttons(&view.shell, "promotion", &view.actions))
            }
            @if let Some(reason) = &view.reason { p.why aria-live="polite" { (prose(reason)) } }
            p.lead { (commit(&view.commit)) span.muted { " by " (view.commit.author) } }
            dl.facts {
                div { dt { "Revision" } dd { (digest(&view.revision.digest)) @if let Some(config) = &view.revision.config { " " (config) } } }
                div { dt { "Replaces" } dd { @match &view.previous { Some(previous) => (revision(&view.project, previous)), None => "nothing: the first deployment" } } }
                @if !view.plan.is_empty() { div { dt { "Plan" } dd { ul.plain { @for line in &view.plan { li { (prose(line)) } } } } } }
                div { dt { "Stage" } dd { (view.stage) } }
                div { dt { "Asked for by" } dd { (view.requested_by) } }
                div { dt { "Since" } dd { (time(view.created, now)) } }
                @if let Some(at) = view.finished { div { dt { "Ended" } dd { (time(at, now)) } } }
            }
        }
    }
}

fn rollout(view: &PromotionView, rollout: &RolloutView) -> Markup {
    html! {
        section.card.rollout aria-label="Rollout" {
            div #rollout data-region {
                div.title { h2 { "Rollout " span.muted { (rollout.strategy) } } (badge(rollout.state)) (time_left(view, rollout)) }
                div.arms {
                    @if let Some(stable) = &rollout.stable { (arm("Stable", "stable", stable, 1000 - rollout.weight.min(1000))) }
                    (arm("Candidate", "candidate", &rollout.candidate, rollout.weight))
                }
                (weight_bar(rollout.weight, &format!("Candidate gets {} of the traffic", format::share(rollout.weight))))
                (steps(view, &rollout.steps))
            }
            (charts(view, rollout))
            (verdict(rollout))
        }
    }
}

fn time_left(view: &PromotionView, rollout: &RolloutView) -> Markup {
    html! {
        span.muted {
            @if let (true, Some(deadline)) = (rollout.polls, rollout.deadline) { "gives up and rolls back " (time(deadline, view.shell.now)) }
            @if let Some(milliseconds) = rollout.time_to_safe_ms { "time to safe: " strong { (format::count(milliseconds)) " ms" } }
        }
    }
}

fn arm(title: &str, class: &str, arm: &Arm, weight: u32) -> Markup {
    let Arm { revision, ready, desired, requests, errors } = arm;
    html! {
        article class={ "arm " (class) } {
            header { span.swatch {} h3 { (title) } strong { (revision.version) } @if let Some(config) = &revision.config { span.muted { (config) } } }
            p.big { (format::share(weight)) span.muted { " of the traffic" } }
            dl.facts {
                div { dt { "Requests" } dd.num { (format::count(*requests)) } }
                div { dt { "Errors" } dd.num { (format::count(*errors)) " (" (format::error_rate(*errors, *requests)) ")" } }
                div { dt { "Instances" } dd.num { (ready) "/" (desired) " ready" } }
            }
        }
    }
}

fn steps(view: &PromotionView, steps: &[RolloutStep]) -> Markup {
    html! {
        ol.rollout-steps {
            @for step in steps {
                li class=(tone(step.state.tone())) aria-current=[(step.state == State::Running).then_some("step")] {
                    (dot(step.state)) strong { (format::share(step.weight)) }
                    span.muted {
                        @match step.ends {
                            Some(ends) if step.state == State::Running => (until(ends, view.shell.now, "waits for the verdict")),
                            _ => (step.lasts),
                        }
                    }
                }
            }
        }
    }
}

/// The frames of the charts; `rollout.js` draws them and asks for more.
fn charts(view: &PromotionView, rollout: &RolloutView) -> Markup {
    const CHARTS: [(&str, &str); 4] = [
        ("rate", "Requests per second"),
        ("errors", "Error rate"),
        ("p50", "Latency, median"),
        ("p99", "Latency, 99th percentile"),
    ];
    let measured = |points: &[Point]| points.iter().any(|point| point.errors.is_some());
    if !rollout.polls && !measured(&rollout.series.stable) && !measured(&rollout.series.candidate) {
        return html! { p.muted { "No request was measured while it ran." } };
    }
    // `<` would let a text end the element; numbers hold none, and it stays so if texts come.
    let series = serde_json::to_string(&rollout.series).unwrap_or_default().replace('<', "\\u003c");
    html! {
        div.charts #charts data-series=[rollout.polls.then(|| routes::series(&view.id))] {
            @for (field, title) in CHARTS {
                figure.chart data-field=(field) {
                    figcaption { (title) span.values aria-live="off" {} }
                    svg viewBox="0 0 400 120" preserveAspectRatio="none" role="img" aria-label={ (title) ", stable and candidate" } {}
                }
            }
            script type="application/json" { (PreEscaped(series)) }
        }
    }
}

fn verdict(rollout: &RolloutView) -> Markup {
    let verdict = &rollout.verdict;
    html! {
        div.verdict #verdict data-region {
            div.title { h3 { "Verdict" } @if let Some(state) = verdict.state { (badge(state)) } }
            p.why aria-live="polite" { (prose(&verdict.reason)) }
            @for test in &verdict.tests { (judge_test(test)) }
        }
    }
}

fn judge_test(test: &JudgeTest) -> Markup {
    html! {
        div.judge {
            p { (dot(test.state)) " " strong { (test.name) } " " (prose(&test.reason)) }
            @if let Some(value) = test.e_worse { (evidence_bar("worse", "that it is worse", value, test.threshold)) }
            @if let Some(value) = test.e_fine { (evidence_bar("fine", "that it is fine", value, test.threshold)) }
        }
    }
}

/// Evidence on a logarithmic scale, so that half the bar is half the way to being sure.
fn evidence_bar(class: &str, what: &str, value: f64, threshold: f64) -> Markup {
    let way = value.max(1.0).ln() / threshold.max(1.0 + f64::EPSILON).ln();
    let width = if way.is_finite() { (way.clamp(0.0, 1.0) * 1000.0).round() } else { 0.0 };
    html! {
        div.evidence {
            span { "evidence " (what) }
            svg class={ "meter " (class) } viewBox="0 0 1000 10" preserveAspectRatio="none" aria-hidden="true" {
                rect.track width="1000" height="10" {} rect.fill width=(width) height="10" {}
            }
            span.num { (number(value)) " of " (number(threshold)) }
        }
    }
}

fn number(value: f64) -> String {
    if value >= 1e6 {
        "over a million".to_owned()
    } else if value >= 100.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.2}")
    }
}

fn gates(view: &PromotionView) -> Markup {
    let now = view.shell.now;
    html! {
        section.card #gates data-region {
            h2 { "Gates" }
            @if view.gates.is_empty() { p.muted { "None stand before this environment." } }
            ul.gates {
                @for gate in &view.gates {
                    li { (dot(gate.state)) div {
                        strong { (gate.kind.label()) } " " span.muted { (gate.title) }
                        p { (prose(&gate.reason)) @if let Some(at) = gate.opens_at { " (" (time(at, now)) ")" } }
                    } }
                }
                @for line in &view.told { li { span.dot {} div { p.muted { (line) } } } }
                @for approval in &view.approvals {
                    li { (dot(approval.state)) div {
                        strong { (approval.by) } " " span.muted { (if approval.state == State::Open { "approved" } else { approval.state.label() }) " " (time(approval.at, now)) }
                        @if !approval.comment.is_empty() { blockquote { (approval.comment) } }
                    } }
                }
            }
        }
    }
}

fn checks(view: &PromotionView) -> Markup {
    html! {
        section.card #checks data-region {
            h2 { "Verification" }
            @if view.checks.is_empty() { p.muted { "Nothing is checked after the rollout." } }
            ul.gates { @for check in &view.checks {
                li { (dot(check.state)) div {
                    strong { (check.name) } p { (prose(&check.detail)) }
                    @if let Some(log) = &check.log { a href=(log) { "Log" } }
                } }
            } }
        }
    }
}

fn decisions(view: &PromotionView) -> Markup {
    html! {
        section.card #decisions data-region {
            h2 { "Decisions" }
            ol.log-of-decisions { @for row in &view.decisions {
                li { (time(row.at, view.shell.now)) (dot(row.state)) strong { (row.by) } span { (prose(&row.text)) } }
            } }
        }
    }
}
