//! A remote agent joins over TLS that only its token makes trustworthy, and then proves itself by certificate.

#![allow(clippy::unwrap_used, reason = "a failed helper fails the test")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::TlsAcceptor;
use towpath_agent::executor::Limits;
use towpath_agent::process::{AgentOptions, Credentials, JoinError, join, run};
use towpath_api::agent::{Enrol, Enrolled, Orders};
use towpath_artifact::{Authority, JoinToken, ReleaseKey};
use towpath_model::{AgentId, Digest};

/// A server that enrols whoever has the secret, and notes who polls.
struct Server {
    url: String,
    authority: Authority,
    release_key: ReleaseKey,
    agent: AgentId,
    secret: Mutex<String>,
    /// The common name in the certificate of each poll.
    polled_by: Mutex<Vec<AgentId>>,
}

impl Server {
    async fn start(directory: &std::path::Path) -> Arc<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let authority = Authority::load_or_create(directory, "test", Timestamp::now()).unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(tls(&authority)));
        let server = Arc::new(Self {
            url,
            authority,
            release_key: ReleaseKey::generate(),
            agent: AgentId(uuid::Uuid::new_v4()),
            secret: Mutex::default(),
            polled_by: Mutex::default(),
        });
        let accepting = Arc::clone(&server);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (server, acceptor) = (Arc::clone(&accepting), acceptor.clone());
                tokio::spawn(async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        server.answer(stream).await;
                    }
                });
            }
        });
        server
    }

    /// Answers one HTTP/1.1 request and closes.
    async fn answer(&self, mut stream: tokio_rustls::server::TlsStream<tokio::net::TcpStream>) {
        let mut request = Vec::new();
        while !is_whole(&request) {
            if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
                return;
            }
        }
        let text = String::from_utf8(request).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let answer = if head.starts_with("POST /agent/v1/enrol ") {
            self.enrol(&serde_json::from_str(body).unwrap())
        } else {
            let certificate = stream.get_ref().1.peer_certificates().map(|chain| chain[0].clone()).unwrap();
            self.polled_by.lock().unwrap().push(towpath_artifact::authority::agent_of(&certificate).unwrap());
            serde_json::to_string(&Orders { lease_ms: 1000, ..Orders::default() }).unwrap()
        };
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {}",
            answer.len()
        );
        let _gone = stream.write_all(format!("{head}\r\n\r\n{answer}").as_bytes()).await;
        let _gone = stream.shutdown().await;
    }

    fn enrol(&self, enrol: &Enrol) -> String {
        assert_eq!(enrol.token, *self.secret.lock().unwrap());
        let issued = self.authority.agent_certificate(&enrol.request, self.agent, Timestamp::now()).unwrap();
        let enrolled = Enrolled {
            agent: self.agent,
            certificate: issued.certificate,
            authority: self.authority.pem().to_owned(),
            release_key: self.release_key.public().to_pem(),
            not_after: issued.not_after,
        };
        serde_json::to_string(&enrolled).unwrap()
    }

    fn token(&self, authority: Digest, release_key: Digest) -> String {
        let token = JoinToken::generate(self.url.clone(), authority, release_key);
        token.secret().clone_into(&mut self.secret.lock().unwrap());
        token.expose().to_string()
    }
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head
        .lines()
        .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse::<usize>().ok());
    body.len() >= length.unwrap_or(0)
}

fn tls(authority: &Authority) -> rustls::ServerConfig {
    let certificate = authority.server_certificate(&["127.0.0.1".to_owned()], Timestamp::now()).unwrap();
    let chain = CertificateDer::pem_slice_iter(certificate.chain.as_bytes()).map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_slice(certificate.key.as_bytes()).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(clients.allow_unauthenticated().build().unwrap())
        .with_single_cert(chain, key)
        .unwrap()
}

#[tokio::test]
async fn joins_with_the_token_and_polls_with_its_certificate() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let server = Server::start(&at("server")).await;
    let token = server.token(server.authority.fingerprint(), server.release_key.public().id());
    let agent = join(&token, &at("identity"), "host".to_owned(), BTreeMap::new()).await.unwrap();
    assert_eq!(agent, server.agent);
    let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(at("identity/agent.key")).unwrap());
    assert_eq!(mode & 0o777, 0o600);

    let options = AgentOptions {
        directory: at("agent"),
        data: directory.path().to_owned(),
        credentials: Credentials::Remote { identity: at("identity") },
        release_key: at("identity/release.pub"),
        labels: BTreeMap::new(),
        runner: false,
        deployer: true,
        address: std::net::Ipv4Addr::LOCALHOST.into(),
        capacity: 0,
        one_job: false,
        program: "/bin/false".into(),
        allow_unsandboxed: false,
        allow_fork_containers: false,
        limits: Limits::default(),
    };
    let polled = async {
        while server.polled_by.lock().unwrap().len() < 2 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), run(options, polled)).await.unwrap().unwrap();
    assert!(server.polled_by.lock().unwrap().iter().all(|polling| *polling == agent));
}

#[tokio::test]
async fn refuses_a_server_or_a_release_key_that_the_token_does_not_name() {
    let directory = tempfile::tempdir().unwrap();
    let identity = directory.path().join("identity");
    let server = Server::start(&directory.path().join("server")).await;
    let (authority, key) = (server.authority.fingerprint(), server.release_key.public().id());
    let impostor = server.token(Digest::of(b"another"), key);
    let refused = join(&impostor, &identity, "host".to_owned(), BTreeMap::new()).await.unwrap_err();
    assert!(matches!(refused, JoinError::OtherServer { .. }), "{refused}");
    let tampered = server.token(authority, Digest::of(b"another"));
    let refused = join(&tampered, &identity, "host".to_owned(), BTreeMap::new()).await.unwrap_err();
    assert!(matches!(refused, JoinError::Mismatch { what: "a release key", .. }), "{refused}");
    assert!(!identity.exists(), "something was kept");
}
