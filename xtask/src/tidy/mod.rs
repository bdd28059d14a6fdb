//! `cargo xtask tidy`: what the repository asks of its own files, beyond what compiler and linter see.
//!
//! Each check looks at all files and returns everything it finds, so that one run shows every mistake. It is an ordinary test, too.

mod arrows;
mod files;
mod headers;
mod length;
mod links;
mod named;
mod orphans;
mod words;

use files::Files;

/// Something that is not as it should be, in one line: where, what, and what to do.
type Finding = String;

/// Runs every check; fails after all have run.
pub(crate) fn run() -> anyhow::Result<()> {
    let files = Files::read(&crate::root())?;
    let findings = examine(&files);
    for finding in &findings {
        eprintln!("{finding}");
    }
    anyhow::ensure!(findings.is_empty(), "{} finding(s) in {} files", findings.len(), files.len());
    println!("{} files are tidy", files.len());
    Ok(())
}

fn examine(files: &Files) -> Vec<Finding> {
    let checks: [fn(&Files) -> Vec<Finding>; 7] = [
        headers::check,
        length::check,
        words::check,
        orphans::check,
        arrows::check,
        links::check,
        named::check,
    ];
    checks.iter().flat_map(|check| check(files)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_repository_is_tidy() {
        let findings = examine(&Files::read(&crate::root()).unwrap());
        assert!(findings.is_empty(), "\n{}", findings.join("\n"));
    }
}
