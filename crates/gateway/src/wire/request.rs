//! Reads a client's request head strictly and writes the one that a backend gets.

use std::mem::MaybeUninit;
use std::net::IpAddr;

use httparse::{Header, Status};

use super::answer::Answer;
use super::chunked::Scanner;
use super::framing::Body;
use super::{ConnectionField, MAX_FIELDS, MAX_HEAD, for_each_element, is_hop_by_hop, parse_length};
use super::{push_field, push_number};

/// What the gateway adds to each request.
#[derive(Debug, Clone, Copy)]
pub struct Forwarding<'a> {
    /// Where the client's connection comes from.
    pub client: IpAddr,
    /// The request's id, unless the client brought a usable one.
    pub request_id: &'a str,
    /// Whether the client's connection is encrypted.
    pub secure: bool,
}

/// What must be remembered of a request once its head has been passed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The bytes of the head.
    pub head_length: usize,
    /// What follows it.
    pub body: Body,
    /// Whether the client may send another request after this one.
    pub keep_alive: bool,
    /// Whether the answer has no body whatever its head says.
    pub is_head: bool,
    /// Whether it may be sent twice: a safe method without a body.
    pub replayable: bool,
    /// Whether the client speaks HTTP/1.0 and must not be sent chunks or `1xx`.
    pub is_http10: bool,
    /// Whether the client asks to speak another protocol after this request, such as WebSocket.
    pub upgrade: bool,
}

/// Reads the head at the start of `bytes` and appends the head for the backend to `out`.
///
/// `None` means that more bytes are needed.
///
/// # Errors
/// The answer to give before closing the connection: nothing after such a head can be trusted.
pub fn forward(
    bytes: &[u8],
    forwarding: Forwarding<'_>,
    out: &mut Vec<u8>,
) -> Result<Option<Request>, Answer> {
    let mut fields = [const { MaybeUninit::<Header<'_>>::uninit() }; MAX_FIELDS];
    let mut parsed = httparse::Request::new(&mut []);
    let head_length = match parsed.parse_with_uninit_headers(bytes, &mut fields) {
        Ok(Status::Complete(length)) if length <= MAX_HEAD => length,
        Ok(Status::Partial) if bytes.len() < MAX_HEAD => return Ok(None),
        Ok(_) | Err(httparse::Error::TooManyHeaders) => return Err(too_large()),
        Err(httparse::Error::Version) => {
            return Err(Answer::new(505, "only HTTP/1.1 and HTTP/1.0 are spoken here"));
        }
        Err(error) => return Err(Answer::new(400, format!("the request's head is malformed: {error}"))),
    };
    let (Some(method), Some(target), Some(version)) = (parsed.method, parsed.path, parsed.version) else {
        return Ok(None);
    };
    let survey = survey(parsed.headers, version == 0)?;
    let target = Target::read(method, target)?;
    write_line(out, method, target.path, version);
    match target.authority {
        Some(authority) => push_field(out, "host", authority.as_bytes()),
        None => survey.host.iter().for_each(|host| push_field(out, "host", host)),
    }
    write_fields(out, parsed.headers, &survey, forwarding);
    let upgrade = survey.upgrade(version);
    if let Some(protocol) = upgrade {
        out.extend_from_slice(b"connection: upgrade\r\n");
        push_field(out, "upgrade", protocol);
    }
    write_framing(out, &survey, version);
    let body = survey.body();
    let safe = matches!(method, "GET" | "HEAD" | "OPTIONS");
    Ok(Some(Request {
        head_length,
        replayable: safe && body.is_done(),
        keep_alive: version == 1 && !survey.connection.close,
        is_head: method == "HEAD",
        is_http10: version == 0,
        upgrade: upgrade.is_some(),
        body,
    }))
}

fn too_large() -> Answer {
    let text = format!("the request's head has more than {MAX_FIELDS} fields or {MAX_HEAD} bytes");
    Answer::new(431, text)
}

/// What the fields that concern the gateway say.
#[derive(Default)]
struct Survey<'b> {
    connection: ConnectionField<'b>,
    length: Option<u64>,
    chunked: bool,
    upgrade: Option<&'b [u8]>,
    upgrades: u8,
    host: Option<&'b [u8]>,
    request_id: bool,
    forwarded_for: bool,
}

impl<'b> Survey<'b> {
    /// The protocol that the backend may switch to.
    ///
    /// HTTP/2 and TLS are never asked of a backend: it would serve requests then that nobody here has read. Whoever
    /// offers one of them beside another gets none, as the standard permits.
    fn upgrade(&self, version: u8) -> Option<&'b [u8]> {
        let protocol =
            self.upgrade.filter(|_| version == 1 && self.connection.upgrade && self.upgrades == 1)?;
        let mut opaque = !protocol.trim_ascii().is_empty();
        for_each_element(protocol, |element| {
            let name = element.split(|&byte| byte == b'/').next().unwrap_or_default();
            opaque &= ![&b"h2c"[..], b"h2", b"http", b"tls"].iter().any(|it| it.eq_ignore_ascii_case(name));
        });
        opaque.then_some(protocol)
    }

    fn body(&self) -> Body {
        match self.length {
            _ if self.chunked => Body::Chunked(Scanner::default()),
            Some(length) => Body::Length(length),
            None => Body::NONE,
        }
    }
}

