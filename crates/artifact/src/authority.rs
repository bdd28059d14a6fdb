//! The instance's own certificate authority: it names the server, and lets agents in.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SerialNumber,
};
use towpath_model::{AgentId, Digest};
use x509_parser::parse_x509_certificate;
use zeroize::Zeroizing;

use crate::files;
use crate::identity::random_bytes;

const HOUR: SignedDuration = SignedDuration::from_hours(1);

/// How long an agent's certificate lasts. It renews after two thirds; one that is not let in any more is out within a day.
pub const AGENT_LIFE: SignedDuration = SignedDuration::from_hours(24);

/// How long the server's certificate lasts.
pub const SERVER_LIFE: SignedDuration = SignedDuration::from_hours(24 * 90);

/// The name that every server certificate of an authority carries, besides those of its host.
///
/// Only the server has a certificate for it, so an agent that pinned the authority looks for this name and needs no
/// address to be right.
pub const SERVER_NAME: &str = "server.towpath.internal";

/// How long the authority lasts: agents pin it, so it outlives the installation.
const AUTHORITY_LIFE: SignedDuration = SignedDuration::from_hours(24 * 365 * 20);

/// The longest certificate request that is looked at; a P-256 one has about 500 bytes.
const MAX_REQUEST: usize = 16 << 10;

/// The certificate authority of one Towpath instance.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    fingerprint: Digest,
    agent_life: SignedDuration,
}

/// A certificate with its private key, for the server.
pub struct ServerCertificate {
    /// The certificate and the authority's, in PEM.
    pub chain: String,
    /// The private key in PKCS#8 PEM.
    pub key: Zeroizing<String>,
    /// When it ends. The server makes a new one after two thirds of its life.
    pub not_after: Timestamp,
}

/// A certificate for an agent, whose key stays with the agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentCertificate {
    /// The certificate in PEM.
    pub certificate: String,
    /// When it ends.
    pub not_after: Timestamp,
}

/// What an agent makes for itself: a key, and the request for a certificate.
pub struct AgentKey {
    /// The private key in PKCS#8 PEM. It never leaves the agent.
    pub key: Zeroizing<String>,
    /// The PKCS#10 request in PEM.
    pub request: String,
}

/// Makes an agent's key and the request to send with the join token.
///
/// # Errors
/// Fails if no key can be made.
pub fn agent_key_and_request() -> Result<AgentKey, AuthorityError> {
    let key = new_key()?;
    Ok(AgentKey { request: request_for(&key)?, key: Zeroizing::new(key.serialize_pem()) })
}

/// Makes the request to renew the certificate of an agent's existing key.
///
/// # Errors
/// Fails if the key cannot be read.
pub fn renewal_request(key: &str) -> Result<String, AuthorityError> {
    request_for(&KeyPair::from_pem(key).map_err(AuthorityError::Make)?)
}

fn request_for(key: &KeyPair) -> Result<String, AuthorityError> {
    // It asks for nothing: the authority says who the agent is and what the certificate is for.
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.serialize_request(key).and_then(|request| request.pem()).map_err(AuthorityError::Make)
}

impl Authority {
    /// Loads the authority below `directory`, or makes one there. `instance` is its name, for people.
    ///
    /// # Errors
    /// Fails if the files cannot be read or made, do not belong together, or other users can read the key.
    pub fn load_or_create(directory: &Path, instance: &str, now: Timestamp) -> Result<Self, AuthorityError> {
        files::create_private_directory(directory).map_err(|error| AuthorityError::io(directory, error))?;
        let (key_path, certificate_path) = (directory.join("authority.key"), directory.join("authority.pem"));
        // The key comes first: a crash before the certificate leaves a key for which one is made now.
        let new = Zeroizing::new(new_key()?.serialize_pem());
        create_if_missing(&key_path, new.as_bytes())?;
        files::check_private(&key_path).map_err(|error| AuthorityError::io(&key_path, error))?;
        let key_pem = Zeroizing::new(read(&key_path)?);
        let key = KeyPair::from_pem(&key_pem)
            .map_err(|source| AuthorityError::Load { path: key_path.clone(), source })?;
        if !certificate_path.exists() {
            let made = authority_params(instance, now)?.self_signed(&key).map_err(AuthorityError::Make)?;
            create_if_missing(&certificate_path, made.pem().as_bytes())?;
        }
        Self::new(key, read(&certificate_path)?, &certificate_path)
    }

