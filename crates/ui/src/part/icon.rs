//! Icons, drawn on a grid of 16 by 16 in the colour of the text around them.

use maud::{Markup, PreEscaped, html};

use crate::view::State;

/// The icon of a state. Each has a shape of its own, so that no meaning hangs on colour.
pub fn state(state: State) -> Markup {
    svg(match state {
        State::Passed | State::Healthy => {
            r#"<circle cx="8" cy="8" r="7" class="fill"/><path d="M4.8 8.3l2.2 2.2 4.3-4.6" class="cut"/>"#
        }
        State::Failed | State::Unhealthy | State::Rejected => {
            r#"<circle cx="8" cy="8" r="7" class="fill"/><path d="M5.4 5.4l5.2 5.2M10.6 5.4l-5.2 5.2" class="cut"/>"#
        }
        State::Invalid => {
            r#"<path d="M8 1.2L15.2 14.4H.8z" class="fill"/><path d="M8 6v4M8 11.8v.6" class="cut"/>"#
        }
        State::Running | State::Starting => {
            r#"<circle cx="8" cy="8" r="6.2" class="faint"/><path d="M8 1.8a6.2 6.2 0 0 1 6.2 6.2" class="spin"/>"#
        }
        State::Stopping => r#"<circle cx="8" cy="8" r="6.2" class="faint"/><path d="M5.5 8h5"/>"#,
        State::Queued => r#"<circle cx="8" cy="8" r="6.2" stroke-dasharray="2.4 2.4"/>"#,
        State::Waiting => r#"<path d="M2 2v12M14 2v12M2.5 4.5L8 8l5.5-3.5M2.5 8.5L8 12l5.5-3.5"/>"#,
        State::Open => r#"<path d="M2 2v12M14 2v12M2.5 5h3.5M10 5h3.5M5 11h6M9 9l2 2-2 2"/>"#,
        State::Held => r#"<circle cx="8" cy="8" r="6.2"/><path d="M6.3 5.4v5.2M9.7 5.4v5.2"/>"#,
        State::RolledBack => r#"<path d="M3 6.5h6.5a3.7 3.7 0 0 1 0 7.4H6M6 3L2.6 6.5 6 10"/>"#,
        State::Superseded => r#"<path d="M3 4l4 4-4 4M9 4l4 4-4 4"/>"#,
        State::Quarantined => r#"<circle cx="8" cy="8" r="6.2"/><path d="M3.7 12.3l8.6-8.6"/>"#,
        State::Lost | State::Unknown => {
            r#"<circle cx="8" cy="8" r="6.2"/><path d="M6.2 6.2a1.9 1.9 0 1 1 2.6 2c-.6.3-.8.6-.8 1.2M8 11.4v.4"/>"#
        }
        State::Expired => r#"<circle cx="8" cy="8" r="6.2"/><path d="M8 4.2V8l2.6 1.8"/>"#,
        State::Cancelled | State::Stopped => r#"<circle cx="8" cy="8" r="6.2"/><path d="M6 6h4v4H6z"/>"#,
        State::Skipped => r#"<circle cx="8" cy="8" r="6.2"/><path d="M5 8h6"/>"#,
        State::Empty => r#"<circle cx="8" cy="8" r="6.2" class="faint"/>"#,
    })
}

/// A button's copy symbol.
pub fn copy() -> Markup {
    svg(r#"<path d="M5.5 5.5V2.2h8.3v8.3h-3.3M2.2 5.5h8.3v8.3H2.2z"/>"#)
}

/// A branch.
pub fn branch() -> Markup {
    svg(
        r#"<circle cx="4" cy="3.5" r="1.8"/><circle cx="4" cy="12.5" r="1.8"/><circle cx="12" cy="5.5" r="1.8"/><path d="M4 5.3v5.4M12 7.3c0 2.6-4 2.2-7 3.6"/>"#,
    )
}

/// An arrow to the right.
pub fn arrow() -> Markup {
    svg(r#"<path d="M2.5 8h11M9.5 4l4 4-4 4"/>"#)
}

/// Sun and moon.
pub fn theme() -> Markup {
    svg(r#"<circle cx="8" cy="8" r="6.2"/><path d="M8 1.8a6.2 6.2 0 0 1 0 12.4z" class="fill"/>"#)
}

/// A download.
pub fn download() -> Markup {
    svg(r#"<path d="M8 2v8M4.5 6.8L8 10.3l3.5-3.5M2.5 13.5h11"/>"#)
}

/// A link to another place.
pub fn outside() -> Markup {
    svg(r#"<path d="M6 3H2.8v10.2H13V10M9 2.5h4.5V7M13.2 2.8L7.5 8.5"/>"#)
}

/// The logo: the gates of a lock, seen from above, and the path beside the water.
pub fn logo() -> Markup {
    html! {
        svg.logo viewBox="0 0 32 32" aria-hidden="true" {
            (PreEscaped(concat!(
                r#"<rect width="32" height="32" rx="8" class="logo-bank"/>"#,
                r#"<path d="M10 0h12v32H10z" class="logo-water"/>"#,
                r#"<path d="M10 9l6 4.5L22 9M10 18l6 4.5 6-4.5" class="logo-gate"/>"#,
                r#"<path d="M27 3v26" class="logo-path"/>"#,
            )))
        }
    }
}

fn svg(body: &'static str) -> Markup {
    html! { svg.i viewBox="0 0 16 16" aria-hidden="true" { (PreEscaped(body)) } }
}
