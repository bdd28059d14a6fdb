//! Each kind is recognised, and what is written for it is clean.

use super::*;
use crate::diagnostic::{Colour, render_all};
use crate::{parse_environments, parse_pipeline};

fn check(marks: &[&str], kind: Kind) {
    let directory = tempfile::tempdir().unwrap();
    let project = directory.path().join("My Shop");
    fs::create_dir(&project).unwrap();
    for mark in marks {
        fs::write(project.join(mark), "[package]\nname = \"seashop\"\n").unwrap();
    }
    assert_eq!(recognise(&project), kind, "{marks:?}");
    let scaffold = scaffold(&project, kind);
    assert_eq!(scaffold.name.as_str(), "my-shop");
    write(&project, &scaffold, Overwrite::No).unwrap();
    let text = fs::read_to_string(project.join("towpath.yaml")).unwrap();
    let (pipeline, diagnostics) = parse_pipeline("towpath.yaml", &text);
    assert!(diagnostics.is_empty(), "{kind:?}:\n{}", render_all(&diagnostics, Colour::No));
    let pipeline = pipeline.unwrap();
    assert_eq!(pipeline.stages.len(), 3);
    assert_eq!(text.contains("target/release/seashop"), kind == Kind::Cargo);
    for stage in &pipeline.stages {
        let text = fs::read_to_string(project.join(format!(".towpath/{}.yaml", stage.name))).unwrap();
        let (documents, diagnostics) = parse_environments("environment.yaml", &text);
        assert!(diagnostics.is_empty(), "{}", render_all(&diagnostics, Colour::No));
        assert_eq!(documents[0].environment.as_str(), stage.name.as_str());
    }
    let refused = write(&project, &scaffold, Overwrite::No);
    assert!(matches!(refused, Err(InitError::Exists { .. })), "it wrote over what is there");
    write(&project, &scaffold, Overwrite::Yes).unwrap();
}

#[test]
fn kinds_are_recognised_and_their_files_are_clean() {
    check(&["Cargo.toml", "Makefile"], Kind::Cargo);
    check(&["package.json"], Kind::Npm);
    check(&["package.json", "pnpm-lock.yaml"], Kind::Pnpm);
    check(&["package.json", "yarn.lock"], Kind::Yarn);
    check(&["pyproject.toml", "requirements.txt"], Kind::Python);
    check(&["requirements.txt"], Kind::PythonRequirements);
    check(&["go.mod"], Kind::Go);
    check(&["pom.xml"], Kind::Maven);
    check(&["build.gradle.kts"], Kind::Gradle);
    check(&["CMakeLists.txt"], Kind::CMake);
    check(&["Makefile", "Dockerfile"], Kind::Make);
    check(&["Gemfile"], Kind::Ruby);
    check(&["composer.json"], Kind::Php);
    check(&["shop.csproj"], Kind::DotNet);
    check(&["index.html"], Kind::Static);
    check(&["Dockerfile"], Kind::Dockerfile);
    check(&[], Kind::Unknown);
}

/// What is written for a directory with these files.
fn written(files: &[(&str, &str)]) -> String {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(directory.path().join(name), text).unwrap();
    }
    let scaffold = scaffold(directory.path(), recognise(directory.path()));
    let text = scaffold.files[0].text.clone();
    let (_, diagnostics) = parse_pipeline("towpath.yaml", &text);
    assert!(diagnostics.is_empty(), "{}", render_all(&diagnostics, Colour::No));
    text
}

#[test]
fn what_the_manifest_says_is_used() {
    let node = |manifest, lock: &[(&'static str, &'static str)]| {
        written(&[&[("package.json", manifest)][..], lock].concat())
    };
    let plain = node(r#"{"scripts": {"start": "node src/main.js --quiet"}}"#, &[]);
    assert!(
        plain.contains("command: node src/main.js --quiet\n") && plain.contains("run: npm install\n"),
        "{plain}"
    );
    let locked = node(r#"{"scripts": {"start": "next start && true"}}"#, &[("package-lock.json", "{}")]);
    assert!(locked.contains("command: npm start\n") && locked.contains("run: npm ci\n"), "{locked}");
    assert!(node("{}", &[]).contains("command: node server.js\n"));
    let python = written(&[("pyproject.toml", "[project]\nname = \"corn-stall\"\n")]);
    assert!(python.contains("python -m corn_stall\n"), "{python}");
}

#[test]
fn every_kind_has_a_word() {
    for kind in Kind::ALL {
        assert_eq!(Kind::named(kind.word()), Some(kind));
    }
}
