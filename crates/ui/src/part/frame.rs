//! The document around every page.

use maud::{DOCTYPE, Markup, html};

use super::action::token;
use super::icon;
use super::small::tone;
use crate::view::{Shell, Tone};
use crate::{assets, routes};

/// What a page gives to its frame.
pub struct Page<'a> {
    /// The title, without the product's name.
    pub title: &'a str,
    /// The way here: labels and addresses.
    pub crumbs: Vec<(String, String)>,
    /// What the little icon in the browser's tab says.
    pub tone: Tone,
    /// The content.
    pub body: Markup,
}

/// Renders the whole document.
pub fn frame(shell: &Shell, page: &Page<'_>) -> Markup {
    let favicon = match page.tone {
        Tone::Live => "favicon-live.svg",
        Tone::Bad => "favicon-bad.svg",
        Tone::Calm | Tone::Waiting | Tone::Good | Tone::Warn => "favicon.svg",
    };
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (page.title) " · Towpath" }
                link rel="icon" type="image/svg+xml" href=(assets::url(favicon));
                link rel="stylesheet" href=(assets::url("app.css"));
                script src=(assets::url("theme.js")) {}
                script type="module" src=(assets::url("app.js")) {}
            }
            body data-live=[shell.live.as_deref()] data-now=(shell.now.as_millisecond()) {
                a.skip href="#main" { "Skip to the content" }
                (header(shell))
                div #connection role="status" aria-live="polite" {}
                main #main tabindex="-1" {
                    (crumbs(&page.crumbs))
                    (notice(shell))
                    (page.body)
                }
                (help())
                div.sr #announce aria-live="polite" {}
            }
        }
    }
}

fn header(shell: &Shell) -> Markup {
    html! {
        header.top {
            div.bar {
                a.brand href=(routes::OVERVIEW) { (icon::logo()) span.brand-name { "Towpath" } @if !shell.instance.is_empty() { span.instance { (shell.instance) } } }
                @if let Some(user) = &shell.user {
                    nav #nav aria-label="Main" data-region {
                        a href=(routes::OVERVIEW) { "Projects" }
                        a href=(routes::APPROVALS) { "Approvals" @if shell.approvals_waiting > 0 { span.count { (shell.approvals_waiting) span.sr { " waiting" } } } }
                        a href=(routes::TIMELINE) { "Timeline" }
                        a href=(routes::QUEUE) { "Queue" } @if user.admin { a href=(routes::AGENTS) { "Agents" } a href=(routes::USERS) { "Users" } a href=(routes::DOCTOR) { "Doctor" } }
                    }
                }
                div.tools {
                    button.tool #theme type="button" aria-label="Light or dark" title="Light or dark" { (icon::theme()) }
                    @if let Some(user) = &shell.user {
                        button.tool.help type="button" data-dialog="help" aria-label="Keyboard shortcuts" title="Keyboard shortcuts" { "?" }
                        a.tool href=(routes::ACCOUNT) title="Your account" { (user.login) }
                        form method="post" action=(routes::LOGOUT) { (token(shell)) button.tool type="submit" { "Sign out" } }
                    }
                }
            }
        }
    }
}

fn crumbs(crumbs: &[(String, String)]) -> Markup {
    html! {
        @if !crumbs.is_empty() {
            nav.crumbs aria-label="Where you are" { ol { @for (label, url) in crumbs { li { a href=(url) { (label) } } } } }
        }
    }
}

fn notice(shell: &Shell) -> Markup {
    html! {
        @if let Some(notice) = &shell.notice {
            p class={ "notice " (tone(notice.tone)) } role="status" { (notice.text) }
        }
    }
}

fn help() -> Markup {
    const KEYS: [(&str, &str); 9] = [
        ("g p", "Projects"),
        ("g a", "Approvals"),
        ("g t", "Timeline"),
        ("g d", "Doctor"),
        ("/", "Filter this page"),
        ("j  k", "Next and previous link in a list"),
        ("e", "Jump to the failing line of a log"),
        ("f", "Follow a log"),
        ("?", "This help"),
    ];
    html! {
        dialog #help aria-labelledby="help-title" {
            h2 #help-title { "Keyboard shortcuts" }
            dl.keys { @for (keys, meaning) in KEYS { dt { @for key in keys.split_whitespace() { kbd { (key) } " " } } dd { (meaning) } } }
            button.button type="button" data-close { "Close" }
        }
    }
}
