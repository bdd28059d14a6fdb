//! What makes an image slow to build, other tomorrow than today, or a leak: hints on a Dockerfile, each at its place.
//!
//! Nothing here stops a build; every hint is a warning.

use std::ops::Range;

use crate::diagnostic::{Diagnostic, Problem, Report, quote};

/// Commands that fetch what a project depends on: what stands before them in the file decides how often they run.
const INSTALLS: &[&str] = &[
    "npm ci",
    "npm install",
    "yarn install",
    "pnpm install",
    "pip install",
    "pip3 install",
    "poetry install",
    "uv sync",
    "bundle install",
    "composer install",
    "go mod download",
    "cargo fetch",
    "mvn dependency:",
    "gradle dependencies",
    "apt-get install",
    "apt install",
    "apk add",
    "dnf install",
    "yum install",
];

/// Parts of names that tell of secrets.
const SECRETS: &[&str] = &[
    "PASSWORD",
    "PASSWD",
    "SECRET",
    "TOKEN",
    "API_KEY",
    "APIKEY",
    "PRIVATE_KEY",
    "CREDENTIAL",
    "ACCESS_KEY",
];

/// What is known of the directory that the Dockerfile is built from.
#[derive(Debug, Clone, Default)]
pub struct ContextFacts {
    /// Whether it holds a git repository.
    pub has_git: bool,
    /// The text of its `.dockerignore`.
    pub ignore: Option<String>,
}

/// Finds what a Dockerfile would be better without.
#[must_use]
pub fn lint_dockerfile(file: &str, text: &str, facts: &ContextFacts) -> Vec<Diagnostic> {
    let report = Report::new(file, text);
    let instructions = instructions(text);
    let mut stages: Vec<String> = Vec::new();
    for (index, instruction) in instructions.iter().enumerate() {
        let rest = &instructions[index + 1..];
        match instruction.word.as_str() {
            "FROM" => from(instruction, &mut stages, &report),
            "ADD" => {
                add(instruction, &report);
                copy(instruction, rest, &report);
            }
            "COPY" => copy(instruction, rest, &report),
            "RUN" => run(instruction, &report),
            "ARG" | "ENV" => secrets(instruction, &report),
            _ => {}
        }
    }
    git(&instructions, facts, &report);
    report.finish()
}

/// One instruction, its continued lines as one.
#[derive(Debug)]
struct Instruction {
    word: String,
    /// What follows the word, comments and line ends left out.
    arguments: String,
    span: Range<usize>,
}

impl Instruction {
    fn words(&self) -> impl Iterator<Item = &str> {
        self.arguments.split_whitespace().filter(|word| !word.starts_with("--"))
    }

    /// Whether it copies the whole context.
    fn copies_everything(&self) -> bool {
        let from_stage = self.arguments.contains("--from");
        matches!(self.word.as_str(), "COPY" | "ADD")
            && !from_stage
            && self.words().next().is_some_and(|source| matches!(source, "." | "./" | "*"))
    }
}

fn instructions(text: &str) -> Vec<Instruction> {
    let mut found: Vec<Instruction> = Vec::new();
    let mut offset = 0;
    let mut goes_on = false;
    for line in text.split_inclusive('\n') {
        let (start, plain) = (offset, line.trim());
        offset += line.len();
        if plain.is_empty() || plain.starts_with('#') {
            continue;
        }
        let content = plain.trim_end_matches('\\').trim();
        let end = start + line.trim_end().len();
        let begin = start + (line.len() - line.trim_start().len());
        match found.last_mut().filter(|_| goes_on) {
            Some(last) => {
                last.arguments.push(' ');
                last.arguments.push_str(content);
                last.span.end = end;
            }
            None => {
                let (word, arguments) = content.split_once(char::is_whitespace).unwrap_or((content, ""));
                let (word, arguments) = (word.to_ascii_uppercase(), arguments.trim().to_owned());
                found.push(Instruction { word, arguments, span: begin..end });
            }
        }
        goes_on = plain.ends_with('\\');
    }
    found
}

