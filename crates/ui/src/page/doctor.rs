//! What is wrong with the installation, and what to do about it.

use maud::{Markup, html};

use crate::part::frame::{Page, frame};
use crate::part::small::{badge_saying, command, prose, time};
use crate::view::{DoctorView, Finding, Tone};

/// Renders the findings.
#[must_use]
pub fn doctor(view: &DoctorView) -> Markup {
    let worst = |tone: Tone| view.findings.iter().filter(|finding| finding.state.tone() == tone).count();
    let (bad, warn) = (worst(Tone::Bad), worst(Tone::Warn));
    let body = html! {
        div.title { h1 { "Doctor" } span.muted { "looked " (time(view.checked, view.shell.now)) } }
        section #findings data-region {
            p.lead {
                @if bad + warn == 0 { "Everything is as it should be." }
                @else { (bad) " to repair, " (warn) " to know about." }
            }
            @for finding in &view.findings { (self::finding(finding)) }
        }
    };
    let tone = if bad > 0 { Tone::Bad } else { Tone::Calm };
    frame(&view.shell, &Page { title: "Doctor", crumbs: Vec::new(), tone, body })
}

fn finding(finding: &Finding) -> Markup {
    let Finding { state, title, detail, advice, command: line } = finding;
    html! {
        article.card.finding {
            div.title { h2 { (title) } (badge_saying(*state, word(state.tone()))) }
            p { (prose(detail)) }
            @if let Some(advice) = advice { p.hint { strong { "What to do: " } (prose(advice)) } }
            @if let Some(line) = line { (command(line)) }
        }
    }
}

const fn word(tone: Tone) -> &'static str {
    match tone {
        Tone::Bad => "to repair",
        Tone::Warn | Tone::Waiting | Tone::Live => "to know",
        Tone::Good | Tone::Calm => "fine",
    }
}
