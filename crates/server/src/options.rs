//! How the server is told what to do: flags, then `TOWPATH_…`, then the configuration file, then defaults.
//!
//! The file is YAML, as are all of Towpath's files: `<data>/server.yaml` unless `--config` names another.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::SignedDuration;
use serde::Deserialize;
use towpath_artifact::SecretValue;
use towpath_artifact::authority::AGENT_LIFE;
use towpath_engine::notify::{MailSecurity, Smtp};
use towpath_engine::{Allowed, InvalidAllowed};
use towpath_model::retry::RetryClass;
use url::Url;

use crate::git::GitLimits;
use crate::pools::{PoolError, PoolFile, PoolOptions};

/// Where the server listens unless told otherwise: this machine only.
const DEFAULT_LISTEN: &str = "127.0.0.1:7878";

/// What flags and environment variables say. The command line merges the two; a flag wins.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// `--config`, `TOWPATH_CONFIG`.
    pub config: Option<PathBuf>,
    /// `--data-dir`, `TOWPATH_DATA_DIR`.
    pub data_dir: Option<PathBuf>,
    /// `--listen`, `TOWPATH_LISTEN`.
    pub listen: Option<SocketAddr>,
    /// `--agent-listen`, `TOWPATH_AGENT_LISTEN`.
    pub agent_listen: Option<SocketAddr>,
    /// `--public-url`, `TOWPATH_PUBLIC_URL`.
    pub public_url: Option<Url>,
    /// `--tls-cert`, `TOWPATH_TLS_CERT`.
    pub tls_cert: Option<PathBuf>,
    /// `--tls-key`, `TOWPATH_TLS_KEY`.
    pub tls_key: Option<PathBuf>,
    /// `--allow-unsandboxed`, `TOWPATH_ALLOW_UNSANDBOXED`.
    pub allow_unsandboxed: bool,
}

/// What the configuration file may say.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    listen: Option<SocketAddr>,
    agent_listen: Option<SocketAddr>,
    agent_certificate_seconds: Option<u32>,
    public_url: Option<String>,
    tls_cert: Option<PathBuf>,
    tls_key: Option<PathBuf>,
    max_push_bytes: Option<u64>,
    git_processes: Option<usize>,
    git_timeout_seconds: Option<u64>,
    #[serde(default)]
    retry_budget: BTreeMap<RetryClass, u32>,
    #[serde(default)]
    pools: BTreeMap<String, PoolFile>,
    #[serde(default)]
    outgoing: Vec<String>,
    smtp: Option<SmtpFile>,
    #[serde(default)]
    open_metrics: bool,
    #[serde(default)]
    allow_unsandboxed: bool,
}

/// The mail server, as the configuration file names it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct SmtpFile {
    host: String,
    port: Option<u16>,
    #[serde(default)]
    security: MailSecurity,
    user: Option<String>,
    password_file: Option<PathBuf>,
    from: String,
}

impl SmtpFile {
    /// As the engine takes it.
    ///
    /// # Errors
    /// When the password's file cannot be read, or a password has no user.
    fn open(self) -> Result<Smtp, OptionsError> {
        let Self { host, port, security, user, password_file, from } = self;
        let login = match (user, password_file) {
            (None, None) => None,
            (Some(user), Some(path)) => {
                let password = std::fs::read(&path).map_err(|source| OptionsError::Read { path, source })?;
                Some((user, SecretValue::new(password)))
            }
            _ => return Err(OptionsError::HalfLogin),
        };
        let usual = match security {
            MailSecurity::Starttls => 587,
            MailSecurity::Tls => 465,
            MailSecurity::None => 25,
        };
        let port = port.unwrap_or(usual);
        Ok(Smtp { host, port, security, login, from })
    }
}