fn from(instruction: &Instruction, stages: &mut Vec<String>, report: &Report<'_>) {
    let words: Vec<&str> = instruction.words().collect();
    let [image, rest @ ..] = words.as_slice() else { return };
    let known = *image == "scratch" || stages.contains(&image.to_lowercase());
    if let [word, name, ..] = rest
        && word.eq_ignore_ascii_case("as")
    {
        stages.push(name.to_lowercase());
    }
    if known || towpath_model::container::is_pinned(image) {
        return;
    }
    let last = image.rsplit('/').next().unwrap_or(image);
    let latest = last.ends_with(":latest") || (!last.contains(':') && !last.contains('$'));
    let problem = if latest {
        Problem::warning(
            "latest-image",
            format!("`{}` is whatever is newest on the day of the build", quote(image)),
        )
    } else {
        Problem::warning(
            "unpinned-image",
            format!("`{}` may be other bytes tomorrow: its tag can move", quote(image)),
        )
    };
    report.at(
        &instruction.span,
        problem.hint("pin it: the Run shows the digest that it used, `name:tag@sha256:…`"),
    );
}

fn add(instruction: &Instruction, report: &Report<'_>) {
    let url = instruction.words().find(|word| word.starts_with("http://") || word.starts_with("https://"));
    if url.is_some() && !instruction.arguments.contains("--checksum") {
        let problem =
            Problem::warning("add-url", "what this URL serves is in the image, whatever it is that day")
                .hint("add `--checksum=sha256:…`, or fetch it in a Step and check it there");
        report.at(&instruction.span, problem);
    }
}

fn copy(instruction: &Instruction, rest: &[Instruction], report: &Report<'_>) {
    if !instruction.copies_everything() {
        return;
    }
    let stage = rest.iter().take_while(|next| next.word != "FROM");
    let install = stage
        .filter(|next| next.word == "RUN")
        .find_map(|next| INSTALLS.iter().find(|install| next.arguments.contains(**install)));
    if let Some(install) = install {
        let problem = Problem::warning(
            "copy-before-install",
            format!(
                "every change of any file makes `{install}` run again: it comes after the copy of everything"
            ),
        )
        .hint("copy only the lock file, install, then copy the rest");
        report.at(&instruction.span, problem);
    }
}

fn run(instruction: &Instruction, report: &Report<'_>) {
    let has = |words: &str| instruction.arguments.contains(words);
    let updates = has("apt-get update") || has("apt update");
    if updates
        && !has("apt-get install")
        && !has("apt install")
        && !has("apt-get upgrade")
        && !has("apt-get dist-upgrade")
    {
        let problem = Problem::warning(
            "update-alone",
            "the package list stays in the cache, and a later install asks for packages that are gone",
        )
        .hint("write `apt-get update && apt-get install …` as one RUN");
        report.at(&instruction.span, problem);
    }
    if (has("curl ") || has("wget ")) && (has("| sh") || has("| bash") || has("|sh") || has("|bash")) {
        let problem =
            Problem::warning("pipe-to-shell", "a script of the network runs unchecked in the build")
                .hint("fetch it, compare its digest, then run it");
        report.at(&instruction.span, problem);
    }
}

fn secrets(instruction: &Instruction, report: &Report<'_>) {
    let names = instruction.arguments.split_whitespace().map(|word| word.split('=').next().unwrap_or(word));
    // `ENV NAME value` names only the first.
    let count =
        if instruction.word == "ENV" && !instruction.arguments.contains('=') { 1 } else { usize::MAX };
    for name in names.take(count) {
        let upper = name.to_ascii_uppercase();
        if SECRETS.iter().any(|secret| upper.contains(secret)) && !upper.ends_with("_FILE") {
            let message = format!("`{}` stays readable in the image's history", quote(name));
            let problem = Problem::warning("secret-in-image", message)
                .hint("do what needs the secret in a Step and copy its result; whoever has the image can read the rest");
            report.at(&instruction.span, problem);
        }
    }
}

