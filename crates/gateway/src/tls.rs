//! Certificates of a listener: read from files, chosen by the name that the client asks for, replaced while it serves.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::client::verify_server_name;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use towpath_api::gateway::CertificateFiles;

/// The most bytes of a file with certificates or a key.
const MAX_FILE: u64 = 1024 * 1024;

/// One listener's certificates, and the configuration that its connections begin with.
pub struct Certificates {
    files: Vec<CertificateFiles>,
    /// Certificate and key of each, as they are opened.
    paths: Vec<(PathBuf, PathBuf)>,
    stamps: Vec<Option<Stamp>>,
    chosen: Arc<Chosen>,
    config: Arc<ServerConfig>,
}

/// What changes when a file is replaced: the time of change, the length, and which file it is.
type Stamp = (SystemTime, u64, u64);

impl Certificates {
    /// Reads certificates and keys; paths that are not absolute are below `directory`.
    ///
    /// # Errors
    /// Says for a person which file cannot be used, and why.
    pub fn load(directory: &Path, files: &[CertificateFiles]) -> Result<Self, String> {
        let paths: Vec<(PathBuf, PathBuf)> = files
            .iter()
            .map(|files| (directory.join(&files.certificate), directory.join(&files.key)))
            .collect();
        // What changes while it is read is read again at the next look.
        let stamps = stamps(&paths);
        let chosen = Arc::new(Chosen { keys: ArcSwap::from_pointee(read_all(&paths)?) });
        let versions = [&rustls::version::TLS13, &rustls::version::TLS12];
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&versions)
            .map_err(|error| format!("TLS cannot be set up: {error}"))?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&chosen) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config.ticketer =
            ring::Ticketer::new().map_err(|error| format!("TLS sessions cannot be resumed: {error}"))?;
        Ok(Self { files: files.to_vec(), paths, stamps, chosen, config: Arc::new(config) })
    }

    /// Whether these are the certificates of these files.
    #[must_use]
    pub fn are_of(&self, files: &[CertificateFiles]) -> bool {
        self.files == files
    }

    /// What a connection begins with.
    #[must_use]
    pub fn config(&self) -> &Arc<ServerConfig> {
        &self.config
    }

    /// Reads the files again if one has changed; connections that begin from now on get what was read. `None` where
    /// nothing has changed.
    ///
    /// # Errors
    /// Says which file cannot be used; what was read before stays in use.
    pub fn refresh(&mut self) -> Option<Result<(), String>> {
        let now = stamps(&self.paths);
        if now == self.stamps {
            return None;
        }
        self.stamps = now;
        Some(read_all(&self.paths).map(|keys| self.chosen.keys.store(Arc::new(keys))))
    }
}

fn stamps(paths: &[(PathBuf, PathBuf)]) -> Vec<Option<Stamp>> {
    use std::os::unix::fs::MetadataExt;
    let stamp = |path: &Path| {
        let metadata = fs::metadata(path).ok()?;
        Some((metadata.modified().ok()?, metadata.len(), metadata.ino()))
    };
    paths.iter().flat_map(|(certificate, key)| [stamp(certificate), stamp(key)]).collect()
}

/// A certificate with its key.
#[derive(Debug)]
struct Known {
    key: Arc<CertifiedKey>,
    /// The server's own certificate, once more, as names are compared with it.
    leaf: CertificateDer<'static>,
}

fn read_all(paths: &[(PathBuf, PathBuf)]) -> Result<Vec<Known>, String> {
    paths.iter().map(|(certificate, key)| read(certificate, key)).collect()
}

fn read(certificate: &Path, key: &Path) -> Result<Known, String> {
    let (path, key_path) = (certificate.display(), key.display());
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes(certificate)?).collect();
    let chain = chain.map_err(|error| format!("{path} is not a certificate in PEM: {error}"))?;
    let Some(leaf) = chain.first().cloned() else { return Err(format!("{path} has no certificate")) };
    if let Err(error) = ParsedCertificate::try_from(&leaf) {
        return Err(format!("{path} is not a certificate of a server: {error}"));
    }
    let key = PrivateKeyDer::from_pem_slice(&bytes(key)?)
        .map_err(|error| format!("{key_path} is not a private key in PEM: {error}"))?;
    let key = CertifiedKey::from_der(chain, key, &ring::default_provider())
        .map_err(|error| format!("{key_path} cannot be used with {path}: {error}"))?;
    Ok(Known { key: Arc::new(key), leaf })
}

fn bytes(path: &Path) -> Result<Vec<u8>, String> {
    let problem = |error: &dyn std::fmt::Display| format!("cannot read {}: {error}", path.display());
    let length = fs::metadata(path).map_err(|error| problem(&error))?.len();
    if length > MAX_FILE {
        return Err(problem(&format!("it has more than {MAX_FILE} bytes")));
    }
    fs::read(path).map_err(|error| problem(&error))
}

/// Chooses by name; where none fits, or the client names none, the first.
#[derive(Debug)]
struct Chosen {
    keys: ArcSwap<Vec<Known>>,
}

impl ResolvesServerCert for Chosen {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let keys = self.keys.load();
        let name = hello.server_name().and_then(|name| ServerName::try_from(name).ok());
        let fits = |known: &&Known| {
            let leaf = ParsedCertificate::try_from(&known.leaf);
            matches!((&name, leaf), (Some(name), Ok(leaf)) if verify_server_name(&leaf, name).is_ok())
        };
        let known = match keys.as_slice() {
            [only] => Some(only),
            several => several.iter().find(fits).or_else(|| several.first()),
        };
        known.map(|known| Arc::clone(&known.key))
    }
}
