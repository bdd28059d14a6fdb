//! What the reports of a Run say, in lines, and the places in the source that they name.

use maud::{Markup, html};

use super::small::{prose, tone};
use crate::view::{AnnotationRow, ReportsView};

/// Renders it; nothing where there is nothing.
pub fn reports(view: &ReportsView) -> Markup {
    let ReportsView { lines, annotations, more } = view;
    html! {
        @if !lines.is_empty() || !annotations.is_empty() {
            section.card #reports data-region aria-label="Reports" {
                h2 { "Reports" }
                @if !lines.is_empty() {
                    dl.facts { @for (what, how, text) in lines {
                        div { dt { (what) } dd class=(tone(*how)) { (text) } }
                    } }
                }
                @for AnnotationRow { tone: how, level, place, message, source } in annotations {
                    article class={ "diagnostic " (tone(*how)) } {
                        p { strong { (level) ": " } (prose(message)) }
                        p.muted { @if let Some(place) = place { code { (place) } " · " } (source) }
                    }
                }
                @if *more > 0 { p.muted { (more) " more: `towpath tests --run` lists all." } }
            }
        }
    }
}
