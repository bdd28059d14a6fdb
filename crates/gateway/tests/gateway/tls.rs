//! Encrypted listeners: certificates by name, exchanged while they serve, and the redirect to them.

#![expect(clippy::unwrap_used, reason = "what goes wrong in a helper fails the test")]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::streams::Streams;
use crate::support::{Client, World, arm, backend, eventually, free_address, plain};
use towpath_api::gateway::{CertificateFiles, Tls};

/// Certificates of one authority, in a directory.
struct Authority {
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
    root: CertificateDer<'static>,
    directory: PathBuf,
}

impl Authority {
    fn new(directory: &Path) -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let root =
            CertificateDer::from_pem_slice(params.self_signed(&key).unwrap().pem().as_bytes()).unwrap();
        Self { issuer: rcgen::Issuer::new(params, key), root, directory: directory.to_owned() }
    }

    /// Leaves a certificate for a name, and its key, at `NAME.pem` and `NAME.key`; returns the certificate.
    fn issue(&self, name: &str, file: &str) -> (CertificateFiles, CertificateDer<'static>) {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let at = |end: &str| self.directory.join(format!("{file}.{end}"));
        let replace = |path: &Path, text: String| {
            let fresh = path.with_extension("fresh");
            std::fs::write(&fresh, text).unwrap();
            std::fs::rename(fresh, path).unwrap();
        };
        replace(&at("key"), key.serialize_pem());
        replace(&at("pem"), certificate.pem());
        let files = CertificateFiles { certificate: at("pem"), key: at("key") };
        (files, certificate.der().clone())
    }

    async fn connect(&self, address: SocketAddr, name: &str) -> TlsStream<TcpStream> {
        self.connect_as(address, name, &[b"http/1.1"]).await
    }

    /// Connects as a client that speaks these protocols.
    async fn connect_as(&self, address: SocketAddr, name: &str, speaks: &[&[u8]]) -> TlsStream<TcpStream> {
        let mut roots = RootCertStore::empty();
        roots.add(self.root.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = speaks.iter().map(|name| name.to_vec()).collect();
        let stream = TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
    }
}

/// The server's own certificate of a connection.
fn shown(stream: &TlsStream<TcpStream>) -> CertificateDer<'static> {
    stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
}

/// Asks, and reads until the answer says `until`.
async fn ask(stream: &mut TlsStream<TcpStream>, request: &str, until: &str) -> String {
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    let mut bytes = vec![0; 16 * 1024];
    while !text.contains(until) {
        let count = stream.read(&mut bytes).await.unwrap();
        assert!(count > 0, "{text}");
        text.push_str(std::str::from_utf8(&bytes[..count]).unwrap());
    }
    text
}

const GET: &str = "GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n";

#[tokio::test]
async fn each_name_has_its_certificate_and_a_new_one_disturbs_nobody() {
    let mut world = World::start().await;
    let authority = Authority::new(world.data.path());
    let (shop, first) = authority.issue("shop.test", "shop");
    let (other, second) = authority.issue("*.other.test", "other");
    let redirect = free_address();
    let mut route = plain("production", world.address, vec![arm("v1", 1000, &[backend("v1").await])]);
    route.tls = Some(Tls { certificates: vec![shop, other], redirect: Some(redirect) });
    world.server.put(route).await;

    let mut stream = authority.connect(world.address, "shop.test").await;
    assert_eq!(shown(&stream), first);
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    let answer = ask(&mut stream, GET, "via:").await;
    assert!(answer.contains("x-forwarded-proto: https\r\n") && answer.contains("v1 0 GET /"), "{answer}");
    let wild = authority.connect(world.address, "a.other.test").await;
    assert_eq!(shown(&wild), second);

    let large = 3 * 1024 * 1024;
    let body = "x".repeat(large);
    let post = format!("POST / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: {large}\r\n\r\n{body}");
    ask(&mut stream, &post, &format!("v1 {large} POST")).await;

    let mut lost = Client::connect(redirect).await;
    let (head, _) = lost.get("/a?b").await;
    assert!(head.starts_with("HTTP/1.1 308 "), "{head}");
    let port = world.address.port();
    assert!(head.contains(&format!("location: https://shop.test:{port}/a?b\r\n")), "{head}");
    assert!(lost.get("/again").await.0.starts_with("HTTP/1.1 308 "), "on the same connection");

    let (_, renewed) = authority.issue("shop.test", "shop");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while shown(&authority.connect(world.address, "shop.test").await) != renewed {
        assert!(std::time::Instant::now() < deadline, "the new certificate is not shown");
    }
    ask(&mut stream, GET, "via:").await;
    let end = "GET / HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\r\n";
    ask(&mut stream, end, "via:").await;
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.expect("the end is said, not only come to");
    drop((stream, wild, lost));
    world.stop().await;
    assert_eq!(world.server.counted("v1"), (4, 0, 0), "redirects reach no revision");
}

#[tokio::test]
async fn http_2_is_spoken_with_whom_it_is_agreed_on() {
    let mut world = World::start().await;
    let authority = Authority::new(world.data.path());
    let (shop, _) = authority.issue("shop.test", "shop");
    let mut route = plain("production", world.address, vec![arm("v1", 1000, &[backend("v1").await])]);
    route.tls = Some(Tls { certificates: vec![shop], redirect: None });
    world.server.put(route).await;
    let stream = authority.connect_as(world.address, "shop.test", &[b"h2", b"http/1.1"]).await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let mut client = Streams::over(stream).await;
    for _ in 0..3 {
        let (status, body) = client.get("/").await;
        assert!(status == 200 && body.contains("x-forwarded-proto: https\r\n"), "{status} {body}");
    }
    for speaks in [&[&b"http/1.1"[..]][..], &[]] {
        let mut stream = authority.connect_as(world.address, "shop.test", speaks).await;
        assert!(ask(&mut stream, GET, "via:").await.contains("v1 0 GET /"), "whoever does not speak it");
    }
    drop(client);
    world.stop().await;
    assert_eq!(world.server.counted("v1"), (5, 0, 0));
}

#[tokio::test]
async fn what_cannot_be_used_is_told_and_what_was_there_stays() {
    let world = World::start().await;
    let authority = Authority::new(world.data.path());
    let v1 = backend("v1").await;
    world.route(vec![arm("v1", 1000, &[v1])]).await;
    let (shop, first) = authority.issue("shop.test", "shop");
    let (other, _) = authority.issue("other.test", "other");
    let encrypted = |certificates| {
        let mut route = plain("production", world.address, vec![arm("v1", 1000, &[v1])]);
        route.tls = Some(Tls { certificates, redirect: None });
        route
    };
    let foreign = CertificateFiles { certificate: shop.certificate.clone(), key: other.key };
    world.server.order_all(vec![encrypted(vec![foreign])]);
    let server = world.server.clone();
    let problem = eventually("the problem is told", || server.applied("production")?.problem).await;
    assert!(problem.contains("other.key cannot be used with"), "{problem}");
    assert!(world.client().await.get("/").await.1.starts_with("v1"), "plain as before");

    world.server.put(encrypted(vec![shop.clone()])).await;
    std::fs::write(&shop.certificate, "-----BEGIN CERTIFICATE-----\nnot one").unwrap();
    let problem = eventually("the bad file is told", || server.applied("production")?.problem).await;
    assert!(problem.contains("shop.pem"), "{problem}");
    assert_eq!(shown(&authority.connect(world.address, "shop.test").await), first, "the older one stays");
    world.route(vec![arm("v1", 1000, &[v1])]).await;
    assert!(world.client().await.get("/").await.1.starts_with("v1"), "plain again");
}
