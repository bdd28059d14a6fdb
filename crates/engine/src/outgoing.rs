//! Requests to addresses that documents and commits name.
//!
//! Whoever can name an address must not reach the server's own network with it. So only public addresses are spoken to,
//! and what the operator allows by name or network; every address that a name resolves to is looked at, redirects are
//! not followed, and no proxy is asked.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Request, RequestBuilder, Url};

use crate::EngineError;
use crate::error::chain;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The most bytes of an answer that are read.
const MAX_ANSWER: usize = 256 * 1024;

/// An address that may be spoken to, though it is not a public one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Allowed {
    /// A host by name, as an address says it.
    Host(String),
    /// A network.
    Network {
        /// Its address.
        address: IpAddr,
        /// How many of its bits count.
        bits: u8,
    },
}

/// An entry of the allow-list that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is neither a host nor a network; write `prometheus.internal`, `10.1.0.0/16` or `127.0.0.1`"
)]
pub struct InvalidAllowed {
    /// What was given.
    pub text: String,
}

impl FromStr for Allowed {
    type Err = InvalidAllowed;

    fn from_str(text: &str) -> Result<Self, InvalidAllowed> {
        let invalid = || InvalidAllowed { text: text.chars().take(100).collect() };
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse::<u8>().map_err(|_| invalid())?)),
            None => (text, None),
        };
        match (address.parse::<IpAddr>(), bits) {
            (Ok(address), bits) => {
                let whole = if address.is_ipv4() { 32 } else { 128 };
                let bits = bits.unwrap_or(whole);
                (bits <= whole).then_some(Self::Network { address, bits }).ok_or_else(invalid)
            }
            (Err(_), Some(_)) => Err(invalid()),
            (Err(_), None) => {
                let name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
                let good = !text.is_empty() && text.len() <= 253 && text.chars().all(name);
                good.then(|| Self::Host(text.to_ascii_lowercase())).ok_or_else(invalid)
            }
        }
    }
}

/// What another system answered.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) status: u16,
    /// The beginning of it.
    pub(crate) body: Vec<u8>,
    /// When it wants to be asked again.
    pub(crate) retry_after: Option<SignedDuration>,
}

/// Speaks to the outside.
#[derive(Debug, Clone)]
pub(crate) struct Outgoing {
    client: reqwest::Client,
    allowed: Arc<Vec<Allowed>>,
}

impl Outgoing {
    pub(crate) fn new(allowed: Vec<Allowed>) -> Result<Self, EngineError> {
        // The client asks for a provider of cryptography even where it only speaks plain HTTP. A second call changes nothing.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let allowed = Arc::new(allowed);
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(PATIENCE)
            .no_proxy()
            .user_agent(concat!("towpath/", env!("CARGO_PKG_VERSION")))
            .dns_resolver(Guard { allowed: Arc::clone(&allowed) })
            .build()
            .map_err(|error| EngineError::internal("the HTTP client could not be made", error))?;
        Ok(Self { client, allowed })
    }

    pub(crate) fn post(&self, url: &str) -> RequestBuilder {
        self.client.post(url)
    }

    pub(crate) fn get(&self, url: &str) -> RequestBuilder {
        self.client.get(url)
    }

    /// Sends a request. `Err` says in words why there is no answer, without the path: it may hold a token.
    pub(crate) async fn send(&self, request: RequestBuilder) -> Result<Answered, String> {
        let request: Request = request.build().map_err(|error| chain(&error.without_url()))?;
        self.check(request.url())?;
        let sent = self.client.execute(request).await;
        let mut answer = sent.map_err(|error| chain(&error.without_url()))?;
        let status = answer.status().as_u16();
        let retry_after =
            answer.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
        let mut body = Vec::new();
        while let Some(part) = answer.chunk().await.map_err(|error| chain(&error.without_url()))? {
            body.extend_from_slice(&part[..part.len().min(MAX_ANSWER - body.len())]);
            if body.len() >= MAX_ANSWER {
                break;
            }
        }
        Ok(Answered { status, body, retry_after: retry_after.map(SignedDuration::from_secs) })
    }

    /// Refuses an address that is written as a number; one that is a name is looked at when it is resolved.
    fn check(&self, url: &Url) -> Result<(), String> {
        let host = url.host_str().unwrap_or_default();
        let literal = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        match literal {
            Ok(address) if !may(&self.allowed, host, address) => Err(refusal(host)),
            Ok(_) | Err(_) => Ok(()),
        }
    }
}

/// Resolves names, and leaves out what must not be spoken to.
#[derive(Debug)]
struct Guard {
    allowed: Arc<Vec<Allowed>>,
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let (host, allowed) = (name.as_str().to_owned(), Arc::clone(&self.allowed));
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((host.as_str(), 0)).await?.collect();
            let known = !found.is_empty();
            let good: Vec<SocketAddr> =
                found.into_iter().filter(|address| may(&allowed, &host, address.ip())).collect();
            if known && good.is_empty() {
                return Err(refusal(&host).into());
            }
            Ok(Box::new(good.into_iter()) as Addrs)
        })
    }
}

