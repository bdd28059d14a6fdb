//! A pipeline of several files, read without I/O: says which files it wants, takes them, and reads the whole.
//!
//! Whoever holds the files answers: the command line from the working copy, the server from its git host.

use std::collections::BTreeSet;
use std::ops::Range;

use towpath_model::pipeline::Pipeline;
use towpath_model::{Digest, ProjectName};

use crate::diagnostic::{Diagnostic, Edit, Problem, Report, has_errors, quote};
use crate::fields::{Fields, Located, items, text};
use crate::parse::{MAX_FILE, decode, lower_all, single_document};
use crate::spec::reuse::{INCLUDE, INCLUDED};
use crate::tree::{Node, Value};

/// The deepest that included files include others.
const MAX_DEPTH: usize = 5;

/// The most included files of a pipeline.
const MAX_FILES: usize = 50;

/// The most bytes of all files together.
const MAX_BYTES: usize = 4 * MAX_FILE;

/// A file that a pipeline includes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wanted {
    /// Another Project and the full id of one of its commits; none for a file beside the pipeline file.
    pub project: Option<(ProjectName, String)>,
    /// From the Project's directory; of another Project, from the root of its repository.
    pub path: String,
}

/// A file that is part of the pipeline.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) name: String,
    pub(crate) text: String,
    pub(crate) node: Node,
}

/// Who includes files, which decides what of other Projects they may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Includer {
    /// Whoever the pipeline file says: on a person's own machine, who holds all the files anyway.
    AsNamed,
    /// This Project, whatever its file calls itself: what is shared with it, too.
    Project(ProjectName),
    /// A contribution from outside to this Project: what is shared with all, and what is the Project's own.
    Outsider(ProjectName),
}

/// A pipeline on its way from files to values.
#[derive(Debug)]
pub struct Loader {
    /// What stands before paths of the Project's own files, in messages.
    directory: String,
    includer: Includer,
    /// What the pipeline file calls its Project.
    named: Option<ProjectName>,
    sources: Vec<Source>,
    diagnostics: Vec<Diagnostic>,
    /// Files to come, each with the place that asks for it.
    open: Vec<Asked>,
    known: BTreeSet<Wanted>,
    bytes: usize,
    /// The digests that files of others have, for who wants to write them down.
    pins: Vec<Edit>,
}

/// An `include` that was read.
#[derive(Debug, Clone)]
struct Asked {
    wanted: Wanted,
    digest: Option<Digest>,
    /// The source that asks, and where.
    by: usize,
    span: Range<usize>,
    /// Where the keys stand, for one that names them.
    keys: Option<usize>,
    /// The files that led here.
    path: Vec<Wanted>,
}

impl Loader {
    /// Begins with the pipeline file of whoever includes.
    #[must_use]
    pub fn new(file: &str, bytes: &[u8], includer: Includer) -> Self {
        let directory = file.rfind('/').map_or("", |slash| &file[..=slash]).to_owned();
        let mut loader = Self {
            directory,
            includer,
            named: None,
            sources: Vec::new(),
            diagnostics: Vec::new(),
            open: Vec::new(),
            known: BTreeSet::new(),
            bytes: 0,
            pins: Vec::new(),
        };
        loader.add(file.to_owned(), bytes, &[], None);
        loader
    }

    /// The next file that is wanted.
    #[must_use]
    pub fn wanted(&self) -> Option<Wanted> {
        self.open.first().map(|asked| asked.wanted.clone())
    }

    /// Takes the file that was wanted, or the reason why there is none.
    pub fn take(&mut self, file: Result<Vec<u8>, String>) {
        if self.open.is_empty() {
            return;
        }
        let asked = self.open.remove(0);
        let bytes = match file {
            Ok(bytes) => bytes,
            Err(why) => return self.refuse(&asked, Problem::error("include", why)),
        };
        self.bytes += bytes.len();
        if self.bytes > MAX_BYTES {
            let problem = Problem::error(
                "include",
                format!("the files of this pipeline have more than {MAX_BYTES} bytes"),
            );
            return self.refuse(&asked, problem.hint("move scripts into files of their own and call them"));
        }
        let name = self.shown(&asked.wanted);
        let mut path = asked.path.clone();
        path.push(asked.wanted.clone());
        self.add(name, &bytes, &path, Some(&asked));
    }

