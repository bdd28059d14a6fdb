//! Every Rust file is compiled: a test file that no `mod` names would never fail.

use super::Finding;
use super::files::Files;

/// Directories whose files Cargo compiles by itself, each as a program of its own.
const PROGRAMS: [&str; 4] = ["tests", "examples", "benches", "bin"];

/// Finds Rust files that nothing includes.
pub(super) fn check(files: &Files) -> Vec<Finding> {
    // Sample projects have their own rules: what is compiled there is their scripts' business.
    let ours = files.ending(".rs").filter(|(path, _)| !path.starts_with("examples/"));
    let orphans = ours.filter(|(path, _)| !is_root(path) && !is_named(files, path));
    orphans.map(|(path, _)| format!("{path}: no `mod` includes it, so it is never compiled")).collect()
}

/// Whether Cargo finds the file by its place.
fn is_root(path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').collect();
    match parts.as_slice() {
        [.., "build.rs"] | [.., "src", "lib.rs" | "main.rs"] => true,
        [.., directory, _] if PROGRAMS.contains(directory) => true,
        [.., directory, _, "main.rs"] => PROGRAMS.contains(directory),
        _ => false,
    }
}

/// Whether a file that can include this one says `mod`.
fn is_named(files: &Files, path: &str) -> bool {
    let stem = path.trim_end_matches(".rs").trim_end_matches("/mod");
    let Some((directory, module)) = stem.rsplit_once('/') else { return false };
    let mut parents: Vec<String> = ["mod", "lib", "main"].map(|name| format!("{directory}/{name}.rs")).into();
    parents.push(format!("{directory}.rs"));
    if PROGRAMS.iter().any(|program| directory.ends_with(&format!("/{program}"))) {
        let beside = files.ending(".rs").map(|(other, _)| other);
        parents.extend(
            beside
                .filter(|other| other.rsplit_once('/').is_some_and(|(d, _)| d == directory))
                .map(str::to_owned),
        );
    }
    let declaration = format!("mod {module};");
    let file = format!("\"{}\"", path.rsplit('/').next().unwrap_or(path));
    parents.iter().filter_map(|parent| files.text(parent)).any(|text| {
        text.lines().any(|line| {
            let line = line.trim_start();
            line.ends_with(&declaration) || (line.contains("path =") && line.contains(&file))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_a_forgotten_file() {
        let files = Files::of(&[
            ("crates/a/src/lib.rs", "mod b;\npub mod c;\n"),
            ("crates/a/src/b.rs", ""),
            ("crates/a/src/c/mod.rs", "#[cfg(test)]\nmod tests;\n"),
            ("crates/a/src/c/tests.rs", ""),
            ("crates/a/src/c/forgotten.rs", ""),
            ("crates/a/tests/one.rs", "mod support;\n"),
            ("crates/a/tests/support/mod.rs", ""),
            ("crates/a/tests/it/main.rs", ""),
            ("crates/a/tests/it/never_run.rs", ""),
        ]);
        let findings = check(&files);
        assert_eq!(findings.len(), 2, "{findings:?}");
        assert!(findings[0].starts_with("crates/a/src/c/forgotten.rs"));
        assert!(findings[1].starts_with("crates/a/tests/it/never_run.rs"));
    }
}
