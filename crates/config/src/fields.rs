//! Takes the keys of a map one by one, by the table that says what they are.

use std::fmt::Display;
use std::ops::Range;
use std::str::FromStr;

use jiff::SignedDuration;

use crate::diagnostic::{Edit, Problem, Report, closest, quote};
use crate::rewrite;
use crate::spec::{Key, Kind, Object, Presence, canonical};
use crate::tree::{Entry, Node, Value};
use crate::values;

/// A value and the bytes that it was read from.
#[derive(Debug, Clone)]
pub(crate) struct Located<T> {
    pub(crate) value: T,
    pub(crate) span: Range<usize>,
}

/// The keys of a map, checked against its [`Object`].
pub(crate) struct Fields<'n, 'r> {
    object: &'static Object,
    entries: Vec<(&'static str, &'n Entry)>,
    taken: Vec<&'static str>,
    pub(crate) report: &'r Report<'r>,
    /// Where the map stands, for what is missing in it.
    pub(crate) span: Range<usize>,
}

impl<'n, 'r> Fields<'n, 'r> {
    /// Opens a map. `owner` is the place to mark when something is missing.
    pub(crate) fn open(
        node: &'n Node,
        owner: &Range<usize>,
        object: &'static Object,
        report: &'r Report<'r>,
    ) -> Option<Self> {
        let Value::Map(entries) = &node.value else {
            let place = if matches!(node.value, Value::Null) { owner } else { &node.span };
            report.at(place, not_a_map(object, node));
            return None;
        };
        let mut known: Vec<(&'static str, &'n Entry)> = Vec::new();
        let mut meant = Vec::new();
        let extends = matches!(object.name, "pipeline" | "included file");
        // A place for anchors: nothing reads what stands there.
        for entry in entries.iter().filter(|entry| !(extends && entry.key.starts_with("x-"))) {
            match object.key(&entry.key) {
                None => {
                    meant.extend(closest(&canonical(&entry.key), object.keys.iter().map(|key| key.name)));
                    let edits = rewrite::edits(object, entry, entries, report.text());
                    report.at(&entry.key_span, unknown_key(object, &entry.key).edits(edits));
                }
                Some(key) if known.iter().any(|(name, _)| *name == key.name) => {
                    let message = format!("`{}` is there twice, in two spellings", key.name);
                    report.at(&entry.key_span, Problem::error("duplicate-key", message));
                }
                Some(key) => known.push((key.name, entry)),
            }
        }
        let fields = Self { object, entries: known, taken: Vec::new(), report, span: owner.clone() };
        for key in object.keys {
            // A key that is there misspelt is one mistake, not two.
            if matches!(key.presence, Presence::Required)
                && !meant.contains(&key.name)
                && !fields.entries.iter().any(|(name, _)| *name == key.name)
            {
                report.at(owner, missing(object, key));
            }
        }
        Some(fields)
    }

    /// Ends the reading. Every key of the table must have been asked for: what is documented is also read.
    pub(crate) fn close(self) {
        for key in self.object.keys {
            debug_assert!(
                self.taken.contains(&key.name),
                "{}.{} is documented, but not read",
                self.object.name,
                key.name
            );
        }
    }