fn refusal(host: &str) -> String {
    format!(
        "{host} is not a public address, and this server does not speak to others on behalf of documents; its operator \
         allows it with `outgoing: [{host}]` in server.yaml"
    )
}

fn may(allowed: &[Allowed], host: &str, address: IpAddr) -> bool {
    let by_name = |name: &String| name.eq_ignore_ascii_case(host.trim_end_matches('.'));
    is_public(address)
        || allowed.iter().any(|allowed| match allowed {
            Allowed::Host(name) => by_name(name),
            Allowed::Network { address: network, bits } => contains(*network, *bits, address),
        })
}

fn contains(network: IpAddr, bits: u8, address: IpAddr) -> bool {
    let (network, address, width) = match (network, address.to_canonical()) {
        (IpAddr::V4(network), IpAddr::V4(address)) => {
            (u128::from(network.to_bits()), u128::from(address.to_bits()), 32)
        }
        (IpAddr::V6(network), IpAddr::V6(address)) => (network.to_bits(), address.to_bits(), 128),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return false,
    };
    let left = u32::from(width - bits.min(width));
    network.checked_shr(left).unwrap_or(0) == address.checked_shr(left).unwrap_or(0)
}

/// Whether an address is one of the open Internet.
fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = a == 0
        || a >= 240
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && (18..20).contains(&b));
    !special
        && !address.is_private()
        && !address.is_loopback()
        && !address.is_link_local()
        && !address.is_documentation()
        && !address.is_multicast()
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    let embedded = match segments {
        // NAT64 and 6to4 lead to the IPv4 address within.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => Some((high, low)),
        _ => None,
    };
    if let Some((high, low)) = embedded {
        return is_public_v4(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)));
    }
    // Only this part of the space is given out at all.
    let given_out = segments[0] & 0xe000 == 0x2000;
    let documentation = segments[0] == 0x2001 && segments[1] == 0xdb8;
    let teredo = segments[0] == 0x2001 && segments[1] == 0;
    given_out && !documentation && !teredo
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_open_internet_is_public() {
        for (address, public) in [
            ("93.184.216.34", true),
            ("2606:2800:220:1:248:1893:25c8:1946", true),
            ("127.0.0.1", false),
            ("127.8.8.8", false),
            ("0.0.0.0", false),
            ("10.1.2.3", false),
            ("172.16.0.1", false),
            ("192.168.1.1", false),
            ("169.254.169.254", false),
            ("100.64.0.1", false),
            ("198.18.0.1", false),
            ("224.0.0.1", false),
            ("255.255.255.255", false),
            ("::1", false),
            ("::", false),
            ("fe80::1", false),
            ("fd00:ec2::254", false),
            ("ff02::1", false),
            ("::ffff:127.0.0.1", false),
            ("::ffff:93.184.216.34", true),
            ("64:ff9b::7f00:1", false),
            ("2002:7f00:1::", false),
            ("2001:db8::1", false),
        ] {
            assert_eq!(is_public(address.parse().unwrap()), public, "{address}");
        }
    }

    #[test]
    fn the_list_allows_what_it_names_and_nothing_beside() {
        let list: Vec<Allowed> = ["10.1.0.0/16", "prometheus.internal", "127.0.0.1", "fd00::/8"]
            .map(|text| text.parse().unwrap())
            .into();
        for (host, address, good) in [
            ("a", "10.1.255.255", true),
            ("a", "10.2.0.0", false),
            ("a", "::ffff:10.1.0.1", true),
            ("a", "127.0.0.1", true),
            ("a", "127.0.0.2", false),
            ("Prometheus.Internal.", "192.168.0.1", true),
            ("evil-prometheus.internal", "192.168.0.1", false),
            ("a", "fd12::1", true),
            ("a", "fe80::1", false),
        ] {
            assert_eq!(may(&list, host, address.parse().unwrap()), good, "{host} {address}");
        }
        let all = ["0.0.0.0/0".parse().unwrap()];
        assert!(may(&all, "a", "10.0.0.1".parse().unwrap()) && !may(&all, "a", "::1".parse().unwrap()));
    }

    #[test]
    fn what_is_neither_host_nor_network_is_refused() {
        for bad in ["", "10.0.0.0/33", "::/129", "a b", "host/8", "https://x", "10.0.0.0/x"] {
            assert!(bad.parse::<Allowed>().is_err(), "{bad}");
        }
    }

    #[tokio::test]
    async fn a_private_address_is_not_spoken_to_by_number_nor_by_name() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let outgoing = Outgoing::new(Vec::new()).unwrap();
        for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "2130706433", "0x7f.1"] {
            let url = format!("http://{host}:{port}/");
            let refused = outgoing.send(outgoing.get(&url)).await.unwrap_err();
            assert!(refused.contains("is not a public address"), "{host}: {refused}");
        }
        assert!(listener.accept().is_err(), "somebody came");
    }
}