/// Everything that the server needs to know.
#[derive(Debug, Clone)]
pub struct ServeOptions {
    /// Where all state lives.
    pub data_dir: PathBuf,
    /// Where to listen.
    pub listen: SocketAddr,
    /// Where to listen for agents of other hosts only, over HTTPS.
    pub agent_listen: Option<SocketAddr>,
    /// How long an agent's certificate lasts.
    pub agent_life: SignedDuration,
    /// How the outside reaches the server; what it listens on, if `None`.
    pub public_url: Option<Url>,
    /// The certificate chain and key to serve HTTPS with, as PEM files.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// Bounds on git.
    pub git: GitLimits,
    /// How many retries of a class a Project may have in a week, where that is not the usual number.
    pub retry_budget: BTreeMap<RetryClass, u32>,
    /// Pools of agents that grow and shrink with the queue.
    pub pools: Vec<PoolOptions>,
    /// What documents may have the server speak to, besides public addresses.
    pub outgoing: Vec<Allowed>,
    /// The mail server.
    pub smtp: Option<Smtp>,
    /// Whether `/metrics` answers to this host without a token.
    pub open_metrics: bool,
    /// Whether Jobs may run where neither bubblewrap nor Landlock confines them.
    pub allow_unsandboxed: bool,
}

/// Why the configuration was not taken.
#[derive(Debug, thiserror::Error)]
pub enum OptionsError {
    /// The file could not be read.
    #[error("failed to read the configuration file {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The file says something that is not understood.
    #[error("the configuration file {} is not valid: {message}", path.display())]
    Parse {
        /// Which.
        path: PathBuf,
        /// Where and what.
        message: String,
    },
    /// The public address is not one.
    #[error(
        "`{text}` cannot be the server's public address: {source}; write it as https://towpath.example.com/"
    )]
    PublicUrl {
        /// What was given.
        text: String,
        /// What is wrong with it.
        source: url::ParseError,
    },
    /// An agent's certificate would last too short to be renewed, or too long to matter.
    #[error(
        "agent_certificate_seconds is {found}, and must be from {} to {}: an agent renews its certificate after a \
         third of that time, and a stolen one works for all of it",
        AGENT_LIVES.start(),
        AGENT_LIVES.end()
    )]
    AgentLife {
        /// What the file says.
        found: u32,
    },
    /// A pool of agents says something that makes no sense.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// An entry of `outgoing` is neither a host nor a network.
    #[error("`outgoing` in the configuration file is not valid")]
    Outgoing(#[from] InvalidAllowed),
    /// Only one half of a login was given.
    #[error("`smtp` in the configuration file has one of `user` and `password_file`; give both or neither")]
    HalfLogin,
    /// Only one half of a key pair was given.
    #[error("--tls-cert and --tls-key belong together; give both or neither")]
    HalfPair,
    /// There is no place for the data.
    #[error("no data directory is known: HOME is not set; give one with --data-dir")]
    NoDataDir,
}

impl ServeOptions {
    /// Merges flags and environment, the configuration file and the defaults, in this order.
    ///
    /// # Errors
    /// When the file cannot be read or says something that is not understood.
    pub fn resolve(given: Overrides) -> Result<Self, OptionsError> {
        let data_dir = match given.data_dir {
            Some(path) => path,
            None => default_data_dir().ok_or(OptionsError::NoDataDir)?,
        };
        let data_dir = std::path::absolute(&data_dir).unwrap_or(data_dir);
        let file = read_file(given.config.as_deref(), &data_dir)?;
        let default: SocketAddr = DEFAULT_LISTEN.parse().expect("the default is an address");
        let tls = match (given.tls_cert.or(file.tls_cert), given.tls_key.or(file.tls_key)) {
            (Some(cert), Some(key)) => Some((cert, key)),
            (None, None) => None,
            _ => return Err(OptionsError::HalfPair),
        };
        let limits = GitLimits::default();
        Ok(Self {
            data_dir,
            listen: given.listen.or(file.listen).unwrap_or(default),
            agent_listen: given.agent_listen.or(file.agent_listen),
            agent_life: agent_life(file.agent_certificate_seconds)?,
            public_url: match (given.public_url, file.public_url) {
                (Some(url), _) => Some(url),
                (None, Some(text)) => Some(public_url(&text)?),
                (None, None) => None,
            },
            tls,
            git: GitLimits {
                push_bytes: file.max_push_bytes.unwrap_or(limits.push_bytes),
                processes: file.git_processes.unwrap_or(limits.processes).max(1),
                timeout: file.git_timeout_seconds.map_or(limits.timeout, Duration::from_secs),
            },
            retry_budget: file.retry_budget,
            pools: file.pools.into_iter().map(PoolFile::check).collect::<Result<_, _>>()?,
            open_metrics: file.open_metrics,
            smtp: file.smtp.map(SmtpFile::open).transpose()?,
            outgoing: file.outgoing.iter().map(|text| text.parse()).collect::<Result<_, _>>()?,
            allow_unsandboxed: given.allow_unsandboxed || file.allow_unsandboxed,
        })
    }
}