    pub(crate) fn key(&self, name: &'static str) -> &'static Key {
        self.object.key(name).expect("the lowering asks for keys of the table only")
    }

    /// The entry of a key; `key:` with nothing after it counts as absent.
    pub(crate) fn entry(&mut self, name: &'static str) -> Option<&'n Entry> {
        let key = self.key(name);
        self.taken.push(key.name);
        let (_, entry) = *self.entries.iter().find(|(known, _)| *known == name)?;
        if matches!(entry.value.value, Value::Null) {
            if matches!(key.presence, Presence::Required) {
                self.report.at(&entry.key_span, missing(self.object, key));
            }
            return None;
        }
        Some(entry)
    }

    /// The node of a key.
    pub(crate) fn node(&mut self, name: &'static str) -> Option<&'n Node> {
        self.entry(name).map(|entry| &entry.value)
    }

    /// Takes a key that was read elsewhere.
    pub(crate) fn pass_over(&mut self, name: &'static str) {
        let key = self.key(name);
        self.taken.push(key.name);
    }

    /// Where a key stands, or the map where it does not.
    pub(crate) fn place_of(&self, name: &str) -> Range<usize> {
        let entry = self.entries.iter().find(|(known, _)| *known == name);
        entry.map_or_else(|| self.span.clone(), |(_, entry)| entry.key_span.clone())
    }

    /// Whether the key is there, without taking it.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.entries.iter().any(|(known, _)| *known == name)
    }

    /// Where a key stands, if it is there, without taking it.
    pub(crate) fn key_place_of(&self, name: &str) -> Option<Range<usize>> {
        self.entries.iter().find(|(known, _)| *known == name).map(|(_, entry)| entry.key_span.clone())
    }

    /// Where a key of the map under `name` stands.
    pub(crate) fn key_place(&self, name: &str, key: &str) -> Range<usize> {
        let under =
            self.entries.iter().find(|(known, _)| *known == name).map(|(_, entry)| &entry.value.value);
        let found = match under {
            Some(Value::Map(entries)) => entries.iter().find(|entry| entry.key == key),
            _ => None,
        };
        found.map_or_else(|| self.span.clone(), |entry| entry.key_span.clone())
    }

    /// Records a mistake in a value.
    pub(crate) fn bad(&self, node: &Node, problem: Problem) {
        self.report.at(&node.span, problem);
    }

    /// A text that is not empty.
    pub(crate) fn text(&mut self, name: &'static str) -> Option<Located<String>> {
        let node = self.node(name)?;
        text(node, name, self.report)
    }

    /// A name of some sort.
    pub(crate) fn name<T>(&mut self, name: &'static str) -> Option<Located<T>>
    where
        T: FromStr,
        T::Err: Display,
    {
        let node = self.node(name)?;
        parsed(node, name, self.report)
    }

    /// One name or a list of them.
    pub(crate) fn names<T>(&mut self, name: &'static str) -> Vec<Located<T>>
    where
        T: FromStr,
        T::Err: Display,
    {
        let Some(node) = self.node(name) else { return Vec::new() };
        items(node).filter_map(|item| parsed(item, name, self.report)).collect()
    }

    /// One text or a list of them.
    pub(crate) fn texts(&mut self, name: &'static str) -> Vec<Located<String>> {
        let Some(node) = self.node(name) else { return Vec::new() };
        items(node).filter_map(|item| text(item, name, self.report)).collect()
    }

    /// True or false.
    pub(crate) fn boolean(&mut self, name: &'static str, default: bool) -> bool {
        let Some(node) = self.node(name) else { return default };
        if let Value::Boolean(value) = node.value {
            return value;
        }
        let problem = wrong_kind(name, "`true` or `false`", node);
        let spelled = node.scalar().map(str::to_lowercase);
        let hint = match spelled.as_deref() {
            Some("yes" | "on" | "y") => Some("write `true`".to_owned()),
            Some("no" | "off" | "n") => Some("write `false`".to_owned()),
            _ => None,
        };
        self.bad(node, problem.maybe_hint(hint));
        default
    }

    /// A whole number within the bounds of the table.
    pub(crate) fn integer(&mut self, name: &'static str) -> Option<u64> {
        let (min, max) = bounds(&self.key(name).kind)?;
        let node = self.node(name)?;
        let value = node.scalar().and_then(|text| text.parse().ok());
        if let Some(value) = value.filter(|value| (min..=max).contains(value)) {
            return Some(value);
        }
        self.bad(node, wrong_kind(name, &format!("a whole number from {min} to {max}"), node));
        None
    }

    /// One of the words of the table.
    pub(crate) fn choice(&mut self, name: &'static str) -> Option<&'static str> {
        let Kind::OneOf(words) = self.key(name).kind else { return None };
        let node = self.node(name)?;
        choice(node, name, words, self.report)
    }

    /// A duration within bounds.
    pub(crate) fn duration(
        &mut self,
        name: &'static str,
        range: (SignedDuration, SignedDuration),
    ) -> Option<SignedDuration> {
        let node = self.node(name)?;
        let Some(duration) = node.scalar().and_then(values::duration) else {
            let bare = node.scalar().filter(|text| text.parse::<u64>().is_ok());
            let hint = match bare {
                Some(number) => format!("add a unit: `{number}s`, `{number}m` or `{number}h`"),
                None => "write it as `30s`, `5m`, `2h`, `1d` or `1h30m`".to_owned(),
            };
            self.bad(node, wrong_kind(name, "a duration", node).hint(hint));
            return None;
        };
        let (min, max) = range;
        if duration < min || duration > max {
            let message = format!("`{name}` is {}, which is out of bounds", values::show_duration(duration));
            let hint = format!("it may be {} to {}", values::show_duration(min), values::show_duration(max));
            self.bad(node, Problem::error("out-of-bounds", message).hint(hint));
            return None;
        }
        Some(duration)
    }

    /// A share of requests or of traffic.
    pub(crate) fn share(&mut self, name: &'static str) -> Option<Located<f64>> {
        let node = self.node(name)?;
        share(node, name, self.report)
    }

    /// A map from names to anything.
    pub(crate) fn map(&mut self, name: &'static str) -> &'n [Entry] {
        let Some(node) = self.node(name) else { return &[] };
        if let Value::Map(entries) = &node.value {
            return entries;
        }
        self.bad(node, wrong_kind(name, "a map", node));
        &[]
    }

    /// A list of anything.
    pub(crate) fn list(&mut self, name: &'static str) -> &'n [Node] {
        let Some(node) = self.node(name) else { return &[] };
        if let Value::List(items) = &node.value {
            return items;
        }
        let problem = wrong_kind(name, "a list", node).hint("begin each item with `- `, or write `[...]`");
        self.bad(node, problem);
        &[]
    }
}

/// The items of a list, or the one item that stands for a list of it.
pub(crate) fn items(node: &Node) -> std::slice::Iter<'_, Node> {
    match &node.value {
        Value::List(items) => items.iter(),
        _ => std::slice::from_ref(node).iter(),
    }
}

/// A text that is not empty; a number or a boolean counts as it was written.
pub(crate) fn text(node: &Node, what: &str, report: &Report<'_>) -> Option<Located<String>> {
    match node.scalar() {
        Some(text) if text.contains('\0') => {
            report.at(&node.span, Problem::error("bad-text", format!("`{what}` holds a NUL character")));
            None
        }
        Some(text) if !text.trim().is_empty() => {
            Some(Located { value: text.to_owned(), span: node.span.clone() })
        }
        Some(_) => {
            report.at(&node.span, Problem::error("empty", format!("`{what}` is empty")));
            None
        }
        None => {
            report.at(&node.span, wrong_kind(what, "text", node));
            None
        }
    }
}

/// A name of some sort.
pub(crate) fn parsed<T>(node: &Node, what: &str, report: &Report<'_>) -> Option<Located<T>>
where
    T: FromStr,
    T::Err: Display,
{
    let Located { value, span } = text(node, what, report)?;
    parse_name(&value, &span, report).map(|value| Located { value, span })
}

/// Reads a name and suggests a good spelling of a bad one.
pub(crate) fn parse_name<T>(text: &str, span: &Range<usize>, report: &Report<'_>) -> Option<T>
where
    T: FromStr,
    T::Err: Display,
{
    match text.parse() {
        Ok(name) => Some(name),
        Err(error) => {
            let hint = respelled::<T>(text).map(|name| format!("for example `{name}`"));
            let message = error.to_string();
            let (message, rule) = message.split_once("; ").unwrap_or((&message, ""));
            let problem =
                Problem::error("bad-name", message).maybe_hint((!rule.is_empty()).then(|| rule.to_owned()));
            // A name that is written with its rule is used with it elsewhere, and mended there alike.
            let edits = respelled::<T>(text).filter(|_| report.text().get(span.clone()) == Some(text));
            report.at(span, problem.maybe_hint(hint).edits(edits.map(|name| Edit::new(span, name))));
            None
        }
    }
}

/// A spelling of a bad name that would be taken: `My App` becomes `my-app`, `db-url` becomes `DB_URL`.
fn respelled<T: FromStr>(text: &str) -> Option<String> {
    let with = |gap: char, text: String| -> String {
        text.chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { gap })
            .collect::<String>()
            .trim_matches(gap)
            .to_owned()
    };
    let candidates = [with('-', text.to_lowercase()), with('_', text.to_uppercase())];
    candidates.into_iter().find(|candidate| candidate.parse::<T>().is_ok())
}

/// One of some words.
pub(crate) fn choice(
    node: &Node,
    what: &str,
    words: &'static [&'static str],
    report: &Report<'_>,
) -> Option<&'static str> {
    let listed = || words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ");
    let Some(text) = node.scalar() else {
        report.at(&node.span, wrong_kind(what, &format!("one of {}", listed()), node));
        return None;
    };
    if let Some(word) = words.iter().find(|word| **word == text) {
        return Some(word);
    }
    let hint = match closest(text, words.iter().copied()) {
        Some(word) => format!("did you mean `{word}`?"),
        None => format!("write one of {}", listed()),
    };
    report.at(
        &node.span,
        Problem::error("unknown-word", format!("`{}` is not a value of `{what}`", quote(text))).hint(hint),
    );
    None
}

/// A share of requests or of traffic.
pub(crate) fn share(node: &Node, what: &str, report: &Report<'_>) -> Option<Located<f64>> {
    if let Some(value) = node.scalar().and_then(values::share) {
        return Some(Located { value, span: node.span.clone() });
    }
    let hint = match node
        .scalar()
        .filter(|text| text.parse::<f64>().is_ok_and(|number| (0.0..=100.0).contains(&number)))
    {
        Some(number) => format!("add the unit: `{number}%`"),
        None => "write it as `5%` or `0.5pp`, from 0% to 100%".to_owned(),
    };
    report.at(&node.span, wrong_kind(what, "a share", node).hint(hint));
    None
}

/// A value of the wrong kind.
pub(crate) fn wrong_kind(what: &str, expected: &str, node: &Node) -> Problem {
    let found = match node.scalar() {
        Some(text) => format!("`{}`", quote(text)),
        None => node.kind().to_owned(),
    };
    Problem::error("wrong-kind", format!("`{what}` must be {expected}, not {found}"))
        .label(format!("expected {expected}"))
}

fn not_a_map(object: &Object, node: &Node) -> Problem {
    let found = node.scalar().map_or_else(|| node.kind().to_owned(), |text| format!("`{}`", quote(text)));
    let problem =
        Problem::error("wrong-kind", format!("{} must be a map, not {found}", with_article(object.name)));
    let keys: Vec<_> = object.keys.iter().map(|key| format!("`{}`", key.name)).collect();
    problem.label("expected a map").hint(format!("its keys are {}", keys.join(", ")))
}

fn unknown_key(object: &'static Object, spelling: &str) -> Problem {
    let problem = Problem::error(
        "unknown-key",
        format!("`{}` is not a key of {}", quote(spelling), with_article(object.name)),
    );
    let canonical = canonical(spelling);
    if let Some((_, advice)) = object.foreign.iter().find(|(key, _)| *key == canonical) {
        return problem.hint(*advice);
    }
    problem.hint(near_or_all(&canonical, object.keys.iter()))
}

/// The same for a map that has no [`Object`] of its own.
pub(crate) fn unknown_key_of(
    owner: &str,
    keys: impl Iterator<Item = &'static Key> + Clone,
    spelling: &str,
) -> Problem {
    let problem = Problem::error("unknown-key", format!("`{}` is not a key of {owner}", quote(spelling)));
    problem.hint(near_or_all(&canonical(spelling), keys))
}

fn near_or_all(canonical: &str, keys: impl Iterator<Item = &'static Key> + Clone) -> String {
    match closest(canonical, keys.clone().map(|key| key.name)) {
        Some(key) => format!("did you mean `{key}`?"),
        None => {
            let keys: Vec<_> = keys.map(|key| format!("`{}`", key.name)).collect();
            format!("its keys are {}", keys.join(", "))
        }
    }
}

fn with_article(name: &str) -> String {
    match name {
        "pipeline" => "the pipeline file".to_owned(),
        "environment" => "an environment document".to_owned(),
        "job" | "workload" | "stage" | "step" | "gate" | "artifact" | "canary step" | "template"
        | "parameter" | "included file" => {
            let article = if name.starts_with(['a', 'i']) { "an" } else { "a" };
            format!("{article} {name}")
        }
        _ => format!("`{name}`"),
    }
}

fn missing(object: &Object, key: &Key) -> Problem {
    let message = format!("{} needs `{}`", with_article(object.name), key.name);
    Problem::error("missing-key", message).hint(format!("for example `{}: {}`", key.name, key.example))
}

fn bounds(kind: &Kind) -> Option<(u64, u64)> {
    match kind {
        Kind::Integer { min, max } => Some((*min, *max)),
        Kind::Any(kinds) => kinds.iter().find_map(bounds),
        _ => None,
    }
}
