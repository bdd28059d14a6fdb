//! The files that pages refer to, compiled in.
//!
//! Their address holds a hash over all of them: a browser may keep a file for ever, and modules
//! import each other by relative paths. An address with another hash (a page from before an
//! upgrade) gets the present file and is not kept.

macro_rules! files {
    ($($name:literal: $content_type:literal),+ $(,)?) => {
        const FILES: &[File] = &[$(File {
            name: $name,
            content_type: $content_type,
            bytes: include_bytes!(concat!("../assets/", $name)),
        }),+];
    };
}

struct File {
    name: &'static str,
    content_type: &'static str,
    bytes: &'static [u8],
}

files! {
    "app.css": "text/css; charset=utf-8",
    "app.js": "text/javascript; charset=utf-8",
    "actions.js": "text/javascript; charset=utf-8",
    "keys.js": "text/javascript; charset=utf-8",
    "live.js": "text/javascript; charset=utf-8",
    "log.js": "text/javascript; charset=utf-8",
    "rollout.js": "text/javascript; charset=utf-8",
    "theme.js": "text/javascript; charset=utf-8",
    "time.js": "text/javascript; charset=utf-8",
    "favicon.svg": "image/svg+xml",
    "favicon-live.svg": "image/svg+xml",
    "favicon-bad.svg": "image/svg+xml",
    "water.svg": "image/svg+xml",
}

/// A file to serve.
#[derive(Debug, Clone, Copy)]
pub struct Asset {
    /// Its bytes.
    pub bytes: &'static [u8],
    /// Its `Content-Type`.
    pub content_type: &'static str,
    /// Whether to send `Cache-Control: public, max-age=31536000, immutable`; otherwise send `no-cache`.
    pub immutable: bool,
}

/// Finds the file for a request path: `/assets/<hash>/<file>`, or `/favicon.svg`.
#[must_use]
pub fn asset(path: &str) -> Option<Asset> {
    let (hash, name) = match path.strip_prefix("/assets/") {
        Some(rest) => rest.split_once('/')?,
        None => {
            ("", path.strip_prefix("/favicon").map(|_| "favicon.svg").filter(|_| path == "/favicon.svg")?)
        }
    };
    let file = FILES.iter().find(|file| file.name == name)?;
    Some(Asset { bytes: file.bytes, content_type: file.content_type, immutable: hash == self::hash() })
}

/// The address of a file.
pub(crate) fn url(name: &str) -> String {
    debug_assert!(FILES.iter().any(|file| file.name == name), "there is no asset {name}");
    format!("/assets/{}/{name}", hash())
}

/// FNV-1a over all files: it only has to change when they do.
fn hash() -> &'static str {
    static HASH: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| {
        let bytes = FILES.iter().flat_map(|file| file.bytes);
        let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        format!("{hash:016x}")
    });
    &HASH
}

/// Every file with its present address, for those who write pages to a directory.
pub fn assets() -> impl Iterator<Item = (String, Asset)> {
    FILES.iter().map(|file| {
        let asset = Asset { bytes: file.bytes, content_type: file.content_type, immutable: true };
        (url(file.name), asset)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_a_file_by_its_own_address_and_by_an_old_one() {
        assert!(asset(&url("app.css")).is_some_and(|asset| asset.immutable));
        assert!(asset("/assets/0000/app.css").is_some_and(|asset| !asset.immutable));
        assert!(asset("/favicon.svg").is_some());
        for path in ["/assets/app.css", "/assets/0/../lib.rs", "/assets/0/secret", "/favicon.svgx", ""] {
            assert!(asset(path).is_none(), "{path} was found");
        }
    }

    #[test]
    fn assets_refer_only_to_assets() {
        for file in FILES {
            let text = String::from_utf8_lossy(file.bytes);
            for line in text.lines().filter(|line| line.starts_with("import ")) {
                let name = line.split("\"./").nth(1).and_then(|rest| rest.split('"').next());
                let name = name.unwrap_or_else(|| panic!("{}: not a relative import: {line}", file.name));
                assert!(FILES.iter().any(|known| known.name == name), "{} imports {name}", file.name);
            }
            assert!(!text.contains("https://"), "{} refers to another host", file.name);
        }
    }
}
