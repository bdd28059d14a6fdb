//! What the file names of migrations say: those of sqlx and golang-migrate, of Flyway, and plain numbers.

use std::cmp::Ordering;

/// What a file is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Applies a migration.
    Apply,
    /// Takes it back.
    Undo,
    /// Runs again whenever it changes: Flyway's `R__views.sql`.
    Repeat,
}

/// A file name, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) purpose: Purpose,
    /// As it is written. Empty for what repeats.
    pub(super) version: String,
    /// The rest.
    pub(super) name: String,
}

/// Reads a file name; `None` where it follows none of the schemes.
///
/// | scheme | applies | takes back |
/// |---|---|---|
/// | sqlx, golang-migrate | `0007_add_note.up.sql`, `0007_add_note.sql` | `0007_add_note.down.sql` |
/// | Flyway | `V7__add_note.sql`, `R__views.sql` | `U7__add_note.sql`, `V7__add_note.undo.sql` |
/// | plain | `0007-add-note.sql`, `0007.sql` | `0007-add-note.undo.sql` |
pub(super) fn read(file: &str) -> Option<Named> {
    let stem = file.strip_suffix(".sql")?;
    let (stem, suffix) = match stem.rsplit_once('.') {
        Some((stem, suffix @ ("up" | "down" | "undo"))) => (stem, suffix),
        _ => (stem, "up"),
    };
    let by_suffix = if suffix == "up" { Purpose::Apply } else { Purpose::Undo };
    if let Some(name) = stem.strip_prefix("R__") {
        return (by_suffix == Purpose::Apply).then(|| Named {
            purpose: Purpose::Repeat,
            version: String::new(),
            name: name.to_owned(),
        });
    }
    let (purpose, rest) = match stem.strip_prefix('V').or_else(|| stem.strip_prefix('B')) {
        Some(rest) => (by_suffix, rest),
        None => match stem.strip_prefix('U') {
            Some(rest) => (Purpose::Undo, rest),
            None => (by_suffix, stem),
        },
    };
    let flyway = rest.len() < stem.len();
    let (version, name) = if flyway { rest.split_once("__")? } else { plain(rest) };
    let whole = !version.is_empty()
        && version
            .split(['.', '_'])
            .all(|part| !part.is_empty() && part.len() <= 20 && part.bytes().all(|b| b.is_ascii_digit()));
    whole.then(|| Named { purpose, version: version.to_owned(), name: name.to_owned() })
}

/// `0007_add_note` as version and name.
fn plain(stem: &str) -> (&str, &str) {
    let end = stem.find(|c: char| !c.is_ascii_digit()).unwrap_or(stem.len());
    let (version, rest) = stem.split_at(end);
    (version, rest.trim_start_matches(['_', '-', '.']))
}

/// Compares versions part by part as numbers: `2` comes before `10`, `1.9` before `1.10`.
pub(super) fn order(one: &str, other: &str) -> Ordering {
    let numbers = |version: &str| -> Vec<u128> {
        version.split(['.', '_']).map(|part| part.parse().unwrap_or(u128::MAX)).collect()
    };
    let trimmed = |version: &str| {
        let mut numbers = numbers(version);
        while numbers.len() > 1 && numbers.last() == Some(&0) {
            numbers.pop();
        }
        numbers
    };
    trimmed(one).cmp(&trimmed(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_names_of_common_tools() {
        let named = |purpose, version: &str, name: &str| {
            Some(Named { purpose, version: version.to_owned(), name: name.to_owned() })
        };
        for (file, expected) in [
            ("20240315120000_add_note.sql", named(Purpose::Apply, "20240315120000", "add_note")),
            ("0007_add_note.up.sql", named(Purpose::Apply, "0007", "add_note")),
            ("0007_add_note.down.sql", named(Purpose::Undo, "0007", "add_note")),
            ("0007.sql", named(Purpose::Apply, "0007", "")),
            ("7-add-note.undo.sql", named(Purpose::Undo, "7", "add-note")),
            ("V1.2__add_note.sql", named(Purpose::Apply, "1.2", "add_note")),
            ("U1_2__add_note.sql", named(Purpose::Undo, "1_2", "add_note")),
            (
                "V20240315__add_nullable_column.undo.sql",
                named(Purpose::Undo, "20240315", "add_nullable_column"),
            ),
            ("R__views.sql", named(Purpose::Repeat, "", "views")),
            ("V1_add_note.sql", None),
            ("add_note.sql", None),
            ("R__views.down.sql", None),
            ("README.md", None),
        ] {
            assert_eq!(read(file), expected, "{file}");
        }
    }

    #[test]
    fn compares_versions_as_numbers() {
        assert_eq!(order("2", "10"), Ordering::Less);
        assert_eq!(order("1.9", "1_10"), Ordering::Less);
        assert_eq!(order("0007", "7"), Ordering::Equal);
        assert_eq!(order("1", "1.0"), Ordering::Equal);
    }
}