    /// The edits that write the digest of each file of another Project beside its commit, where it is not yet.
    #[must_use]
    pub fn pins(&self) -> &[Edit] {
        &self.pins
    }

    /// Reads the whole. There is a pipeline exactly where no diagnostic is an error.
    #[must_use]
    pub fn finish(mut self) -> (Option<Pipeline>, Vec<Diagnostic>) {
        for asked in std::mem::take(&mut self.open) {
            let problem = Problem::error("include", "included files cannot be read here");
            self.refuse(&asked, problem);
        }
        // What a file that is missing would have said is not reported as missing, too.
        if has_errors(&self.diagnostics) || self.sources.is_empty() {
            return (None, self.diagnostics);
        }
        let (pipeline, mut diagnostics) = lower_all(self.sources);
        diagnostics.splice(0..0, self.diagnostics);
        (pipeline, diagnostics)
    }

    fn shown(&self, wanted: &Wanted) -> String {
        match &wanted.project {
            None => format!("{}{}", self.directory, wanted.path),
            Some((project, commit)) => {
                format!("{project}:{}@{}", wanted.path, commit.get(..12).unwrap_or(commit))
            }
        }
    }

    /// Records a mistake at the place that asked for a file.
    fn refuse(&mut self, asked: &Asked, problem: Problem) {
        if let Some(source) = self.sources.get(asked.by) {
            let report = Report::new(&source.name, &source.text);
            report.at(&asked.span, problem);
            self.diagnostics.extend(report.finish());
        }
    }

    fn add(&mut self, name: String, bytes: &[u8], path: &[Wanted], asked: Option<&Asked>) {
        let (text, node, found) = match decode(&name, bytes) {
            Ok(text) => {
                let report = Report::new(&name, text);
                let node = single_document(&report);
                (text.to_owned(), node, report.finish())
            }
            Err(diagnostics) => (String::new(), None, diagnostics),
        };
        if let Some(asked) = asked {
            // Before anything is said of the file: neither its text nor its digest is for whom it is not shared with.
            if !self.may_have(&asked.wanted, node.as_ref()) {
                return self.refuse(asked, not_there(&asked.wanted));
            }
            if let Some(digest) = asked.digest.filter(|digest| *digest != Digest::of(bytes)) {
                let message = format!("`{name}` is not the file with the digest {digest}");
                let hint =
                    format!("it has {}; look at what changed before you write that", Digest::of(bytes));
                return self.refuse(asked, Problem::error("include", message).hint(hint));
            }
            self.pins.extend(self.pin(asked, Digest::of(bytes)));
        } else {
            self.named =
                node.as_ref().and_then(|node| scalar_at(node, "name")).and_then(|name| name.parse().ok());
        }
        self.diagnostics.extend(found);
        let report = Report::new(&name, &text);
        let includes = node.as_ref().map(|node| includes(node, &report)).unwrap_or_default();
        self.diagnostics.extend(report.finish());
        let by = self.sources.len();
        let Some(node) = node else { return };
        self.sources.push(Source { name, text, node });
        for Include { file, project, digest, span, keys } in includes {
            // A file of another Project speaks of its own repository, at the same commit.
            let around = path.last().and_then(|around| around.project.clone());
            let wanted = Wanted { project: project.or(around), path: file };
            self.ask(Asked { wanted, digest, by, span, keys, path: path.to_vec() });
        }
    }

    /// Writes a digest beside what asked for it, if that is in the pipeline file and has none.
    fn pin(&self, asked: &Asked, digest: Digest) -> Option<Edit> {
        let (true, None, Some(keys)) =
            (asked.wanted.project.is_some() && asked.by == 0, asked.digest, asked.keys)
        else {
            return None;
        };
        let text = &self.sources.first()?.text;
        let end = asked.span.end..asked.span.end;
        if text.get(keys..)?.starts_with('{') {
            return Some(Edit::new(&end, format!(", digest: \"{digest}\"")));
        }
        let column = keys - text.get(..keys)?.rfind('\n').map_or(0, |newline| newline + 1);
        Some(Edit::new(&end, format!("\n{:column$}digest: \"{digest}\"", "")))
    }