/// The history of a repository in the context is sent, copied, and new with each commit.
fn git(instructions: &[Instruction], facts: &ContextFacts, report: &Report<'_>) {
    let Some(copy) = instructions.iter().find(|instruction| instruction.copies_everything()) else { return };
    let ignored = facts.ignore.as_deref().unwrap_or_default().lines().map(str::trim);
    let names_git = ignored.map(|line| line.trim_start_matches('/').trim_end_matches('/'));
    let mut names_git = names_git.filter(|line| matches!(*line, ".git" | "**/.git" | ".*" | "*" | "**"));
    if facts.has_git && names_git.next().is_none() {
        let what = if facts.ignore.is_some() {
            "`.dockerignore` does not name `.git`"
        } else {
            "there is no `.dockerignore`"
        };
        let message =
            format!("{what}: the whole history is in the image, and each commit makes this layer new");
        report.at(
            &copy.span,
            Problem::warning("git-in-context", message).hint("write `.git` into `.dockerignore`"),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[(&str, usize)]) {
        let facts = ContextFacts { has_git: true, ignore: Some("target\n.git/\n".to_owned()) };
        let found = lint_dockerfile("Dockerfile", text, &facts);
        let found: Vec<_> = found
            .iter()
            .map(|found| (found.code.as_str(), found.place.as_ref().map_or(0, |place| place.line)))
            .collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn pinned_stages_and_scratch_are_fine() {
        let digest = "a".repeat(64);
        check(
            &format!(
                "FROM debian:12@sha256:{digest} AS Base\nFROM scratch\nFROM base\nCOPY --from=base . .\n"
            ),
            &[],
        );
        check("FROM debian\n", &[("latest-image", 1)]);
        check("FROM r.example.com:5000/a:latest\n", &[("latest-image", 1)]);
        check("# c\n\nfrom --platform=linux/amd64 debian:12\n", &[("unpinned-image", 3)]);
    }

    #[test]
    fn a_copy_of_everything_comes_after_what_takes_long() {
        check("FROM scratch\nCOPY . .\nRUN npm ci\n", &[("copy-before-install", 2)]);
        check("FROM scratch\nCOPY package-lock.json .\nRUN npm ci\nCOPY . .\nRUN npm test\n", &[]);
        check("FROM scratch\nCOPY . .\nFROM scratch\nRUN pip install x\n", &[]);
        check(
            "FROM scratch\nADD ./ /src\nRUN cd /src && \\\n  # why\n  pip install -r r.txt\n",
            &[("copy-before-install", 2)],
        );
    }

    #[test]
    fn what_is_fetched_is_checked_and_what_is_secret_stays_out() {
        check("FROM scratch\nADD https://example.com/x.tgz /x\n", &[("add-url", 2)]);
        check("FROM scratch\nADD --checksum=sha256:1 https://example.com/x.tgz /x\n", &[]);
        check(
            "FROM scratch\nRUN apt-get update\nRUN apt-get update && apt-get install -y git\n",
            &[("update-alone", 2)],
        );
        check("FROM scratch\nRUN curl -s https://x | sh\n", &[("pipe-to-shell", 2)]);
        check(
            "FROM scratch\nARG NPM_TOKEN\nENV DB_PASSWORD=x LANG=C\n",
            &[("secret-in-image", 2), ("secret-in-image", 3)],
        );
        check("FROM scratch\nENV GREETING the password token\nENV DB_PASSWORD_FILE=/run/x\n", &[]);
    }

    #[test]
    fn the_history_stays_out_of_the_image() {
        let codes = |facts: &ContextFacts| {
            let found = lint_dockerfile("Dockerfile", "FROM scratch\nCOPY . .\n", facts);
            found.into_iter().map(|found| found.message).collect::<Vec<_>>()
        };
        let without = ContextFacts { has_git: true, ignore: None };
        assert!(codes(&without)[0].starts_with("there is no `.dockerignore`"));
        let other = ContextFacts { has_git: true, ignore: Some("target".to_owned()) };
        assert!(codes(&other)[0].starts_with("`.dockerignore` does not name `.git`"));
        assert!(codes(&ContextFacts::default()).is_empty());
    }
}
