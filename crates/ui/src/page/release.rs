//! One Release: what it is made of, what is known of it, and how far it has come.

use maud::{Markup, html};

use crate::part::action::buttons;
use crate::part::frame::{Page, frame};
use crate::part::icon;
use crate::part::small::{badge, commit, digest, dot, prose, time};
use crate::view::{GateView, JourneyStage, Leg, ReleaseView, State, Tone};
use crate::{format, routes};

/// Renders a Release.
#[must_use]
pub fn release(view: &ReleaseView) -> Markup {
    let body = html! {
        (header(view))
        section #journey data-region aria-label="Journey" {
            h2 { "Journey" }
            ol.journey { @for stage in &view.journey { (self::stage(view, stage)) } }
        }
        div.columns {
            (made_of(view))
            (evidence(view))
        }
    };
    let title = format!("{} {}", view.project, view.version);
    let moving = view.journey.iter().flat_map(|stage| &stage.legs).any(|leg| leg.state == State::Running);
    let tone = if moving { Tone::Live } else { Tone::Calm };
    let crumbs = vec![
        ("Projects".into(), routes::OVERVIEW.into()),
        (view.project.clone(), routes::project(&view.project)),
    ];
    frame(&view.shell, &Page { title: &title, crumbs, tone, body })
}

fn header(view: &ReleaseView) -> Markup {
    let (signature, words) = &view.signature;
    html! {
        div #head data-region {
            div.title { h1 { "Release " (view.version) } (buttons(&view.shell, "release", &view.actions)) }
            @if let Some(revoked) = &view.revoked { p.why { (icon::state(State::Rejected)) " Revoked: " (prose(revoked)) } }
            p.lead { (commit(&view.commit)) span.muted { " by " (view.commit.author) } }
            dl.facts {
                div { dt { "Digest" } dd { (digest(&view.digest)) } }
                div { dt { "Signature" } dd { (dot(*signature)) " " (words) } }
                div { dt { "Sealed" } dd { (time(view.sealed, view.shell.now)) } }
                div { dt { "Built by" } dd {
                    @match view.run {
                        Some(number) => a href=(routes::run(&view.project, number)) { "Run #" (number) },
                        None => "another system",
                    }
                } }
            }
        }
    }
}

fn stage(view: &ReleaseView, stage: &JourneyStage) -> Markup {
    html! {
        li.stage {
            h3 { (stage.name) }
            @for leg in &stage.legs { (self::leg(view, leg)) }
        }
    }
}

fn leg(view: &ReleaseView, leg: &Leg) -> Markup {
    let Leg { environment, promotion, state, reason, gates, rollout, verification, finished } = leg;
    html! {
        article class={ "leg " (crate::part::small::tone(state.tone())) } {
            header {
                a.strong href=(routes::environment(&view.project, environment)) { (environment) }
                (badge(*state))
                @if let Some(at) = finished { span.muted { (time(*at, view.shell.now)) } }
                @if let Some(promotion) = promotion { a.more href=(routes::promotion(promotion)) { "Promotion" (icon::arrow()) } }
            }
            @if let Some(reason) = reason { p.why { (prose(reason)) } }
            ul.gates {
                @for gate in gates { (self::gate(view, gate)) }
                @if let Some((state, words)) = rollout { li { (dot(*state)) div { strong { "rollout" } p { (prose(words)) } } } }
                @if let Some((state, words)) = verification { li { (dot(*state)) div { strong { "verification" } p { (prose(words)) } } } }
            }
        }
    }
}

fn gate(view: &ReleaseView, gate: &GateView) -> Markup {
    let GateView { kind, title, state, reason, opens_at } = gate;
    html! {
        li {
            (dot(*state))
            div {
                strong { (kind.label()) } " " span.muted { (title) }
                p { (prose(reason)) @if let Some(at) = opens_at { " (" (time(*at, view.shell.now)) ")" } }
            }
        }
    }
}

fn made_of(view: &ReleaseView) -> Markup {
    html! {
        section.card #made-of {
            h2 { "Made of" }
            div.scroll { table {
                thead { tr { th { "Artifact" } th { "Kind" } th { "Size" } th { "Digest" } } }
                tbody { @for row in &view.artifacts {
                    tr { td.strong { (row.name) } td { (row.kind) } td.num { (format::bytes(row.bytes)) } td { (digest(&row.digest)) } }
                } }
            } }
            h2 { "Runs as" }
            ul.plain { @for workload in &view.workloads {
                li { strong { (workload.name) } " " span.muted { "from " (workload.artifact) } " " code { (workload.command) } }
            } }
        }
    }
}

fn evidence(view: &ReleaseView) -> Markup {
    html! {
        section.card #evidence data-region {
            h2 { "Evidence" }
            @if view.evidence.is_empty() { p.muted { "Nothing was recorded." } }
            ul.gates { @for row in &view.evidence {
                li { (dot(row.state)) div { strong { (row.kind) } p { (prose(&row.summary)) } @if let Some(document) = &row.digest { (digest(document)) } } }
            } }
        }
    }
}
