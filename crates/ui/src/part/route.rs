//! A Project's route as a canal: Environments are basins, Gates are the locks between them.

use jiff::Timestamp;
use maud::{Markup, html};

use super::icon;
use super::small::{badge, prose, revision, time, tone, weight_bar};
use crate::view::{EnvironmentCard, Lock, RouteStage, State};
use crate::{format, routes};

/// The strip of all stages.
pub fn strip(project: &str, stages: &[RouteStage], now: Timestamp) -> Markup {
    html! {
        ol.canal aria-label="Route to production" {
            @for (index, stage) in stages.iter().enumerate() {
                li.reach {
                    @if index > 0 || stage.lock.is_some() { (lock(stage.lock.as_ref())) }
                    section.basin aria-label={ "Stage " (stage.name) } {
                        @for card in &stage.environments { (basin(project, stage, card, now)) }
                    }
                }
            }
        }
    }
}

/// The lock before a stage.
fn lock(lock: Option<&Lock>) -> Markup {
    let (state, reason) = match lock {
        Some(lock) => (lock.state, lock.reason.as_str()),
        None => (State::Empty, "Nothing waits here"),
    };
    html! {
        div class={ "lock " (tone(state.tone())) } title=(reason) {
            svg viewBox="0 0 40 60" aria-hidden="true" {
                path.quay d="M0 6h40M0 54h40" {}
                @if state == State::Waiting || state == State::Held { path.leaf d="M14 8l12 22-12 22" {} }
                @else { path.leaf d="M12 10h18M12 50h18" {} }
                path.flow d="M8 30h6M17 30h6M26 30h6" {}
            }
            @if lock.is_some() { span.sr { "Lock " (state.label()) ": " (reason) } }
        }
    }
}

fn basin(project: &str, stage: &RouteStage, card: &EnvironmentCard, now: Timestamp) -> Markup {
    let EnvironmentCard { name, health, current, rollout, waiting, hold, url } = card;
    html! {
        article class={ "env " (tone(health.tone())) } {
            header {
                h3 { a href=(routes::environment(project, name)) { (name) } }
                @if stage.name != *name { span.muted { (stage.name) } }
                (badge(*health))
            }
            @match current {
                Some(current) => {
                    p.version { (revision(project, &current.revision)) }
                    p.muted {
                        (time(current.since, now)) " · " (current.ready) "/" (current.desired) " ready"
                        @if let Some(url) = url { " · " a href=(url) rel="noreferrer" { "open" (icon::outside()) } }
                    }
                }
                None => p.version.none { "nothing runs here yet" },
            }
            @if let Some(rollout) = rollout {
                a.rollout-line href=(routes::promotion(&rollout.promotion)) {
                    (badge(rollout.state)) " " strong { (rollout.version) } " " span.muted { (rollout.phase) }
                    span.share { (format::share(rollout.weight)) }
                }
                (weight_bar(rollout.weight, &format!("{} of the traffic goes to {}", format::share(rollout.weight), rollout.version)))
            }
            @for promotion in waiting {
                a.wait-line href=(routes::promotion(&promotion.promotion)) {
                    (icon::state(State::Waiting)) span { strong { (promotion.version) } " waits: " (prose(&promotion.reason)) }
                }
            }
            @if let Some(hold) = hold { p.hold-line { (icon::state(State::Held)) span { "Held: " (hold) } } }
        }
    }
}
