//! What the gateway answers by itself, and why.

use towpath_api::gateway::Sticky;
use towpath_model::{Digest, EnvironmentKey};

use super::{push_field, push_number};

/// An answer that no backend gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// One sentence or two for the person at the other end.
    pub text: String,
    /// Where to ask instead.
    pub location: Option<String>,
}

impl Answer {
    /// Makes an answer.
    pub fn new(status: u16, text: impl Into<String>) -> Self {
        Self { status, text: text.into(), location: None }
    }

    /// Tells a client that came without encryption where to come with it. `head` is the request's, as a backend would get
    /// it: the path in its first line, the host in its second.
    #[must_use]
    pub fn encrypted_address(head: &[u8], port: u16) -> Self {
        let mut lines = head.split(|&byte| byte == b'\n');
        let path = lines.next().and_then(|line| line.split(|&byte| byte == b' ').nth(1));
        let host = lines.next().and_then(|line| line.strip_prefix(b"host: "));
        let (Some(path), Some(host)) =
            (path.and_then(text).filter(|path| path.starts_with('/')), host.and_then(text))
        else {
            return Self::new(
                400,
                "this address speaks HTTPS only, and the request names no host to send it to",
            );
        };
        // A port follows the last colon that is not part of an IPv6 address.
        let name = match host.rsplit_once(':') {
            Some((name, port)) if !port.contains(']') => name,
            _ => host,
        };
        let port = if port == 443 { String::new() } else { format!(":{port}") };
        let location = format!("https://{name}{port}{path}");
        Self { status: 308, text: format!("this is at {location}"), location: Some(location) }
    }

    /// Whether nothing that follows on the connection can be trusted.
    #[must_use]
    pub fn ends_connection(&self) -> bool {
        (400..500).contains(&self.status)
    }

    /// Nothing was ever deployed there, or it was taken away.
    #[must_use]
    pub fn nothing_deployed(environment: &EnvironmentKey) -> Self {
        Self::new(503, format!("nothing is deployed to {environment} yet"))
    }

    /// The preview address, while no candidate is on its way.
    #[must_use]
    pub fn no_candidate(environment: &EnvironmentKey) -> Self {
        Self::new(503, format!("no candidate is on its way to {environment}: there is nothing to preview"))
    }

    /// The Revision that this request fell to has no Instance.
    #[must_use]
    pub fn no_instance(environment: &EnvironmentKey, revision: &Digest) -> Self {
        let short = revision.short();
        Self::new(503, format!("{environment} runs revision {short}, and no instance of it is there"))
    }

    /// No Instance took the connection.
    #[must_use]
    pub fn unreachable(environment: &EnvironmentKey, revision: &Digest, timed_out: bool) -> Self {
        let short = revision.short();
        if timed_out {
            let text = format!("no instance of {environment} (revision {short}) took the connection in time");
            Self::new(504, text)
        } else {
            Self::new(502, format!("no instance of {environment} (revision {short}) takes connections"))
        }
    }

    /// An Instance took the request and broke off or broke the rules before it answered.
    #[must_use]
    pub fn broken(environment: &EnvironmentKey, revision: &Digest, how: &str) -> Self {
        let short = revision.short();
        Self::new(502, format!("an instance of {environment} (revision {short}) {how}"))
    }

    /// The client's own fault: what it sends ended or came too late.
    #[must_use]
    pub fn stalled() -> Self {
        Self::new(408, "the request's body did not arrive in time")
    }

    /// An Instance took the request and said nothing.
    #[must_use]
    pub fn too_slow(environment: &EnvironmentKey, revision: &Digest) -> Self {
        let short = revision.short();
        Self::new(504, format!("an instance of {environment} (revision {short}) did not answer in time"))
    }

    /// Its body.
    #[must_use]
    pub fn body(&self) -> String {
        format!("{PREFIX}{}\n", self.text)
    }

    /// Writes the whole response. Without `with_body` the length is still told, as a HEAD request wants it.
    pub fn write(&self, out: &mut Vec<u8>, keep_alive: bool, with_body: bool) {
        out.extend_from_slice(b"HTTP/1.1 ");
        push_number(out, u64::from(self.status));
        out.push(b' ');
        out.extend_from_slice(reason(self.status).as_bytes());
        out.extend_from_slice(b"\r\ncontent-type: text/plain; charset=utf-8\r\ncache-control: no-store\r\n");
        if let Some(location) = &self.location {
            push_field(out, "location", location.as_bytes());
        }
        out.extend_from_slice(b"server: towpath\r\ncontent-length: ");
        push_number(out, PREFIX.len() as u64 + self.text.len() as u64 + 1);
        out.extend_from_slice(if keep_alive { b"\r\n\r\n" } else { b"\r\nconnection: close\r\n\r\n" });
        if with_body {
            out.extend_from_slice(PREFIX.as_bytes());
            out.extend_from_slice(self.text.as_bytes());
            out.push(b'\n');
        }
    }
}

/// The cookie by which a client is told its number.
#[must_use]
pub fn cookie(sticky: &Sticky, number: u64, secure: bool) -> String {
    let Sticky { cookie, seconds } = sticky;
    let secure = if secure { "; Secure" } else { "" };
    format!("{cookie}={number:016x}; Max-Age={seconds}; Path=/; HttpOnly; SameSite=Lax{secure}")
}

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes.trim_ascii()).ok()
}

const PREFIX: &str = "Towpath gateway: ";

fn reason(status: u16) -> &'static str {
    match status {
        308 => "Permanent Redirect",
        400 => "Bad Request",
        408 => "Request Timeout",
        417 => "Expectation Failed",
        431 => "Request Header Fields Too Large",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "Error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_the_encrypted_address() {
        for (head, port, location) in [
            ("GET /a?b HTTP/1.1\r\nhost: shop.test\r\n\r\n", 443, Some("https://shop.test/a?b")),
            ("GET / HTTP/1.1\r\nhost: shop.test:8080\r\n\r\n", 8443, Some("https://shop.test:8443/")),
            ("GET / HTTP/1.1\r\nhost: [::1]\r\n\r\n", 8443, Some("https://[::1]:8443/")),
            ("GET / HTTP/1.1\r\nhost: [::1]:80\r\n\r\n", 443, Some("https://[::1]/")),
            ("OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n", 443, None),
            ("GET / HTTP/1.0\r\nconnection: close\r\n\r\n", 443, None),
        ] {
            let answer = Answer::encrypted_address(head.as_bytes(), port);
            assert_eq!(answer.location.as_deref(), location, "{head:?}");
            assert_eq!(answer.status, if location.is_some() { 308 } else { 400 });
        }
    }

    #[test]
    fn explains_itself_and_tells_its_length() {
        let environment =
            EnvironmentKey { project: "shop".parse().unwrap(), environment: "production".parse().unwrap() };
        let mut out = Vec::new();
        Answer::nothing_deployed(&environment).write(&mut out, false, true);
        let text = String::from_utf8(out).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert_eq!(body, "Towpath gateway: nothing is deployed to shop/production yet\n");
        assert!(head.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{head}");
        assert!(head.contains(&format!("content-length: {}\r\n", body.len())), "{head}");
        assert!(head.ends_with("connection: close"), "{head}");
    }
}
