//! The reference pages of all kinds of document, in Markdown.

use std::fmt::Write as _;

use crate::spec::environment::ENVIRONMENT;
use crate::spec::notify::NOTIFICATIONS;
use crate::spec::pipeline::PIPELINE;
use crate::spec::reuse::INCLUDED;
use crate::spec::{Kind, Object, Presence};

/// The page of `towpath.yaml`.
#[must_use]
pub fn pipeline() -> String {
    let mut page = page("towpath.yaml", &PIPELINE, PIPELINE_NOTES);
    section(&mut page, &INCLUDED);
    page
}

/// The page of environment documents.
#[must_use]
pub fn environment() -> String {
    page("Environment documents", &ENVIRONMENT, ENVIRONMENT_NOTES)
}

/// The page of notification documents.
#[must_use]
pub fn notifications() -> String {
    page("Notification documents", &NOTIFICATIONS, NOTIFICATIONS_NOTES)
}

const NOTIFICATIONS_NOTES: &str = "\
`towpath notify apply FILE` shows the difference to what holds now, and records who changed it. `towpath notify test`\n\
sends a message to a channel, and `towpath schema notifications` prints the JSON Schema for your editor.\n\n";

const PIPELINE_NOTES: &str = "\
Keys may be spelled with `_`, with `-` or in camelCase; the linter knows them all, the tables give the canonical one.\n\
An unknown key is an error. `towpath lint` shows all mistakes at once, `towpath plan` what the file would do, and\n\
`towpath schema pipeline` prints the JSON Schema for your editor.\n\n\
Durations are written `30s`, `5m`, `2h`, `1d` or `1h30m`; shares `5%` or `0.5pp`; sizes `512MiB` or `1GB`.\n\n\
## Expressions\n\n\
`if` is an expression in a subset of CEL, and a value under `env` may hold `${{ }}`. A script may not: a value reaches it\n\
as environment, so that nobody who chooses the name of a branch chooses a command.\n\n\
| name | value |\n|---|---|\n\
| `ref`, `branch`, `tag` | `refs/heads/main`, `main`, empty without one |\n\
| `event` | `push`, `tag` or `manual` |\n\
| `commit` | the full commit id |\n\
| `trust` | `protected`, `internal` or `fork` |\n\
| `project` | the Project's name |\n\
| `env.<NAME>` | what `env` of the file and the Job say |\n\
| `needs.<job>.outcome`, `needs.<job>.outputs.<name>` | of the Jobs under `needs` |\n\
| `matrix.<axis>` | of the cell, in a Job with a `matrix`; text |\n\
| `jobs.<job>.outcome` | `passed`, `failed`, `skipped` or `cancelled`; of all Jobs that ended before |\n\n\
Functions: `startsWith`, `endsWith`, `contains`, `matches` (a regular expression, RE2), `lowerAscii`, `size`, `has`, and on lists `all`, `exists`, `filter`, `map`.\n\n";

const ENVIRONMENT_NOTES: &str = "\
`towpath apply FILE` shows the difference to what holds now, and records who changed it. `towpath schema environment`\n\
prints the JSON Schema for your editor. Locally, `towpath lint` and `towpath plan` read `.towpath/*.yaml`.\n\n";

fn page(title: &str, root: &'static Object, notes: &str) -> String {
    let mut page = format!(
        "# {title}\n\n<!-- Generated from the tables that the parser reads. Regenerate with: UPDATE=1 cargo test -p towpath-config -->\n\n{}\n\n{notes}",
        root.doc
    );
    for object in root.reachable() {
        section(&mut page, object);
    }
    page
}

fn section(page: &mut String, object: &'static Object) {
    let _ = writeln!(page, "## {}\n", object.name);
    let _ = writeln!(
        page,
        "{}\n\n| key | type | default | meaning | example |\n|---|---|---|---|---|",
        object.doc
    );
    for key in object.keys {
        let default = match key.presence {
            Presence::Required => "**required**".to_owned(),
            Presence::Default("-") => String::new(),
            Presence::Default(default) => default.replace('|', "\\|"),
        };
        let _ = writeln!(
            page,
            "| `{}` | {} | {default} | {} | `{}` |",
            key.name,
            described(&key.kind),
            key.doc.replace('|', "\\|"),
            key.example.replace('|', "\\|"),
        );
    }
    page.push('\n');
}

fn described(kind: &Kind) -> String {
    match kind {
        Kind::Text => "text".to_owned(),
        Kind::Name => "name".to_owned(),
        Kind::SecretName => "name of a secret".to_owned(),
        Kind::Boolean => "`true` or `false`".to_owned(),
        Kind::Integer { min, max } => format!("{min} to {max}"),
        Kind::Duration => "duration".to_owned(),
        Kind::Share => "share".to_owned(),
        Kind::Size => "size".to_owned(),
        Kind::Cpu => "cores".to_owned(),
        Kind::Condition => "expression".to_owned(),
        Kind::Scalar => "text, number or boolean".to_owned(),
        Kind::OneOf(words) => words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", "),
        Kind::List(inner) => format!("list of {}", described(inner)),
        Kind::Map(inner) => format!("map of {}", described(inner)),
        Kind::Object(object) => format!("[{}](#{})", object.name, object.name.replace(' ', "-")),
        Kind::Keys(parts) => {
            let part = |(object, without): &(&'static Object, &[&str])| {
                let without: Vec<_> = without.iter().map(|key| format!("`{key}`")).collect();
                format!("keys of [{0}](#{0}) but {1}", object.name, without.join(", "))
            };
            parts.iter().map(part).collect::<Vec<_>>().join("; ")
        }
        Kind::Any(kinds) => kinds.iter().map(described).collect::<Vec<_>>().join(" or "),
    }
}
