//! What a Dockerfile begins with.

use std::collections::{BTreeMap, BTreeSet};

/// The images of its `FROM` lines, each once, in order; stages of its own and `scratch` are none.
pub(super) fn bases(source: &str, given: &BTreeMap<String, String>) -> Vec<String> {
    let mut arguments = BTreeMap::new();
    let mut stages = BTreeSet::new();
    let mut bases: Vec<String> = Vec::new();
    let mut before_first = true;
    for line in source.lines().map(str::trim) {
        let mut words = line.split_whitespace();
        match words.next().unwrap_or_default().to_ascii_uppercase().as_str() {
            "ARG" if before_first => {
                for word in words {
                    let (name, default) = word.split_once('=').unwrap_or((word, ""));
                    let value = given.get(name).map_or(default, String::as_str);
                    arguments.insert(name.to_owned(), value.trim_matches(['"', '\'']).to_owned());
                }
            }
            "FROM" => {
                before_first = false;
                let words: Vec<&str> = words.filter(|word| !word.starts_with("--")).collect();
                let [image, rest @ ..] = words.as_slice() else { continue };
                let image = substituted(image, &arguments);
                if image != "scratch" && !stages.contains(&image.to_lowercase()) && !bases.contains(&image) {
                    bases.push(image);
                }
                if let [word, name, ..] = rest
                    && word.eq_ignore_ascii_case("as")
                {
                    stages.insert(name.to_lowercase());
                }
            }
            _ => {}
        }
    }
    bases
}

/// Puts arguments in the place of `$NAME`, `${NAME}` and `${NAME:-default}`.
fn substituted(text: &str, arguments: &BTreeMap<String, String>) -> String {
    let mut done = String::new();
    let mut rest = text;
    while let Some(dollar) = rest.find('$') {
        done.push_str(&rest[..dollar]);
        rest = &rest[dollar + 1..];
        let (inner, after) = match rest.strip_prefix('{') {
            Some(braced) => braced.split_once('}').unwrap_or((braced, "")),
            None => {
                let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
                rest.split_at(end)
            }
        };
        let (name, default) = inner.split_once(":-").unwrap_or((inner, ""));
        let value = arguments.get(name).map(String::as_str).filter(|value| !value.is_empty());
        done.push_str(value.unwrap_or(default));
        rest = after;
    }
    done.push_str(rest);
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_images_behind_arguments_and_stages() {
        let source = "# syntax=docker/dockerfile:1\nARG DEBIAN=12\nARG REGISTRY=\nFROM --platform=linux/amd64 rust:${RUST:-1.95} AS Build\n\
                      RUN x\nFROM scratch\nfrom debian:$DEBIAN-slim as base\nFROM build\nFROM ${REGISTRY:-docker.io}/a/b@sha256:1\nFROM base\n";
        let given = BTreeMap::from([("DEBIAN".to_owned(), "13".to_owned())]);
        assert_eq!(bases(source, &given), ["rust:1.95", "debian:13-slim", "docker.io/a/b@sha256:1"]);
        assert_eq!(bases("FROM\n", &given), Vec::<String>::new());
    }
}
