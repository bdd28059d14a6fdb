//! Files of other systems become files of Towpath, with all their comments; whatever a file holds, mending it ends.

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use proptest::sample::{Index, select};
use towpath_config::diagnostic::{Colour, render_all};
use towpath_config::{Diagnostic, fix, parse_pipeline};

fn read(text: &str) -> Vec<Diagnostic> {
    parse_pipeline("towpath.yaml", text).1
}

#[test]
fn foreign_files_are_mended_and_then_clean() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fix");
    let mut count = 0;
    for entry in fs::read_dir(directory).expect("the cases are there") {
        let path = entry.expect("it can be listed").path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        let text = fs::read_to_string(&path).expect("it is text");
        assert!(!read(&text).is_empty(), "{} needs no mending", path.display());
        let mended = fix::mend(&text, read);
        expect_test::expect_file![path.with_extension("fixed")].assert_eq(&mended);
        let left = read(&mended);
        assert!(left.is_empty(), "{}", render_all(&left, Colour::No));
        assert_eq!(fix::mend(&mended, read), mended);
        let comments = |text: &str| text.lines().filter(|line| line.contains('#')).count();
        assert_eq!(comments(&text), comments(&mended), "a comment was lost");
        count += 1;
    }
    assert!(count >= 2);
}

/// What is not the same for sure stays, with advice.
#[test]
fn what_is_not_sure_is_left_to_people() {
    for text in [
        "name: shop\njobs: { a: { script: [make], steps: [make] } }\n",
        "name: shop\njobs: { a: { steps: [make], environment: production } }\n",
        "name: shop\njobs: { a: { steps: [make], timeout-minutes: \"${{ env.T }}\" } }\n",
        "name: shop\njobs: { a: { steps: [make], rules: [{ if: $CI }] } }\n",
        "name: shop\njobs: { a: { steps: [{ uses: actions/checkout@v4 }] } }\n",
    ] {
        assert_eq!(fix::mend(text, read), text);
        assert!(read(text).iter().all(|found| found.edits.is_empty() && !found.hints.is_empty()), "{text}");
    }
}

fn words() -> impl Strategy<Value = &'static str> {
    select(vec![
        "",
        "\n",
        "  ",
        "- ",
        ": ",
        "{",
        "}",
        "[",
        "]",
        "'",
        "\"",
        "#",
        "&a ",
        "*a",
        "|\n",
        "<<: ",
        "${{ matrix.os }}",
        "}}",
        "script",
        "timeout-minutes: 5",
        "strategy:\n",
        "before_script:\n",
        "matrix: { a: [1, 2] }",
        "uses: x",
        "é",
        "\u{202e}",
        "parameters.x",
        "max: 99999999999",
        "defaults: { env: { A: b } }\n",
        "x-a: 1\n",
        "\r\n",
    ])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn mending_anything_ends_and_every_mistake_has_a_place(
        github in any::<bool>(),
        edits in proptest::collection::vec((any::<Index>(), 0_usize..12, words()), 0..5),
    ) {
        let mut text = if github { include_str!("fix/github.yaml") } else { include_str!("fix/gitlab.yaml") }.to_owned();
        for (at, length, word) in &edits {
            let start = text.floor_char_boundary(at.index(text.len()));
            let end = text.ceil_char_boundary((start + length).min(text.len()));
            text = format!("{}{word}{}", &text[..start], &text[end..]);
        }
        for found in read(&text) {
            if let Some(place) = &found.place {
                prop_assert!(text.get(place.span.clone()).is_some(), "{place:?} of {text:?}");
            }
            prop_assert!(found.edits.iter().all(|edit| text.get(edit.span.clone()).is_some()), "{:?}", found.edits);
        }
        let mended = fix::mend(&text, read);
        prop_assert_eq!(fix::mend(&mended, read), mended);
    }
}
