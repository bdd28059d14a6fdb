//! Where a failure happened, as its text tells it.

use crate::Failure;

/// Frames of test runners and of languages, which say where the assertion is made and not where it was asked for.
const FOREIGN: [&str; 9] = [
    "node_modules",
    "node:",
    "at org.junit.",
    "at org.testng.",
    "at org.hamcrest.",
    "at org.assertj.",
    "at java.",
    "at jdk.",
    "at Xunit.",
];

/// The file and line of a failure: the last `file:line` that stands where tools put it.
///
/// pytest ends with `test_shop.py:14: AssertionError`; Rust says `panicked at src/lib.rs:6:47`; V8 says
/// `at Object.toEqual (/app/cart.test.js:3:37)`; C and Go begin a line with `cart_test.go:12:`.
#[must_use]
pub fn place(failure: &Failure) -> Option<(String, u32)> {
    let lines = failure.message.lines().chain(failure.detail.lines());
    // Rust names the place of the panic before the frames of the backtrace; the others put it last or first.
    let panicked = lines.clone().find_map(|line| located(line.split_once("panicked at ")?.1));
    let at_start = || {
        let whole = failure.detail.lines().rev().chain(failure.message.lines());
        whole.into_iter().find_map(|line| located(line.trim_start()))
    };
    let frame = || {
        let frames = lines.clone().filter(|line| line.trim_start().starts_with("at "));
        let own = frames.filter(|line| !FOREIGN.iter().any(|foreign| line.contains(foreign)));
        own.into_iter().find_map(|line| {
            let call = line.trim_start().trim_start_matches("at ");
            let inside = call.rsplit_once('(').map_or(call, |(_, inside)| inside);
            let dotnet = || located(&line.split_once(") in ")?.1.replace(":line ", ":"));
            located(inside).or_else(dotnet)
        })
    };
    panicked.or_else(at_start).or_else(frame)
}

/// `path:line…` at the start of a text.
fn located(text: &str) -> Option<(String, u32)> {
    let (path, rest) = text.split_once(':')?;
    let digits = rest.split(|c: char| !c.is_ascii_digit()).next().filter(|digits| !digits.is_empty())?;
    let file = path.rsplit('/').next()?;
    let plausible = path.len() <= 300
        && !path.contains(char::is_whitespace)
        && file.rsplit_once('.').is_some_and(|(stem, extension)| {
            !stem.is_empty()
                && (1..=6).contains(&extension.len())
                && extension.starts_with(|c: char| c.is_ascii_alphabetic())
                && extension.bytes().all(|byte| byte.is_ascii_alphanumeric())
        });
    let line = digits.parse().ok().filter(|line| *line > 0)?;
    plausible.then(|| (path.trim_start_matches("./").to_owned(), line))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(detail: &str, expected: Option<(&str, u32)>) {
        let failure = Failure { detail: detail.to_owned(), ..Failure::default() };
        assert_eq!(place(&failure), expected.map(|(file, line)| (file.to_owned(), line)), "{detail}");
    }

    #[test]
    fn finds_the_place_where_each_tool_puts_it() {
        check(
            "def test():\n>   assert 1\nE   assert 2\n\ntest_shop.py:14: AssertionError",
            Some(("test_shop.py", 14)),
        );
        check(
            "thread 'tests::wrong' (2) panicked at src/lib.rs:6:47:\nleft == right\n  at /rustc/59/core/panicking.rs:80:14",
            Some(("src/lib.rs", 6)),
        );
        check(
            "Error: expect\n    at Object.toEqual (/app/cart.test.js:3:37)\n    at run (/app/node_modules/jest/build/index.js:1:2)",
            Some(("/app/cart.test.js", 3)),
        );
        check("    cart_test.go:12: wrong sum", Some(("cart_test.go", 12)));
        check("expected 12:30 but it was http://localhost:8080", None);
        check(
            "   at Shop.Cart.Sums(Int32 expected) in /app/CartTests.cs:line 12",
            Some(("/app/CartTests.cs", 12)),
        );
        check(
            "java.lang.AssertionError\n\tat org.junit.Assert.fail(Assert.java:89)\n\tat shop.CartTest.sums(CartTest.java:42)",
            Some(("CartTest.java", 42)),
        );
    }
}