    /// Whether a file is the includer's to read. One of another Project that cannot be read says nothing of
    /// whom it is shared with, so it is nobody's.
    fn may_have(&self, wanted: &Wanted, node: Option<&Node>) -> bool {
        let Some((owner, _)) = &wanted.project else { return true };
        let (project, with) = match &self.includer {
            Includer::AsNamed => (self.named.as_ref(), self.named.as_ref()),
            Includer::Project(project) => (Some(project), Some(project)),
            Includer::Outsider(project) => (Some(project), None),
        };
        project == Some(owner) || node.is_some_and(|node| shares(node, with))
    }

    fn ask(&mut self, asked: Asked) {
        if asked.path.contains(&asked.wanted) {
            let round: Vec<String> =
                asked.path.iter().chain([&asked.wanted]).map(|wanted| self.shown(wanted)).collect();
            let problem =
                Problem::error("cycle", format!("these files include each other: {}", round.join(" -> ")));
            return self.refuse(&asked, problem.hint("remove one of the `include`s"));
        }
        if asked.path.len() >= MAX_DEPTH {
            let problem =
                Problem::error("include", format!("files include each other more than {MAX_DEPTH} deep"));
            return self.refuse(&asked, problem.hint("include the file from one further up"));
        }
        // Included twice, a file counts once.
        if self.known.contains(&asked.wanted) {
            return;
        }
        if self.known.len() >= MAX_FILES {
            let problem = Problem::error("include", format!("a pipeline may include {MAX_FILES} files"));
            return self.refuse(&asked, problem.hint("put some of them together"));
        }
        self.known.insert(asked.wanted.clone());
        self.open.push(asked);
    }
}

/// What is said of a file that may not be had. It does not tell one that is missing from one that is not shared.
fn not_there(wanted: &Wanted) -> Problem {
    Problem::error("include", not_shared(wanted))
        .hint("the file must be valid YAML and say `share: all`, or list this Project under `share` (which is not enough for a contribution from outside), and the commit be on a protected ref")
}

/// The same words, for whoever looks for the file.
#[must_use]
pub fn not_shared(wanted: &Wanted) -> String {
    let project = wanted.project.as_ref().map(|(project, _)| project.to_string()).unwrap_or_default();
    format!("project `{project}` shares no file `{}` with this one at that commit", quote(&wanted.path))
}

/// Whether an included file is shared with a Project.
fn shares(node: &Node, with: Option<&ProjectName>) -> bool {
    let Value::Map(entries) = &node.value else { return false };
    let Some(share) = entries.iter().find(|entry| entry.key == "share") else { return false };
    items(&share.value)
        .filter_map(Node::scalar)
        .any(|name| name == "all" || with.is_some_and(|with| with.as_str() == name))
}

fn scalar_at<'n>(node: &'n Node, key: &str) -> Option<&'n str> {
    let Value::Map(entries) = &node.value else { return None };
    entries.iter().find(|entry| entry.key == key)?.value.scalar()
}

struct Include {
    file: String,
    project: Option<(ProjectName, String)>,
    digest: Option<Digest>,
    span: Range<usize>,
    keys: Option<usize>,
}

fn includes(node: &Node, report: &Report<'_>) -> Vec<Include> {
    let Value::Map(entries) = &node.value else { return Vec::new() };
    let Some(entry) = entries.iter().find(|entry| entry.key == "include") else { return Vec::new() };
    if matches!(entry.value.value, Value::Null) {
        return Vec::new();
    }
    items(&entry.value).filter_map(|item| include(item, report)).collect()
}

