//! Every reader on reports of real tools, on reports written after a format's description, and on hostile ones.
//!
//! pytest, jest, mocha, nextest, coverage.py, istanbul, ruff and wrk wrote theirs; the rest is by hand.

use std::path::Path;

use expect_test::{Expect, expect};
use towpath_report::{Counts, Coverage, Kind, Report, TestReport, read, read_junit};

fn fixture(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn tests(name: &str) -> TestReport {
    read_junit(&fixture(&format!("junit/{name}"))).expect("a report")
}

/// Renders what a report says, one test a line.
fn check(name: &str, expected: Expect) {
    let report = tests(name);
    let Counts { passed, failed, skipped, flaky } = Counts::of(&report.cases);
    let mut text = format!("{passed} passed ({flaky} flaky), {failed} failed, {skipped} skipped\n");
    for case in &report.cases {
        let place = case.file.as_ref().map(|file| format!(" at {file}:{}", case.line.unwrap_or(0)));
        let millis = case.millis.map(|millis| format!(" {millis}ms"));
        let failure =
            case.failures.first().map(|failure| format!(" — {}", failure.message.replace('\n', "/")));
        text += &format!(
            "{:?} {}{}{}{}\n",
            case.outcome,
            case.id,
            millis.unwrap_or_default(),
            place.unwrap_or_default(),
            failure.unwrap_or_default()
        );
    }
    if let Some(problem) = report.problem {
        text += &format!("problem: {problem}\n");
    }
    expected.assert_eq(&text);
}

#[test]
fn pytest_with_repetitions() {
    check(
        "pytest-reruns.xml",
        expect![[r#"
        3 passed (1 flaky), 2 failed, 2 skipped
        Passed test_shop.TestPay::test_doubles[1] 5ms at test_shop.py:7
        Passed test_shop.TestPay::test_doubles[2] 1ms at test_shop.py:7
        Failed test_shop.TestPay::test_wrong 72ms at test_shop.py:11 — AssertionError: 1 < 2 && #x01/assert 2 == 3/ +  where 2 = <function pay at 0x7f1aa5836480>(1)/ +    where <function pay at 0x7f1aa5836480> = shop.pay
        Errored test_shop::test_setup 2ms at test_shop.py:15 — failed on setup with "RuntimeError: the database is away"
        Skipped test_shop::test_later 1ms at test_shop.py:18
        Skipped test_shop::test_known 1ms at test_shop.py:22
        Flaky test_shop::test_flaky 2ms at test_shop.py:26
    "#]],
    );
}

#[test]
fn nextest() {
    check(
        "nextest.xml",
        expect![[r#"
        2 passed (1 flaky), 1 failed, 0 skipped
        Passed shop::tests::doubles 25ms
        Flaky shop::tests::flaky 9ms at src/lib.rs:10 — thread 'tests::flaky' (24542) panicked at src/lib.rs:10:82
        Failed shop::tests::wrong 290ms at src/lib.rs:6 — thread 'tests::wrong' (24545) panicked at src/lib.rs:6:47
    "#]],
    );
}

#[test]
fn jest() {
    check(
        "jest.xml",
        expect![[r#"
        2 passed (0 flaky), 1 failed, 1 skipped
        Passed cart adds 7ms
        Failed cart sums 12ms at /app/cart.test.js:3 — Error: expect(received).toEqual(expected) // deep equality
        Skipped cart later 0ms
        Passed cart some day 0ms
    "#]],
    );
}

#[test]
fn mocha() {
    check(
        "mocha-xunit.xml",
        expect![[r#"
        2 passed (0 flaky), 1 failed, 1 skipped
        Passed cart::adds 0ms at /app/test/cart.js:0
        Failed cart::sums "quoted" & <odd> 3ms at test/cart.js:4 — Expected values to be loosely deep-equal:
        Skipped cart::later 0ms at /app/test/cart.js:0
        Passed cart nested::removes 0ms at /app/test/cart.js:0
    "#]],
    );
}

#[test]
fn surefire() {
    check(
        "surefire.xml",
        expect![[r#"
            2 passed (1 flaky), 2 failed, 1 skipped
            Passed shop.CartTest::adds 12ms
            Failed shop.CartTest::sums 1204100ms at CartTest.java:42 — expected:<3> but was:<2>
            Flaky shop.CartTest::pays 200ms — timed out
            Skipped shop.CartTest::refunds 0ms
            Errored shop.CartTest::breaks 3ms — java.lang.NullPointerException
        "#]],
    );
}

#[test]
fn a_failure_counts_where_gradle_lists_a_test_twice() {
    check(
        "gradle.xml",
        expect![[r#"
        1 passed (0 flaky), 1 failed, 0 skipped
        Passed shop.CartTest::adds() 30ms
        Failed shop.CartTest::pays() 20ms at CartTest.kt:31 — java.net.SocketTimeoutException
    "#]],
    );
}

#[test]
fn googletest() {
    check(
        "gtest.xml",
        expect![[r#"
        1 passed (0 flaky), 1 failed, 2 skipped
        Passed Cart::Adds 1ms at cart_test.cc:4
        Failed Cart::Sums 0ms at cart_test.cc:8 — cart_test.cc:9/Expected equality of these values:/  2/  3
        Skipped Cart::DISABLED_Later 0ms at cart_test.cc:12
        Skipped Cart::Skips 0ms at cart_test.cc:14
    "#]],
    );
}

#[test]
fn catch2() {
    check(
        "catch2.xml",
        expect![[r#"
        1 passed (0 flaky), 1 failed, 0 skipped
        Passed cart.global::adds 1ms
        Failed cart.global::sums/nested section 2ms at cart_test.cpp:21 — sum == 3
    "#]],
    );
}

#[test]
fn go() {
    check(
        "go-junit-report.xml",
        expect![[r#"
        1 passed (0 flaky), 1 failed, 1 skipped
        Passed shop/cart::TestAdds 0ms
        Failed shop/cart::TestSums/empty 1ms at cart_test.go:12 — Failed
        Skipped shop/cart::TestLater 0ms
    "#]],
    );
}

#[test]
fn phpunit_nests_suites() {
    check(
        "phpunit.xml",
        expect![[r#"
        2 passed (0 flaky), 1 failed, 0 skipped
        Passed Shop.CartTest::testAdds 2ms at /app/tests/CartTest.php:9
        Passed Shop.CartTest::testSums with data set #0 1ms at /app/tests/CartTest.php:18
        Failed Shop.CartTest::testSums with data set #1 2ms at /app/tests/CartTest.php:18 — Shop\CartTest::testSums with data set #1
    "#]],
    );
}

#[test]
fn dotnet() {
    check(
        "trx2junit.xml",
        expect![[r#"
            1 passed (0 flaky), 1 failed, 0 skipped
            Passed Shop.Tests.Cart::Adds 10ms
            Failed Shop.Tests.Cart::Sums(expected: 3) 110ms at /app/CartTests.cs:12 — Assert.Equal() Failure
        "#]],
    );
}

#[test]
fn a_test_without_a_suite() {
    check(
        "bare-case.xml",
        expect![[r#"
        0 passed (0 flaky), 1 failed, 0 skipped
        Failed alone — 
    "#]],
    );
}

#[test]
fn junk_bytes_and_wrong_counts() {
    check(
        "junk.xml",
        expect![[r#"
        2 passed (0 flaky), 1 failed, 0 skipped
        Passed a::raw �� bytes
        Passed c::a & b
        Failed d::lone — 1 < 2 &undefined; 😀
    "#]],
    );
}

#[test]
fn a_report_that_breaks_off_does_not_pass_the_test_it_breaks_off_in() {
    check(
        "cut-off.xml",
        expect![[r#"
        1 passed (0 flaky), 1 failed, 0 skipped
        Passed whole 100ms
        Errored half 100ms — the report breaks off within this test
        problem: it breaks off within <system-out>: its writer did not finish
    "#]],
    );
}

#[test]
fn nothing_is_expanded_and_nothing_outside_is_read() {
    check(
        "billion-laughs.xml",
        expect![[r#"
        0 passed (0 flaky), 1 failed, 0 skipped
        Failed laughs — &lol9;&file;
    "#]],
    );
}

#[test]
fn utf_16_is_read() {
    let text = "<testsuite><testcase name=\"ä\"/></testsuite>";
    let mut bytes = vec![0xFF, 0xFE];
    bytes.extend(text.encode_utf16().flat_map(u16::to_le_bytes));
    assert_eq!(read_junit(&bytes).unwrap().cases[0].id, "ä");
}

#[test]
fn what_is_no_report_is_refused_with_what_it_is() {
    let refused = |kind, bytes: &[u8]| read(kind, bytes).unwrap_err().to_string();
    let all = [
        refused(Kind::Junit, b""),
        refused(Kind::Junit, b"PASS\nok  shop 0.01s"),
        refused(Kind::Junit, b"<html><body/></html>"),
        refused(Kind::Coverage, b"hello"),
        refused(Kind::Coverage, b"<coverage generated='1'><project timestamp='1'/></coverage>"),
        refused(Kind::Sarif, b"[1,"),
        refused(Kind::Sarif, br#"{"version":"1.0.0","runs":[]}"#),
        refused(Kind::Load, b"fast enough"),
        refused(Kind::Contract, b"{}"),
    ];
    expect![[r#"
        it is none of the dialects of JUnit XML, but empty
        it is none of the dialects of JUnit XML, but something that is no XML
        it is none of the dialects of JUnit XML, but XML whose root is <html>
        it is none of LCOV, Cobertura XML and JaCoCo XML, but text without an `SF:` line
        it is none of LCOV, Cobertura XML and JaCoCo XML, but Clover XML; let the tool write Cobertura as well
        it is no JSON: EOF while parsing a value at line 1 column 3
        it is none of SARIF 2.1.0, but SARIF of 1.0.0
        it is none of k6's, Gatling's and oha's JSON, JMeter's CSV, and what wrk and oha print, but text that none of them writes
        it is none of Pact's verification results and pacts, but JSON without `result`, `testResults` or `interactions`"#]]
    .assert_eq(&all.join("\n"));
}

#[test]
fn deep_nesting_and_many_attributes_are_bounded() {
    let deep = "<testsuite>".repeat(100_000);
    assert!(read_junit(deep.as_bytes()).unwrap().problem.unwrap().contains("nested"));
    let wide = format!("<testsuite><testcase {} name='x'/></testsuite>", "a='1' ".repeat(100_000));
    assert_eq!(read_junit(wide.as_bytes()).unwrap().cases.len(), 1);
    let long = format!(
        "<testsuite><testcase name='x'><failure>{}</failure></testcase></testsuite>",
        "y".repeat(10 << 20)
    );
    assert!(read_junit(long.as_bytes()).unwrap().cases[0].failures[0].detail.len() < 10_000);
}

#[track_caller]
fn coverage(name: &str) -> Coverage {
    match read(Kind::Coverage, &fixture(&format!("coverage/{name}"))) {
        Ok(Report::Coverage(coverage)) => coverage,
        other => panic!("{other:?}"),
    }
}

#[test]
fn three_formats_of_coverage_agree() {
    let line = |name: &str| {
        let coverage = coverage(name);
        let branches = coverage.branches.map(|share| format!(", branches {}/{}", share.covered, share.total));
        let files: Vec<_> = coverage.files.iter().map(|file| file.path.as_str()).collect();
        format!(
            "{name}: {} {}/{} = {}{} in {}\n",
            coverage.format,
            coverage.lines.covered,
            coverage.lines.total,
            coverage.lines.basis_points(),
            branches.unwrap_or_default(),
            files.join(" ")
        )
    };
    let all = line("coverage-py.lcov") + &line("coverage-py.xml") + &line("jacoco.xml");
    expect![[r#"
        coverage-py.lcov: lcov 4/6 = 6666, branches 1/2 in shop.py
        coverage-py.xml: cobertura 4/6 = 6666, branches 1/2 in shop.py
        jacoco.xml: jacoco 2/3 = 6666, branches 1/2 in shop/Cart.java
    "#]]
    .assert_eq(&all);
}

#[test]
fn two_reports_of_one_file_count_it_once() {
    let one = coverage("coverage-py.lcov");
    let both = Coverage::together([one.clone(), coverage("coverage-py.xml")]).unwrap();
    assert_eq!((both.lines, both.files.len(), both.format.as_str()), (one.lines, 1, "several"));
}

#[test]
fn summaries_of_load_tests() {
    let mut text = String::new();
    for name in [
        "k6-summary-export.json",
        "k6-handle-summary.json",
        "jmeter.jtl",
        "gatling-global.json",
        "gatling-stats.js",
        "wrk.txt",
        "wrk-errors.txt",
        "oha.json",
        "oha.txt",
    ] {
        let Report::Load(load) = read(Kind::Load, &fixture(&format!("load/{name}"))).unwrap() else {
            panic!()
        };
        text += &format!(
            "{}: {} requests, {} failed, {}/1000 a second, p50 {:?} p95 {:?} p99 {:?} mean {:?} max {:?}\n",
            load.tool.word(),
            load.requests,
            load.failed,
            load.rate_millis,
            load.p50,
            load.p95,
            load.p99,
            load.mean,
            load.max
        );
    }
    expect![[r#"
        k6: 180 requests, 9 failed, 4369/1000 a second, p50 Some(110470) p95 Some(215950) p99 None mean Some(144560) max Some(1140200)
        k6: 1000 requests, 10 failed, 100000/1000 a second, p50 Some(10000) p95 Some(30200) p99 Some(80300) mean Some(12500) max Some(99900)
        JMeter: 4 requests, 1 failed, 2000/1000 a second, p50 Some(200000) p95 Some(400000) p99 Some(400000) mean Some(250000) max Some(400000)
        Gatling: 6329 requests, 2147 failed, 27638/1000 a second, p50 Some(150000) p95 Some(1114000) p99 Some(60001000) mean Some(965000) max Some(60010000)
        Gatling: 81714 requests, 1 failed, 600971/1000 a second, p50 Some(1000) p95 Some(4000) p99 Some(9000) mean Some(1000) max Some(46000)
        wrk: 910 requests, 0 failed, 906340/1000 a second, p50 Some(3580) p95 None p99 Some(14170) mean Some(4430) max Some(18300)
        wrk: 853 requests, 853 failed, 852080/1000 a second, p50 Some(3830) p95 None p99 Some(14150) mean Some(4740) max Some(17490)
        oha: 8787 requests, 87 failed, 4393650/1000 a second, p50 Some(1100) p95 Some(1300) p99 Some(2000) mean Some(1100) max Some(16100)
        oha: 20003 requests, 13 failed, 4393654/1000 a second, p50 Some(1100) p95 Some(1300) p99 Some(1300) mean Some(1100) max Some(16100)
    "#]]
    .assert_eq(&text);
}

#[test]
fn findings_of_a_real_linter() {
    let Report::Findings(findings) = read(Kind::Sarif, &fixture("sarif/ruff.sarif")).unwrap() else {
        panic!()
    };
    let mut text =
        format!("{:?} {} errors {} warnings\n", findings.tools, findings.errors, findings.warnings);
    for one in &findings.list {
        text += &format!("{} {} {:?}:{:?} {}\n", one.level.word(), one.rule, one.file, one.line, one.message);
    }
    expect![[r#"
        ["ruff"] 4 errors 0 warnings
        error I001 Some("/app/lint_me.py"):Some(1) Import block is un-sorted or un-formatted
        error F401 Some("/app/lint_me.py"):Some(1) `os` imported but unused
        error F401 Some("/app/lint_me.py"):Some(2) `sys` imported but unused
        error F821 Some("/app/lint_me.py"):Some(3) Undefined name `undefined`
    "#]]
    .assert_eq(&text);
}

#[test]
fn levels_come_from_rules_and_accepted_findings_do_not_count() {
    let sarif = br#"{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"scan","rules":[
        {"id":"A","defaultConfiguration":{"level":"error"},"shortDescription":{"text":"short"}},{"id":"B"}]}},
        "invocations":[{"executionSuccessful":false}],
        "results":[{"ruleId":"A","message":{}},{"ruleIndex":1,"message":{"text":"m"}},
        {"ruleId":"A","message":{"text":"x"},"suppressions":[{"kind":"inSource"}]},
        {"ruleId":"A","kind":"pass","message":{"text":"fine"}},
        {"ruleId":"C","level":"note","message":{"text":"n"},"locations":[{"physicalLocation":
        {"artifactLocation":{"uri":"src/a%20b.rs"},"region":{"startLine":7}}}]}]}]}"#;
    let Report::Findings(found) = read(Kind::Sarif, sarif).unwrap() else { panic!() };
    assert_eq!((found.errors, found.warnings, found.notes, found.suppressed), (1, 1, 1, 1));
    assert_eq!(found.list[0].message, "short");
    assert_eq!((found.list[2].file.as_deref(), found.list[2].line), (Some("src/a b.rs"), Some(7)));
    assert!(found.problem.unwrap().contains("did not run to its end"));
}

#[test]
fn contracts() {
    let mut text = String::new();
    for name in ["verifier.json", "published.json", "pact.json"] {
        let Report::Contract(contract) = read(Kind::Contract, &fixture(&format!("contract/{name}"))).unwrap()
        else {
            panic!()
        };
        text += &format!("{contract:?}\n");
    }
    expect![[r#"
        Contract { consumer: None, provider: None, verified: true, passed: false, interactions: 1, failed: [Interaction { description: "a request for the cart", message: "expected 200 but was 500" }] }
        Contract { consumer: None, provider: None, verified: true, passed: false, interactions: 2, failed: [Interaction { description: "a request for a price", message: "expected 3 but was 2" }] }
        Contract { consumer: Some("web"), provider: Some("shop"), verified: false, passed: false, interactions: 1, failed: [] }
    "#]]
    .assert_eq(&text);
}

proptest::proptest! {
    #[test]
    fn no_reader_panics(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..400), at in 0usize..4000) {
        for kind in Kind::ALL {
            let _ = read(kind, &bytes);
        }
        // A real report with a hole in it.
        let mut report = fixture("junit/surefire.xml");
        let at = at.min(report.len());
        report.splice(at..(at + bytes.len()).min(4000).min(report.len()).max(at), bytes);
        let _ = read_junit(&report);
    }
}
