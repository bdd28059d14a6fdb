//! Buttons that change something: each opens a dialog that says what will happen.

use maud::{Markup, html};

use super::small::prose;
use crate::view::{Action, ActionKind, Shell};

/// A row of buttons with their dialogs. `scope` keeps the ids of two rows apart.
pub fn buttons(shell: &Shell, scope: &str, actions: &[Action]) -> Markup {
    html! {
        @if !actions.is_empty() {
            div.actions { @for (index, action) in actions.iter().enumerate() { (button(shell, &format!("{scope}-{index}-{}", action.kind.verb()), action)) } }
        }
    }
}

/// One button with its dialog.
pub fn button(shell: &Shell, id: &str, action: &Action) -> Markup {
    let Action { kind, label, url, consequence, fields, refused } = action;
    let look = look(*kind);
    if let Some(refused) = refused {
        return html! {
            span.refused title=(refused) {
                button type="button" class={ "button " (look) } disabled aria-describedby={ "why-" (id) } { (label) }
                span.sr id={ "why-" (id) } { (refused) }
            }
        };
    }
    html! {
        button type="button" class={ "button " (look) } data-dialog={ "dialog-" (id) } { (label) }
        dialog id={ "dialog-" (id) } aria-labelledby={ "title-" (id) } {
            form method="post" action=(url) {
                h2 id={ "title-" (id) } { (label) }
                p.consequence { (prose(consequence)) }
                (token(shell))
                @for (name, value) in fields { input type="hidden" name=(name) value=(value); }
                label { "Comment" @if comment_needed(*kind) { " (needed: it goes into the timeline)" } @else { " (goes into the timeline)" }
                    textarea name="comment" rows="3" maxlength="2000" required[comment_needed(*kind)] {}
                }
                div.actions {
                    button type="submit" class={ "button " (look) } { (label) }
                    button.button type="button" data-close { "Leave it" }
                }
            }
        }
    }
}

/// The hidden field that every form carries.
pub fn token(shell: &Shell) -> Markup {
    html! { input type="hidden" name="csrf" value=(shell.csrf); }
}

const fn look(kind: ActionKind) -> &'static str {
    match kind {
        ActionKind::Approve
        | ActionKind::Allow
        | ActionKind::Promote
        | ActionKind::Resume
        | ActionKind::Lift => "primary",
        ActionKind::Reject
        | ActionKind::RollBack
        | ActionKind::Cancel
        | ActionKind::Revoke
        | ActionKind::Remove => "danger",
        ActionKind::Hold
        | ActionKind::Rerun
        | ActionKind::Release
        | ActionKind::Open
        | ActionKind::Close
        | ActionKind::Unrevoke => "plain",
    }
}

/// Whether others will ask why.
const fn comment_needed(kind: ActionKind) -> bool {
    match kind {
        ActionKind::Reject
        | ActionKind::Hold
        | ActionKind::Release
        | ActionKind::Revoke
        | ActionKind::Open => true,
        ActionKind::Approve
        | ActionKind::Lift
        | ActionKind::Resume
        | ActionKind::RollBack
        | ActionKind::Promote
        | ActionKind::Cancel
        | ActionKind::Allow
        | ActionKind::Rerun
        | ActionKind::Remove
        | ActionKind::Close
        | ActionKind::Unrevoke => false,
    }
}