fn include(node: &Node, report: &Report<'_>) -> Option<Include> {
    if !matches!(node.value, Value::Map(_)) {
        let file = path(text(node, "include", report)?, report)?;
        return Some(Include { file, project: None, digest: None, span: node.span.clone(), keys: None });
    }
    let mut fields = Fields::open(node, &node.span, &INCLUDE, report)?;
    let file = fields.text("file");
    let place = file.as_ref().map_or_else(|| node.span.clone(), |file| file.span.clone());
    let has_project = fields.has("project");
    let project = fields.name::<ProjectName>("project");
    let commit = fields.text("commit");
    let digest = fields.text("digest");
    fields.close();
    let file = path(file?, report)?;
    let digest = match digest {
        None => None,
        Some(digest) => match digest.value.parse::<Digest>() {
            Ok(digest) => Some(digest),
            Err(error) => {
                report.at(&digest.span, Problem::error("include", error.to_string()));
                return None;
            }
        },
    };
    let project = match (project, commit) {
        (Some(project), Some(commit)) => Some((project.value, pinned(&commit, report)?)),
        (Some(project), None) => {
            let message = format!(
                "`{}` of project `{}` is not pinned: tomorrow it may be another file",
                file, project.value
            );
            let problem = Problem::error("unpinned", message)
                .hint("add `commit:` with the full id of a commit: `git ls-remote URL` lists them");
            report.at(&project.span, problem);
            return None;
        }
        (None, Some(commit)) if !has_project => {
            let problem =
                Problem::error("include", "a file of this repository is taken at the commit of the Run");
            report.at(&commit.span, problem.hint("remove `commit`, or name the `project`"));
            return None;
        }
        (None, _) if has_project => return None,
        (None, _) => None,
    };
    Some(Include { file, project, digest, span: place, keys: Some(node.span.start) })
}

/// The full id of a commit: a short one, a branch or a tag can come to mean another.
fn pinned(commit: &Located<String>, report: &Report<'_>) -> Option<String> {
    let id = &commit.value;
    if matches!(id.len(), 40 | 64) && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        return Some(id.clone());
    }
    let message = format!("`{}` is not the full id of a commit", quote(id));
    let problem = Problem::error("unpinned", message);
    report.at(
        &commit.span,
        problem.hint("write all 40 digits: a branch, a tag and a short id can come to mean another commit"),
    );
    None
}

fn path(file: Located<String>, report: &Report<'_>) -> Option<String> {
    let path = file.value.strip_prefix("./").unwrap_or(&file.value);
    let fine = |part: &str| !part.is_empty() && part != "." && part != "..";
    if path.split('/').all(fine) && !path.contains(['\\', '\0', ':']) && !path.chars().any(char::is_control) {
        return Some(path.to_owned());
    }
    let problem =
        Problem::error("bad-path", format!("`{}` is not a path within the repository", quote(&file.value)));
    report.at(&file.span, problem.hint("for example `ci/lint.yaml`: no leading `/`, no `..`, no address"));
    None
}