    fn new(key: KeyPair, pem: String, path: &Path) -> Result<Self, AuthorityError> {
        let invalid = || AuthorityError::Mismatch { path: path.into() };
        let (_, block) = x509_parser::pem::parse_x509_pem(pem.as_bytes()).map_err(|_| invalid())?;
        let (_, certificate) = parse_x509_certificate(&block.contents).map_err(|_| invalid())?;
        if certificate.public_key().subject_public_key.data != key.public_key_raw() {
            return Err(invalid());
        }
        let fingerprint = Digest::of(&block.contents);
        let issuer = Issuer::from_ca_cert_pem(&pem, key)
            .map_err(|source| AuthorityError::Load { path: path.into(), source })?;
        Ok(Self { issuer, pem, fingerprint, agent_life: AGENT_LIFE })
    }

    /// Gives agents certificates of another life than [`AGENT_LIFE`].
    #[must_use]
    pub const fn with_agent_life(mut self, life: SignedDuration) -> Self {
        self.agent_life = life;
        self
    }

    /// The authority's certificate in PEM.
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// The SHA-256 of the authority's certificate in DER: what a join token carries.
    #[must_use]
    pub const fn fingerprint(&self) -> Digest {
        self.fingerprint
    }

    /// Makes a key and a certificate for a server that is reached by `names`: host names or addresses.
    ///
    /// # Errors
    /// Fails if a name cannot stand in a certificate.
    pub fn server_certificate(
        &self,
        names: &[String],
        now: Timestamp,
    ) -> Result<ServerCertificate, AuthorityError> {
        let names: Vec<String> = names.iter().cloned().chain([SERVER_NAME.to_owned()]).collect();
        self.certificate_for("Towpath server", names, now)
    }

    /// Makes a key and a certificate for a gateway's listener that users reach by `names`: host names or addresses.
    ///
    /// # Errors
    /// Fails if a name cannot stand in a certificate, or is the one by which agents know the server.
    pub fn listener_certificate(
        &self,
        names: &[String],
        now: Timestamp,
    ) -> Result<ServerCertificate, AuthorityError> {
        if names.iter().any(|name| is_server_name(name)) {
            return Err(AuthorityError::ServerName);
        }
        self.certificate_for("Towpath gateway", names.to_vec(), now)
    }

    fn certificate_for(
        &self,
        common_name: &str,
        names: Vec<String>,
        now: Timestamp,
    ) -> Result<ServerCertificate, AuthorityError> {
        let mut params = CertificateParams::new(names).map_err(AuthorityError::Make)?;
        let not_after = leaf(&mut params, common_name, now, SERVER_LIFE)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = new_key()?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(AuthorityError::Make)?;
        Ok(ServerCertificate {
            chain: format!("{}{}", certificate.pem(), self.pem),
            key: Zeroizing::new(key.serialize_pem()),
            not_after,
        })
    }

    /// Makes an agent's certificate for the key in `request`. Whatever else the request asks for is ignored.
    ///
    /// # Errors
    /// Fails if the request is not one, was not signed with its own key, or its key is not P-256.
    pub fn agent_certificate(
        &self,
        request: &str,
        agent: AgentId,
        now: Timestamp,
    ) -> Result<AgentCertificate, AuthorityError> {
        if request.len() > MAX_REQUEST {
            return Err(AuthorityError::RequestTooLarge { found: request.len() });
        }
        let public_key =
            CertificateSigningRequestParams::from_pem(request).map_err(AuthorityError::Request)?.public_key;
        if *public_key.algorithm() != PKCS_ECDSA_P256_SHA256 {
            return Err(AuthorityError::RequestKey);
        }
        let mut params = CertificateParams::default();
        let not_after = leaf(&mut params, &agent.to_string(), now, self.agent_life)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(&public_key, &self.issuer).map_err(AuthorityError::Make)?;
        Ok(AgentCertificate { certificate: certificate.pem(), not_after })
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Authority({})", self.fingerprint)
    }
}

