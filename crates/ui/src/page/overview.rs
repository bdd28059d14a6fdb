//! All Projects at a glance.

use jiff::Timestamp;
use maud::{Markup, html};

use crate::part::frame::{Page, frame};
use crate::part::route::strip;
use crate::part::small::{badge, command, commit, time};
use crate::routes;
use crate::view::{OverviewView, ProjectCard, Tone};

/// Renders the overview.
#[must_use]
pub fn overview(view: &OverviewView) -> Markup {
    let now = view.shell.now;
    let body = html! {
        div.title { h1 { "Projects" } }
        div #projects data-region {
            @for card in &view.projects { (project(card, now)) }
            @if view.projects.is_empty() { (welcome(&view.url)) }
        }
    };
    frame(&view.shell, &Page { title: "Projects", crumbs: Vec::new(), tone: tone_of(view), body })
}

fn tone_of(view: &OverviewView) -> Tone {
    let mut cards =
        view.projects.iter().flat_map(|project| &project.route).flat_map(|stage| &stage.environments);
    if cards.clone().any(|card| card.health.tone() == Tone::Bad) {
        Tone::Bad
    } else if cards.any(|card| card.rollout.is_some()) {
        Tone::Live
    } else {
        Tone::Calm
    }
}

fn project(card: &ProjectCard, now: Timestamp) -> Markup {
    let ProjectCard { name, route, last_run } = card;
    html! {
        article.project data-filter=(name) {
            header {
                h2 { a href=(routes::project(name)) { (name) } }
                @if let Some(run) = last_run {
                    a.last-run href=(routes::run(name, run.number)) {
                        (badge(run.state)) span.num { "#" (run.number) } (commit(&run.commit)) span.muted { (time(run.created, now)) }
                    }
                }
            }
            @if route.is_empty() {
                p.muted { "No route yet: push a towpath.yaml with stages, and apply a document for each environment." }
            } @else { (strip(name, route, now)) }
        }
    }
}

fn welcome(url: &str) -> Markup {
    html! {
        section.card.empty {
            h2 { "The canal is dug, no boat is on it yet" }
            p { "In the directory of a project, sign in and let Towpath write the project's files:" }
            (command(&format!("towpath login {url}")))
            (command("towpath init"))
            p { "Make the project here, under the name that " code { "towpath init" } " says, and give it the environments:" }
            (command("towpath project create shop"))
            (command("towpath apply shop .towpath/*.yaml"))
            p { "Commit, and push. The answer says what runs and what waits for what." }
            (command(&format!("git remote add towpath {url}/git/shop.git")))
            (command("git push towpath main"))
        }
    }
}
