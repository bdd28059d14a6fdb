//! What the engine reads from a repository: a commit's facts, the pipeline file, the tags.

mod directory;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;
use towpath_model::gate::Changed;

use crate::EngineError;

/// What is known of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CommitFacts {
    /// Its subject line.
    pub(crate) subject: String,
    /// `Name <mail>` of the author.
    pub(crate) author: String,
    /// Mail addresses of author, committer and co-authors.
    pub(crate) mails: Vec<String>,
}

/// A bare repository.
#[derive(Debug, Clone)]
pub(crate) struct Repository(pub(crate) PathBuf);

/// The pipeline file at a commit.
#[derive(Debug)]
pub(crate) enum PipelineFile {
    /// Its bytes.
    Bytes(Vec<u8>),
    /// There is none.
    Missing,
    /// It is not a plain file, in words.
    NotAFile(&'static str),
}

/// The most bytes that are read of any answer.
const MAX_ANSWER: usize = 2 << 20;

/// How long git may take to answer.
const TIMEOUT: std::time::Duration = std::time::Duration::from_secs(30);

impl Repository {
    /// Runs git with a clean environment, so that nobody's configuration changes what it does.
    async fn ask(&self, arguments: &[&str]) -> Result<Option<Vec<u8>>, EngineError> {
        Ok(self.ask_all(arguments).await?.filter(|out| out.len() <= MAX_ANSWER))
    }