/// Reads which agent a certificate names. Call it only for one that TLS has verified against the authority.
///
/// # Errors
/// Fails if the certificate's common name is not an agent's identity.
pub fn agent_of(certificate_der: &[u8]) -> Result<AgentId, NotAnAgent> {
    let (_, certificate) = parse_x509_certificate(certificate_der).map_err(|_| NotAnAgent)?;
    let is_client =
        certificate.extended_key_usage().ok().flatten().is_some_and(|usage| usage.value.client_auth);
    let mut names = certificate.subject().iter_common_name();
    match (is_client, names.next(), names.next()) {
        (true, Some(name), None) => name.as_str().ok().and_then(|name| name.parse().ok()).ok_or(NotAnAgent),
        _ => Err(NotAnAgent),
    }
}

/// Whether agents would take whoever has a certificate for this name for the server.
fn is_server_name(name: &str) -> bool {
    let name = name.trim().trim_end_matches('.').to_ascii_lowercase();
    // A `*` stands for one label.
    name == SERVER_NAME || name.strip_prefix('*').is_some_and(|rest| SERVER_NAME.ends_with(rest))
}

/// Reads when a certificate ends.
///
/// # Errors
/// Fails if it is no certificate.
pub fn end_of(certificate_der: &[u8]) -> Result<Timestamp, NotAnAgent> {
    let (_, certificate) = parse_x509_certificate(certificate_der).map_err(|_| NotAnAgent)?;
    Timestamp::from_second(certificate.validity().not_after.timestamp()).map_err(|_| NotAnAgent)
}

/// A certificate that names no agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the certificate is not an agent's")]
pub struct NotAnAgent;

fn new_key() -> Result<KeyPair, AuthorityError> {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(AuthorityError::Make)
}

fn authority_params(instance: &str, now: Timestamp) -> Result<CertificateParams, AuthorityError> {
    let mut params = CertificateParams::default();
    // It signs leaves only: no authority below it is ever valid.
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    name_and_date(&mut params, &format!("Towpath {instance}"), now, AUTHORITY_LIFE)?;
    Ok(params)
}

fn leaf(
    params: &mut CertificateParams,
    common_name: &str,
    now: Timestamp,
    life: SignedDuration,
) -> Result<Timestamp, AuthorityError> {
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    name_and_date(params, common_name, now, life)
}

fn name_and_date(
    params: &mut CertificateParams,
    common_name: &str,
    now: Timestamp,
    life: SignedDuration,
) -> Result<Timestamp, AuthorityError> {
    // An hour back, so that a host whose clock is a little behind takes a fresh certificate.
    let (not_before, not_after) = match (now.checked_sub(HOUR), now.checked_add(life)) {
        (Ok(before), Ok(after)) if before.as_second() >= 0 => (before, after),
        _ => return Err(AuthorityError::Clock { now }),
    };
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let seconds = |time: Timestamp| Duration::from_secs(time.as_second().unsigned_abs());
    params.not_before = epoch + seconds(not_before);
    params.not_after = epoch + seconds(not_after);
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    let mut serial = random_bytes::<16>();
    // A serial number is a positive integer of exactly this length.
    serial[0] = serial[0] & 0x7f | 0x40;
    params.serial_number = Some(SerialNumber::from_slice(&*serial));
    Ok(Timestamp::from_second(not_after.as_second()).unwrap_or(not_after))
}

fn create_if_missing(path: &Path, bytes: &[u8]) -> Result<(), AuthorityError> {
    match files::create_private(path, bytes) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(AuthorityError::io(path, error)),
        _ => Ok(()),
    }
}

