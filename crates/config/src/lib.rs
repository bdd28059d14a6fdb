//! towpath.yaml and environment documents to checked values with located diagnostics.
//!
//! ```
//! let (pipeline, diagnostics) = towpath_config::parse_pipeline("towpath.yaml", "name: shop\njobs: { test: { stepz: [make] } }\n");
//! assert!(pipeline.is_none());
//! assert!(diagnostics.iter().any(|diagnostic| diagnostic.hints == ["did you mean `steps`?"]));
//! ```
//!
//! Reading goes from text to a located tree, is lowered by hand to the values of `model`,
//! and then checked as a whole; each part reports what it finds and goes on, so that one run shows
//! every mistake. What a file may hold is written once, in `spec`: the lowering, the
//! JSON Schema and the reference all read it there.

mod check;
pub mod diagnostic;
pub mod dockerfile;
mod evaluator;
pub mod expression;
mod fields;
pub mod file;
pub mod fix;
mod foresight;
pub mod gate_expression;
pub mod init;
pub mod load;
mod lower;
pub mod migrations;
mod parse;
pub mod reference;
pub mod render;
mod rewrite;
pub mod schema;
mod spec;
mod together;
mod tree;
mod values;

pub use diagnostic::{Colour, Diagnostic, Severity, has_errors};
pub use evaluator::CelEvaluator;
pub use foresight::{plan, retell};
pub use parse::{
    MAX_FILE, PIPELINE_FILE, parse_environments, parse_environments_bytes, parse_notifications,
    parse_notifications_bytes, parse_pipeline, parse_pipeline_bytes,
};
pub use together::{Filed, check_together};
pub use values::{show_duration, size};