    /// The same for answers that grow with the repository.
    async fn ask_all(&self, arguments: &[&str]) -> Result<Option<Vec<u8>>, EngineError> {
        let mut command = Command::new("git");
        command
            .arg("--git-dir")
            .arg(&self.0)
            .args(arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("LC_ALL", "C.UTF-8")
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let failed = |source| EngineError::internal("git could not be run; is it installed?", source);
        let output = tokio::time::timeout(TIMEOUT, command.output())
            .await
            .map_err(|_| EngineError::internal("git did not answer in 30 s", "time-out"))?
            .map_err(failed)?;
        Ok(output.status.success().then_some(output.stdout))
    }

    /// The facts of a commit.
    pub(crate) async fn commit(&self, commit: &str) -> Result<CommitFacts, EngineError> {
        let format = "--format=%s%x00%an <%ae>%x00%ae%x00%ce%x00%(trailers:key=Co-authored-by,valueonly,separator=%x01)";
        let out = self.ask(&["log", "-1", format, "--end-of-options", commit, "--"]).await?;
        let out = out.ok_or_else(|| EngineError::not_found(format!("commit {commit}")))?;
        let text = String::from_utf8_lossy(&out);
        let mut fields = text.trim_end_matches('\n').split('\0');
        let mut next = || fields.next().unwrap_or_default().to_owned();
        let (subject, author) = (next(), next());
        let mut mails = vec![next(), next()];
        mails.extend(next().split('\x01').filter_map(|person| {
            let (_, mail) = person.rsplit_once('<')?;
            Some(mail.trim_end_matches('>').to_owned())
        }));
        mails.iter_mut().for_each(|mail| *mail = mail.to_lowercase());
        mails.retain(|mail| !mail.is_empty());
        mails.dedup();
        Ok(CommitFacts { subject: subject.chars().take(200).collect(), author, mails })
    }

    /// The pipeline file at a commit.
    pub(crate) async fn pipeline_file(&self, commit: &str, path: &str) -> Result<PipelineFile, EngineError> {
        let out =
            self.ask(&["ls-tree", "-z", "--end-of-options", commit, "--", path]).await?.unwrap_or_default();
        let text = String::from_utf8_lossy(&out);
        let Some((mode, rest)) = text.split_once(' ') else { return Ok(PipelineFile::Missing) };
        match mode {
            "100644" | "100755" => {}
            "120000" => return Ok(PipelineFile::NotAFile("a symbolic link")),
            "160000" => return Ok(PipelineFile::NotAFile("a submodule")),
            _ => return Ok(PipelineFile::NotAFile("a directory")),
        }
        let object = rest.split_whitespace().nth(1).unwrap_or_default().to_owned();
        match self.ask(&["cat-file", "blob", &object]).await? {
            Some(bytes) => Ok(PipelineFile::Bytes(bytes)),
            None => Ok(PipelineFile::NotAFile("larger than 1 MiB")),
        }
    }

    /// The branches and tags that contain a commit.
    pub(crate) async fn refs_with(&self, commit: &str) -> Result<Vec<String>, EngineError> {
        let contains = format!("--contains={commit}");
        let refs = ["for-each-ref", "--format=%(refname)", &contains, "refs/heads", "refs/tags"];
        let out = self.ask(&refs).await?.unwrap_or_default();
        Ok(String::from_utf8_lossy(&out).lines().map(str::to_owned).collect())
    }

    /// The newest tag `vX.Y.Z` that a commit contains.
    pub(crate) async fn newest_version_tag(&self, commit: &str) -> Result<Option<String>, EngineError> {
        // A pre-release is not what a patch follows.
        let (wanted, other) = ("v[0-9]*.[0-9]*.[0-9]*", "v*-*");
        let describe = ["describe", "--tags", "--abbrev=0", "--match", wanted, "--exclude", other, commit];
        let out = self.ask(&describe).await?;
        Ok(out.map(|out| String::from_utf8_lossy(&out).trim().to_owned()))
    }

    /// The commit that a name stands for.
    pub(crate) async fn resolve(&self, name: &str) -> Result<Option<String>, EngineError> {
        let name = format!("{name}^{{commit}}");
        let out = self.ask(&["rev-parse", "--verify", "--quiet", "--end-of-options", &name]).await?;
        Ok(out.map(|out| String::from_utf8_lossy(&out).lines().last().unwrap_or_default().to_owned()))
    }

    /// The full name of the default branch, which may not exist yet.
    pub(crate) async fn default_branch(&self) -> Result<String, EngineError> {
        let out = self.ask(&["symbolic-ref", "--quiet", "HEAD"]).await?;
        let name = out.map(|out| String::from_utf8_lossy(&out).trim().to_owned());
        Ok(name.filter(|name| !name.is_empty()).unwrap_or_else(|| "refs/heads/main".to_owned()))
    }

    /// Branches and tags with their objects.
    pub(crate) async fn branches_and_tags(&self) -> Result<BTreeMap<String, String>, EngineError> {
        let format = "--format=%(objectname) %(refname)";
        let out = self.ask_all(&["for-each-ref", format, "refs/heads", "refs/tags"]).await?;
        let out = out.ok_or_else(|| EngineError::internal("the refs could not be listed", "git failed"))?;
        let text = String::from_utf8_lossy(&out);
        let pairs = text.lines().filter_map(|line| line.split_once(' '));
        Ok(pairs.map(|(object, name)| (name.to_owned(), object.to_owned())).collect())
    }

    /// Whether a branch stands at a commit.
    pub(crate) async fn is_tip_of_a_branch(&self, commit: &str) -> Result<bool, EngineError> {
        let points = format!("--points-at={commit}");
        let out = self.ask(&["for-each-ref", "--count=1", &points, "refs/heads"]).await?;
        Ok(out.is_some_and(|out| !out.is_empty()))
    }

    /// Paths that differ between a commit and where it left a branch; `None` where that cannot be told.
    pub(crate) async fn changed_since(
        &self,
        base: &str,
        commit: &str,
    ) -> Result<Option<Vec<String>>, EngineError> {
        let out = self.ask(&["merge-base", "--end-of-options", base, commit]).await?;
        match out {
            Some(fork) => self.changed_paths(String::from_utf8_lossy(&fork).trim(), commit).await,
            None => Ok(None),
        }
    }

    /// How much differs between two commits, with so many paths at most; `None` where that cannot be told.
    pub(crate) async fn change(
        &self,
        old: &str,
        new: &str,
        paths: usize,
    ) -> Result<Option<Changed>, EngineError> {
        let words = ["diff-tree", "-r", "-z", "--no-renames", "--numstat", "--end-of-options", old, new];
        let Some(out) = self.ask_all(&words).await? else { return Ok(None) };
        let mut change = Changed::default();
        for line in out.split(|byte| *byte == 0).filter(|line| !line.is_empty()) {
            let text = String::from_utf8_lossy(line);
            let mut fields = text.splitn(3, '\t');
            let mut lines = || fields.next().and_then(|count| count.parse::<u64>().ok()).unwrap_or(0);
            change.lines += lines() + lines();
            change.files += 1;
            change.paths.extend(fields.next().filter(|_| change.paths.len() < paths).map(str::to_owned));
        }
        Ok(Some(change))
    }

    /// Paths that differ between two commits; `None` where that cannot be told.
    pub(crate) async fn changed_paths(
        &self,
        old: &str,
        new: &str,
    ) -> Result<Option<Vec<String>>, EngineError> {
        let out = self.ask(&["diff-tree", "-r", "-z", "--name-only", "--end-of-options", old, new]).await?;
        Ok(out.map(|out| {
            out.split(|byte| *byte == 0)
                .filter(|path| !path.is_empty())
                .map(|path| String::from_utf8_lossy(path).into_owned())
                .collect()
        }))
    }
}

/// Where a Project's repository is.
pub(crate) fn repository(root: &Path, project: &towpath_model::ProjectName) -> Repository {
    Repository(root.join(format!("{project}.git")))
}
