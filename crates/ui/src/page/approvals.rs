//! What waits for the person who looks.

use maud::{Markup, html};

use crate::part::action::buttons;
use crate::part::frame::{Page, frame};
use crate::part::policy_change::policy_change;
use crate::part::small::{commit, prose, time};
use crate::routes;
use crate::view::{ApprovalRequest, ApprovalsView, Tone};

/// Renders the inbox.
#[must_use]
pub fn approvals(view: &ApprovalsView) -> Markup {
    let body = html! {
        div.title { h1 { "Approvals" } }
        div #waiting data-region {
            @if view.waiting.is_empty() && view.policies.is_empty() {
                section.card.empty { h2 { "Nothing waits for you" } p.muted { "When a promotion or a change of a policy needs your word, it appears here by itself." } }
            }
            @for (index, request) in view.waiting.iter().enumerate() { (self::request(view, index, request)) }
            @for (index, card) in view.policies.iter().enumerate() { (policy_change(&view.shell, &format!("policy-{index}"), card)) }
        }
    };
    let tone = if view.waiting.is_empty() && view.policies.is_empty() { Tone::Calm } else { Tone::Live };
    frame(&view.shell, &Page { title: "Approvals", crumbs: Vec::new(), tone, body })
}

fn request(view: &ApprovalsView, index: usize, request: &ApprovalRequest) -> Markup {
    let ApprovalRequest {
        promotion,
        project,
        environment,
        version,
        current,
        commit: source,
        since,
        plan,
        expires,
        needs,
        actions,
    } = request;
    let now = view.shell.now;
    html! {
        article.card.request {
            div.title {
                h2 { a href=(routes::promotion(promotion)) { (version) } span.muted { " into " } a href=(routes::environment(project, environment)) { (project) "/" (environment) } }
                (buttons(&view.shell, &format!("request-{index}"), actions))
            }
            p.why { (prose(needs)) }
            p { (commit(source)) span.muted { " by " (source.author) } }
            ul.plain { @for line in plan { li { (prose(line)) } } }
            p.muted {
                @match current { Some(current) => { "Replaces " (current) }, None => "The first deployment there" }
                " · asked " (time(*since, now))
                @if let Some(expires) = expires { " · ends " (time(*expires, now)) }
            }
        }
    }
}
