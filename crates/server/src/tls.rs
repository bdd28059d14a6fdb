//! HTTPS: the certificate that the server shows.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;
use towpath_artifact::authority::ServerCertificate;
use towpath_artifact::{Authority, AuthorityError};

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
}

/// Serves with a certificate of the instance's own authority, made anew at each start.
pub(crate) fn own(authority: &Authority, names: &[String], now: Timestamp) -> Result<TlsAcceptor, TlsError> {
    let ServerCertificate { chain, key, not_after: _ } = authority.server_certificate(names, now)?;
    let pem = |source| TlsError::Pem { path: "the certificate just made".into(), source };
    let chain =
        CertificateDer::pem_slice_iter(chain.as_bytes()).collect::<Result<Vec<_>, _>>().map_err(pem)?;
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(pem)?;
    acceptor(chain, key)
}

/// Serves with the certificate and key in PEM files.
pub(crate) fn given(cert: &Path, key: &Path) -> Result<TlsAcceptor, TlsError> {
    let pem = |path: &Path| {
        let path = path.to_owned();
        move |source| TlsError::Pem { path, source }
    };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(cert)
        .map_err(pem(cert))?
        .collect::<Result<_, _>>()
        .map_err(pem(cert))?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(pem(key))?;
    acceptor(chain, key)
}

fn acceptor(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<TlsAcceptor, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
