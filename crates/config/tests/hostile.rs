//! Nothing that a person or an attacker writes makes the parser panic or the plan inconsistent.

use std::fmt::Write as _;

use proptest::prelude::*;
use proptest::sample::{Index, select};
use towpath_config::diagnostic::{Colour, render_all};
use towpath_config::{
    has_errors, parse_environments_bytes, parse_pipeline, parse_pipeline_bytes, plan, render,
};
use towpath_model::plan::Occasion;
use towpath_model::plan_lint;
use towpath_model::run::Trust;

const PIPELINE: &str = include_str!("../../../examples/shop/towpath.yaml");
const ENVIRONMENTS: &str = include_str!("../../../examples/shop/.towpath/environments.yaml");

/// Reads bytes both ways and draws what is said of them.
fn read(bytes: &[u8]) {
    let (pipeline, diagnostics) = parse_pipeline_bytes("towpath.yaml", bytes);
    assert_eq!(pipeline.is_none(), has_errors(&diagnostics), "a value exactly where there is no error");
    let _ = render_all(&diagnostics, Colour::Yes);
    let (_, diagnostics) = parse_environments_bytes("production.yaml", bytes);
    let _ = render_all(&diagnostics, Colour::No);
    for place in diagnostics.iter().filter_map(|diagnostic| diagnostic.place.as_ref()) {
        assert!(place.excerpt.get(place.mark.clone()).is_some(), "a mark within its excerpt: {place:?}");
    }
}

/// Replaces a piece of a good file by a word that means something.
fn mutate(text: &str, at: &Index, length: usize, word: &str) -> String {
    let start = text.floor_char_boundary(at.index(text.len()));
    let end = text.ceil_char_boundary((start + length).min(text.len()));
    format!("{}{word}{}", &text[..start], &text[end..])
}

fn words() -> impl Strategy<Value = &'static str> {
    select(vec![
        "",
        "\n",
        "  ",
        "\t",
        ": ",
        "- ",
        "{",
        "}",
        "[",
        "]",
        "'",
        "\"",
        "#",
        "&a ",
        "*a",
        "!!str ",
        "|",
        ">",
        "---",
        "...",
        "<<: ",
        "${{",
        "}}",
        "${{ branch }}",
        "null",
        "true",
        "-1",
        "99999999999999999999",
        "1e400",
        ".nan",
        "é",
        "\u{202e}",
        "\0",
        "%",
        "a: {",
        "?",
    ])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        read(&bytes);
    }

    #[test]
    fn mutated_files(edits in proptest::collection::vec((any::<Index>(), 0_usize..12, words()), 1..4), environments in any::<bool>()) {
        let mut text = if environments { ENVIRONMENTS } else { PIPELINE }.to_owned();
        for (at, length, word) in &edits {
            text = mutate(&text, at, *length, word);
        }
        read(text.as_bytes());
    }

    #[test]
    fn plans_of_any_graph_are_consistent(
        jobs in proptest::collection::vec((proptest::collection::btree_set(0_usize..12, 0..3), select(vec!["", "branch == 'main'", "false", "event == 'tag'", "env.NO == '1'"])), 1..12),
        stages in proptest::collection::vec(proptest::collection::btree_set(0_usize..5, 0..2), 0..5),
        weights in proptest::collection::btree_set(1_u16..1000, 1..6),
        main in any::<bool>(),
    ) {
        let text = generate(&jobs, &stages, &weights.into_iter().collect::<Vec<_>>());
        let (pipeline, diagnostics) = parse_pipeline("towpath.yaml", &text);
        prop_assert!(!has_errors(&diagnostics), "{text}\n{}", render_all(&diagnostics, Colour::No));
        let pipeline = pipeline.expect("no errors, so a pipeline");
        let (reference, trust) = if main { ("refs/heads/main", Trust::Protected) } else { ("refs/heads/x", Trust::Internal) };
        let occasion = Occasion { event: "push".to_owned(), reference: reference.to_owned(), changed: None, trust, origin: None };
        let report = plan(&pipeline, &occasion, &[]);
        prop_assert_eq!(report.jobs.len(), pipeline.jobs.len());
        prop_assert_eq!(report.stages.len(), pipeline.stages.len());
        prop_assert_eq!(plan_lint::lint(&report), Vec::<String>::new());
        prop_assert_eq!(&plan(&pipeline, &occasion, &[]), &report);
        let _ = (render::text(&report), render::svg(&report), render::mermaid(&report));
    }
}

type Needs = std::collections::BTreeSet<usize>;

/// Writes a pipeline whose jobs and stages need only those before them.
fn generate(jobs: &[(Needs, &str)], stages: &[Needs], weights: &[u16]) -> String {
    let mut text = "name: shop\njobs:\n".to_owned();
    for (index, (needs, condition)) in jobs.iter().enumerate() {
        let needs: Vec<String> =
            needs.iter().filter(|need| **need < index).map(|need| format!("j{need}")).collect();
        let _ = writeln!(
            text,
            "  j{index}:\n    needs: [{}]\n    steps: [make]\n    artifacts: {{ a{index}: out }}",
            needs.join(", ")
        );
        if !condition.is_empty() {
            let _ = writeln!(text, "    if: {condition}");
        }
    }
    text.push_str("workloads: { shop: { artifact: a0, command: ./shop } }\nstages:\n");
    let steps: Vec<String> =
        weights.iter().map(|weight| format!("{}.{}%", weight / 10, weight % 10)).collect();
    for (index, needs) in stages.iter().enumerate() {
        let needs: Vec<String> =
            needs.iter().filter(|need| **need < index).map(|need| format!("s{need}")).collect();
        let _ = writeln!(
            text,
            "  - {{ name: s{index}, needs: [{}], deploy: {{ strategy: canary, steps: [{}] }} }}",
            needs.join(", "),
            steps.join(", ")
        );
    }
    text
}
