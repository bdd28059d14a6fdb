//! One's own account: password and API tokens.

use maud::{Markup, html};

use crate::part::action::token;
use crate::part::frame::{Page, frame};
use crate::part::small::{once, time};
use crate::routes;
use crate::view::{AccountView, TokenRow, Tone};

/// Renders the account.
#[must_use]
pub fn account(view: &AccountView) -> Markup {
    let body = html! {
        div.title { h1 { @match &view.shell.user { Some(user) => (user.login), None => "Account" } } }
        p { @for grant in &view.grants { span.label { (grant.role) " in " (grant.project.as_deref().unwrap_or("all projects")) } " " } }
        @if let Some(secret) = &view.new_token {
            section.card.empty { h2 { "Your new token" } (once(secret, "token")) p.muted { "Copy it now: it is stored as a hash and not shown again." } }
        }
        (tokens(view))
        div.columns { (new_token(view)) (password(view)) }
    };
    frame(&view.shell, &Page { title: "Account", crumbs: Vec::new(), tone: Tone::Calm, body })
}

fn tokens(view: &AccountView) -> Markup {
    html! {
        section.card #tokens {
            h2 { "API tokens" }
            @if view.tokens.is_empty() { p.muted { "None. " code { "towpath login" } " makes one for this computer." } }
            @else { div.scroll { table {
                thead { tr { th { "For" } th { "May" } th { "Made" } th { "Last used" } th { "Ends" } th { span.sr { "Action" } } } }
                tbody { @for row in &view.tokens { (token_row(view, row)) } }
            } } }
        }
    }
}

fn token_row(view: &AccountView, row: &TokenRow) -> Markup {
    let TokenRow { id, name, scopes, created, used, expires } = row;
    let now = view.shell.now;
    html! {
        tr {
            td.strong { (name) }
            td.wide { @for scope in scopes { span.label { (scope) } " " } }
            td { (time(*created, now)) }
            td { @match used { Some(at) => (time(*at, now)), None => span.muted { "never" } } }
            td { @match expires { Some(at) => (time(*at, now)), None => span.muted { "never" } } }
            td { form method="post" action=(routes::revoke_token(id)) { (token(&view.shell)) button.button.danger.small type="submit" { "Revoke" } } }
        }
    }
}

fn new_token(view: &AccountView) -> Markup {
    html! {
        section.card {
            h2 { "Make a token" }
            form.stack method="post" action=(routes::ACCOUNT_TOKENS) {
                (token(&view.shell))
                label { "What for" input name="name" required maxlength="63" placeholder="laptop"; }
                fieldset { legend { "It may" }
                    @for (scope, meaning) in &view.scopes { label.check { input type="checkbox" name="scopes" value=(scope); " " strong { (scope) } " " span.muted { (meaning) } } }
                }
                label { "Ends after" select name="days" {
                    option value="1" { "a day" } option value="30" selected { "30 days" } option value="90" { "90 days" } option value="365" { "a year" }
                } }
                button.button.primary type="submit" { "Make it" }
            }
        }
    }
}

fn password(view: &AccountView) -> Markup {
    html! {
        section.card {
            h2 { "Change the password" }
            form.stack method="post" action=(routes::ACCOUNT_PASSWORD) {
                (token(&view.shell))
                @if let Some(user) = &view.shell.user { input hidden name="login" value=(user.login) autocomplete="username"; }
                label { "Present password" input type="password" name="current" required autocomplete="current-password"; }
                label { "New password" input type="password" name="password" required minlength="12" autocomplete="new-password"; }
                p.muted { "At least 12 characters. Your other sessions end." }
                button.button type="submit" { "Change it" }
            }
        }
    }
}
