//! View models, templates and embedded assets of the page.
//!
//! The server fills a struct of [`view`] and calls the function of [`page`] with the same name;
//! the answer is a whole HTML document. [`routes`] builds every address, [`asset`] holds the files.
//!
//! # How a page stays live
//!
//! [`view::Shell::live`] names an event stream (`/api/v1/events?…`), which must answer with
//! `text/event-stream`. What the events say does not matter to the page: after any message, named or not,
//! and after each reconnection, `live.js` fetches the page's own address again (header
//! `X-Towpath-Live: 1`, at most once in 400 ms, never while the tab is hidden) and replaces each
//! element with a `data-region` by its successor of the same id. Focus, scroll positions, open
//! dialogs and half-written comments survive. A page is therefore always what the server would
//! answer to a reload, and no state is kept twice. The stream should send a comment line every 15 s,
//! an event named `ping` is ignored. While it is away the page says so, tries again by itself (1 s, doubling to
//! 15 s) and catches up. If a region came or went, the page reloads as soon as no dialog is open. An answer
//! to `X-Towpath-Live` must not use up a [`view::Notice`]. A redirect to the sign-in page makes the browser follow it.
//!
//! Two things are too busy for that and have their own address:
//! the log ([`routes::log`], see [`log`]) and the charts ([`routes::series`], see [`view::Series`]), each asked
//! once a second while there is more to come.
//!
//! `cargo run -p towpath-ui --example gallery` serves every page with made-up content, alive.
//!
//! # Security
//!
//! Nothing here needs inline scripts or styles: send [`CONTENT_SECURITY_POLICY`] with every page.
//! Every form is a POST with a field `csrf` ([`view::Shell::csrf`]); those with a dialog also send `comment`.
//! `maud` escapes all text; terminal sequences in logs are reduced to colours by [`ansi`].

pub mod ansi;
mod assets;
mod format;
pub mod groups;
pub mod log;
pub mod page;
mod part;
pub mod routes;
pub mod view;

pub use assets::{Asset, asset, assets};
pub use maud::Markup;

/// The header that every page must carry.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
