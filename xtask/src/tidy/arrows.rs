//! Dependencies point inward, as the map in ARCHITECTURE.md shows; and the pure core stays pure.

use super::Finding;
use super::files::Files;

/// Which crates of ours each crate may use. Tests may use more: only what is shipped is looked at.
const ARROWS: &[(&str, &[&str])] = &[
    ("judge", &[]),
    ("model", &["judge"]),
    ("sql", &["model"]),
    ("config", &["model", "sql"]),
    ("artifact", &["model"]),
    ("api", &["model"]),
    ("terminal", &[]),
    ("ui", &["terminal"]),
    ("load", &[]),
    ("report", &["model", "terminal"]),
    ("store", &["model", "judge"]),
    ("gateway", &["api", "model"]),
    ("agent", &["api", "artifact", "model", "report"]),
    ("engine", &["api", "artifact", "config", "judge", "model", "report", "store"]),
    ("server", &["agent", "api", "artifact", "config", "engine", "judge", "model", "store", "ui"]),
    (
        "cli",
        &[
            "agent", "api", "artifact", "config", "engine", "gateway", "judge", "load", "model", "report",
            "server", "store", "terminal", "ui",
        ],
    ),
];

/// The crates that decide and never act.
const PURE: [&str; 2] = ["model", "judge"];

/// What a pure crate may use from elsewhere: values, their forms, and arithmetic.
const PURE_DEPENDENCIES: &[&str] = &["jiff", "serde", "serde_json", "sha2", "hex", "thiserror", "uuid"];

/// What no line of a pure crate may say.
const IMPURE: &[&str] = &[
    "std::fs",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "std::process",
    "std::thread",
    "std::env",
    "SystemTime",
    "Instant",
    "::now()",
    "async fn",
    "new_v4",
    "new_v7",
    "println!",
];

/// Finds arrows that point outward, and impurities of the core.
pub(super) fn check(files: &Files) -> Vec<Finding> {
    let manifests = files.ending("/Cargo.toml").filter_map(|(path, text)| {
        Some((path, path.strip_prefix("crates/")?.strip_suffix("/Cargo.toml")?, text))
    });
    let mut findings = Vec::new();
    for (path, name, text) in manifests {
        let Some((_, allowed)) = ARROWS.iter().find(|(listed, _)| *listed == name) else {
            findings.push(format!("{path}: a new crate; give it its place in xtask/src/tidy/arrows.rs"));
            continue;
        };
        for dependency in dependencies(text) {
            let outward = match dependency.strip_prefix("towpath-") {
                Some(ours) => !allowed.contains(&ours),
                None => PURE.contains(&name) && !PURE_DEPENDENCIES.contains(&dependency),
            };
            if outward {
                findings.push(format!("{path}: `{name}` may not use `{dependency}`; arrows point inward"));
            }
        }
    }
    findings.extend(PURE.iter().flat_map(|name| impurities(files, name)));
    findings
}

/// The names under `[dependencies]`.
fn dependencies(manifest: &str) -> impl Iterator<Item = &str> {
    let section =
        manifest.split("\n[").find_map(|section| section.strip_prefix("dependencies]")).unwrap_or("");
    let lines = section.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.filter_map(|line| line.split(['.', ' ', '=']).next())
}

fn impurities(files: &Files, name: &str) -> Vec<Finding> {
    let prefix = format!("crates/{name}/src/");
    let mut findings = Vec::new();
    for (path, text) in files.ending(".rs").filter(|(path, _)| path.starts_with(&prefix)) {
        for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.trim_start().starts_with("//"))
        {
            findings.extend(IMPURE.iter().filter(|word| line.contains(*word)).map(|word| {
                format!("{path}:{number}: `{word}` in `{name}`, which takes time as an argument and returns effects")
            }));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_an_arrow_that_points_outward() {
        let manifest = "[package]\nname = \"x\"\n\n[dependencies]\ntowpath-judge.workspace = true\ntokio = \"1\"\n\n\
                        [dev-dependencies]\ntowpath-store.workspace = true\n";
        let files = Files::of(&[
            ("crates/model/Cargo.toml", manifest),
            ("crates/model/src/lib.rs", "//! Instant coffee is fine.\nlet at = Instant::now();\n"),
            ("crates/nobody/Cargo.toml", "[dependencies]\n"),
        ]);
        let findings = check(&files);
        assert_eq!(findings.len(), 4, "{findings:?}");
        assert!(findings[0].contains("`model` may not use `tokio`"));
        assert!(findings[1].contains("a new crate"));
        assert!(findings[2].starts_with("crates/model/src/lib.rs:2:"));
    }
}
