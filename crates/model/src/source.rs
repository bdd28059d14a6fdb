//! A repository elsewhere that a Project mirrors: its address, its forge, and what may be run of it.

use std::fmt;

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

/// The address of a repository, checked: nothing in it can become an option, another transport or another host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SourceUrl {
    scheme: Scheme,
    /// `git` of `git@host`.
    user: Option<String>,
    /// With the port, if any.
    authority: String,
    /// With its leading `/`.
    path: String,
}

/// How it is fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// HTTP over TLS.
    Https,
    /// HTTP in the clear; a token goes to this host itself only.
    Http,
    /// SSH, with a key.
    Ssh,
    /// A directory of the server's host.
    File,
}

impl Scheme {
    /// The word before `://`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Https => "https",
            Self::Http => "http",
            Self::Ssh => "ssh",
            Self::File => "file",
        }
    }
}

/// An address that is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no address of a repository: {why}")]
pub struct InvalidSource {
    /// What was given, cut, and without a password.
    pub text: String,
    /// What is wrong.
    pub why: &'static str,
}

/// The longest address.
const MAX_LENGTH: usize = 1024;

impl SourceUrl {
    /// Reads an address: `https://`, `ssh://`, `git@host:path` or `file://`.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, InvalidSource> {
        let shown: String = match text.rsplit_once('@') {
            Some((_, rest)) if text.contains(':') => format!("…@{rest}"),
            _ => text.to_owned(),
        };
        let bad = |why| InvalidSource { text: shown.chars().take(200).collect(), why };
        if text.len() > MAX_LENGTH {
            return Err(bad("it is too long"));
        }
        if text.starts_with('-') {
            return Err(bad("it begins with `-`, like an option"));
        }
        if text.contains("::") {
            return Err(bad("`::` names a program to run; only https, ssh and file are spoken"));
        }
        let plain = |c: char| c.is_ascii_graphic() && !"\"'`\\<>|^{}".contains(c);
        if text.is_empty() || !text.chars().all(plain) {
            return Err(bad("it holds spaces, quotes or signs that no address has"));
        }
        let (scheme, rest) = match text.split_once("://") {
            Some(("https", rest)) => (Scheme::Https, rest.to_owned()),
            Some(("http", rest)) => (Scheme::Http, rest.to_owned()),
            Some(("ssh", rest)) => (Scheme::Ssh, rest.to_owned()),
            Some(("file", rest)) => (Scheme::File, rest.to_owned()),
            Some(_) => return Err(bad("only https, ssh and file are spoken")),
            // As git itself reads `git@host:owner/repository`.
            None => match text.split_once(':') {
                Some((host, path)) if host.contains('@') => {
                    (Scheme::Ssh, format!("{host}/{}", path.trim_start_matches('/')))
                }
                _ => return Err(bad("write `https://host/owner/repository`")),
            },
        };
        let (authority, path) = rest.split_once('/').ok_or_else(|| bad("it names no repository"))?;
        let (user, authority) = match authority.rsplit_once('@') {
            Some((user, authority)) => (Some(user), authority),
            None => (None, authority),
        };
        if user.is_some_and(|user| user.contains(':') || scheme != Scheme::Ssh || user.starts_with('-')) {
            return Err(bad("credentials do not stand in an address; give a token or a key as a secret"));
        }
        let named = |c: char| c.is_ascii_alphanumeric() || ".-:[]_".contains(c);
        let host_needed = scheme != Scheme::File;
        if host_needed
            && (authority.is_empty() || authority.starts_with(['-', ':']) || !authority.chars().all(named))
        {
            return Err(bad("its host is no host"));
        }
        if !host_needed && !authority.is_empty() {
            return Err(bad("a file has no host: write `file:///path`"));
        }
        let path = path.trim_end_matches('/');
        if path.is_empty() || path.split('/').any(|part| part == ".." || part.starts_with('-')) {
            return Err(bad("its path is empty, climbs with `..`, or looks like an option"));
        }
        if path.contains(['?', '#', '%']) {
            return Err(bad("an address of a repository has no query, fragment or escape"));
        }
        Ok(Self {
            scheme,
            user: user.map(str::to_owned),
            authority: authority.to_ascii_lowercase(),
            path: format!("/{path}"),
        })
    }

    /// How it is fetched.
    #[must_use]
    pub const fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// `https://host:port`, where credentials may go; empty for a file.
    #[must_use]
    pub fn origin(&self) -> String {
        format!("{}://{}", self.scheme.word(), self.authority)
    }

    /// The host without the port.
    #[must_use]
    pub fn host(&self) -> &str {
        match self.authority.strip_prefix('[') {
            Some(rest) => rest.split(']').next().unwrap_or_default(),
            None => self.authority.split(':').next().unwrap_or_default(),
        }
    }

    /// The path on the server's own host.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// `owner/repository`, as the APIs of forges name it.
    #[must_use]
    pub fn slug(&self) -> &str {
        let path = self.path.trim_start_matches('/');
        path.strip_suffix(".git").unwrap_or(path)
    }

    /// Whether a secret may be sent there: over TLS, or to this very machine.
    #[must_use]
    pub fn takes_a_token(&self) -> bool {
        match self.scheme {
            Scheme::Https => true,
            Scheme::Http => matches!(self.host(), "127.0.0.1" | "::1" | "localhost"),
            Scheme::Ssh | Scheme::File => false,
        }
    }
}