fn read(path: &Path) -> Result<String, AuthorityError> {
    fs::read_to_string(path).map_err(|error| AuthorityError::io(path, error))
}

/// Why a certificate was not made.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// A file cannot be read or made.
    #[error("failed to use {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's word.
        #[source]
        source: io::Error,
    },
    /// A file holds something else.
    #[error("{} is damaged; restore it from a backup, or every agent has to join again", path.display())]
    Load {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: rcgen::Error,
    },
    /// The certificate is of another key.
    #[error("{} does not belong to the key beside it; restore both from the same backup", path.display())]
    Mismatch {
        /// The certificate.
        path: PathBuf,
    },
    /// The request is not one, or its signature is wrong.
    #[error("the certificate request was refused")]
    Request(#[source] rcgen::Error),
    /// The request is too long.
    #[error("the certificate request has {found} bytes, more than the allowed {MAX_REQUEST}")]
    RequestTooLarge {
        /// Its length.
        found: usize,
    },
    /// The request has a key of another kind.
    #[error("the certificate request was refused: its key is not ECDSA P-256")]
    RequestKey,
    /// Agents would take whoever has the certificate for the server.
    #[error("no certificate for a name that {SERVER_NAME} fits: agents know the server by it")]
    ServerName,
    /// The certificate cannot be made.
    #[error("failed to make a certificate")]
    Make(#[source] rcgen::Error),
    /// The clock is far off.
    #[error("the clock says {now}; set it right, certificates need the time")]
    Clock {
        /// What it says.
        now: Timestamp,
    },
}

impl AuthorityError {
    fn io(path: &Path, source: io::Error) -> Self {
        Self::Io { path: path.into(), source }
    }
}

#[cfg(test)]
mod tests {
    use rcgen::SanType;
    use uuid::Uuid;

    use super::*;

    const AGENT: AgentId = AgentId(Uuid::from_u128(9));

    fn now() -> Timestamp {
        "2026-11-21T02:00:00Z".parse().unwrap()
    }

    fn der(pem: &str) -> Vec<u8> {
        x509_parser::pem::parse_x509_pem(pem.as_bytes()).unwrap().1.contents
    }

    fn authority() -> (tempfile::TempDir, Authority) {
        let directory = tempfile::tempdir().unwrap();
        let authority = Authority::load_or_create(&directory.path().join("keys"), "test", now()).unwrap();
        (directory, authority)
    }

    #[test]
    fn a_listener_can_never_be_taken_for_the_server() {
        let directory = tempfile::tempdir().unwrap();
        let authority = Authority::load_or_create(directory.path(), "test", now()).unwrap();
        for name in ["server.towpath.internal", "SERVER.towpath.internal.", "*.towpath.internal", "*"] {
            let refused = authority.listener_certificate(&["shop.test".to_owned(), name.to_owned()], now());
            assert!(matches!(refused, Err(AuthorityError::ServerName)), "{name}");
        }
        let made = authority.listener_certificate(&["shop.test".to_owned()], now()).unwrap();
        let (_, pem) = x509_parser::pem::parse_x509_pem(made.chain.as_bytes()).unwrap();
        let certificate = pem.parse_x509().unwrap();
        let names = &certificate.subject_alternative_name().unwrap().unwrap().value.general_names;
        assert_eq!(names.len(), 1, "{names:?}");
    }

    #[test]
    fn is_made_once() {
        let (directory, first) = authority();
        let again = Authority::load_or_create(&directory.path().join("keys"), "other", now()).unwrap();
        assert_eq!(again.fingerprint(), first.fingerprint());
        assert_eq!(Digest::of(&der(first.pem())), first.fingerprint());
        // After a crash between key and certificate.
        fs::remove_file(directory.path().join("keys/authority.pem")).unwrap();
        let healed = Authority::load_or_create(&directory.path().join("keys"), "test", now()).unwrap();
        assert_ne!(healed.fingerprint(), first.fingerprint());
        fs::write(directory.path().join("keys/authority.pem"), authority().1.pem()).unwrap();
        let refused = Authority::load_or_create(&directory.path().join("keys"), "test", now());
        assert!(matches!(refused, Err(AuthorityError::Mismatch { .. })));
    }

    #[test]
    fn an_agent_gets_its_name_and_a_day_whatever_it_asks_for() {
        let (_directory, authority) = authority();
        let key = new_key().unwrap();
        let mut greedy = CertificateParams::default();
        greedy.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        greedy.distinguished_name.push(DnType::CommonName, "root");
        greedy.subject_alt_names = vec![SanType::DnsName("server.example".try_into().unwrap())];
        greedy.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let request = greedy.serialize_request(&key).unwrap().pem().unwrap();
        let issued = authority.agent_certificate(&request, AGENT, now()).unwrap();
        assert_eq!(issued.not_after, "2026-11-22T02:00:00Z".parse().unwrap());
        let der = der(&issued.certificate);
        assert_eq!(agent_of(&der), Ok(AGENT));
        let (_, certificate) = parse_x509_certificate(&der).unwrap();
        assert!(!certificate.is_ca());
        assert!(certificate.subject_alternative_name().unwrap().is_none());
        let usage = certificate.extended_key_usage().unwrap().unwrap().value;
        assert!(usage.client_auth && !usage.server_auth);
        assert_eq!(certificate.validity().not_after.timestamp(), issued.not_after.as_second());
    }

    #[test]
    fn refuses_requests_that_are_none() {
        let (_directory, authority) = authority();
        let good = agent_key_and_request().unwrap().request;
        assert!(authority.agent_certificate(&good, AGENT, now()).is_ok());
        let mut middle: Vec<char> = good.chars().collect();
        let at = middle.len() / 2;
        middle[at] = if middle[at] == 'A' { 'B' } else { 'A' };
        let tampered: String = middle.into_iter().collect();
        assert!(authority.agent_certificate(&tampered, AGENT, now()).is_err());
        assert!(matches!(authority.agent_certificate("", AGENT, now()), Err(AuthorityError::Request(_))));
        let long = "x".repeat(MAX_REQUEST + 1);
        assert!(matches!(
            authority.agent_certificate(&long, AGENT, now()),
            Err(AuthorityError::RequestTooLarge { .. })
        ));
        let ed25519 = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        let request = request_for(&ed25519).unwrap();
        assert!(matches!(
            authority.agent_certificate(&request, AGENT, now()),
            Err(AuthorityError::RequestKey)
        ));
    }

    #[test]
    fn openssl_follows_the_chain() {
        let (directory, authority) = authority();
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
        let server = authority.server_certificate(&names, now()).unwrap();
        let agent = agent_key_and_request().unwrap();
        let renewed = renewal_request(&agent.key).unwrap();
        let client = authority.agent_certificate(&renewed, AGENT, now()).unwrap();
        for (name, text) in
            [("ca.pem", authority.pem()), ("server.pem", &server.chain), ("client.pem", &client.certificate)]
        {
            fs::write(directory.path().join(name), text).unwrap();
        }
        let verify = |purpose: &str, extra: &[&str], file: &str| {
            let time = now().as_second().to_string();
            std::process::Command::new("openssl")
                .args(["verify", "-x509_strict", "-attime", &time, "-CAfile", "ca.pem", "-purpose", purpose])
                .args(extra)
                .arg(file)
                .current_dir(directory.path())
                .output()
        };
        let Ok(output) = verify("sslserver", &["-verify_ip", "127.0.0.1"], "server.pem") else {
            eprintln!("SKIPPED: openssl is not installed (apt-get install openssl)");
            return;
        };
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(verify("sslclient", &[], "client.pem").unwrap().status.success());
        assert!(!verify("sslserver", &[], "client.pem").unwrap().status.success());
        assert!(!verify("sslserver", &["-verify_hostname", "other"], "server.pem").unwrap().status.success());
        assert_eq!(agent_of(&der(&server.chain)), Err(NotAnAgent));
    }
}
