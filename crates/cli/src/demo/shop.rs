//! The sample project as a git repository: its files, its commits, and pushing them as any user does.

use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, bail};
use tokio::process::Command;
use url::Url;

use super::people::{Person, email};

macro_rules! file {
    ($path:literal) => {
        ($path, include_str!(concat!("../../../../examples/demo-shop/", $path)))
    };
}

/// Every file of the first version.
const FILES: &[(&str, &str)] = &[
    file!(".gitignore"),
    file!("Cargo.lock"),
    file!("Cargo.toml"),
    file!("README.md"),
    file!("ci/acceptance.sh"),
    file!("ci/check.rs"),
    file!("ci/smoke.sh"),
    file!("src/http.rs"),
    file!("src/main.rs"),
    file!("src/orders.rs"),
    file!("src/stop.rs"),
    file!("towpath.yaml"),
];

/// A change of one file: where, what, by what.
pub(super) type Edit = (&'static str, &'static str, &'static str);

/// Version 2: a new word on the receipts.
pub(super) const VERSION_2: &[Edit] = &[
    ("Cargo.toml", "version = \"1.0.0\"", "version = \"2.0.0\""),
    ("Cargo.lock", "version = \"1.0.0\"", "version = \"2.0.0\""),
    ("src/orders.rs", "order {:x}: {fruit}\\n", "order {:x}: fresh {fruit}\\n"),
];

/// Version 3: one shelf more, which nobody has filled. A fifth of the orders go there.
pub(super) const VERSION_3: &[Edit] = &[
    ("Cargo.toml", "version = \"2.0.0\"", "version = \"3.0.0\""),
    ("Cargo.lock", "version = \"2.0.0\"", "version = \"3.0.0\""),
    ("src/orders.rs", "const SHELVES: u64 = 4;", "const SHELVES: u64 = 5;"),
];

/// The developer's clone.
pub(super) struct Shop {
    /// Where it is.
    pub(super) directory: PathBuf,
}

impl Shop {
    /// Writes the first version and commits it; `git_url` becomes the remote `origin`.
    pub(super) async fn create(scratch: &Path, git_url: &str, ada: &Person) -> anyhow::Result<Self> {
        let shop = Self { directory: scratch.join("shop") };
        for (path, text) in FILES {
            shop.write(path, text)?;
        }
        let credentials = scratch.join("git-credentials");
        keep_credentials(&credentials, git_url, ada)?;
        shop.git(&["init", "--quiet", "--initial-branch=main"]).await?;
        let helper = format!("store --file={}", credentials.display());
        let settings = [
            ("user.name", "Ada Lovelace"),
            ("user.email", &email(ada.login)),
            ("credential.helper", &helper),
            ("commit.gpgsign", "false"),
        ];
        for (name, value) in settings {
            shop.git(&["config", name, value]).await?;
        }
        shop.git(&["remote", "add", "origin", git_url]).await?;
        shop.commit("shop: Take orders").await?;
        Ok(shop)
    }

    /// Makes a commit of some edits.
    pub(super) async fn edit(&self, edits: &[Edit], message: &str) -> anyhow::Result<()> {
        for (path, old, new) in edits {
            let text = std::fs::read_to_string(self.directory.join(path))
                .with_context(|| format!("failed to read {path}"))?;
            if !text.contains(old) {
                bail!("{path} of the sample project does not contain `{old}`");
            }
            self.write(path, &text.replace(old, new))?;
        }
        self.commit(message).await
    }

    /// Pushes `main`, and returns what the server said to the terminal.
    pub(super) async fn push(&self) -> anyhow::Result<Vec<String>> {
        let said = self.git(&["push", "origin", "main"]).await?;
        let remote = said.lines().filter_map(|line| line.strip_prefix("remote: "));
        Ok(remote.map(|line| line.trim_end().to_owned()).filter(|line| !line.is_empty()).collect())
    }

    async fn commit(&self, message: &str) -> anyhow::Result<()> {
        self.git(&["add", "--all"]).await?;
        self.git(&["commit", "--quiet", "--message", message]).await.map(drop)
    }

    fn write(&self, path: &str, text: &str) -> anyhow::Result<()> {
        let target = self.directory.join(path);
        let failed = || format!("failed to write {}", target.display());
        if let Some(parent) = target.parent() {
            std::fs::create_dir_all(parent).with_context(failed)?;
        }
        std::fs::write(&target, text).with_context(failed)?;
        let mode = if text.starts_with("#!") { 0o755 } else { 0o644 };
        std::fs::set_permissions(&target, std::fs::Permissions::from_mode(mode)).with_context(failed)
    }

    /// Runs git without the user's own settings, and returns what it wrote to standard error.
    async fn git(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let output = Command::new("git")
            .args(arguments)
            .current_dir(&self.directory)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env_remove("GIT_DIR")
            .env_remove("GIT_WORK_TREE")
            .env_remove("GIT_INDEX_FILE")
            .env("NO_PROXY", "127.0.0.1")
            .stdin(Stdio::null())
            .output()
            .await
            .context("failed to run git; is it installed?")?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if !output.status.success() {
            bail!("`git {}` failed: {}", arguments.join(" "), said.trim());
        }
        Ok(said)
    }
}

/// Writes the file from which git takes Ada's token, so that the reader can push too.
fn keep_credentials(path: &Path, git_url: &str, ada: &Person) -> anyhow::Result<()> {
    let mut url: Url = git_url.parse().context("the server told a git address that is not one")?;
    let set = url.set_username(ada.login).and_then(|()| url.set_password(Some(&ada.token)));
    set.ok().context("the git address cannot carry a login")?;
    let written = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    let written = written.and_then(|mut file| writeln!(file, "{url}"));
    written.with_context(|| format!("failed to write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_edit_finds_its_place() {
        let mut files: std::collections::BTreeMap<&str, String> =
            FILES.iter().map(|(path, text)| (*path, (*text).to_owned())).collect();
        for (path, old, new) in VERSION_2.iter().chain(VERSION_3) {
            let text = files.get_mut(path).unwrap();
            assert_eq!(text.matches(old).count(), 1, "{path}: {old}");
            *text = text.replace(old, new);
        }
    }
}
