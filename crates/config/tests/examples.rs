//! The examples are clean, and their plans are what the goldens say, in each format.

use std::fs;
use std::path::{Path, PathBuf};

use expect_test::expect_file;
use towpath_config::diagnostic::{Colour, render_all};
use towpath_config::{check_together, parse_environments, parse_pipeline, plan, render};
use towpath_model::pipeline::Pipeline;
use towpath_model::plan::{Occasion, PlanReport};
use towpath_model::plan_lint;
use towpath_model::policy::EnvironmentDocument;
use towpath_model::run::Trust;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn example(name: &str) -> (Pipeline, Vec<EnvironmentDocument>) {
    let directory = root().join("examples").join(name);
    let text = fs::read_to_string(directory.join("towpath.yaml")).expect("the example is there");
    let (pipeline, diagnostics) = parse_pipeline("towpath.yaml", &text);
    assert!(diagnostics.is_empty(), "{name}:\n{}", render_all(&diagnostics, Colour::No));
    let mut documents = Vec::new();
    let mut files: Vec<PathBuf> = fs::read_dir(directory.join(".towpath"))
        .into_iter()
        .flatten()
        .map(|entry| entry.expect("it can be listed").path())
        .collect();
    files.sort();
    for file in files {
        let text = fs::read_to_string(&file).expect("it can be read");
        let (found, diagnostics) = parse_environments("environment.yaml", &text);
        assert!(diagnostics.is_empty(), "{name}:\n{}", render_all(&diagnostics, Colour::No));
        documents.extend(found);
    }
    (pipeline.expect("no diagnostics, so a pipeline"), documents)
}

fn planned(name: &str, event: &str, reference: &str, trust: Trust) -> PlanReport {
    let (pipeline, documents) = example(name);
    let occasion = Occasion {
        event: event.to_owned(),
        reference: reference.to_owned(),
        changed: None,
        trust,
        origin: None,
    };
    let report = plan(&pipeline, &occasion, &documents);
    assert_eq!(plan_lint::lint(&report), [""; 0], "{name}");
    report
}

fn golden(name: &str) -> expect_test::ExpectFile {
    expect_file![Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/plan").join(name)]
}

#[test]
fn the_containers_fit_their_environments() {
    let (pipeline, documents) = example("docker");
    let filed: Vec<_> =
        documents.iter().map(|document| ("environments.yaml".to_owned(), document.clone())).collect();
    let found = check_together(Some(&pipeline), &filed);
    assert!(found.is_empty(), "{}", render_all(&found, Colour::No));
    let report = planned("docker", "push", "refs/heads/main", Trust::Protected);
    assert!(report.seal.seals, "{}", report.seal.reason);
    let dockerfile = fs::read_to_string(root().join("examples/docker/Dockerfile")).expect("it is there");
    let ignore = fs::read_to_string(root().join("examples/docker/.dockerignore")).ok();
    let facts = towpath_config::dockerfile::ContextFacts { has_git: true, ignore };
    assert_eq!(towpath_config::dockerfile::lint_dockerfile("Dockerfile", &dockerfile, &facts), []);
}

#[test]
fn the_image_is_built_and_looked_at() {
    let (pipeline, _) = example("image");
    let build = pipeline.jobs[0].artifacts[0].image.as_ref().expect("it is an image");
    let text =
        fs::read_to_string(root().join("examples/image").join(&build.dockerfile)).expect("it is there");
    let ignore = fs::read_to_string(root().join("examples/image/.dockerignore")).ok();
    let facts = towpath_config::dockerfile::ContextFacts { has_git: true, ignore };
    assert_eq!(towpath_config::dockerfile::lint_dockerfile("Dockerfile", &text, &facts), []);
}

#[test]
fn the_shop_goes_to_production() {
    let report = planned("shop", "push", "refs/heads/main", Trust::Protected);
    golden("shop-main.txt").assert_eq(&render::text(&report));
    golden("shop-main.json").assert_eq(&render::json(&report));
    golden("shop-main.mmd").assert_eq(&render::mermaid(&report));
    golden("shop-main.svg").assert_eq(&render::svg(&report));
    let read: PlanReport = serde_json::from_str(&render::json(&report)).expect("it reads what it writes");
    assert_eq!(read, report);
}

#[test]
fn a_feature_branch_seals_nothing() {
    golden("shop-feature.txt").assert_eq(&render::text(&planned(
        "shop",
        "push",
        "refs/heads/feature/x",
        Trust::Internal,
    )));
    golden("shop-other.txt").assert_eq(&render::text(&planned(
        "shop",
        "push",
        "refs/heads/other",
        Trust::Internal,
    )));
}

#[test]
fn a_library_has_no_stages() {
    golden("library-topic.txt").assert_eq(&render::text(&planned(
        "library",
        "push",
        "refs/heads/topic",
        Trust::Internal,
    )));
}

#[test]
fn outputs_are_not_known_before_the_run() {
    golden("monorepo-main.txt").assert_eq(&render::text(&planned(
        "monorepo",
        "push",
        "refs/heads/main",
        Trust::Protected,
    )));
}
