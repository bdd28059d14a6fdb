//! Path patterns: `*` and `?` within a name, `**` for any number of directories.

/// One name of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Segment {
    /// This name and no other.
    Literal(String),
    /// A name with `*` or `?` in it.
    Wildcard(String),
    /// `**`: any directories, or none; at the end, everything below.
    AnyDepth,
}

/// A parsed pattern, relative to some root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    /// As it was written.
    pub text: String,
    /// Its names, in order.
    pub segments: Vec<Segment>,
}

/// A text that is not a pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` cannot be a pattern: {reason}")]
pub struct InvalidPattern {
    /// What was given.
    pub text: String,
    /// What is wrong.
    pub reason: &'static str,
}

impl Pattern {
    /// Parses `text`, as in `target/release/shop`, `dist/**`, `*.tar.gz`.
    ///
    /// # Errors
    /// Fails if the pattern is empty, absolute, leads upwards, or glues `**` to other characters.
    pub fn parse(text: &str) -> Result<Self, InvalidPattern> {
        let invalid = |reason| InvalidPattern { text: text.into(), reason };
        if text.starts_with('/') {
            return Err(invalid("it is absolute; patterns are relative to the project's directory"));
        }
        if text.contains(['\\', '\0']) {
            return Err(invalid("it contains a backslash or a zero byte"));
        }
        let mut segments = Vec::new();
        for name in text.split('/').filter(|name| !name.is_empty() && *name != ".") {
            segments.push(match name {
                ".." => return Err(invalid("it leads out of the project's directory with `..`")),
                "**" => Segment::AnyDepth,
                _ if name.contains("**") => return Err(invalid("`**` must stand alone between two `/`")),
                _ if name.contains(['*', '?']) => Segment::Wildcard(name.into()),
                _ => Segment::Literal(name.into()),
            });
        }
        // Two in a row say no more than one, and would be walked twice.
        segments.dedup_by(|a, b| *a == Segment::AnyDepth && *b == Segment::AnyDepth);
        if segments.is_empty() {
            return Err(invalid("it is empty; write `**` for every file"));
        }
        Ok(Self { text: text.into(), segments })
    }

    /// Whether the pattern can match one path only.
    #[must_use]
    pub fn is_literal(&self) -> bool {
        self.segments.iter().all(|segment| matches!(segment, Segment::Literal(_)))
    }
}

/// Whether `name` matches `pattern`, in which `*` is any run of characters and `?` is any one.
///
/// Linear in practice: on a mismatch only the last `*` is tried again.
#[must_use]
pub fn name_matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut at, mut from) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while from < name.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, from));
                at += 1;
            }
            Some(expected) if *expected == '?' || *expected == name[from] => {
                at += 1;
                from += 1;
            }
            _ => {
                let Some((star_at, star_from)) = star else { return false };
                star = Some((star_at, star_from + 1));
                at = star_at + 1;
                from = star_from + 1;
            }
        }
    }
    pattern[at..].iter().all(|rest| *rest == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for (pattern, name, expected) in [
            ("*", "shop", true),
            ("*.gz", "a.tar.gz", true),
            ("*.gz", "a.gzip", false),
            ("s?op", "shop", true),
            ("s?op", "sop", false),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b", "xxaxxbxx", false),
            ("ü?", "üß", true),
            ("", "", true),
            ("", "a", false),
        ] {
            assert_eq!(name_matches(pattern, name), expected, "{pattern} against {name}");
        }
    }

    /// The plainest matcher there is, for short names.
    fn reference(pattern: &[u8], name: &[u8]) -> bool {
        match (pattern, name) {
            ([], []) => true,
            ([b'*', rest @ ..], _) => (0..=name.len()).any(|skipped| reference(rest, &name[skipped..])),
            ([b'?', rest @ ..], [_, tail @ ..]) => reference(rest, tail),
            ([first, rest @ ..], [head, tail @ ..]) => first == head && reference(rest, tail),
            _ => false,
        }
    }

    proptest::proptest! {
        #[test]
        fn agrees_with_the_reference(pattern in "[ab*?]{0,8}", name in "[ab]{0,8}") {
            let expected = reference(pattern.as_bytes(), name.as_bytes());
            proptest::prop_assert_eq!(name_matches(&pattern, &name), expected);
        }
    }

    #[test]
    fn a_pattern_of_many_stars_is_not_slow() {
        assert!(!name_matches(&"*a".repeat(100), &"a".repeat(99)));
        assert!(!name_matches(&format!("{}b", "*a".repeat(50)), &"a".repeat(5000)));
    }

    #[test]
    fn refuses_what_leads_elsewhere() {
        for text in ["", ".", "/etc/passwd", "../x", "a/../../b", "a**", "a\\b", "a\0b"] {
            assert!(Pattern::parse(text).is_err(), "{text} was taken for a pattern");
        }
        assert_eq!(Pattern::parse("./a//b/").unwrap().segments.len(), 2);
        assert_eq!(Pattern::parse("**/**").unwrap().segments, [Segment::AnyDepth]);
        assert!(Pattern::parse("target/release/shop").unwrap().is_literal());
    }
}