impl fmt::Display for SourceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user = self.user.as_ref().map(|user| format!("{user}@")).unwrap_or_default();
        write!(f, "{}://{user}{}{}", self.scheme.word(), self.authority, self.path)
    }
}

impl TryFrom<String> for SourceUrl {
    type Error = InvalidSource;
    fn try_from(text: String) -> Result<Self, InvalidSource> {
        Self::parse(&text)
    }
}

impl From<SourceUrl> for String {
    fn from(url: SourceUrl) -> Self {
        url.to_string()
    }
}

/// What stands around the repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Forge {
    /// GitHub, also on premises.
    Github,
    /// GitLab.
    Gitlab,
    /// Gitea or Forgejo.
    Gitea,
    /// Nothing but git.
    None,
}

impl Forge {
    /// The forge that a host probably is.
    #[must_use]
    pub fn guess(url: &SourceUrl) -> Self {
        let host = url.host();
        let begins = |name: &str| host.strip_prefix(name).is_some_and(|rest| rest.starts_with('.'));
        match host {
            "github.com" => Self::Github,
            "codeberg.org" | "gitea.com" => Self::Gitea,
            _ if begins("github") => Self::Github,
            _ if begins("gitlab") => Self::Gitlab,
            _ if begins("gitea") || begins("forgejo") => Self::Gitea,
            _ => Self::None,
        }
    }

    /// The word for people and files.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Github => "github",
            Self::Gitlab => "gitlab",
            Self::Gitea => "gitea",
            Self::None => "none",
        }
    }

    /// The ref under which the forge keeps the head of a pull request.
    #[must_use]
    pub fn pull_request_ref(self, number: u64) -> Option<String> {
        match self {
            Self::Github | Self::Gitea => Some(format!("refs/pull/{number}/head")),
            Self::Gitlab => Some(format!("refs/merge-requests/{number}/head")),
            Self::None => None,
        }
    }

    /// The number of the pull request whose head a ref is.
    #[must_use]
    pub fn pull_request_of(self, reference: &str) -> Option<u64> {
        let prefix = match self {
            Self::Github | Self::Gitea => "refs/pull/",
            Self::Gitlab => "refs/merge-requests/",
            Self::None => return None,
        };
        reference.strip_prefix(prefix)?.strip_suffix("/head")?.parse().ok()
    }
}

/// What is done with a pull request of somebody who may not push.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ForkRuns {
    /// Its Run waits until somebody says that it may run.
    #[default]
    Approve,
    /// It runs, without secrets.
    Run,
    /// Nothing is run.
    Never,
}

impl ForkRuns {
    /// The word for people and files.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Run => "run",
            Self::Never => "never",
        }
    }
}

/// What the forge is told of commits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Statuses {
    /// Nothing.
    Off,
    /// One status for each Run.
    #[default]
    Run,
    /// One for each Run and each of its Jobs.
    Jobs,
    /// As `jobs`, as check runs with annotations where the forge is GitHub.
    Checks,
}

impl Statuses {
    /// The word for people and files.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Run => "run",
            Self::Jobs => "jobs",
            Self::Checks => "checks",
        }
    }
}

/// Where a Project comes from, and how it is watched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// The repository.
    pub url: SourceUrl,
    /// What stands around it.
    pub forge: Forge,
    /// Seconds between two looks; `None` where only webhooks ask for one.
    pub poll: Option<u32>,
    /// What is done with pull requests from outside.
    pub fork_runs: ForkRuns,
    /// What the forge is told of commits.
    pub statuses: Statuses,
    /// How the names of its statuses begin.
    pub context: String,
    /// Whether a pull request gets a comment when its Run ends.
    pub comments: bool,
}

