//! HTTPS: the certificates that the server shows, and those of agents that it believes.
//!
//! Agents pinned the instance's own authority, so they are always shown a certificate of it; people see the one that
//! was given, where one was. Both are exchanged while the server runs, before they end.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use towpath_api::agent::TLS_PROTOCOL;
use towpath_artifact::authority::ServerCertificate;
use towpath_artifact::{Authority, AuthorityError};
use x509_parser::extensions::GeneralName;

/// How often the certificates are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// Why HTTPS cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file is not there or not PEM.
    #[error("failed to read {}", path.display())]
    Pem {
        /// Which.
        path: PathBuf,
        /// What was wrong.
        #[source]
        source: rustls_pki_types::pem::Error,
    },
    /// The instance's own authority cannot make one.
    #[error("failed to make a certificate")]
    Authority(#[from] AuthorityError),
    /// Certificate and key do not go together.
    #[error("the certificate and the key cannot be used")]
    Config(#[from] rustls::Error),
    /// The authority cannot be what agents are checked with.
    #[error("the instance's authority cannot be used to check agents")]
    Agents(#[from] rustls::server::VerifierBuilderError),
}

/// The certificates of a server.
#[derive(Debug)]
pub(crate) struct Certificates {
    authority: Arc<Authority>,
    names: Vec<String>,
    own: RwLock<Own>,
    given: Option<Given>,
}

/// A certificate of the instance's own authority.
#[derive(Debug)]
struct Own {
    key: Arc<CertifiedKey>,
    made: Timestamp,
    ends: Timestamp,
}

/// The certificate and key in PEM files, which something else renews.
#[derive(Debug)]
struct Given {
    certificate: PathBuf,
    key: PathBuf,
    current: RwLock<Loaded>,
}

/// What the files held, and when they were written.
#[derive(Debug)]
struct Loaded {
    key: Arc<CertifiedKey>,
    written: [Option<SystemTime>; 2],
    /// Whether it is for clients that name no host, because it is for addresses.
    has_addresses: bool,
}

impl Certificates {
    /// Makes the first own certificate for `names`, and loads the given one.
    pub(crate) fn new(
        authority: Arc<Authority>,
        names: Vec<String>,
        given: Option<(PathBuf, PathBuf)>,
        now: Timestamp,
    ) -> Result<Arc<Self>, TlsError> {
        let own = RwLock::new(Own::make(&authority, &names, now)?);
        let given = given.map(|(certificate, key)| Given::load(certificate, key)).transpose()?;
        Ok(Arc::new(Self { authority, names, own, given }))
    }

    /// What accepts connections with these certificates.
    pub(crate) fn acceptor(self: &Arc<Self>) -> Result<TlsAcceptor, TlsError> {
        let provider = provider();
        let mut roots = rustls::RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(self.authority.pem().as_bytes()) {
            let path = || "the instance's authority".into();
            roots.add(certificate.map_err(|source| TlsError::Pem { path: path(), source })?)?;
        }
        let agents = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .allow_unauthenticated()
            .build()?;
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(agents)
            .with_cert_resolver(Arc::<Self>::clone(self));
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        // A resumed session would bring back a client's certificate without checking it again.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(TlsAcceptor::from(Arc::new(config)))
    }

    /// Exchanges certificates in time until `stopping` fires.
    pub(crate) async fn keep_fresh(self: Arc<Self>, clock: fn() -> Timestamp, stopping: CancellationToken) {
        let mut looks = tokio::time::interval(LOOK_EVERY);
        while stopping.run_until_cancelled(looks.tick()).await.is_some() {
            self.refresh(clock());
        }
    }

    /// Exchanges what is due; what cannot be exchanged stays in use.
    fn refresh(&self, now: Timestamp) {
        if self.own.read().unwrap_or_else(PoisonError::into_inner).is_due(now) {
            match Own::make(&self.authority, &self.names, now) {
                Ok(own) => {
                    tracing::info!(ends = %own.ends, "the server's certificate was renewed");
                    *self.own.write().unwrap_or_else(PoisonError::into_inner) = own;
                }
                Err(error) => tracing::error!(%error, "the server's certificate was not renewed"),
            }
        }
        if let Some(given) = &self.given {
            given.refresh();
        }
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let is_agent = hello.alpn().is_some_and(|mut protocols| protocols.any(|name| name == TLS_PROTOCOL));
        if let Some(given) = self.given.as_ref().filter(|_| !is_agent) {
            let loaded = given.current.read().unwrap_or_else(PoisonError::into_inner);
            // Who connects to an address names no host. That are this host's own processes, mostly.
            if hello.server_name().is_some() || loaded.has_addresses {
                return Some(Arc::clone(&loaded.key));
            }
        }
        Some(Arc::clone(&self.own.read().unwrap_or_else(PoisonError::into_inner).key))
    }
}

impl Own {
    fn make(authority: &Authority, names: &[String], now: Timestamp) -> Result<Self, TlsError> {
        let ServerCertificate { chain, key, not_after } = authority.server_certificate(names, now)?;
        let pem = |source| TlsError::Pem { path: "the certificate just made".into(), source };
        let chain =
            CertificateDer::pem_slice_iter(chain.as_bytes()).collect::<Result<Vec<_>, _>>().map_err(pem)?;
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(pem)?;
        let key = Arc::new(CertifiedKey::from_der(chain, key, &provider())?);
        Ok(Self { key, made: now, ends: not_after })
    }

    /// Whether two thirds of its life are over.
    fn is_due(&self, now: Timestamp) -> bool {
        now >= self.made + self.made.duration_until(self.ends) * 2 / 3
    }
}

impl Given {
    fn load(certificate: PathBuf, key: PathBuf) -> Result<Self, TlsError> {
        let loaded = Loaded::read(&certificate, &key)?;
        Ok(Self { certificate, key, current: RwLock::new(loaded) })
    }

    fn refresh(&self) {
        let known = self.current.read().unwrap_or_else(PoisonError::into_inner).written;
        if written([&self.certificate, &self.key]) == known {
            return;
        }
        match Loaded::read(&self.certificate, &self.key) {
            Ok(loaded) => {
                tracing::info!(path = %self.certificate.display(), "the given certificate was read again");
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = loaded;
            }
            // Certificate and key are often replaced one after the other; the next look sees both.
            Err(error) => {
                tracing::warn!(%error, path = %self.certificate.display(), "the new certificate cannot be used; the old one stays");
            }
        }
    }
}

impl Loaded {
    fn read(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let pem = |path: &Path| {
            let path = path.to_owned();
            move |source| TlsError::Pem { path, source }
        };
        let written = written([certificate, key]);
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(certificate)
            .map_err(pem(certificate))?
            .collect::<Result<_, _>>()
            .map_err(pem(certificate))?;
        let has_addresses = chain.first().is_some_and(|leaf| names_addresses(leaf));
        let key = PrivateKeyDer::from_pem_file(key).map_err(pem(key))?;
        let key = Arc::new(CertifiedKey::from_der(chain, key, &provider())?);
        Ok(Self { key, written, has_addresses })
    }
}

fn written(paths: [&Path; 2]) -> [Option<SystemTime>; 2] {
    paths.map(|path| std::fs::metadata(path).and_then(|file| file.modified()).ok())
}

fn names_addresses(certificate: &[u8]) -> bool {
    let Ok((_, certificate)) = x509_parser::parse_x509_certificate(certificate) else { return false };
    let names = certificate.subject_alternative_name().ok().flatten();
    names.is_some_and(|names| {
        names.value.general_names.iter().any(|name| matches!(name, GeneralName::IPAddress(_)))
    })
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    const DAY: SignedDuration = SignedDuration::from_hours(24);

    fn now() -> Timestamp {
        "2026-11-21T02:00:00Z".parse().unwrap()
    }

    fn authority(directory: &Path) -> Arc<Authority> {
        Arc::new(Authority::load_or_create(directory, "test", now()).unwrap())
    }

    fn names() -> Vec<String> {
        vec!["localhost".to_owned()]
    }

    fn leaf(key: &RwLock<Own>) -> Vec<u8> {
        key.read().unwrap().key.cert[0].to_vec()
    }

    #[test]
    fn the_own_certificate_is_renewed_in_time() {
        let directory = tempfile::tempdir().unwrap();
        let certificates = Certificates::new(authority(directory.path()), names(), None, now()).unwrap();
        let first = leaf(&certificates.own);
        certificates.refresh(now() + DAY * 59);
        assert_eq!(leaf(&certificates.own), first);
        certificates.refresh(now() + DAY * 60);
        assert_ne!(leaf(&certificates.own), first);
        assert!(!certificates.own.read().unwrap().is_due(now() + DAY * 61));
    }

    #[test]
    fn a_given_certificate_is_read_again_and_a_broken_one_is_not_taken() {
        let directory = tempfile::tempdir().unwrap();
        let (certificate, key) = (directory.path().join("tls.pem"), directory.path().join("tls.key"));
        let authority = authority(&directory.path().join("keys"));
        let write = |at: Timestamp| {
            let made = authority.server_certificate(&names(), at).unwrap();
            std::fs::write(&certificate, &made.chain).unwrap();
            std::fs::write(&key, made.key.as_bytes()).unwrap();
        };
        write(now());
        let given = Given::load(certificate.clone(), key.clone()).unwrap();
        let shown = || given.current.read().unwrap().key.cert[0].to_vec();
        let first = shown();
        let later = |seconds| {
            let file = std::fs::File::options().append(true).open(&certificate).unwrap();
            file.set_modified(SystemTime::now() + Duration::from_secs(seconds)).unwrap();
        };
        std::fs::write(&certificate, "nonsense").unwrap();
        later(10);
        given.refresh();
        assert_eq!(shown(), first);
        write(now() + DAY);
        later(20);
        given.refresh();
        assert_ne!(shown(), first);
    }
}
