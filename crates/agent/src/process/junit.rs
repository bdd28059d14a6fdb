//! Counts test cases in JUnit files.
//!
//! Only elements are counted: `<testcase>` and the `<failure>`, `<error>` or `<skipped>` in it. That is
//! the part of the format that every tool writes alike.

use std::path::Path;

use towpath_api::agent::TestCounts;

/// The largest file that is read.
const LIMIT: u64 = 64 << 20;

/// Counts over all `files`, which are relative to `root`. What cannot be read is said to `complain`.
pub(crate) fn count(root: &Path, files: &[String], mut complain: impl FnMut(String)) -> Option<TestCounts> {
    let mut total = None;
    for name in files {
        let path = root.join(name);
        match inside(root, &path).and_then(|()| std::fs::metadata(&path)) {
            Ok(metadata) if metadata.is_file() && metadata.len() <= LIMIT => {}
            Ok(_) => {
                complain(format!(
                    "the test report {name} is no file of at most {LIMIT} bytes and was not read"
                ));
                continue;
            }
            Err(error) => {
                complain(format!("the test report {name} cannot be read: {error}"));
                continue;
            }
        }
        match std::fs::read_to_string(&path) {
            Ok(text) => add(total.get_or_insert_default(), count_text(&text)),
            Err(error) => complain(format!("the test report {name} cannot be read: {error}")),
        }
    }
    total
}

/// A link may lead to another file of the workspace, never to one of the host: the agent reads more than a Step can.
fn inside(root: &Path, path: &Path) -> std::io::Result<()> {
    if path.canonicalize()?.starts_with(root.canonicalize()?) {
        Ok(())
    } else {
        Err(std::io::Error::other("it is a link to a file outside of the workspace"))
    }
}

const fn add(total: &mut TestCounts, more: TestCounts) {
    let TestCounts { passed, failed, skipped } = more;
    total.passed += passed;
    total.failed += failed;
    total.skipped += skipped;
}

fn count_text(text: &str) -> TestCounts {
    let mut counts = TestCounts::default();
    // What the case that is open is known to be; `None` outside of a case.
    let mut open: Option<&str> = None;
    for tag in tags(text) {
        let name = tag
            .trim_start_matches('/')
            .split(|c: char| c.is_whitespace() || c == '/')
            .next()
            .unwrap_or_default();
        match (name, tag.starts_with('/')) {
            ("testcase", false) if tag.ends_with('/') => counts.passed += 1,
            ("testcase", false) => open = Some("passed"),
            ("failure" | "error", false) if open.is_some() => open = Some("failed"),
            ("skipped", false) if open == Some("passed") => open = Some("skipped"),
            ("testcase", true) => match open.take() {
                Some("failed") => counts.failed += 1,
                Some("skipped") => counts.skipped += 1,
                Some(_) => counts.passed += 1,
                None => {}
            },
            _ => {}
        }
    }
    counts
}

/// The insides of `<…>`, without comments and CDATA, in which output may look like elements.
fn tags(mut text: &str) -> impl Iterator<Item = &str> {
    std::iter::from_fn(move || {
        loop {
            text = &text[text.find('<')? + 1..];
            let skip =
                [("!--", "-->"), ("![CDATA[", "]]>")].into_iter().find(|(begin, _)| text.starts_with(begin));
            match skip {
                Some((_, end)) => text = &text[text.find(end)? + end.len()..],
                None => break,
            }
        }
        let end = end_of_tag(text)?;
        let tag = &text[..end];
        text = &text[end + 1..];
        Some(tag)
    })
}

/// Where the tag ends: at the first `>` outside of quotes.
fn end_of_tag(text: &str) -> Option<usize> {
    let mut quote = None;
    text.bytes().position(|byte| match (quote, byte) {
        (None, b'>') => true,
        (None, b'"' | b'\'') => {
            quote = Some(byte);
            false
        }
        (Some(open), _) if open == byte => {
            quote = None;
            false
        }
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_cases_and_nothing_that_looks_like_them() {
        let text = r#"<?xml version="1.0"?><testsuites><testsuite tests="9">
            <testcase name="a > b"/><testcase name="b"></testcase>
            <testcase name="c"><failure message="x">y</failure><system-out><![CDATA[<testcase/>]]></system-out></testcase>
            <testcase name="d"><error/></testcase><testcase name="e"><skipped/></testcase>
            <!-- <testcase/> --></testsuite></testsuites>"#;
        assert_eq!(count_text(text), TestCounts { passed: 2, failed: 2, skipped: 1 });
        assert_eq!(count_text("<testcase"), TestCounts::default());
    }
}
