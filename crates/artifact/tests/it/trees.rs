//! Source trees of commits and of working directories, read by real git.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::{TempDir, tempdir};
use towpath_artifact::{
    CommitId, ContentStore, Limits, commit_tree, extract_tree, store_commit_tree, worktree_tar,
};
use towpath_model::Digest;

use crate::{chain, list, write};

struct Repository {
    directory: TempDir,
}

impl Repository {
    fn new() -> Self {
        let repository = Self { directory: tempdir().unwrap() };
        repository.git(&["init", "-q", "-b", "main"]);
        repository
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn bare(&self) -> PathBuf {
        self.path().join(".git")
    }

    fn git(&self, arguments: &[&str]) -> String {
        let output = Command::new("git")
            .args(["-c", "user.name=T", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false"])
            .args(arguments)
            .current_dir(self.path())
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn commit(&self) -> CommitId {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "-m", "change"]);
        self.git(&["rev-parse", "HEAD"]).parse().unwrap()
    }
}

fn tar_of(repository: &Repository, commit: &CommitId) -> Vec<u8> {
    let mut tar = Vec::new();
    commit_tree(&repository.bare(), commit, Limits::default(), &mut tar).unwrap();
    tar
}

fn extracted(tar: &[u8]) -> Vec<String> {
    let into = tempdir().unwrap();
    extract_tree(tar, into.path(), Limits::default()).unwrap();
    list(into.path())
}

#[test]
fn a_commit_becomes_the_same_tar_everywhere() {
    let repository = Repository::new();
    let long = format!("{}/{}", "d".repeat(150), "f".repeat(150));
    // These attributes would make `git archive` leave a file out and change another.
    let attributes = "hidden export-ignore\nversion export-subst\n";
    write(
        repository.path(),
        &[
            (".gitattributes", attributes),
            ("hidden", "h"),
            ("version", "$Format:%H$"),
            ("run.sh*", "#!/bin/sh\n"),
            ("a b\tc/ü", "odd"),
            (&long, "long"),
            ("empty", ""),
        ],
    );
    symlink("./run.sh", repository.path().join("link")).unwrap();
    symlink("/etc/passwd", repository.path().join("absolute")).unwrap();
    let commit = repository.commit();
    let tar = tar_of(&repository, &commit);
    let expected = [
        format!(".gitattributes = {attributes}"),
        "a b\tc/".into(),
        "a b\tc/ü = odd".into(),
        "absolute -> /etc/passwd".into(),
        format!("{}/", "d".repeat(150)),
        format!("{long} = long"),
        "empty = ".into(),
        "hidden = h".into(),
        "link -> ./run.sh".into(),
        "run.sh* = #!/bin/sh\n".into(),
        "version = $Format:%H$".into(),
    ];
    assert_eq!(extracted(&tar), expected);
    let clone = tempdir().unwrap();
    repository.git(&["clone", "-q", "--bare", ".", clone.path().to_str().unwrap()]);
    let store = ContentStore::open(&clone.path().join("blobs")).unwrap();
    let digest = store_commit_tree(clone.path(), &commit, Limits::default(), &store).unwrap();
    assert_eq!(digest, Digest::of(&tar));
    assert_eq!(store.read(digest, 1 << 20).unwrap(), tar);
}

#[test]
fn a_submodule_is_an_empty_directory() {
    let repository = Repository::new();
    write(repository.path(), &[("a", "1")]);
    repository.git(&["add", "a"]);
    let entry = format!("160000,{},vendor/lib", "1".repeat(40));
    repository.git(&["update-index", "--add", "--cacheinfo", &entry]);
    repository.git(&["commit", "-q", "-m", "submodule"]);
    let commit = repository.git(&["rev-parse", "HEAD"]).parse().unwrap();
    assert_eq!(extracted(&tar_of(&repository, &commit)), ["a = 1", "vendor/", "vendor/lib/"]);
}

#[test]
fn limits_and_missing_commits_are_explained() {
    let repository = Repository::new();
    write(repository.path(), &[("a", "12345"), ("b", "12345")]);
    let commit = repository.commit();
    let refuse = |commit: &CommitId, limits| {
        chain(&commit_tree(&repository.bare(), commit, limits, std::io::sink()).unwrap_err())
    };
    let generous = Limits::default();
    assert!(refuse(&commit, Limits { entries: 1, ..generous }).contains("more than 1 entries"));
    assert!(refuse(&commit, Limits { bytes: 9, ..generous }).contains("more than 9 bytes"));
    let missing = "0".repeat(39) + "1";
    assert!(refuse(&missing.parse().unwrap(), generous).contains("`git ls-tree` failed"));
}

#[test]
fn a_tree_that_holds_a_repository_is_refused() {
    let repository = Repository::new();
    write(repository.path(), &[("evil", "[core]\n")]);
    let blob = repository.git(&["hash-object", "-w", "evil"]);
    let inner = mktree(&repository, &format!("100644 blob {blob}\tconfig\n"));
    let outer = mktree(&repository, &format!("040000 tree {inner}\t.GIT\n"));
    let commit = repository.git(&["commit-tree", &outer, "-m", "evil"]).parse().unwrap();
    let refused = commit_tree(&repository.bare(), &commit, Limits::default(), std::io::sink()).unwrap_err();
    assert!(chain(&refused).contains("would be taken for a repository's own files"), "{refused}");
}

fn mktree(repository: &Repository, entries: &str) -> String {
    let list = repository.path().join("list");
    fs::write(&list, entries).unwrap();
    let output = Command::new("git")
        .arg("mktree")
        .current_dir(repository.path())
        .stdin(fs::File::open(&list).unwrap())
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn a_working_directory_gives_tracked_and_not_ignored_files() {
    let repository = Repository::new();
    write(
        repository.path(),
        &[(".gitignore", "target\n"), ("tracked", "old"), ("deleted", "x"), ("target/big", "x")],
    );
    repository.commit();
    write(repository.path(), &[("tracked", "new"), ("untracked/run*", "go")]);
    fs::remove_file(repository.path().join("deleted")).unwrap();
    let mut tar = Vec::new();
    let done = worktree_tar(repository.path(), Limits::default(), &mut tar).unwrap();
    let expected = [".gitignore = target\n", "tracked = new", "untracked/", "untracked/run* = go"];
    assert_eq!(extracted(&tar), expected);
    assert_eq!(done.entries, 3);
    let mut below = Vec::new();
    worktree_tar(&repository.path().join("untracked"), Limits::default(), &mut below).unwrap();
    assert_eq!(extracted(&below), ["run* = go"]);
}

#[test]
fn a_directory_without_git_is_walked() {
    let directory = tempdir().unwrap();
    write(directory.path(), &[("a/b/c", "1"), ("d*", "2")]);
    symlink("d", directory.path().join("l")).unwrap();
    let mut tar = Vec::new();
    worktree_tar(directory.path(), Limits::default(), &mut tar).unwrap();
    assert_eq!(extracted(&tar), ["a/", "a/b/", "a/b/c = 1", "d* = 2", "l -> d"]);
    let refused = worktree_tar(directory.path(), Limits { entries: 2, bytes: 10 }, std::io::sink());
    assert!(chain(&refused.unwrap_err()).contains("more than 2 entries"));
}
