//! TLS to a server that is known by the fingerprint of its authority, whatever its address.

use std::sync::{Arc, OnceLock};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error as TlsError, SignatureScheme};
use towpath_api::agent::TLS_PROTOCOL;
use towpath_artifact::authority::SERVER_NAME;
use towpath_model::Digest;

use super::client::tls_builder;

/// Believes whoever shows the server's certificate of the one authority with this fingerprint.
///
/// Only the server itself has one, so the address by which it was reached does not matter.
#[derive(Debug)]
pub(super) struct PinnedAuthority {
    fingerprint: Digest,
    provider: Arc<CryptoProvider>,
    algorithms: WebPkiSupportedAlgorithms,
    impostor: OnceLock<String>,
}

impl PinnedAuthority {
    pub(super) fn new(fingerprint: Digest) -> Self {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let algorithms = provider.signature_verification_algorithms;
        Self { fingerprint, provider, algorithms, impostor: OnceLock::new() }
    }

    /// The fingerprint of another authority that was shown.
    pub(super) fn impostor(&self) -> Option<String> {
        self.impostor.get().cloned()
    }

    /// TLS that believes only this authority, and shows `identity`: a certificate chain and its key.
    pub(super) fn client(
        this: &Arc<Self>,
        identity: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
    ) -> Result<ClientConfig, String> {
        let verifier = Arc::<Self>::clone(this);
        let builder = tls_builder()?.dangerous().with_custom_certificate_verifier(verifier);
        let mut config = match identity {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => builder
                .with_client_auth_cert(chain, key)
                .map_err(|error| format!("the agent's certificate cannot be used: {error}"))?,
        };
        config.alpn_protocols = vec![TLS_PROTOCOL.to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }
}

impl ServerCertVerifier for PinnedAuthority {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _address: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        let unknown = || TlsError::InvalidCertificate(CertificateError::UnknownIssuer);
        let pinned = intermediates.iter().find(|certificate| Digest::of(certificate) == self.fingerprint);
        let Some(pinned) = pinned else {
            let shown = intermediates.last();
            let shown =
                shown.map_or_else(|| "no authority".to_owned(), |shown| Digest::of(shown).to_string());
            // Only the first is told; who tries again is refused alike.
            let _told = self.impostor.set(shown);
            return Err(unknown());
        };
        let mut roots = rustls::RootCertStore::empty();
        roots.add(pinned.clone().into_owned())?;
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&self.provider));
        let verifier = verifier.build().map_err(|_| unknown())?;
        let server = ServerName::try_from(SERVER_NAME).map_err(|_| unknown())?;
        verifier.verify_server_cert(end_entity, intermediates, &server, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