/// The longest pause between two looks at a source that fails.
const LONGEST_PAUSE: SignedDuration = SignedDuration::from_hours(1);

/// The first pause after a failed look where nothing is polled.
const FIRST_PAUSE: SignedDuration = SignedDuration::from_secs(30);

impl Source {
    /// How long until the next look, after so many failed ones in a row; `None` where only a webhook asks for it.
    #[must_use]
    pub fn pause(&self, failures: u32) -> Option<SignedDuration> {
        let poll = self.poll.map(|seconds| SignedDuration::from_secs(i64::from(seconds)));
        if failures == 0 {
            return poll;
        }
        // What a webhook has told of must be fetched, so a failed look is always tried again.
        let first = poll.unwrap_or(FIRST_PAUSE);
        let doubled = first.saturating_mul(1 << (failures - 1).min(12));
        Some(doubled.min(LONGEST_PAUSE.max(first)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_their_parts_known() {
        let url = SourceUrl::parse("https://GitHub.com/o/r.git").unwrap();
        assert_eq!((url.to_string().as_str(), url.slug()), ("https://github.com/o/r.git", "o/r"));
        assert_eq!((url.origin().as_str(), Forge::guess(&url)), ("https://github.com", Forge::Github));
        let ssh = SourceUrl::parse("git@gitlab.example:group/sub/r.git").unwrap();
        assert_eq!(
            (ssh.to_string().as_str(), ssh.slug()),
            ("ssh://git@gitlab.example/group/sub/r.git", "group/sub/r")
        );
        assert_eq!(Forge::guess(&ssh), Forge::Gitlab);
        let file = SourceUrl::parse("file:///srv/git/r.git").unwrap();
        assert_eq!(file.to_string(), "file:///srv/git/r.git");
        assert!(SourceUrl::parse("http://[::1]:80/r").is_err());
        assert!(SourceUrl::parse("http://127.0.0.1:8080/r").unwrap().takes_a_token());
        assert!(!SourceUrl::parse("http://example.com/r").unwrap().takes_a_token());
    }

    #[test]
    fn argument_injection_and_other_transports_are_refused() {
        for text in [
            "--upload-pack=touch /tmp/x",
            "-oProxyCommand=x",
            "ext::sh -c touch% /tmp/x",
            "ext::sh",
            "ssh://-oProxyCommand=touch/x",
            "git@-oProxyCommand=x:r",
            "-x@host:r",
            "https://host/../../etc",
            "https://host/-x",
            "https://user:secret@host/r",
            "https://token@host/r",
            "https://host/r?x=1",
            "https://host/%2e%2e/r",
            "ftp://host/r",
            "fd://17",
            "/etc/passwd",
            "file://host/r",
            "https://host",
            "https:///r",
            "https://ho st/r",
            "https://host/r\nx",
            "",
        ] {
            assert!(SourceUrl::parse(text).is_err(), "{text}");
        }
        let error = SourceUrl::parse("https://user:hunter2@host/r").unwrap_err().to_string();
        assert!(!error.contains("hunter2"), "{error}");
    }

    #[test]
    fn a_source_that_fails_is_asked_less_and_less() {
        let url = SourceUrl::parse("https://github.com/o/r").unwrap();
        let mut source = Source {
            url,
            forge: Forge::Github,
            poll: Some(60),
            fork_runs: ForkRuns::Approve,
            statuses: Statuses::Run,
            context: "towpath".into(),
            comments: false,
        };
        let pauses: Vec<i64> =
            [0, 1, 2, 5, 40].iter().map(|failures| source.pause(*failures).unwrap().as_secs()).collect();
        assert_eq!(pauses, [60, 60, 120, 960, 3600]);
        source.poll = None;
        assert_eq!((source.pause(0), source.pause(1).unwrap().as_secs()), (None, 30));
    }

    #[test]
    fn pull_requests_have_a_ref_on_each_forge() {
        assert_eq!(Forge::Github.pull_request_of("refs/pull/7/head"), Some(7));
        assert_eq!(Forge::Gitlab.pull_request_of("refs/merge-requests/7/head"), Some(7));
        assert_eq!(Forge::Gitlab.pull_request_ref(7).as_deref(), Some("refs/merge-requests/7/head"));
        for reference in
            ["refs/pull/7/merge", "refs/pull/x/head", "refs/heads/pull/7/head", "refs/pull/-7/head"]
        {
            assert_eq!(Forge::Github.pull_request_of(reference), None, "{reference}");
        }
    }
}
