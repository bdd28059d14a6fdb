//! Fetches from a repository elsewhere, with the real git.
//!
//! Git gets an address that was checked, no configuration but what stands here, no transport but the address's own, no
//! redirect, and a credential that is bound to the source's host. Bytes and time have bounds.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;
use towpath_artifact::SecretValue;
use towpath_model::source::{Scheme, SourceUrl};

/// How long a list of refs may take.
const LIST: Duration = Duration::from_secs(60);

/// How long a fetch may take.
const FETCH: Duration = Duration::from_secs(20 * 60);

/// The most bytes of a list of refs: some 200,000 of them.
const MAX_LIST: u64 = 24 << 20;

/// The most bytes that one fetch may add.
const MAX_FETCH: u64 = 4 << 30;

/// Settings that hold whatever the repository's own file says.
const SETTINGS: &[&str] = &[
    "core.hooksPath=/dev/null",
    "core.fsync=committed,loose-object,reference",
    "credential.helper=",
    // A redirect could lead to a host that shall not see the credential, or into the own network.
    "http.followRedirects=false",
    "http.lowSpeedLimit=1000",
    "http.lowSpeedTime=60",
    "fetch.fsckObjects=true",
    // Old mistakes that real histories are full of, and that harm nobody.
    "fetch.fsck.zeroPaddedFilemode=warn",
    "fetch.fsck.badTimezone=warn",
    "fetch.fsck.missingSpaceBeforeDate=warn",
    "fetch.fsck.missingSpaceBeforeEmail=warn",
    "fetch.fsck.badEmail=warn",
    "fetch.fsck.missingEmail=warn",
    "fetch.recurseSubmodules=false",
    "fetch.writeCommitGraph=false",
    "gc.auto=0",
    "maintenance.auto=false",
    "pack.threads=1",
    "protocol.version=2",
];

/// A source with its credentials, and where its mirror is.
pub(super) struct Mirror<'m> {
    pub(super) url: &'m SourceUrl,
    pub(super) token: Option<SecretValue>,
    pub(super) key: Option<SecretValue>,
    pub(super) repository: PathBuf,
    /// Where hosts that ssh met are remembered.
    pub(super) known_hosts: PathBuf,
}

/// The refs of a source.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Listed {
    /// Full names with their objects.
    pub(super) refs: BTreeMap<String, String>,
    /// The full name of the default branch.
    pub(super) head: Option<String>,
}

impl Mirror<'_> {
    /// Lists branches, tags and the refs that fit further patterns.
    pub(super) async fn list(&self, patterns: &[&str]) -> Result<Listed, String> {
        let url = self.url.to_string();
        let mut words =
            vec!["ls-remote", "--symref", "--end-of-options", &url, "HEAD", "refs/heads/*", "refs/tags/*"];
        words.extend(patterns);
        let text = self.git(&words, LIST).await?;
        let mut listed = Listed::default();
        for line in text.lines() {
            let Some((object, name)) = line.split_once('\t') else { continue };
            match object.strip_prefix("ref: ") {
                Some(head) if name == "HEAD" => listed.head = Some(head.to_owned()),
                // `^{}` is what a tag object points at; the tag itself has its own line.
                None if name.starts_with("refs/") && !name.ends_with("^{}") => {
                    listed.refs.insert(name.to_owned(), object.to_owned());
                }
                Some(_) | None => {}
            }
        }
        Ok(listed)
    }

    /// Makes branches and tags what the source has.
    pub(super) async fn fetch_all(&self) -> Result<(), String> {
        self.fetch(&["--prune", "--force"], &["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"]).await
    }

    /// Fetches one ref under another name.
    pub(super) async fn fetch_one(&self, from: &str, to: &str) -> Result<(), String> {
        self.fetch(&["--force"], &[&format!("+{from}:{to}")]).await
    }

    async fn fetch(&self, options: &[&str], specs: &[&str]) -> Result<(), String> {
        let url = self.url.to_string();
        let mut words = vec!["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--update-head-ok"];
        words.extend(options);
        words.extend(["--end-of-options", &url]);
        words.extend(specs);
        let before = size_of(&self.repository);
        let watched = async {
            loop {
                tokio::time::sleep(Duration::from_secs(1)).await;
                if size_of(&self.repository).saturating_sub(before) > MAX_FETCH {
                    return;
                }
            }
        };
        tokio::select! {
            done = self.git(&words, FETCH) => done.map(drop),
            () = watched => Err(format!("it sent more than {} GiB at once, and was stopped", MAX_FETCH >> 30)),
        }
    }

    /// Makes a branch the default one.
    pub(super) async fn set_head(&self, head: &str) -> Result<(), String> {
        if !head.starts_with("refs/heads/") {
            return Ok(());
        }
        self.git(&["symbolic-ref", "HEAD", head], LIST).await.map(drop)
    }

    async fn git(&self, words: &[&str], patience: Duration) -> Result<String, String> {
        let mut command = Command::new("git");
        command.env_clear();
        for name in ["PATH", "SSL_CERT_FILE", "SSL_CERT_DIR"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command
            .env("HOME", "/nonexistent")
            .env("LC_ALL", "C")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_ASKPASS", "/bin/false")
            .env("GIT_ALLOW_PROTOCOL", self.url.scheme().word());
        for setting in SETTINGS {
            command.args(["-c", setting]);
        }
        if let Some(token) = self.token.as_ref().and_then(SecretValue::expose_text) {
            // Forges take any user name beside a token. By environment: arguments can be read by every process of the host. Bound to the source's own origin.
            command
                .env("GIT_CONFIG_COUNT", "1")
                .env("GIT_CONFIG_KEY_0", format!("http.{}/.extraHeader", self.url.origin()))
                .env(
                    "GIT_CONFIG_VALUE_0",
                    format!("Authorization: Basic {}", BASE64.encode(format!("oauth2:{token}"))),
                );
        }
        // Lives as long as the command, which reads the key from it.
        let _key = match (&self.key, self.url.scheme()) {
            (Some(key), Scheme::Ssh) => Some(KeyFile::write(key, &self.known_hosts)?),
            _ => None,
        };
        if let Some(file) = &_key {
            command.env("GIT_SSH_COMMAND", ssh(&file.0, &self.known_hosts)).env("GIT_SSH_VARIANT", "ssh");
        }
        command.arg("--git-dir").arg(&self.repository).args(words);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        tokio::time::timeout(patience, run(command)).await.unwrap_or_else(|_| {
            Err(format!("git did not end within {} s, and was stopped", patience.as_secs()))
        })
    }
}

