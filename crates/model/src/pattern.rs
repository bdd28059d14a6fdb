//! Patterns of refs, branches and paths.

/// Whether a pattern fits the whole text. `*` stands for any characters but `/`, `**` for any, `?` for one that is not `/`.
#[must_use]
pub fn fits(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    // One row of the table of prefixes: `row[t]` says whether the pattern so far fits the first `t` characters.
    let mut row = vec![false; text.len() + 1];
    row[0] = true;
    let mut at = 0;
    while at < pattern.len() {
        let deep = pattern[at..].starts_with(&['*', '*']);
        row = match pattern[at] {
            '*' => after_star(&row, &text, deep),
            sign => after_sign(&row, &text, sign),
        };
        at += if deep { 2 } else { 1 };
    }
    row[text.len()]
}

fn after_star(row: &[bool], text: &[char], deep: bool) -> Vec<bool> {
    let mut next = row.to_vec();
    for index in 0..text.len() {
        next[index + 1] |= next[index] && (deep || text[index] != '/');
    }
    next
}

fn after_sign(row: &[bool], text: &[char], sign: char) -> Vec<bool> {
    let mut next = vec![false; row.len()];
    for (index, c) in text.iter().enumerate() {
        next[index + 1] = row[index] && (*c == sign || (sign == '?' && *c != '/'));
    }
    next
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stop_at_slashes_and_double_stars_do_not() {
        for (pattern, text) in [
            ("main", "main"),
            ("release/*", "release/1.2"),
            ("**", "a/b"),
            ("src/**", "src/a/b.rs"),
            ("v?.*", "v1.2"),
            ("*", ""),
        ] {
            assert!(fits(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in
            [("main", "main2"), ("release/*", "release/1/2"), ("*", "a/b"), ("", "a"), ("a?", "a")]
        {
            assert!(!fits(pattern, text), "{pattern} {text}");
        }
        assert!(!fits(&"*a".repeat(500), &"a".repeat(400)));
    }
}
