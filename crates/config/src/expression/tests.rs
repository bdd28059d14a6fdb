//! Expressions as data: text in, value or mistake out.

use proptest::prelude::*;

use super::*;

fn scope() -> Scope {
    let unknown = || Value::Unknown("the outputs of `build`".to_owned());
    Scope::default()
        .with("branch", "main")
        .with("ref", "refs/heads/main")
        .with("event", "push")
        .with("env", Value::map([("CI", "true")]))
        .with(
            "needs",
            Value::map([(
                "build-x",
                Value::map([("outcome", Value::from("passed")), ("outputs", unknown())]),
            )]),
        )
}

fn check(text: &str, expected: &str) {
    let shown = match Expression::parse(text).and_then(|expression| expression.evaluate(&scope())) {
        Ok(Value::Unknown(_)) => "unknown".to_owned(),
        Ok(value) => value.to_string(),
        Err(error) => format!("{}: {} @{:?}", "error", error.message, error.span),
    };
    assert_eq!(shown, expected, "{text}");
}

#[test]
fn evaluates() {
    check("1 + 2 * 3", "7");
    check("(1 + 2) * 3", "9");
    check("-2 + 5", "3");
    check("1 - 2 - 3", "-4");
    check("1 < 2 == true", "true");
    check("branch == 'main' && ref.startsWith(\"refs/\")", "true");
    check("branch in ['main', 'release']", "true");
    check("'CI' in env && has(env.CI) && !has(env.NO)", "true");
    check("size('äöü') + size([1, 2])", "5");
    check("true ? 'a' : false ? 'b' : 'c'", "a");
    check("[1, 2, 3].filter(x, x > 1).map(x, x * 10)", "20,30");
    check("[1, 2].all(x, x > 0) && [1, 2].exists(x, x == 2)", "true");
    check("{'a': [1, 2]}.a[1]", "2");
    check("needs.build-x.outcome == 'passed'", "true");
    check("'A'.lowerAscii() + 'b'", "ab");
    check("ref.matches('^refs/(heads|tags)/m[a-z]+$') && !branch.matches('^x')", "true");
    check("needs.build-x.outputs.tag.matches('v.*')", "unknown");
    check("(branch + ')').matches(branch + '\\\\)$')", "true");
}

#[test]
fn unknowns_decide_only_what_they_must() {
    check("needs.build-x.outputs.tag == '1'", "unknown");
    check("false && needs.build-x.outputs.tag == '1'", "false");
    check("needs.build-x.outputs.tag == '1' || true", "true");
    check("true && needs.build-x.outputs.tag == '1'", "unknown");
    check("!(needs.build-x.outputs.tag == '1')", "unknown");
}

#[test]
fn mistakes_have_places() {
    check("branch = 'main'", "error: `=` means nothing in an expression @7..8");
    check("branch == ", "error: expected a value, found the end @10..10");
    check("branch 'x'", "error: expected an operator or the end, found a text @7..10");
    check("1 + 'a'", "error: a number and text do not fit this operator @0..7");
    check("1 / 0", "error: this number does not fit, or divides by zero @0..5");
    check("9223372036854775807 + 1", "error: this number does not fit, or divides by zero @0..23");
    check("env.NO", "error: there is no `NO` @0..6");
    check("'open", "error: this text has no end @0..5");
    check("branch.matches('(')", "error: `matches` cannot read this pattern: unclosed group @15..18");
    check(
        "branch.matches('(main){1000}{1000}')",
        "error: `matches` cannot read this pattern: Compiled regex exceeds size limit of 1048576 bytes. @15..35",
    );
    check("success()", "error: there is no function `success` @0..7");
    check("'a' && true", "error: a condition must be true or false, and this is text @0..3");
}

#[test]
fn nesting_is_bounded() {
    let deep = format!("{}1{}", "(".repeat(1000), ")".repeat(1000));
    assert!(Expression::parse(&deep).is_err());
    assert!(Expression::parse(&"!".repeat(1000)).is_err());
    assert!(Expression::parse(&format!("a{}", ".b".repeat(500))).is_err());
    let often = format!("[{}].all(x, 'a'.matches('a' + ''))", vec!["1"; 200].join(","));
    assert!(Expression::parse(&often).is_ok_and(|often| often.evaluate(&scope()).is_err()));
    let list = format!("[{}]", vec!["1"; 90].join(","));
    let cubed = format!("{list}.all(x, {list}.all(y, {list}.all(z, true)))");
    check(
        &cubed,
        &format!("error: this expression takes too many steps @{}..{}", cubed.len() - 7, cubed.len() - 3),
    );
}

#[test]
fn names_are_checked_before_the_run() {
    let names = Names { needs: &["build"], jobs: &["build", "test"], matrix: &[], inputs: &["target"] };
    let errors = |text: &str| match Expression::parse(text).expect("it parses").check(&names) {
        Ok(()) => Vec::new(),
        Err(errors) => errors.into_iter().map(|error| error.hint.unwrap_or_default()).collect::<Vec<_>>(),
    };
    assert_eq!(
        errors("branch == 'main' && needs.build.outputs.any == '1' && jobs.test.outcome == 'passed'"),
        [""; 0]
    );
    assert_eq!(errors("brnach == 'main'"), ["did you mean `branch`?"]);
    assert_eq!(errors("needs.biuld.outcome == 'passed'"), ["did you mean `build`?"]);
    assert_eq!(errors("event == 'psuh'"), ["did you mean `push`?"]);
    assert_eq!(
        errors("jobs.test.outcome == 'success'"),
        ["it is one of `passed`, `failed`, `skipped`, `cancelled`"]
    );
    assert_eq!(errors("[1].all(x, x > 0 && y)").len(), 1);
}

#[test]
fn templates_put_values_in() {
    let evaluate = |text: &str| Template::parse(text).and_then(|template| template.evaluate(&scope()));
    assert_eq!(evaluate("v-${{ branch }}-${{ 1 + 1 }}"), Ok(Value::from("v-main-2")));
    assert_eq!(evaluate("${{ {'a': {'b': '}}'}}.a.b }}!"), Ok(Value::from("}}!")));
    assert_eq!(evaluate("plain"), Ok(Value::from("plain")));
    let error = evaluate("x ${{ nothing }}").expect_err("there is no such name");
    assert_eq!(error.span, 6..13);
    assert!(Template::parse("${{ open").is_err());
}

proptest! {
    #[test]
    fn never_panics(text in "\\PC{0,80}") {
        let _ = Template::parse(&text).map(|template| template.evaluate(&scope()));
        let _ = Expression::parse(&text).map(|expression| expression.evaluate(&scope()));
    }

    #[test]
    fn never_panics_on_what_looks_right(words in proptest::collection::vec(
        proptest::sample::select(vec!["branch", "env", ".", "(", ")", "[", "]", "'a'", "1", "&&", "||", "!", "-", "?", ":", "in", "==", "<", "all", ",", "x", "{", "}", "has", "size", "map"]), 0..24)) {
        let text = words.join(" ");
        if let Ok(expression) = Expression::parse(&text) {
            let _ = expression.evaluate(&scope());
            let _ = expression.check(&Names { needs: &[], jobs: &[], matrix: &[], inputs: &[] });
        }
    }
}
