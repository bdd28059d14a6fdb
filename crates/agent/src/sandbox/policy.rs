//! What a confined Step may touch.

use std::ffi::OsString;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, mkdirat, openat, renameat, unlinkat};
use rustix::io::Errno;
use towpath_model::JobLimits;

/// System directories that every Step may read.
///
/// Not among them: `/home`, `/root`, `/run` (sockets of other services), `/var`, `/tmp`, `/mnt`.
const SYSTEM: &[&str] = &[
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/etc",
    "/opt",
    "/nix",
    "/sys",
    "/run/systemd/resolve",
];

/// What system directories hold that no Step needs. It is denied where the agent's user could read it: root mostly.
const PRIVATE: &[&str] = &[
    "/etc/shadow",
    "/etc/shadow-",
    "/etc/gshadow",
    "/etc/gshadow-",
    "/etc/sudoers",
    "/etc/security/opasswd",
    "/etc/krb5.keytab",
    "/etc/ssl/private",
    "/etc/pki/tls/private",
    "/etc/letsencrypt",
    "/etc/docker",
    "/etc/kubernetes",
    "/etc/rancher",
    "/etc/wireguard",
    "/etc/NetworkManager/system-connections",
    "/etc/ssh/ssh_host_rsa_key",
    "/etc/ssh/ssh_host_ecdsa_key",
    "/etc/ssh/ssh_host_ed25519_key",
];

/// Where version managers keep their tools, below the home of the agent's user. What PATH names of
/// theirs are only shims.
///
/// `.cargo` is not among them: its credentials stay out, and only its `bin` is readable.
const VERSION_MANAGERS: &[&str] =
    &[".pyenv", ".rbenv", ".nvm", ".volta", ".asdf", ".sdkman", ".bun", ".deno", ".local/share/mise"];

/// Where package managers are told to keep their downloads, below the Project's cache.
pub(crate) const CACHES: &[(&str, &str)] =
    &[("CARGO_HOME", "cargo"), ("GOPATH", "go"), ("npm_config_cache", "npm"), ("XDG_CACHE_HOME", "xdg")];
/// The directories of an Attempt that its Steps may write.
const WRITABLE: &[&str] = &["source", "scratch/home", "scratch/tmp", "scratch/outputs"];

/// The rules for one Attempt. A path that does not exist is left out.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// What may be read and executed, besides what is writable.
    pub readable: Vec<PathBuf>,
    /// What may be changed.
    pub writable: Vec<PathBuf>,
    /// What is denied though it lies below something readable: Towpath's own data.
    pub hidden: Vec<PathBuf>,
    /// Where the Step's `/tmp` is (bubblewrap) or its `TMPDIR` (Landlock).
    pub tmp: PathBuf,
    /// The scripts of the Steps: readable, so that no Step changes what the next one runs.
    pub scripts: Option<PathBuf>,
    /// A directory that outlives the Attempt, for downloads of package managers.
    pub cache: Option<PathBuf>,
    /// Whether the network may be used.
    pub network: bool,
    /// What the Attempt may use.
    pub limits: JobLimits,
}

impl Policy {
    /// The usual rules: read the system and the toolchains of this user, write the Attempt's own
    /// directories and the cache, never see `data`.
    ///
    /// Not writable, though they are the Attempt's: its log and the scripts, which the agent writes; and the directory
    /// above, in which a link in their place would lead the agent's own hand elsewhere.
    #[must_use]
    pub fn for_attempt(attempt: &Path, data: &Path, cache: Option<PathBuf>, network: bool) -> Self {
        let mut readable: Vec<PathBuf> = SYSTEM.iter().map(PathBuf::from).collect();
        readable.extend(toolchains());
        readable.extend(own_program().map(Path::to_owned));
        let mut writable: Vec<PathBuf> = WRITABLE.iter().map(|path| attempt.join(path)).collect();
        writable.extend(cache.clone());
        Self {
            readable,
            writable,
            hidden: vec![data.to_owned()],
            tmp: attempt.join("scratch/tmp"),
            scripts: Some(attempt.join("scratch/steps")),
            cache,
            network,
            limits: JobLimits::default(),
        }
    }

