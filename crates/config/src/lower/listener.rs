//! Where the gateway listens for an Environment, and how that is encrypted.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use towpath_model::policy::{CertificateFiles, Certificates, Tls};

use crate::diagnostic::{Problem, Report, quote};
use crate::fields::{Fields, Located};
use crate::spec::environment::{CERTIFICATE, TLS};
use crate::tree::Node;

/// `0.0.0.0:8080`, `[::]:8080`, or a port, which means loopback.
pub(super) fn address(listen: &Located<String>, report: &Report<'_>) -> Option<SocketAddr> {
    let text = listen.value.trim();
    let port = text.strip_prefix(':').unwrap_or(text).parse::<u16>().ok();
    let address =
        port.map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port))).or_else(|| text.parse().ok());
    let address = address.or_else(|| {
        let port = text.strip_prefix("localhost:")?.parse::<u16>().ok()?;
        Some(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
    });
    if address.is_none_or(|address| address.port() == 0) {
        let problem =
            Problem::error("bad-address", format!("`{}` is not an address to listen on", quote(text)))
                .hint("write `127.0.0.1:8080`, `0.0.0.0:8080` or `\"[::]:8080\"`");
        report.at(&listen.span, problem);
        return None;
    }
    address
}

/// An address beside those that are `taken` already.
pub(super) fn further_address(
    text: &Located<String>,
    taken: &[Option<SocketAddr>],
    report: &Report<'_>,
) -> Option<SocketAddr> {
    let address = address(text, report)?;
    // A port that is taken on every address is taken on each of them.
    let meets = |other: &SocketAddr| {
        let everywhere = other.ip().is_unspecified() || address.ip().is_unspecified();
        other.port() == address.port() && (everywhere || other.ip() == address.ip())
    };
    if taken.iter().flatten().any(meets) {
        let problem =
            Problem::error("bad-address", format!("`{address}` is taken by this environment already"))
                .hint("give each of its listeners a port of its own");
        report.at(&text.span, problem);
    }
    Some(address)
}

/// Lowers `tls`.
pub(super) fn tls(fields: &mut Fields<'_, '_>, listen: Option<SocketAddr>) -> Option<Tls> {
    let report = fields.report;
    let entry = fields.entry("tls")?;
    let mut tls = Fields::open(&entry.value, &entry.key_span, &TLS, report)?;
    let (has_files, has_names) = (tls.has("certificates"), tls.has("names"));
    let files: Vec<_> = tls.list("certificates").iter().filter_map(|node| files(node, report)).collect();
    let names = tls.texts("names");
    let redirect = tls.text("redirect").and_then(|text| further_address(&text, &[listen], report));
    tls.close();
    if has_files == has_names {
        let problem =
            Problem::error("bad-tls", "`tls` takes its certificates from `certificates` or from `names`")
                .hint(
                    "`certificates: [{ certificate: /etc/ssl/shop.pem, key: /etc/ssl/shop.key }]` for files, \
                 `names: [shop.internal]` for one that this Towpath makes",
                );
        report.at(&entry.key_span, problem);
        return None;
    }
    if files.is_empty() && names.is_empty() {
        let problem = Problem::error("bad-tls", "there is no certificate to encrypt with")
            .hint("for example `names: [shop.internal]`");
        report.at(&entry.key_span, problem);
        return None;
    }
    for name in &names {
        check_name(name, report);
    }
    let certificates = if has_files {
        Certificates::Files(files)
    } else {
        let names: BTreeSet<String> = names.into_iter().map(|name| name.value.to_ascii_lowercase()).collect();
        Certificates::Names(names.into_iter().collect())
    };
    Some(Tls { certificates, redirect })
}

fn files(node: &Node, report: &Report<'_>) -> Option<CertificateFiles> {
    let mut fields = Fields::open(node, &node.span, &CERTIFICATE, report)?;
    let certificate = path(&mut fields, "certificate", report);
    let key = path(&mut fields, "key", report);
    fields.close();
    Some(CertificateFiles { certificate: certificate?, key: key? })
}

fn path(fields: &mut Fields<'_, '_>, what: &'static str, report: &Report<'_>) -> Option<PathBuf> {
    let text = fields.text(what)?;
    if !text.value.starts_with('/') || text.value.contains('\0') {
        let message = format!("`{}` is not an absolute path", quote(&text.value));
        let problem = Problem::error("bad-tls", message)
            .hint("the gateway reads the file on its own machine: `/etc/ssl/shop.pem`");
        report.at(&text.span, problem);
    }
    Some(PathBuf::from(text.value))
}

/// A host name, with or without a `*` for its first label, or an address.
fn check_name(name: &Located<String>, report: &Report<'_>) {
    let text = &name.value;
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let host = text.strip_prefix("*.").unwrap_or(text);
    let is_host = text.len() <= 253 && host.split('.').all(label);
    if !is_host && text.parse::<IpAddr>().is_err() {
        let problem =
            Problem::error("bad-tls", format!("`{}` is neither a host name nor an address", quote(text)))
                .hint("for example `shop.internal`, `*.shop.internal` or `192.0.2.7`");
        report.at(&name.span, problem);
    } else if host.to_ascii_lowercase().ends_with("towpath.internal") {
        let problem =
            Problem::error("bad-tls", format!("`{text}` is among the names by which agents know the server"))
                .hint("take a name of your own, such as `shop.internal`");
        report.at(&name.span, problem);
    }
}
