//! HTTP/1.1 as bytes: heads, framing, the gateway's own answers. No sockets, no clock.
//!
//! A head is read strictly and written anew, so that what a backend sees never depends on how two parsers
//! disagree. A body is passed on byte for byte after its framing was checked.

pub mod answer;
pub mod chunked;
pub mod fields;
pub mod framing;
pub mod request;
pub mod response;

/// The most header fields that a head may have.
pub const MAX_FIELDS: usize = 100;

/// The most bytes that a head may have, the empty line included.
pub const MAX_HEAD: usize = 32 * 1024;

/// Calls `each` for every element of a comma-separated field value, without its surrounding blanks.
fn for_each_element(value: &[u8], mut each: impl FnMut(&[u8])) {
    for element in value.split(|&byte| byte == b',') {
        let element = element.trim_ascii();
        if !element.is_empty() {
            each(element);
        }
    }
}

/// Whether a field belongs to one connection and so is never passed on. Framing fields are written anew.
fn is_hop_by_hop(name: &str) -> bool {
    const NAMES: [&str; 9] = [
        "connection",
        "keep-alive",
        "proxy-connection",
        "transfer-encoding",
        "content-length",
        "upgrade",
        "te",
        "proxy-authorization",
        "proxy-authenticate",
    ];
    NAMES.iter().any(|known| known.eq_ignore_ascii_case(name))
}

/// Reads a `Content-Length` that is digits and nothing else.
fn parse_length(value: &[u8]) -> Option<u64> {
    if value.is_empty() || value.len() > 19 || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(value).ok()?.parse().ok()
}

/// Which fields the `Connection` field of a head names, besides `close` and `keep-alive`.
#[derive(Default)]
struct ConnectionField<'b> {
    close: bool,
    keep_alive: bool,
    upgrade: bool,
    named: Vec<&'b [u8]>,
}

impl<'b> ConnectionField<'b> {
    fn add(&mut self, value: &'b [u8]) {
        for element in value.split(|&byte| byte == b',') {
            let element = element.trim_ascii();
            if element.eq_ignore_ascii_case(b"close") {
                self.close = true;
            } else if element.eq_ignore_ascii_case(b"keep-alive") {
                self.keep_alive = true;
            } else if element.eq_ignore_ascii_case(b"upgrade") {
                self.upgrade = true;
            } else if !element.is_empty() {
                self.named.push(element);
            }
        }
    }

    /// Whether the sender asked to drop this field. `Host` is never dropped: the request would change its target.
    fn names(&self, name: &str) -> bool {
        !self.named.is_empty()
            && !name.eq_ignore_ascii_case("host")
            && self.named.iter().any(|named| named.eq_ignore_ascii_case(name.as_bytes()))
    }
}

/// Appends one field of a head.
pub fn push_field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

fn push_number(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0u8; 20];
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[start..]);
}