fn survey<'b>(fields: &[Header<'b>], is_http10: bool) -> Result<Survey<'b>, Answer> {
    let mut survey = Survey::default();
    for field in fields {
        look_at(field, &mut survey)?;
    }
    if survey.chunked && (survey.length.is_some() || is_http10) {
        return Err(Answer::new(
            400,
            "the request's length is ambiguous: Transfer-Encoding beside Content-Length",
        ));
    }
    if survey.host.is_none() && !is_http10 {
        return Err(Answer::new(400, "the request has no Host"));
    }
    Ok(survey)
}

fn look_at<'b>(field: &Header<'b>, survey: &mut Survey<'b>) -> Result<(), Answer> {
    let value = field.value;
    // The length tells nearly all names apart before any letter is compared.
    match field.name.len() {
        10 if field.name.eq_ignore_ascii_case("connection") => survey.connection.add(value),
        7 if field.name.eq_ignore_ascii_case("upgrade") => {
            survey.upgrade = Some(value);
            survey.upgrades = survey.upgrades.saturating_add(1);
        }
        4 if field.name.eq_ignore_ascii_case("host") => {
            let is_host = !value.iter().any(|byte| b" \t,/\\@".contains(byte));
            if survey.host.replace(value).is_none() && is_host {
                return Ok(());
            }
            return Err(Answer::new(400, "the request needs one Host, and it must be a host"));
        }
        14 if field.name.eq_ignore_ascii_case("content-length") => {
            let length = parse_length(value).ok_or_else(bad_length)?;
            if survey.length.replace(length).is_some() {
                return Err(bad_length());
            }
        }
        17 if field.name.eq_ignore_ascii_case("transfer-encoding") => {
            if survey.chunked || !value.eq_ignore_ascii_case(b"chunked") {
                return Err(Answer::new(
                    501,
                    "the only Transfer-Encoding understood here is a single `chunked`",
                ));
            }
            survey.chunked = true;
        }
        6 if field.name.eq_ignore_ascii_case("expect") && !value.eq_ignore_ascii_case(b"100-continue") => {
            return Err(Answer::new(417, "the only expectation understood here is 100-continue"));
        }
        12 if field.name.eq_ignore_ascii_case("x-request-id") => {
            survey.request_id |= is_usable_id(value);
        }
        15 if field.name.eq_ignore_ascii_case("x-forwarded-for") => survey.forwarded_for = true,
        _ => {}
    }
    Ok(())
}

fn bad_length() -> Answer {
    Answer::new(400, "the request's Content-Length is not one plain number")
}

fn is_usable_id(value: &[u8]) -> bool {
    (1..=128).contains(&value.len()) && value.iter().all(u8::is_ascii_graphic)
}

/// Where a request line points: a path, and a host where the line names one.
struct Target<'b> {
    path: &'b str,
    authority: Option<&'b str>,
}

impl<'b> Target<'b> {
    fn read(method: &str, target: &'b str) -> Result<Self, Answer> {
        if method == "CONNECT" {
            return Err(Answer::new(501, "CONNECT is not supported: this is not a forward proxy"));
        }
        if target.starts_with('/') || (target == "*" && method == "OPTIONS") {
            return Ok(Self { path: target, authority: None });
        }
        let bad = || Answer::new(400, "the request's target is neither a path nor an http address");
        let is_http = target.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("http://"));
        let rest = if is_http { &target[7..] } else { return Err(bad()) };
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        if authority.is_empty() || authority.contains(['@', ',', '\\']) || path.starts_with('?') {
            return Err(bad());
        }
        Ok(Self { path: if path.is_empty() { "/" } else { path }, authority: Some(authority) })
    }
}

fn write_line(out: &mut Vec<u8>, method: &str, path: &str, version: u8) {
    out.extend_from_slice(method.as_bytes());
    out.push(b' ');
    out.extend_from_slice(path.as_bytes());
    // A backend that is told 1.0 answers without chunks, which a client of 1.0 would not understand.
    out.extend_from_slice(if version == 0 { b" HTTP/1.0\r\n" } else { b" HTTP/1.1\r\n" });
}

