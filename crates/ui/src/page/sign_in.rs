//! Signing in, and choosing a password behind a one-time link.

use maud::{Markup, html};

use crate::part::action::token;
use crate::part::frame::{Page, frame};
use crate::part::icon;
use crate::routes;
use crate::view::{SetupView, Shell, SignInView, Tone};

/// Renders the sign-in form.
#[must_use]
pub fn sign_in(view: &SignInView) -> Markup {
    let form = html! {
        form.stack method="post" action=(routes::LOGIN) {
            (token(&view.shell))
            input type="hidden" name="next" value=(view.next);
            label { "Login" input name="login" value=(view.login) required autofocus autocomplete="username" autocapitalize="none"; }
            label { "Password" input type="password" name="password" required autocomplete="current-password"; }
            button.button.primary type="submit" { "Sign in" }
        }
    };
    door(
        &view.shell,
        "Sign in",
        "From commit to production, and every gate on the way.",
        view.error.as_deref(),
        &form,
    )
}

/// Renders the form behind a one-time link.
#[must_use]
pub fn setup(view: &SetupView) -> Markup {
    let (title, words) = if view.invited {
        ("Welcome aboard", "Choose a password; this link then ends.")
    } else {
        ("Make the first admin", "This link was printed when the server first started. It works once.")
    };
    let form = html! {
        form.stack method="post" action=(routes::setup(&view.token)) {
            (token(&view.shell))
            label { "Login" input name="login" value=(view.login) required readonly[view.invited] autocomplete="username" autocapitalize="none" maxlength="63"; }
            label { "Password" input type="password" name="password" required minlength="12" autocomplete="new-password"; }
            label { "Once more" input type="password" name="password_again" required minlength="12" autocomplete="new-password"; }
            p.muted { "At least 12 characters. A few words in a row are good ones." }
            button.button.primary type="submit" { "Begin" }
        }
    };
    door(&view.shell, title, words, view.error.as_deref(), &form)
}

fn door(shell: &Shell, title: &str, words: &str, error: Option<&str>, form: &Markup) -> Markup {
    let body = html! {
        section.card.door {
            (icon::logo())
            h1 { (title) }
            p.muted { (words) }
            @if let Some(error) = error { p.notice.bad role="alert" { (error) } }
            (form)
        }
    };
    frame(shell, &Page { title, crumbs: Vec::new(), tone: Tone::Calm, body })
}
