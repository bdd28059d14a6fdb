//! What a person may say when they start a Run: declared in the pipeline file, checked before the Run is made.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The most bytes of one value.
pub const MAX_VALUE: usize = 4096;

/// The most inputs of a pipeline.
pub const MAX_INPUTS: usize = 32;

/// One declared input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// Its name: `inputs.NAME` in expressions.
    pub name: String,
    /// For people.
    pub description: String,
    /// What it may be.
    pub kind: InputKind,
    /// Whether a Run started by hand must name it.
    pub required: bool,
    /// What it is where nobody says.
    pub default: Option<String>,
}

/// What an input may be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum InputKind {
    /// Any text.
    String,
    /// A number.
    Number,
    /// `true` or `false`.
    Boolean,
    /// One of a few words.
    Choice {
        /// The words.
        options: Vec<String>,
    },
}

impl InputKind {
    /// The word that the file uses.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Number => "number",
            Self::Boolean => "boolean",
            Self::Choice { .. } => "choice",
        }
    }

    /// The value in its one spelling.
    ///
    /// # Errors
    /// Says in words what it should have been.
    pub fn read(&self, text: &str) -> Result<String, String> {
        if text.len() > MAX_VALUE {
            return Err(format!("it is longer than {MAX_VALUE} bytes"));
        }
        if text.contains('\0') {
            return Err("it holds a NUL character".to_owned());
        }
        let shown: String = text.chars().take(64).collect();
        match self {
            Self::String => Ok(text.to_owned()),
            Self::Number => {
                let number = text.trim().parse::<f64>().ok().filter(|number| number.is_finite());
                let plain = text.trim().bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
                match number {
                    Some(_) if plain => Ok(text.trim().to_owned()),
                    _ => Err(format!("`{shown}` is not a number")),
                }
            }
            Self::Boolean => match text.trim() {
                word @ ("true" | "false") => Ok(word.to_owned()),
                _ => Err(format!("`{shown}` is neither `true` nor `false`")),
            },
            Self::Choice { options } if options.iter().any(|option| option == text) => Ok(text.to_owned()),
            Self::Choice { options } => Err(format!("`{shown}` is not one of `{}`", options.join("`, `"))),
        }
    }
}

/// Whether a text can name an input.
#[must_use]
pub fn names_an_input(text: &str) -> bool {
    let starts_well = text.starts_with(|c: char| c.is_ascii_lowercase());
    starts_well
        && text.len() <= 64
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

/// The inputs of a Run that a person starts: what was given, checked, and defaults for the rest.
///
/// # Errors
/// Says all that is wrong, each with the name and the way to mend it.
pub fn resolve(
    declared: &[Input],
    given: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, Vec<String>> {
    let mut resolved = BTreeMap::new();
    let mut problems = Vec::new();
    for input in declared {
        match (given.get(&input.name), &input.default) {
            (Some(text), _) => match input.kind.read(text) {
                Ok(value) => {
                    resolved.insert(input.name.clone(), value);
                }
                Err(why) => problems.push(format!("input `{}`: {why}", input.name)),
            },
            (None, Some(default)) => {
                resolved.insert(input.name.clone(), default.clone());
            }
            (None, None) if input.required => {
                let what = if input.description.is_empty() {
                    String::new()
                } else {
                    format!(" ({})", input.description)
                };
                problems.push(format!("input `{}`{what} is required: a {}", input.name, input.kind.word()));
            }
            (None, None) => {}
        }
    }
    for name in given.keys().filter(|name| !declared.iter().any(|input| input.name == **name)) {
        let known: Vec<&str> = declared.iter().map(|input| input.name.as_str()).collect();
        let known = if known.is_empty() {
            "it declares none".to_owned()
        } else {
            format!("it has `{}`", known.join("`, `"))
        };
        let name: String = name.chars().take(64).collect();
        problems.push(format!("the pipeline has no input `{name}`; {known}"));
    }
    if problems.is_empty() { Ok(resolved) } else { Err(problems) }
}

/// The inputs of a Run that nobody was asked about: the defaults.
#[must_use]
pub fn defaults(declared: &[Input]) -> BTreeMap<String, String> {
    declared.iter().filter_map(|input| Some((input.name.clone(), input.default.clone()?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(name: &str, kind: InputKind, required: bool, default: Option<&str>) -> Input {
        Input {
            name: name.into(),
            description: String::new(),
            kind,
            required,
            default: default.map(str::to_owned),
        }
    }

    fn given(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn everything_wrong_is_said_at_once() {
        let choice = InputKind::Choice { options: vec!["staging".into(), "production".into()] };
        let declared = [
            input("target", choice, true, None),
            input("count", InputKind::Number, false, Some("3")),
            input("dry", InputKind::Boolean, false, None),
            input("note", InputKind::String, true, None),
        ];
        let good = resolve(&declared, &given(&[("target", "staging"), ("note", "$(rm -rf /)")])).unwrap();
        assert_eq!(good, given(&[("target", "staging"), ("count", "3"), ("note", "$(rm -rf /)")]));
        let bad = resolve(
            &declared,
            &given(&[("target", "prod"), ("count", "NaN"), ("dry", "yes"), ("ghost", "1")]),
        );
        let bad = bad.unwrap_err().join("\n");
        for part in [
            "`target`: `prod` is not one of `staging`, `production`",
            "`count`: `NaN` is not a number",
            "`dry`: `yes` is neither",
            "`note` is required: a string",
            "no input `ghost`; it has `target`",
        ] {
            assert!(bad.contains(part), "{part} not in {bad}");
        }
        assert!(resolve(&declared, &given(&[("target", "staging"), ("note", &"x".repeat(5000))])).is_err());
    }
}
