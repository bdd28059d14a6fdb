//! What the gateway answers by itself, and why.

use towpath_model::{Digest, EnvironmentKey};

use super::push_number;

/// An answer that no backend gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// One sentence or two for the person at the other end.
    pub text: String,
}

impl Answer {
    /// Makes an answer.
    pub fn new(status: u16, text: impl Into<String>) -> Self {
        Self { status, text: text.into() }
    }

    /// Nothing was ever deployed there, or it was taken away.
    #[must_use]
    pub fn nothing_deployed(environment: &EnvironmentKey) -> Self {
        Self::new(503, format!("nothing is deployed to {environment} yet"))
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

    /// An Instance took the request and said nothing.
    #[must_use]
    pub fn too_slow(environment: &EnvironmentKey, revision: &Digest) -> Self {
        let short = revision.short();
        Self::new(504, format!("an instance of {environment} (revision {short}) did not answer in time"))
    }

    /// Writes the whole response. Without `with_body` the length is still told, as a HEAD request wants it.
    pub fn write(&self, out: &mut Vec<u8>, keep_alive: bool, with_body: bool) {
        out.extend_from_slice(b"HTTP/1.1 ");
        push_number(out, u64::from(self.status));
        out.push(b' ');
        out.extend_from_slice(reason(self.status).as_bytes());
        out.extend_from_slice(b"\r\ncontent-type: text/plain; charset=utf-8\r\ncache-control: no-store\r\n");
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

const PREFIX: &str = "Towpath gateway: ";

fn reason(status: u16) -> &'static str {
    match status {
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