/// How many seconds an agent's certificate may last: up to 30 days.
const AGENT_LIVES: std::ops::RangeInclusive<u32> = 5..=30 * 24 * 60 * 60;

fn agent_life(seconds: Option<u32>) -> Result<SignedDuration, OptionsError> {
    match seconds {
        None => Ok(AGENT_LIFE),
        Some(seconds) if AGENT_LIVES.contains(&seconds) => Ok(SignedDuration::from_secs(seconds.into())),
        Some(found) => Err(OptionsError::AgentLife { found }),
    }
}

/// `$XDG_DATA_HOME/towpath`, or `~/.local/share/towpath`.
#[must_use]
pub fn default_data_dir() -> Option<PathBuf> {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_DATA_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/share")))
        .map(|base| base.join("towpath"))
}

fn public_url(text: &str) -> Result<Url, OptionsError> {
    text.parse().map_err(|source| OptionsError::PublicUrl { text: text.to_owned(), source })
}

fn read_file(named: Option<&Path>, data_dir: &Path) -> Result<File, OptionsError> {
    let path = named.map_or_else(|| data_dir.join("server.yaml"), Path::to_owned);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        // The usual place may be empty; a file that was named must be there.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && named.is_none() => {
            return Ok(File::default());
        }
        Err(source) => return Err(OptionsError::Read { path, source }),
    };
    if text.trim().is_empty() {
        return Ok(File::default());
    }
    serde_saphyr::from_str(&text).map_err(|error| OptionsError::Parse { path, message: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(file: &str, given: Overrides) -> Result<ServeOptions, OptionsError> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("server.yaml"), file).unwrap();
        ServeOptions::resolve(Overrides { data_dir: Some(dir.path().to_owned()), ..given })
    }

    fn budget_of(file: &str) -> BTreeMap<RetryClass, u32> {
        resolve(file, Overrides::default()).expect("a good file").retry_budget
    }

    #[test]
    fn flag_beats_file_beats_default() {
        let nothing = resolve("", Overrides::default()).unwrap();
        assert_eq!(nothing.listen.to_string(), "127.0.0.1:7878");
        let file = "listen: 127.0.0.1:9000\nmax_push_bytes: 1000\n";
        let from_file = resolve(file, Overrides::default()).unwrap();
        assert_eq!((from_file.listen.port(), from_file.git.push_bytes), (9000, 1000));
        let flag = Overrides { listen: "127.0.0.1:1".parse().ok(), ..Overrides::default() };
        assert_eq!(resolve(file, flag).unwrap().listen.port(), 1);
    }

    #[test]
    fn a_misspelt_key_is_an_error_with_its_place() {
        let error = resolve("lissten: 1\n", Overrides::default()).unwrap_err().to_string();
        let budget = budget_of("retry_budget: { exit_code: 5 }\n");
        assert_eq!(budget, [(RetryClass::ExitCode, 5)].into());
        let class = resolve("retry_budget: { exitcode: 5 }\n", Overrides::default()).unwrap_err().to_string();
        assert!(class.contains("exit_code") && class.contains("line 1"), "{class}");
        assert!(error.contains("lissten") && error.contains("line 1"), "{error}");
        assert!(matches!(resolve("tls_cert: a.pem\n", Overrides::default()), Err(OptionsError::HalfPair)));
    }
}
