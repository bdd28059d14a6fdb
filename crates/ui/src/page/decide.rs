//! The question behind a mailed link. Opening it changes nothing; its two buttons do.

use maud::{Markup, html};

use crate::part::action::token;
use crate::part::frame::{Page, frame};
use crate::part::small::{commit, prose, time};
use crate::routes;
use crate::view::{DecideView, Tone};

/// Renders the question, or that it is answered.
#[must_use]
pub fn decide(view: &DecideView) -> Markup {
    let now = view.shell.now;
    let body = html! {
        div.title { h1 { (view.title) } }
        section.card.request {
            @if let Some(error) = &view.error { p.notice.bad role="alert" { "Nothing was changed: " (prose(error)) } }
            @match &view.done {
                Some(done) => p.notice.good role="status" { (done) },
                None => (question(view)),
            }
        }
        section.card {
            h2 { "What happens once every gate is open" }
            p { (commit(&view.commit)) span.muted { " by " (view.commit.author) } }
            ul.plain { @for line in &view.plan { li { (prose(line)) } } }
            p.muted { @match &view.current { Some(current) => { "Replaces " (current) }, None => "The first deployment there" } " · this link ends " (time(view.expires, now)) }
        }
    };
    frame(&view.shell, &Page { title: "Decide", crumbs: Vec::new(), tone: Tone::Calm, body })
}

fn question(view: &DecideView) -> Markup {
    html! {
        p { "You decide as " strong { (view.login) } ". This link works once." }
        @for line in &view.needs { p.why { (prose(line)) } }
        form.stack method="post" action=(routes::DECIDE) {
            (token(&view.shell))
            input type="hidden" name="link" value=(view.link);
            label { "Comment" @if view.comment_needed { " (needed: it goes into the timeline)" } @else { " (goes into the timeline)" }
                textarea name="comment" rows="3" maxlength="2000" required[view.comment_needed] {}
            }
            div.actions {
                button.button.primary type="submit" name="word" value="approve" { "Approve" }
                button.button.danger type="submit" name="word" value="reject" { "Reject" }
            }
        }
    }
}
