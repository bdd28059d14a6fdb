//! When there is nothing else to show.

use maud::{Markup, html};

use crate::part::frame::{Page, frame};
use crate::part::icon;
use crate::part::small::prose;
use crate::routes;
use crate::view::{ErrorView, Tone};

/// Renders an error.
#[must_use]
pub fn error(view: &ErrorView) -> Markup {
    let (title, words) = words(view.status);
    let body = html! {
        section.card.door {
            (icon::logo())
            p.status { (view.status) }
            h1 { (title) }
            p { (words) }
            @if let Some(detail) = &view.detail { p.why { (prose(detail)) } }
            @if let Some(request) = &view.request { p.muted { "In the server's log this is request " code { (request) } "." } }
            p { a.button href=(routes::OVERVIEW) { "To the projects" } }
        }
    };
    let tone = if view.status >= 500 { Tone::Bad } else { Tone::Calm };
    frame(&view.shell, &Page { title, crumbs: Vec::new(), tone, body })
}

const fn words(status: u16) -> (&'static str, &'static str) {
    match status {
        400 => (
            "That could not be understood",
            "Something in the request was not as it should be. Nothing was changed.",
        ),
        401 => ("Who goes there?", "Sign in, and you get what you asked for."),
        403 => (
            "This gate is shut for you",
            "Your roles do not reach here. Nothing was changed. An admin can give you what is missing.",
        ),
        404 => ("The path ends here", "Nothing lives at this address, or it is not yours to see."),
        409 => (
            "It has just changed",
            "What you looked at is no longer what is there. Nothing was changed; look again and decide anew.",
        ),
        429 => ("A little slower", "There were too many tries. Wait a minute."),
        503 => (
            "Back in a moment",
            "The server is starting or stopping. Traffic is served by the gateway all the while.",
        ),
        _ => (
            "That was our mistake",
            "The server failed to answer. What it runs and what it serves is not touched by this.",
        ),
    }
}
