//! What the two kinds of document may hold: every key, its kind, its default and its meaning.
//!
//! The lowering, the JSON Schema and the reference pages all read these tables. A key that the
//! tables do not list is unknown to all three; a key that the lowering forgets fails its tests.

pub(crate) mod aliases;
pub(crate) mod cache;
pub(crate) mod container;
pub(crate) mod demand;
pub(crate) mod environment;
pub(crate) mod gate;
pub(crate) mod intake;
pub(crate) mod limits;
pub(crate) mod need;
pub(crate) mod notify;
pub(crate) mod pipeline;
pub(crate) mod reports;
pub(crate) mod retry;
pub(crate) mod reuse;
pub(crate) mod trigger;

/// A map with fixed keys.
#[derive(Debug)]
pub(crate) struct Object {
    /// Its heading in the reference, and its name in the schema.
    pub(crate) name: &'static str,
    pub(crate) doc: &'static str,
    pub(crate) keys: &'static [Key],
    /// Keys of other systems, and what Towpath writes instead.
    pub(crate) foreign: &'static [(&'static str, &'static str)],
}

/// A key of an [`Object`].
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) presence: Presence,
    pub(crate) doc: &'static str,
    /// A value for it, in YAML's flow style.
    pub(crate) example: &'static str,
}

/// Whether a key must be there.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Presence {
    /// It must.
    Required,
    /// This holds where it is not.
    Default(&'static str),
}

/// What a value may look like.
#[derive(Debug)]
pub(crate) enum Kind {
    Text,
    Name,
    SecretName,
    Boolean,
    Integer {
        min: u64,
        max: u64,
    },
    /// `90s`, `5m`, `2h`, `1d`, `1h30m`.
    Duration,
    /// `5%` or `0.5pp`: a share of requests or of traffic.
    Share,
    /// `512MiB`.
    Size,
    /// `500m` or `1.5`: cores.
    Cpu,
    Condition,
    /// Text, a number or a boolean, kept as it was written.
    Scalar,
    OneOf(&'static [&'static str]),
    List(&'static Kind),
    Map(&'static Kind),
    Object(&'static Object),
    Any(&'static [Kind]),
    /// A map with the keys of these objects, but those named.
    Keys(&'static [(&'static Object, &'static [&'static str])]),
}

/// A list, or one item of it.
macro_rules! one_or_many {
    ($kind:expr) => {
        $crate::spec::Kind::Any(&[$kind, $crate::spec::Kind::List(&$kind)])
    };
}
pub(crate) use one_or_many;

/// The keys of a [`Kind::Keys`].
pub(crate) fn keys_of(
    parts: &'static [(&'static Object, &'static [&'static str])],
) -> impl Iterator<Item = &'static Key> + Clone {
    parts.iter().flat_map(|(object, without)| object.keys.iter().filter(|key| !without.contains(&key.name)))
}

impl Key {
    /// The table of its value, or of the items of its value.
    pub(crate) fn kind_object(&self) -> Option<&'static Object> {
        match self.kind {
            Kind::Object(object) => Some(object),
            Kind::List(&Kind::Object(object)) => Some(object),
            _ => None,
        }
    }
}

impl Object {
    /// Finds a key by any of its spellings: `runs_on`, `runs-on`, `runsOn`.
    pub(crate) fn key(&self, spelling: &str) -> Option<&'static Key> {
        let canonical = canonical(spelling);
        let name = trigger::alias(self.name, &canonical);
        self.keys.iter().find(|key| key.name == name)
    }

    /// All objects that can be reached from this one, itself first, each once.
    pub(crate) fn reachable(&'static self) -> Vec<&'static Object> {
        let mut found: Vec<&'static Object> = Vec::new();
        visit(self, &mut found);
        found
    }
}

fn visit(object: &'static Object, found: &mut Vec<&'static Object>) {
    if found.iter().any(|known| known.name == object.name) {
        return;
    }
    found.push(object);
    for key in object.keys {
        visit_kind(&key.kind, found);
    }
}

fn visit_kind(kind: &'static Kind, found: &mut Vec<&'static Object>) {
    match kind {
        Kind::Object(object) => visit(object, found),
        Kind::List(inner) | Kind::Map(inner) => visit_kind(inner, found),
        Kind::Any(kinds) => kinds.iter().for_each(|kind| visit_kind(kind, found)),
        Kind::Keys(parts) => parts.iter().for_each(|(object, _)| visit(object, found)),
        Kind::Text
        | Kind::Name
        | Kind::SecretName
        | Kind::Boolean
        | Kind::Integer { .. }
        | Kind::Duration
        | Kind::Share
        | Kind::Size
        | Kind::Cpu
        | Kind::Condition
        | Kind::Scalar
        | Kind::OneOf(_) => {}
    }
}

/// The spelling of a key that the tables use: lower case, with `_` between words.
pub(crate) fn canonical(spelling: &str) -> String {
    let mut name = String::with_capacity(spelling.len());
    for c in spelling.chars() {
        match c {
            '-' => name.push('_'),
            c if c.is_ascii_uppercase() && !name.is_empty() => {
                name.push('_');
                name.push(c.to_ascii_lowercase());
            }
            c => name.push(c),
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_meet() {
        for spelling in ["runs_on", "runs-on", "runsOn"] {
            assert_eq!(canonical(spelling), "runs_on");
        }
    }

    #[test]
    fn tables_are_spelled_canonically_and_say_what_keys_mean() {
        for object in pipeline::PIPELINE
            .reachable()
            .into_iter()
            .chain(environment::ENVIRONMENT.reachable())
            .chain(notify::NOTIFICATIONS.reachable())
        {
            for key in object.keys {
                assert_eq!(canonical(key.name), key.name);
                assert!(key.doc.ends_with('.'), "{}.{}: {}", object.name, key.name, key.doc);
            }
        }
    }
}