/// Runs git to its end, reading no more than is expected of it.
async fn run(mut command: Command) -> Result<String, String> {
    let mut child = command
        .spawn()
        .map_err(|error| format!("git could not be started ({error}); install it: `apt install git`"))?;
    let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
        return Err("git has no output".to_owned());
    };
    let (mut out, mut complaint) = (Vec::new(), Vec::new());
    let (mut stdout, mut stderr) = (stdout.take(MAX_LIST + 1), stderr.take(16 << 10));
    let (read, _) = tokio::join!(stdout.read_to_end(&mut out), stderr.read_to_end(&mut complaint));
    read.map_err(|error| format!("git's answer could not be read: {error}"))?;
    if out.len() as u64 > MAX_LIST {
        return Err(format!("it has more refs than fit into {} MiB", MAX_LIST >> 20));
    }
    let status = child.wait().await.map_err(|error| format!("git did not end well: {error}"))?;
    if status.success() {
        return Ok(String::from_utf8_lossy(&out).into_owned());
    }
    let complaint = String::from_utf8_lossy(&complaint);
    // A list of refs that is empty is no failure; a host that asks for more credentials is one with a remedy.
    let said: Vec<&str> = complaint.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let said: String = said.join("; ").chars().take(600).collect();
    let advice = if said.contains("could not read Username") || said.contains("Authentication failed") {
        "; the source wants a token (`towpath source set PROJECT --token-stdin`) or has no such repository"
    } else if said.contains("unable to update url base from redirection") || said.contains("redirect") {
        "; it redirects elsewhere, which is not followed: set the source to its new address"
    } else {
        ""
    };
    Err(format!("{said}{advice}"))
}

/// A private key in a file that only this user can read, gone when it is not needed any more.
struct KeyFile(PathBuf);

impl KeyFile {
    fn write(key: &SecretValue, beside: &Path) -> Result<Self, String> {
        use std::io::Write as _;
        use std::os::unix::fs::OpenOptionsExt as _;

        let path = beside.with_extension(format!("key-{}", uuid::Uuid::now_v7()));
        let written =
            std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).and_then(
                |mut file| {
                    file.write_all(key.expose())?;
                    // OpenSSH refuses a key whose last line does not end.
                    file.write_all(b"\n")
                },
            );
        let file = Self(path);
        written.map_err(|error| format!("the key could not be handed to ssh: {error}"))?;
        Ok(file)
    }
}

impl Drop for KeyFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// The command by which git speaks ssh: this key and no other, hosts pinned when they are met first.
fn ssh(key: &Path, known_hosts: &Path) -> String {
    let quoted = |path: &Path| format!("'{}'", path.display().to_string().replace('\'', "'\\''"));
    format!(
        "ssh -F /dev/null -i {} -o IdentitiesOnly=yes -o BatchMode=yes -o ForwardAgent=no -o ConnectTimeout=20 \
         -o StrictHostKeyChecking=accept-new -o UserKnownHostsFile={}",
        quoted(key),
        quoted(known_hosts)
    )
}

/// Bytes of packs and what is being received.
fn size_of(repository: &Path) -> u64 {
    let packs = repository.join("objects/pack");
    let entries = std::fs::read_dir(packs).into_iter().flatten().filter_map(Result::ok);
    entries.filter_map(|entry| entry.metadata().ok()).map(|metadata| metadata.len()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ssh_reads_no_configuration_and_one_key() {
        let command = ssh(Path::new("/data/it's/key"), Path::new("/data/known"));
        assert!(command.contains("-i '/data/it'\\''s/key'") && command.contains("-F /dev/null"), "{command}");
    }
}
