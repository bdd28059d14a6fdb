//! A document that waits for signatures, as the inbox and its Environment show it.

use maud::{Markup, html};

use super::action::buttons;
use super::small::{prose, time};
use crate::routes;
use crate::view::{PolicyChangeCard, Shell};

/// The card. `scope` keeps the ids of two cards apart.
pub fn policy_change(shell: &Shell, scope: &str, card: &PolicyChangeCard) -> Markup {
    let PolicyChangeCard {
        project,
        environment,
        number,
        base,
        author,
        since,
        expires,
        changes,
        loosens,
        needs,
        actions,
    } = card;
    html! {
        article.card.request {
            div.title {
                h2 { "Policy change " (number) span.muted { " of " } a href=(routes::environment(project, environment)) { (project) "/" (environment) } }
                (buttons(shell, scope, actions))
            }
            p.why { (prose(needs)) }
            @for loosened in loosens { p.strong { "Loosens: " (prose(loosened)) } }
            ul.plain { @for change in changes { li { code { (change) } } } }
            p.muted { "Takes the place of version " (base) " · applied by " (author) " " (time(*since, shell.now)) " · ends " (time(*expires, shell.now)) }
        }
    }
}