    /// Points package managers at the cache, so that `cargo build`, `npm ci`, `pip install` and
    /// `go build` work without writing to the agent user's home.
    #[must_use]
    pub fn cache_environment(&self) -> Vec<(&'static str, OsString)> {
        let Some(cache) = &self.cache else { return Vec::new() };
        let mut variables: Vec<(&'static str, OsString)> =
            CACHES.iter().map(|(name, directory)| (*name, cache.join(directory).into_os_string())).collect();
        if let Some(rustup) = rustup_home() {
            variables.push(("RUSTUP_HOME", rustup.into_os_string()));
        }
        variables
    }

    /// The part of the cache that containers use: what is built in an image may not fit what is built on the host.
    #[must_use]
    pub fn container_cache(&self) -> Option<PathBuf> {
        self.cache.as_ref().map(|cache| cache.join("container"))
    }

    /// Makes the cache ready: cargo's own configuration (mirrors, registries) is taken over from the
    /// agent's user, its credentials are not.
    ///
    /// # Errors
    ///
    /// Fails when the cache cannot be written.
    pub fn prepare_cache(&self) -> std::io::Result<()> {
        let Some(cache) = &self.cache else { return Ok(()) };
        std::fs::create_dir_all(cache)?;
        let config = cargo_home().and_then(|home| std::fs::read(home.join("config.toml")).ok());
        make_beneath(cache, "container")?;
        config.map_or(Ok(()), |config| write_beneath(cache, "cargo", "config.toml", &config))
    }

    /// What is denied in system directories that the agent's user could read.
    pub(super) fn masked(&self) -> Vec<PathBuf> {
        let readable = |path: &PathBuf| match path.is_dir() {
            true => path.read_dir().is_ok(),
            false => std::fs::File::open(path).is_ok(),
        };
        let is_shown = |path: &PathBuf| self.readable.iter().any(|shown| path.starts_with(shown));
        PRIVATE.iter().map(PathBuf::from).filter(|path| is_shown(path) && readable(path)).collect()
    }

    /// As [`Self::carved_readable`], for rules that can only allow.
    pub(super) fn carved_for_landlock(&self) -> Vec<PathBuf> {
        let mut hidden = self.hidden.clone();
        hidden.extend(self.masked());
        Self { hidden, ..self.clone() }.carved_readable()
    }

    /// What may be read, with every hidden path cut out: a directory above a hidden one is replaced
    /// by those of its entries that do not lead there.
    pub(super) fn carved_readable(&self) -> Vec<PathBuf> {
        let hidden: Vec<PathBuf> = self.hidden.iter().map(|path| real(path)).collect();
        let mut carved = Vec::new();
        for path in &self.readable {
            carve(path, &hidden, &mut carved);
        }
        carved
    }
}

/// Makes a directory below one that Steps can write, and opens it; a link in its place is refused.
fn make_beneath(root: &Path, directory: &str) -> std::io::Result<OwnedFd> {
    let open = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let root = openat(CWD, root, open, Mode::empty())?;
    match mkdirat(&root, directory, Mode::from_raw_mode(0o755)) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(openat(&root, directory, open, Mode::empty())?)
}

/// Writes a file two levels below a directory that Steps can write, following no link that one of them may have left.
fn write_beneath(root: &Path, directory: &str, name: &str, bytes: &[u8]) -> std::io::Result<()> {
    let directory = make_beneath(root, directory)?;
    let new = format!(".{name}.new");
    match unlinkat(&directory, &new, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(error) => return Err(error.into()),
    }
    let create = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = openat(&directory, &new, create, Mode::from_raw_mode(0o644))?;
    std::fs::File::from(file).write_all(bytes)?;
    renameat(&directory, &new, &directory, name)?;
    Ok(())
}

fn carve(path: &Path, hidden: &[PathBuf], carved: &mut Vec<PathBuf>) {
    let real = real(path);
    if !path.exists() || hidden.iter().any(|hidden| real.starts_with(hidden)) {
        return;
    }
    if !hidden.iter().any(|hidden| hidden.starts_with(&real)) {
        carved.push(path.to_owned());
        return;
    }
    let Ok(entries) = std::fs::read_dir(path) else { return };
    for entry in entries.flatten() {
        carve(&entry.path(), hidden, carved);
    }
}

fn real(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

fn home() -> Option<PathBuf> {
    std::env::var_os("HOME").map(PathBuf::from).filter(|home| home.is_absolute())
}

fn cargo_home() -> Option<PathBuf> {
    std::env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| home().map(|home| home.join(".cargo")))
}

fn rustup_home() -> Option<PathBuf> {
    let rustup = std::env::var_os("RUSTUP_HOME")
        .map(PathBuf::from)
        .or_else(|| home().map(|home| home.join(".rustup")));
    rustup.filter(|rustup| rustup.is_dir())
}

/// The file of this program, where it is the `towpath` that a Step may want to call.
///
/// Asked for once: after an upgrade the kernel would call it deleted, and the new one lies in the same place.
pub(crate) fn own_program() -> Option<&'static Path> {
    static PROGRAM: LazyLock<Option<PathBuf>> = LazyLock::new(|| {
        let program = std::env::current_exe().ok()?;
        program.file_name().is_some_and(|name| name == "towpath").then_some(program)
    });
    PROGRAM.as_deref()
}

