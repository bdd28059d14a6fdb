//! Which server the commands talk to: flags, then `TOWPATH_URL` and `TOWPATH_TOKEN`, then what
//! `towpath login` kept, then the server of this user on this machine.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use towpath_server::LocalAccess;
use towpath_server::options::default_data_dir;
use url::Url;

use crate::failure::{Failure, Kind};

/// The options by which every command finds its server.
#[derive(Debug, Clone, clap::Args)]
pub struct Remote {
    /// The server's address; else the one of the last `towpath login`.
    #[arg(long, env = "TOWPATH_URL", global = true, help_heading = "Server")]
    pub url: Option<ServerUrl>,
    /// An API token; else the one that `towpath login` made.
    #[arg(long, env = "TOWPATH_TOKEN", hide_env_values = true, global = true, help_heading = "Server")]
    pub token: Option<String>,
    /// Prints JSON.
    #[arg(long, global = true)]
    pub json: bool,
}

/// An address, or nothing: a Job of a local run has an empty `TOWPATH_URL`.
#[derive(Debug, Clone)]
pub struct ServerUrl(Option<Url>);

impl std::str::FromStr for ServerUrl {
    type Err = url::ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() { Ok(Self(None)) } else { text.parse().map(|url| Self(Some(url))) }
    }
}

/// A server and the way in.
#[derive(Clone, Serialize, Deserialize)]
pub struct Access {
    /// Its address.
    #[serde(with = "url_text")]
    pub url: Url,
    /// A bearer token.
    pub token: String,
    /// The certificate in PEM that the server's one is checked with, where the system does not know it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authority: Option<String>,
}

/// An address as text.
mod url_text {
    use serde::{Deserialize as _, Deserializer, Serializer};
    use url::Url;

    pub fn serialize<S: Serializer>(url: &Url, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(url.as_str())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Url, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// The content of `~/.config/towpath/contexts.json`.
#[derive(Default, Serialize, Deserialize)]
pub struct Contexts {
    /// The address used when none is given.
    pub current: Option<String>,
    /// By address.
    pub servers: BTreeMap<String, Access>,
}

impl Contexts {
    /// Reads the file; an absent one is empty.
    pub fn read() -> anyhow::Result<Self> {
        let path = path()?;
        match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).with_context(|| {
                format!("failed to read {}; delete it and run `towpath login` again", path.display())
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).with_context(|| format!("failed to read {}", path.display())),
        }
    }

    /// Replaces the file, readable by this user only.
    pub fn write(&self) -> anyhow::Result<()> {
        let path = path()?;
        write_private(&path, &serde_json::to_vec_pretty(self)?)
            .with_context(|| format!("failed to write {}", path.display()))
    }
}

fn path() -> anyhow::Result<PathBuf> {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_CONFIG_HOME").or_else(|| absolute("HOME").map(|home| home.join(".config")));
    let base =
        base.ok_or_else(|| Failure::new(Kind::Usage, "HOME is not set, so there is no place for the login"))?;
    Ok(base.join("towpath/contexts.json"))
}

fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let parent = path.parent().unwrap_or(Path::new("."));
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
    let fresh = path.with_extension("new");
    match std::fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&fresh, path)
}

impl Remote {
    /// Finds the server and the way in.
    ///
    /// # Errors
    /// When none is known, or none of the known ones is meant.
    pub fn access(&self) -> anyhow::Result<Access> {
        let contexts = Contexts::read()?;
        let url = self.url.as_ref().and_then(|url| url.0.as_ref());
        let wanted = url.map(Url::to_string).or(contexts.current);
        let known = wanted.as_ref().and_then(|url| contexts.servers.get(url)).cloned();
        let authority = known.as_ref().and_then(|access| access.authority.clone());
        match (url, &self.token, known) {
            (Some(url), Some(token), _) => Ok(Access { url: url.clone(), token: token.clone(), authority }),
            (None, Some(token), Some(known)) => Ok(Access { token: token.clone(), ..known }),
            (_, None, Some(known)) => Ok(known),
            (Some(url), None, None) => {
                Err(Failure::new(Kind::NotAllowed, format!("you are not signed in to {url}"))
                    .hint(format!("run `towpath login {url}`, or set TOWPATH_TOKEN"))
                    .into())
            }
            (None, token, None) => local(token.as_deref()),
        }
    }
}

/// The way in of this user's own server on this machine.
fn local(token: Option<&str>) -> anyhow::Result<Access> {
    let none = || {
        Failure::new(Kind::Usage, "no server is known")
            .hint("start one with `towpath serve`, or run `towpath login https://…`")
    };
    let data_dir = std::env::var_os("TOWPATH_DATA_DIR").map(PathBuf::from).or_else(default_data_dir);
    let access = data_dir.and_then(|path| LocalAccess::read(&path).ok()).ok_or_else(none)?;
    let url = access.url.parse().context("the running server's file names no address")?;
    let token = token.map_or(access.token, str::to_owned);
    Ok(Access { url, token, authority: access.authority })
}
