//! Keys of other systems that `towpath lint --fix` writes as Towpath's own.
//!
//! What each of them means in words stands in the tables, under `foreign`; here stands only what is the
//! same in both systems, so that the rewritten file says what its author meant.

/// How a key is rewritten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rewrite {
    /// The key has another name, and the value stays.
    Rename(&'static str),
    /// As [`Rename`](Self::Rename), where the value is a map.
    RenameMap(&'static str),
    /// As [`Rename`](Self::Rename), where the value is one text, number or boolean.
    RenameScalar(&'static str),
    /// A number of minutes becomes a duration.
    Minutes(&'static str),
    /// A number of repetitions becomes a number of attempts.
    Repetitions(&'static str),
    /// The keys under it stand on the Job itself.
    Unfold,
    /// A list that comes before the list under another key.
    Before,
}

use Rewrite::{Before, Minutes, Rename, RenameMap, RenameScalar, Repetitions, Unfold};

/// Object, foreign key, and what becomes of it.
const ALIASES: &[(&str, &str, Rewrite)] = &[
    ("pipeline", "variables", RenameMap("env")),
    ("included file", "variables", RenameMap("env")),
    ("on", "tags", Rename("tag")),
    ("push", "branch", Rename("branches")),
    ("tag", "tags", Rename("patterns")),
    ("job", "script", Rename("steps")),
    ("job", "commands", Rename("steps")),
    ("job", "run", RenameScalar("steps")),
    ("job", "depends_on", Rename("needs")),
    ("job", "dependson", Rename("needs")),
    ("job", "dependencies", Rename("needs")),
    ("job", "environment", RenameMap("env")),
    ("job", "variables", RenameMap("env")),
    ("job", "timeout_minutes", Minutes("timeout")),
    ("job", "timeout_in_minutes", Minutes("timeout")),
    ("job", "continue_on_error", RenameScalar("allow_failure")),
    ("job", "condition", RenameScalar("if")),
    ("job", "tags", Rename("runs_on")),
    ("job", "labels", Rename("runs_on")),
    ("job", "strategy", Unfold),
    ("job", "before_script", Before),
    ("step", "script", RenameScalar("run")),
    ("step", "command", RenameScalar("run")),
    ("step", "commands", RenameScalar("run")),
    ("step", "environment", RenameMap("env")),
    ("step", "variables", RenameMap("env")),
    ("step", "working_directory", Rename("directory")),
    ("step", "workdir", Rename("directory")),
    ("step", "timeout_minutes", Minutes("timeout")),
    ("step", "timeout_in_minutes", Minutes("timeout")),
    ("artifact", "paths", Rename("files")),
    ("artifact", "path", Rename("files")),
    ("retry", "max", Repetitions("attempts")),
    ("template", "inputs", Rename("parameters")),
    ("template", "params", Rename("parameters")),
    ("parameter", "enum", Rename("options")),
    ("parameter", "values", Rename("options")),
    ("use", "inputs", RenameMap("with")),
    ("use", "parameters", RenameMap("with")),
];

/// What becomes of a foreign key, by its canonical spelling.
pub(crate) fn rewrite(object: &str, key: &str) -> Option<Rewrite> {
    ALIASES.iter().find(|(of, foreign, _)| *of == object && *foreign == key).map(|(_, _, rewrite)| *rewrite)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::pipeline::PIPELINE;

    #[test]
    fn every_alias_is_foreign_and_becomes_a_key() {
        let objects = PIPELINE.reachable();
        for (of, foreign, rewrite) in ALIASES.iter().filter(|(of, _, _)| *of != "included file") {
            let object = objects.iter().find(|object| object.name == *of).expect("the object exists");
            assert!(object.key(foreign).is_none(), "{of}.{foreign} is a key of its own");
            let (Rename(to) | RenameMap(to) | RenameScalar(to) | Minutes(to) | Repetitions(to)) = rewrite
            else {
                continue;
            };
            assert!(object.key(to).is_some(), "{of}.{to} is no key");
        }
    }
}
