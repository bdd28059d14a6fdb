//! Reads a backend's response head and writes the one that the client gets.

use std::mem::MaybeUninit;

use httparse::{Header, Status};

use super::chunked::Scanner;
use super::framing::Body;
use super::{ConnectionField, MAX_FIELDS, MAX_HEAD, is_hop_by_hop, parse_length, push_field, push_number};

/// What is known of the request when its response arrives.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// Whether the response has no body whatever its head says.
    pub is_head: bool,
    /// Whether the client speaks HTTP/1.0.
    pub is_http10: bool,
    /// Whether the client's connection can stay open after this response.
    pub keep_alive: bool,
    /// Whether the client asked to switch protocols.
    pub upgrade: bool,
    /// Fields that the gateway adds to the final response, as they are written.
    pub more: &'a [u8],
}

/// What must be remembered of a response once its head has been passed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The bytes of the head.
    pub head_length: usize,
    /// The status code; below 200 another head follows, after 101 another protocol.
    pub status: u16,
    /// What follows the head.
    pub body: Body,
    /// Whether the backend's connection can take another request.
    pub reusable: bool,
    /// Whether the client's connection stays open.
    pub keep_alive: bool,
}

/// Why a response cannot be passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadResponse {
    /// Not HTTP, or too much of it.
    #[error("sent a malformed response")]
    Malformed,
    /// Its end could be understood in two ways.
    #[error("sent a response of ambiguous length")]
    Ambiguous,
    /// `101` that nobody asked for, or chunks to an old client.
    #[error("sent a response that the request does not allow")]
    NotAllowed,
}

/// Reads the head at the start of `bytes` and appends the head for the client to `out`.
///
/// `None` means that more bytes are needed.
///
/// # Errors
/// When passing it on could make the client misread what follows.
pub fn forward(
    bytes: &[u8],
    context: Context<'_>,
    out: &mut Vec<u8>,
) -> Result<Option<Response>, BadResponse> {
    let mut fields = [const { MaybeUninit::<Header<'_>>::uninit() }; MAX_FIELDS];
    let mut parsed = httparse::Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    let head_length = match config.parse_response_with_uninit_headers(&mut parsed, bytes, &mut fields) {
        Ok(Status::Complete(length)) if length <= MAX_HEAD => length,
        Ok(Status::Partial) if bytes.len() < MAX_HEAD => return Ok(None),
        _ => return Err(BadResponse::Malformed),
    };
    let (Some(status), Some(version)) = (parsed.code, parsed.version) else { return Ok(None) };
    let survey = survey(parsed.headers, version == 0)?;
    let switches = status == 101;
    let may_switch = context.upgrade && survey.connection.upgrade && survey.upgrade.is_some();
    if (switches && !may_switch) || status < 100 || (survey.chunked && context.is_http10) {
        return Err(BadResponse::NotAllowed);
    }
    let body = survey.body(status, context.is_head);
    let keep_alive = context.keep_alive && body != Body::UntilClose;
    if status >= 200 || !context.is_http10 {
        write_head(out, status, parsed.reason.unwrap_or(""), parsed.headers, &survey);
        if let (true, Some(protocol)) = (switches, survey.upgrade) {
            out.extend_from_slice(b"connection: upgrade\r\n");
            push_field(out, "upgrade", protocol);
        }
        if status >= 200 || switches {
            out.extend_from_slice(context.more);
        }
        if status >= 200 && !keep_alive {
            out.extend_from_slice(b"connection: close\r\n");
        }
        out.extend_from_slice(b"\r\n");
    }
    let reusable = if version == 1 { !survey.connection.close } else { survey.connection.keep_alive };
    Ok(Some(Response {
        head_length,
        status,
        reusable: reusable && body != Body::UntilClose && !switches,
        body,
        keep_alive,
    }))
}

#[derive(Default)]
struct Survey<'b> {
    connection: ConnectionField<'b>,
    length: Option<u64>,
    chunked: bool,
    upgrade: Option<&'b [u8]>,
}

impl Survey<'_> {
    fn body(&self, status: u16, is_head: bool) -> Body {
        match self.length {
            _ if is_head || status < 200 || status == 204 || status == 304 => Body::NONE,
            _ if self.chunked => Body::Chunked(Scanner::default()),
            Some(length) => Body::Length(length),
            None => Body::UntilClose,
        }
    }
}

fn survey<'b>(fields: &[Header<'b>], is_http10: bool) -> Result<Survey<'b>, BadResponse> {
    let mut survey = Survey::default();
    for field in fields {
        match field.name.len() {
            7 if field.name.eq_ignore_ascii_case("upgrade") => survey.upgrade = Some(field.value),
            10 if field.name.eq_ignore_ascii_case("connection") => survey.connection.add(field.value),
            14 if field.name.eq_ignore_ascii_case("content-length") => {
                let length = parse_length(field.value).ok_or(BadResponse::Ambiguous)?;
                if survey.length.replace(length).is_some_and(|other| other != length) {
                    return Err(BadResponse::Ambiguous);
                }
            }
            17 if field.name.eq_ignore_ascii_case("transfer-encoding") => {
                if survey.chunked || is_http10 || !field.value.eq_ignore_ascii_case(b"chunked") {
                    return Err(BadResponse::Ambiguous);
                }
                survey.chunked = true;
            }
            _ => {}
        }
    }
    if survey.chunked && survey.length.is_some() { Err(BadResponse::Ambiguous) } else { Ok(survey) }
}