/// Passes on the client's fields and adds the gateway's.
///
/// `X-Forwarded-*` of the client is believed only if it comes from this machine, where a TLS terminator may run:
/// anyone else could claim any address.
fn write_fields(out: &mut Vec<u8>, fields: &[Header<'_>], survey: &Survey<'_>, forwarding: Forwarding<'_>) {
    let trusted = forwarding.client.is_loopback();
    let (mut has_proto, mut has_host) = (false, false);
    for field in fields {
        let name = field.name;
        if is_hop_by_hop(name) || survey.connection.names(name) || name.eq_ignore_ascii_case("host") {
            continue;
        }
        if name.len() >= 11 && (name.as_bytes()[0] | 0x20) == b'x' {
            if name.len() > 11 && name[..11].eq_ignore_ascii_case("x-forwarded") {
                if !trusted || name.eq_ignore_ascii_case("x-forwarded-for") {
                    continue;
                }
                has_proto |= name.eq_ignore_ascii_case("x-forwarded-proto");
                has_host |= name.eq_ignore_ascii_case("x-forwarded-host");
            } else if name.eq_ignore_ascii_case("x-request-id") && !survey.request_id {
                continue;
            }
        }
        push_field(out, name, field.value);
    }
    write_forwarded_for(out, fields, survey.forwarded_for && trusted, forwarding.client);
    if !has_proto {
        let scheme: &[u8] = if forwarding.secure { b"https" } else { b"http" };
        push_field(out, "x-forwarded-proto", scheme);
    }
    if let (false, Some(host)) = (has_host, survey.host) {
        push_field(out, "x-forwarded-host", host);
    }
    if !survey.request_id {
        push_field(out, "x-request-id", forwarding.request_id.as_bytes());
    }
    out.extend_from_slice(b"via: 1.1 towpath\r\n");
}

fn write_forwarded_for(out: &mut Vec<u8>, fields: &[Header<'_>], keep: bool, client: IpAddr) {
    use std::io::Write;
    out.extend_from_slice(b"x-forwarded-for: ");
    if keep {
        for field in fields.iter().filter(|field| field.name.eq_ignore_ascii_case("x-forwarded-for")) {
            for_each_element(field.value, |element| {
                out.extend_from_slice(element);
                out.extend_from_slice(b", ");
            });
        }
    }
    // Writing to a vector cannot fail.
    let _ = write!(out, "{client}\r\n");
}

fn write_framing(out: &mut Vec<u8>, survey: &Survey<'_>, version: u8) {
    if survey.chunked {
        out.extend_from_slice(b"transfer-encoding: chunked\r\n");
    } else if let Some(length) = survey.length {
        out.extend_from_slice(b"content-length: ");
        push_number(out, length);
        out.extend_from_slice(b"\r\n");
    }
    if version == 0 {
        out.extend_from_slice(b"connection: close\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forward_text(head: &str, client: &str) -> Result<(Request, String), Answer> {
        let forwarding = Forwarding { client: client.parse().unwrap(), request_id: "id-1", secure: false };
        let mut out = Vec::new();
        let request = forward(head.as_bytes(), forwarding, &mut out)?.expect("the head is whole");
        Ok((request, String::from_utf8(out).unwrap()))
    }

    #[test]
    fn writes_the_head_anew() {
        let head = "POST /a?b=1 HTTP/1.1\r\nHost: shop.test\r\nConnection: keep-alive, X-Secret\r\nX-Secret: 1\r\n\
                    TE: trailers\r\nContent-Length: 5\r\nAccept: */*\r\n\r\nhello";
        let (request, sent) = forward_text(head, "192.0.2.7").unwrap();
        assert_eq!(
            sent,
            "POST /a?b=1 HTTP/1.1\r\nhost: shop.test\r\nAccept: */*\r\nx-forwarded-for: 192.0.2.7\r\n\
             x-forwarded-proto: http\r\nx-forwarded-host: shop.test\r\nx-request-id: id-1\r\nvia: 1.1 towpath\r\n\
             content-length: 5\r\n\r\n"
        );
        assert_eq!(request.body, Body::Length(5));
        assert_eq!(request.head_length, head.len() - 5);
        assert!(request.keep_alive && !request.replayable);
    }

    #[test]
    fn believes_forwarded_fields_only_from_this_machine() {
        let head = "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: https\r\n\
                    X-Request-Id: abc\r\n\r\n";
        let (_, near) = forward_text(head, "127.0.0.1").unwrap();
        assert!(near.contains("x-forwarded-for: 203.0.113.9, 127.0.0.1\r\n"), "{near}");
        assert!(near.contains("X-Forwarded-Proto: https\r\n") && !near.contains("proto: http\r\n"), "{near}");
        assert!(near.contains("X-Request-Id: abc\r\n") && !near.contains("id-1"), "{near}");
        let (_, far) = forward_text(head, "192.0.2.7").unwrap();
        assert!(far.contains("x-forwarded-for: 192.0.2.7\r\n") && !far.contains("203.0.113.9"), "{far}");
        assert!(far.contains("x-forwarded-proto: http\r\n") && !far.contains("https"), "{far}");
    }

    #[test]
    fn an_absolute_target_decides_the_host() {
        let (_, sent) =
            forward_text("GET http://shop.test/x HTTP/1.1\r\nHost: other\r\n\r\n", "::1").unwrap();
        assert!(sent.starts_with("GET /x HTTP/1.1\r\nhost: shop.test\r\n"), "{sent}");
    }

    #[test]
    fn an_old_client_gets_no_chunks_and_no_second_request() {
        let (request, sent) =
            forward_text("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "::1").unwrap();
        assert!(request.is_http10 && !request.keep_alive);
        assert!(
            sent.starts_with("GET / HTTP/1.0\r\n") && sent.ends_with("connection: close\r\n\r\n"),
            "{sent}"
        );
    }

    #[test]
    fn refuses_what_could_smuggle_a_request() {
        let corpus = [
            (400, "GET / HTTP/1.1\r\n\r\n"),
            (400, "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
            (400, "GET / HTTP/1.1\r\nHost: a b\r\n\r\n"),
            (400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"),
            (400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n"),
            (400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\n"),
            (400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n"),
            (400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n"),
            (400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x1\r\n\r\n"),
            (400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \r\n\r\n"),
            (400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n"),
            (501, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"),
            (501, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n"),
            (501, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n"),
            (501, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n"),
            (400, "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"),
            (400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n"),
            (400, "GET / HTTP/1.1\r\nHost: a\r\nX-Folded: a\r\n b\r\n\r\n"),
            (400, "GET / HTTP/1.1\r\n Host: a\r\n\r\n"),
            (400, "GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n"),
            (400, "GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n"),
            (400, "GET / HTTP/1.1\r\nHost: a\r\nNo colon\r\n\r\n"),
            (400, "GET example.test HTTP/1.1\r\nHost: a\r\n\r\n"),
            (400, "GET http://u@h/ HTTP/1.1\r\nHost: a\r\n\r\n"),
            (505, "GET / x HTTP/1.1\r\nHost: a\r\n\r\n"),
            (505, "GET / HTTP/2.0\r\nHost: a\r\n\r\n"),
            (501, "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n"),
            (417, "POST / HTTP/1.1\r\nHost: a\r\nExpect: miracles\r\nContent-Length: 1\r\n\r\n"),
        ];
        for (status, head) in corpus {
            let answer = forward_text(head, "::1").expect_err(head);
            assert_eq!(answer.status, status, "{head:?}: {}", answer.text);
        }
    }

    #[test]
    fn passes_on_upgrades_but_none_to_a_protocol_that_carries_requests() {
        let head = |fields: &str| format!("GET /chat HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        let websocket =
            head("Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n");
        let (request, sent) = forward_text(&websocket, "::1").unwrap();
        assert!(request.upgrade);
        assert!(sent.contains("connection: upgrade\r\nupgrade: websocket\r\n"), "{sent}");
        assert!(sent.contains("Sec-WebSocket-Key: x\r\n"), "{sent}");
        for fields in [
            "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n",
            "Connection: Upgrade\r\nUpgrade: websocket, H2C\r\n",
            "Connection: Upgrade\r\nUpgrade: HTTP/2.0\r\n",
            "Connection: Upgrade\r\nUpgrade: TLS/1.0\r\n",
            "Connection: Upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c\r\n",
            "Connection: Upgrade\r\nUpgrade: \r\n",
            "Connection: Upgrade\r\n",
            "Upgrade: websocket\r\n",
        ] {
            let (request, sent) = forward_text(&head(fields), "::1").unwrap();
            assert!(!request.upgrade && !sent.to_ascii_lowercase().contains("upgrade"), "{fields:?}: {sent}");
        }
        let old = "GET / HTTP/1.0\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
        assert!(!forward_text(old, "::1").unwrap().0.upgrade);
    }

    #[test]
    fn bounds_the_head() {
        let many = "X: 1\r\n".repeat(MAX_FIELDS);
        let answer = forward_text(&format!("GET / HTTP/1.1\r\nHost: a\r\n{many}\r\n"), "::1").unwrap_err();
        assert_eq!(answer.status, 431);
        let long = "x".repeat(MAX_HEAD);
        let answer = forward_text(&format!("GET / HTTP/1.1\r\nHost: a\r\nX: {long}"), "::1").unwrap_err();
        assert_eq!(answer.status, 431);
    }
}