/// The keys of an included file that are read here.
pub(crate) fn open_included<'n, 'r>(node: &'n Node, report: &'r Report<'r>) -> Option<Fields<'n, 'r>> {
    let top = node.span.start..node.span.start;
    let mut fields = Fields::open(node, &top, &INCLUDED, report)?;
    fields.pass_over("include");
    for name in fields.texts("share") {
        if name.value != "all" {
            let _checked: Option<ProjectName> = crate::fields::parse_name(&name.value, &name.span, report);
        }
    }
    Some(fields)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::diagnostic::{Colour, render_all};

    const COMMIT: &str = "0123456789012345678901234567890123456789";

    /// Loads a pipeline; `files` are named as in messages.
    fn load(main: &str, files: &[(&str, &str)]) -> Result<Vec<String>, String> {
        load_as(&Includer::AsNamed, main, files)
    }

    fn load_as(includer: &Includer, main: &str, files: &[(&str, &str)]) -> Result<Vec<String>, String> {
        let files: BTreeMap<&str, &str> = files.iter().copied().collect();
        let mut loader = Loader::new("towpath.yaml", main.as_bytes(), includer.clone());
        while let Some(wanted) = loader.wanted() {
            let name = loader.shown(&wanted);
            let found = files.get(name.as_str()).map(|text| text.as_bytes().to_vec());
            loader.take(found.ok_or_else(|| format!("there is no {name}")));
        }
        let (pipeline, diagnostics) = loader.finish();
        match pipeline {
            Some(pipeline) => {
                Ok(pipeline.jobs.iter().map(|job| format!("{} {:?}", job.name, job.env)).collect())
            }
            None => Err(render_all(&diagnostics, Colour::No)),
        }
    }

    #[test]
    fn files_come_together_and_keep_what_is_theirs() {
        let main = format!(
            "name: shop\ninclude: [ci/a.yaml, {{ project: platform, file: b.yaml, commit: \"{COMMIT}\" }}]\ndefaults: {{ env: {{ D: main }} }}\njobs: {{ test: {{ needs: [lint, scan], steps: [{{ uses: rust }}] }} }}\n"
        );
        let shared = "share: [shop]\ninclude: c.yaml\ntemplates: { rust: { steps: [cargo test] } }\n";
        let jobs = load(
            &main,
            &[
                ("ci/a.yaml", "env: { A: a }\njobs: { lint: { env: { B: b }, steps: [make] } }\n"),
                ("platform:b.yaml@012345678901", shared),
                ("platform:c.yaml@012345678901", "share: all\njobs: { scan: { steps: [scan] } }\n"),
            ],
        );
        let jobs = jobs.unwrap_or_else(|said| panic!("{said}"));
        assert_eq!(
            jobs,
            [
                "test {\"D\": EnvValue(\"main\")}",
                "lint {\"A\": EnvValue(\"a\"), \"B\": EnvValue(\"b\")}",
                "scan {}",
            ]
        );
    }

    fn check(main: &str, files: &[(&str, &str)], wanted: &[&str]) {
        let said = load(&format!("name: shop\njobs: {{ a: {{ steps: [make] }} }}\n{main}\n"), files)
            .expect_err("it is wrong");
        for wanted in wanted {
            assert!(said.contains(wanted), "no `{wanted}` in\n{said}");
        }
    }

    #[test]
    fn mistakes_name_the_file_and_its_line() {
        check(
            "include: [a.yaml]",
            &[("a.yaml", "# one\njobs:\n  b: { stepz: [make] }\n  c: { needs: nobody, steps: [make] }\n")],
            &["--> a.yaml:3:8", "did you mean `steps`?"],
        );
        check(
            "include: [a.yaml]",
            &[(
                "a.yaml",
                "# one\njobs:\n  b: { needs: nobody, steps: [make], env: { X: \"${{ brnch }}\" } }\n",
            )],
            &["--> a.yaml:3:15", "`nobody`", "--> a.yaml:3:53"],
        );
        check("include: [a.yaml]", &[("a.yaml", "jobs: [")], &["--> a.yaml:1"]);
        check(
            "include: [a.yaml]",
            &[("a.yaml", "jobs: { a: { steps: [make] } }")],
            &["two jobs `a`", "--> a.yaml:1:9"],
        );
        check("include: [a.yaml]", &[("a.yaml", "name: shop\n")], &["leave it out here"]);
        check("include: [a.yaml]", &[], &["there is no a.yaml", "--> towpath.yaml:3:11"]);
    }

    #[test]
    fn what_is_not_pinned_bounded_or_shared_is_refused() {
        let pinned = format!("include: {{ project: platform, file: b.yaml, commit: \"{COMMIT}\" }}");
        check("include: { project: platform, file: b.yaml }", &[], &["unpinned", "add `commit:`"]);
        check("include: { project: platform, file: b.yaml, commit: main }", &[], &["unpinned"]);
        check("include: { project: platform, file: b.yaml, ref: main }", &[], &["can be moved"]);
        for mine in ["jobs: {}", "share: [cart]\njobs: {}", "share:\n"] {
            check(&pinned, &[("platform:b.yaml@012345678901", mine)], &["shares no file `b.yaml`"]);
        }
        for outside in ["../x", "/etc/passwd", "a//b", "https://x/y", "a/./b"] {
            check(&format!("include: [\"{outside}\"]"), &[], &["bad-path"]);
        }
        check(
            "include: [a.yaml]",
            &[("a.yaml", "include: b.yaml"), ("b.yaml", "include: a.yaml")],
            &["a.yaml -> b.yaml -> a.yaml", "--> b.yaml:1:10"],
        );
        let deep: Vec<(String, String)> =
            (0..9).map(|n| (format!("{n}.yaml"), format!("include: {}.yaml", n + 1))).collect();
        let deep: Vec<(&str, &str)> =
            deep.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        check("include: 0.yaml", &deep, &["more than 5 deep"]);
        let many: Vec<String> = (0..60).map(|n| format!("{n}.yaml")).collect();
        let files: Vec<(&str, &str)> = many.iter().map(|name| (name.as_str(), "jobs: {}")).collect();
        check(&format!("include: [{}]", many.join(", ")), &files, &["may include 50 files"]);
        let digest = Digest::of(b"jobs: {}");
        check(
            &format!("include: {{ file: a.yaml, digest: \"{digest}\" }}"),
            &[("a.yaml", "jobs: { }")],
            &["is not the file with the digest"],
        );
    }

    /// A private file is nobody's who only says that they are its reader, and no stranger's who sends a change.
    #[test]
    fn a_name_and_a_contribution_from_outside_get_no_private_file() {
        let shop: ProjectName = "shop".parse().expect("a name");
        let evil: ProjectName = "evil".parse().expect("a name");
        let main = |digest: &str| {
            format!(
                "name: shop\ninclude: {{ project: platform, file: b.yaml, commit: \"{COMMIT}\"{digest} }}\njobs: {{ a: {{ steps: [make] }} }}\n"
            )
        };
        let wrong = format!(", digest: \"{}\"", Digest::of(b"guess"));
        let private = "share: [shop]\njobs: { hidden: { steps: [hidden] } }\n";
        let public = "share: [shop, all]\njobs: { scan: { steps: [scan] } }\n";
        let broken = "password: hidden\n  - [\n";
        for (includer, file, digest, fine) in [
            (Includer::Project(shop.clone()), private, "", true),
            (Includer::Project(evil.clone()), private, "", false),
            (Includer::Project(evil.clone()), public, "", true),
            (Includer::Outsider(shop.clone()), private, "", false),
            (Includer::Outsider(shop.clone()), public, "", true),
            // Neither its lines nor its digest tell of a file that is not shared.
            (Includer::Project(evil), broken, "", false),
            (Includer::Outsider(shop.clone()), private, wrong.as_str(), false),
            (Includer::Outsider("platform".parse().expect("a name")), private, "", true),
        ] {
            let loaded = load_as(&includer, &main(digest), &[("platform:b.yaml@012345678901", file)]);
            assert_eq!(loaded.is_ok(), fine, "{includer:?} {file}: {loaded:?}");
            let said = loaded.err().unwrap_or_default();
            assert!(!said.contains("hidden") && !said.contains("it has sha256"), "{said}");
            assert!(fine || said.contains("shares no file `b.yaml`"), "{said}");
        }
    }

    #[test]
    fn digests_are_written_beside_commits() {
        let text = format!(
            "name: shop\ninclude:\n  - {{ project: platform, file: b.yaml, commit: \"{COMMIT}\" }}\n  - file: c.yaml # one\n    project: platform\n    commit: \"{COMMIT}\"\n  - d.yaml\njobs: {{ a: {{ steps: [make] }} }}\n"
        );
        let file = b"share: all\n";
        let pins = |text: &str| {
            let mut loader = Loader::new("towpath.yaml", text.as_bytes(), Includer::AsNamed);
            while loader.wanted().is_some() {
                loader.take(Ok(file.to_vec()));
            }
            crate::fix::write(text, loader.pins())
        };
        let digest = Digest::of(file);
        let wanted = text
            .replace("b.yaml", &format!("b.yaml, digest: \"{digest}\""))
            .replace("c.yaml", &format!("c.yaml\n    digest: \"{digest}\""));
        assert_eq!(pins(&text), wanted);
        assert_eq!(pins(&wanted), wanted);
    }
}
