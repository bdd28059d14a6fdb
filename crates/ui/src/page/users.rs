//! People and their roles, for admins.

use maud::{Markup, html};

use crate::part::action::token;
use crate::part::frame::{Page, frame};
use crate::part::small::{once, time};
use crate::routes;
use crate::view::{Grant, InvitationView, Shell, Tone, UserRow, UsersView};

/// Renders the users.
#[must_use]
pub fn users(view: &UsersView) -> Markup {
    let body = html! {
        div.title { h1 { "Users" } }
        section.card #users data-region {
            div.scroll { table {
                thead { tr { th { "Login" } th { "Roles" } th { "Last here" } th { "Since" } th { span.sr { "Action" } } } }
                tbody { @for user in &view.users { (row(view, user)) } }
            } }
        }
        @if let Some(invitation) = &view.invitation { (self::invitation(view, invitation)) }
        section.card {
            h2 { "Invite somebody" }
            (role_form(view, routes::USERS_INVITE, "Make a link"))
            p.muted { "The link works once, within a day. Whoever opens it chooses the password of that login." }
        }
        section.card {
            h2 { "Give a role" }
            (role_form(view, routes::USERS, "Give it"))
            p.muted { "To somebody who is here already." }
        }
    };
    frame(&view.shell, &Page { title: "Users", crumbs: Vec::new(), tone: Tone::Calm, body })
}

/// The link, which nobody can see again.
fn invitation(view: &UsersView, invitation: &InvitationView) -> Markup {
    let InvitationView { login, url, ends } = invitation;
    html! {
        section.card {
            h2 { "A link for " (login) }
            p { "Give it to them, and to nobody else. It ends " (time(*ends, view.shell.now)) ", and is not shown again." }
            (once(url, "link"))
        }
    }
}

/// A login, and a role for it.
fn role_form(view: &UsersView, action: &str, label: &str) -> Markup {
    html! {
        form.inline method="post" action=(action) {
            (token(&view.shell))
            label { "Login" input name="login" required autocomplete="off" pattern="[a-z0-9][a-z0-9._\\-]*" maxlength="63" title="1 to 63 of a-z, 0-9, -, _ and .";
            }
            (project_choice(view)) (role_choice(view))
            button.button.primary type="submit" { (label) }
        }
    }
}

fn project_choice(view: &UsersView) -> Markup {
    html! {
        label { "Project" select name="project" {
            option value="" { "all projects" }
            @for project in &view.projects { option value=(project) { (project) } }
        } }
    }
}

fn role_choice(view: &UsersView) -> Markup {
    html! { label { "Role" select name="role" { @for role in &view.roles { option value=(role) { (role) } } } } }
}

fn row(view: &UsersView, user: &UserRow) -> Markup {
    let UserRow { login, active, grants, created, seen } = user;
    let (verb, label) = if *active { ("disable", "Disable") } else { ("enable", "Enable") };
    html! {
        tr data-filter=(login) {
            td { strong { (login) } @if !active { div.reason { "may not sign in" } } }
            td.wide { @for grant in grants { (self::grant(&view.shell, login, grant)) } @if grants.is_empty() { span.muted { "none" } } }
            td { @match seen { Some(at) => (time(*at, view.shell.now)), None => span.muted title="No session of theirs is known" { "–" } } }
            td { (time(*created, view.shell.now)) }
            td { form method="post" action=(routes::user(login, verb)) { (token(&view.shell)) button.button.small type="submit" { (label) } } }
        }
    }
}

fn grant(shell: &Shell, login: &str, grant: &Grant) -> Markup {
    let project = grant.project.as_deref();
    html! {
        form.label method="post" action=(routes::user(login, "revoke")) {
            (token(shell))
            input type="hidden" name="project" value=(project.unwrap_or(""));
            input type="hidden" name="role" value=(grant.role);
            (grant.role) " in " (project.unwrap_or("all projects"))
            button type="submit" aria-label={ "Take " (grant.role) " from " (login) } title="Take it away" { "×" }
        }
    }
}