fn write_head(out: &mut Vec<u8>, status: u16, reason: &str, fields: &[Header<'_>], survey: &Survey<'_>) {
    out.extend_from_slice(b"HTTP/1.1 ");
    push_number(out, u64::from(status));
    out.push(b' ');
    out.extend_from_slice(reason.as_bytes());
    out.extend_from_slice(b"\r\n");
    for field in fields {
        if !is_hop_by_hop(field.name) && !survey.connection.names(field.name) {
            push_field(out, field.name, field.value);
        }
    }
    // 204 and 1xx have neither; a response to HEAD and a 304 may tell the length that a GET would have.
    if status == 204 || status < 200 {
        return;
    }
    if survey.chunked {
        out.extend_from_slice(b"transfer-encoding: chunked\r\n");
    } else if let Some(length) = survey.length {
        out.extend_from_slice(b"content-length: ");
        push_number(out, length);
        out.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Context<'_> =
        Context { is_head: false, is_http10: false, keep_alive: true, upgrade: false, more: b"" };

    fn forward_text(head: &str, context: Context<'_>) -> Result<(Response, String), BadResponse> {
        let mut out = Vec::new();
        let response = forward(head.as_bytes(), context, &mut out)?.expect("the head is whole");
        Ok((response, String::from_utf8(out).unwrap()))
    }

    #[test]
    fn drops_what_belongs_to_the_backends_connection() {
        let head = "HTTP/1.1 200 OK\r\nConnection: close, X-Inner\r\nX-Inner: 1\r\nKeep-Alive: timeout=5\r\n\
                    Content-Length: 2\r\nX-Version: 7\r\n\r\nok";
        let (response, sent) = forward_text(head, PLAIN).unwrap();
        assert_eq!(sent, "HTTP/1.1 200 OK\r\nX-Version: 7\r\ncontent-length: 2\r\n\r\n");
        assert!(response.keep_alive && !response.reusable);
        assert_eq!(response.body, Body::Length(2));
    }

    #[test]
    fn knows_which_responses_have_no_body() {
        let head = Context { is_head: true, ..PLAIN };
        let (response, sent) = forward_text("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", head).unwrap();
        assert!(response.body.is_done() && response.reusable);
        assert!(sent.contains("content-length: 9\r\n"), "{sent}");
        for status in ["204 No Content", "304 Not Modified", "100 Continue"] {
            let (response, _) = forward_text(&format!("HTTP/1.1 {status}\r\n\r\n"), PLAIN).unwrap();
            assert!(response.body.is_done(), "{status}");
        }
    }

    #[test]
    fn a_body_until_close_closes_the_client_too() {
        let (response, sent) = forward_text("HTTP/1.0 200 OK\r\n\r\n", PLAIN).unwrap();
        assert_eq!(response.body, Body::UntilClose);
        assert!(!response.keep_alive && !response.reusable);
        assert!(sent.ends_with("connection: close\r\n\r\n"), "{sent}");
    }

    #[test]
    fn switches_protocols_only_for_whoever_asked() {
        let asked = Context { upgrade: true, ..PLAIN };
        let head = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                    Sec-WebSocket-Accept: y\r\n\r\n\x01\x02hi";
        let (response, sent) = forward_text(head, asked).unwrap();
        assert_eq!((response.status, response.reusable), (101, false));
        assert_eq!(response.head_length, head.len() - 4);
        assert_eq!(
            sent,
            "HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: y\r\nconnection: upgrade\r\n\
             upgrade: websocket\r\n\r\n"
        );
        assert!(forward_text(head, PLAIN).is_err(), "nobody asked");
        let mute = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\r\n";
        assert!(forward_text(mute, asked).is_err(), "to which protocol?");
    }

    #[test]
    fn refuses_what_a_client_could_misread() {
        let old = Context { is_http10: true, ..PLAIN };
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n";
        for (context, head) in [
            (PLAIN, format!("{chunked}Content-Length: 3\r\n\r\n")),
            (PLAIN, format!("{chunked}Transfer-Encoding: chunked\r\n\r\n")),
            (PLAIN, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n".to_owned()),
            (PLAIN, "HTTP/1.1 200 OK\r\nContent-Length: 3,3\r\n\r\n".to_owned()),
            (PLAIN, "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n".to_owned()),
            (PLAIN, "HTTP/1.1 101 Switching Protocols\r\n\r\n".to_owned()),
            (PLAIN, "SSH-2.0-OpenSSH_9.2\r\n\r\n".to_owned()),
            (old, format!("{chunked}\r\n")),
        ] {
            assert!(forward_text(&head, context).is_err(), "{head:?} was passed on");
        }
    }
}