/// Toolchains outside the system directories: what is in PATH, and what rustup keeps.
fn toolchains() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_home = |path: &PathBuf| home().is_some_and(|home| home.starts_with(path));
    let mut found: Vec<PathBuf> =
        std::env::split_paths(&path).filter(|path| path.is_absolute() && !is_home(path)).collect();
    found
        .extend(home().into_iter().flat_map(|home| VERSION_MANAGERS.iter().map(move |name| home.join(name))));
    found.extend(rustup_home());
    found.extend(cargo_home().map(|cargo| cargo.join("bin")));
    found.retain(|path| !SYSTEM.iter().any(|system| path.starts_with(system)));
    found.sort();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_no_link_that_an_earlier_job_left_in_the_cache() {
        let root = tempfile::tempdir().unwrap();
        let (cache, outside) = (root.path().join("cache"), root.path().join("outside"));
        std::fs::create_dir_all(cache.join("cargo")).unwrap();
        std::fs::write(&outside, "untouched").unwrap();
        for name in ["config.toml", ".config.toml.new"] {
            std::os::unix::fs::symlink(&outside, cache.join("cargo").join(name)).unwrap();
        }
        write_beneath(&cache, "cargo", "config.toml", b"new").unwrap();
        assert_eq!(std::fs::read_to_string(&outside).unwrap(), "untouched");
        assert_eq!(std::fs::read_to_string(cache.join("cargo/config.toml")).unwrap(), "new");
        std::fs::remove_dir_all(cache.join("cargo")).unwrap();
        std::os::unix::fs::symlink(root.path(), cache.join("cargo")).unwrap();
        assert!(write_beneath(&cache, "cargo", "outside", b"new").is_err());
        assert_eq!(std::fs::read_to_string(&outside).unwrap(), "untouched");
    }

    #[test]
    fn cuts_hidden_paths_out_of_readable_ones() {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        for directory in ["opt/tool", "opt/towpath/bin", "opt/towpath/data/keys"] {
            std::fs::create_dir_all(at(directory)).unwrap();
        }
        let policy =
            Policy { readable: vec![at("opt")], hidden: vec![at("opt/towpath/data")], ..Policy::default() };
        let mut carved = policy.carved_readable();
        carved.sort();
        assert_eq!(carved, [at("opt/tool"), at("opt/towpath/bin")]);
    }
}
