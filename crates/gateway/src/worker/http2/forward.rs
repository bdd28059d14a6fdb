//! The head that an endpoint gets of a request that `hyper` has read, and the head that the client gets. Pure.

use std::net::IpAddr;

use http::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HOST, HeaderName, HeaderValue, LOCATION,
    SERVER, TE, VIA,
};
use http::request::Parts;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri, Version};
use towpath_api::gateway::Protocol;

use super::body::Download;
use super::grpc;
use crate::wire::answer::Answer;

/// What the gateway adds to each request.
pub(super) struct Forwarding<'a> {
    pub(super) client: IpAddr,
    pub(super) secure: bool,
    pub(super) request_id: &'a str,
}

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Fields that belong to one connection; and the expectation of a `100`, which was met already.
const HOP_BY_HOP: [&str; 9] = [
    "expect",
    "connection",
    "keep-alive",
    "proxy-connection",
    "transfer-encoding",
    "upgrade",
    "te",
    "proxy-authorization",
    "proxy-authenticate",
];

/// Makes the head for an endpoint that speaks `protocol` of the one that came.
///
/// # Errors
/// The answer to give instead.
pub(super) fn forward(
    mut parts: Parts,
    protocol: Protocol,
    forwarding: &Forwarding<'_>,
) -> Result<Parts, Answer> {
    if parts.method == Method::CONNECT {
        return Err(Answer::new(501, "CONNECT is not supported: this is not a forward proxy"));
    }
    let authority = authority(&parts)?;
    let path = path(&parts)?;
    let wants_trailers =
        parts.headers.get(TE).is_some_and(|te| te.as_bytes().eq_ignore_ascii_case(b"trailers"));
    strip(&mut parts.headers);
    one_cookie(&mut parts.headers);
    add(&mut parts.headers, &authority, forwarding);
    let via = if parts.version == Version::HTTP_2 { "2 towpath" } else { "1.1 towpath" };
    parts.headers.append(VIA, HeaderValue::from_static(via));
    match protocol {
        Protocol::Http1 => {
            parts.version = Version::HTTP_11;
            parts.uri = Uri::from(path);
            parts.headers.insert(HOST, value(authority.as_str()));
        }
        Protocol::H2c => {
            parts.version = Version::HTTP_2;
            parts.headers.remove(HOST);
            if wants_trailers {
                parts.headers.insert(TE, HeaderValue::from_static("trailers"));
            }
            let mut whole = http::uri::Parts::default();
            whole.scheme = Some(Scheme::HTTP);
            whole.authority = Some(authority);
            whole.path_and_query = Some(path);
            parts.uri = Uri::from_parts(whole).map_err(|_| bad_target())?;
        }
    }
    Ok(parts)
}

/// The head as text, as the plain path writes it: what routes are chosen by.
pub(super) fn text(parts: &Parts) -> Vec<u8> {
    let mut out = Vec::new();
    let path = parts.uri.path_and_query().map_or("/", PathAndQuery::as_str);
    out.extend_from_slice(format!("{} {path} HTTP/1.1\r\n", parts.method).as_bytes());
    let host = parts.uri.authority().map(|authority| authority.as_str().as_bytes());
    if let Some(host) = host.or_else(|| parts.headers.get(HOST).map(HeaderValue::as_bytes)) {
        push(&mut out, "host", host);
    }
    for (name, value) in parts.headers.iter().filter(|(name, _)| *name != HOST) {
        push(&mut out, name.as_str(), value.as_bytes());
    }
    out
}

fn push(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    for part in [name.as_bytes(), b": ", value, b"\r\n"] {
        out.extend_from_slice(part);
    }
}

/// Whom the request is for. Where a request of HTTP/2 says it twice, it says the same; in one of HTTP/1.1 the target decides.
fn authority(parts: &Parts) -> Result<Authority, Answer> {
    let bad = || Answer::new(400, "the request needs one Host, and it must be a host");
    let mut hosts = parts.headers.get_all(HOST).iter();
    let host =
        hosts.next().map(|host| Authority::try_from(host.as_bytes()).map_err(|_| bad())).transpose()?;
    if hosts.next().is_some() {
        return Err(bad());
    }
    let is_http2 = parts.version == Version::HTTP_2;
    match (parts.uri.authority(), host) {
        (Some(authority), Some(host)) if is_http2 && *authority != host => Err(bad()),
        (Some(authority), _) if !authority.as_str().contains('@') => Ok(authority.clone()),
        (None, Some(host)) if !host.as_str().contains('@') => Ok(host),
        _ => Err(bad()),
    }
}

fn path(parts: &Parts) -> Result<PathAndQuery, Answer> {
    let Some(path) = parts.uri.path_and_query() else { return Ok(PathAndQuery::from_static("/")) };
    let is_path = path.as_str().starts_with('/') || (path == "*" && parts.method == Method::OPTIONS);
    if is_path { Ok(path.clone()) } else { Err(bad_target()) }
}

fn bad_target() -> Answer {
    Answer::new(400, "the request's target is neither a path nor an http address")
}

/// Drops what belongs to one connection, and what `Connection` names besides.
pub(super) fn strip(fields: &mut HeaderMap) {
    let named: Vec<HeaderName> = fields
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| HeaderName::try_from(name.trim()).ok())
        .filter(|name| *name != HOST)
        .collect();
    for name in named {
        fields.remove(name);
    }
    for name in HOP_BY_HOP {
        fields.remove(name);
    }
}

/// HTTP/2 may send each cookie in a field of its own; HTTP/1.1 has one field for all.
fn one_cookie(fields: &mut HeaderMap) {
    let all: Vec<&[u8]> = fields.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if all.len() > 1
        && let Ok(joined) = HeaderValue::from_bytes(&all.join(&b"; "[..]))
    {
        fields.insert(COOKIE, joined);
    }
}

/// `X-Forwarded-*` of the client is believed only if it comes from this machine, where a TLS terminator may run.
fn add(fields: &mut HeaderMap, authority: &Authority, forwarding: &Forwarding<'_>) {
    let Forwarding { client, secure, request_id } = forwarding;
    let trusted = client.is_loopback();
    let before: Vec<HeaderValue> = fields.get_all(FORWARDED_FOR).iter().cloned().collect();
    if !trusted {
        let claims: Vec<HeaderName> =
            fields.keys().filter(|name| name.as_str().starts_with("x-forwarded")).cloned().collect();
        for name in claims {
            fields.remove(name);
        }
    }
    let mut way: Vec<String> = before
        .iter()
        .filter(|_| trusted)
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(',').map(|part| part.trim().to_owned()))
        .filter(|part| !part.is_empty())
        .collect();
    way.push(client.to_string());
    fields.insert(FORWARDED_FOR, value(&way.join(", ")));
    if !fields.contains_key(FORWARDED_PROTO) {
        fields.insert(FORWARDED_PROTO, HeaderValue::from_static(if *secure { "https" } else { "http" }));
    }
    if !fields.contains_key(FORWARDED_HOST) {
        fields.insert(FORWARDED_HOST, value(authority.as_str()));
    }
    let usable =
        |id: &HeaderValue| (1..=128).contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic);
    if !fields.get(REQUEST_ID).is_some_and(usable) {
        fields.insert(REQUEST_ID, value(request_id));
    }
}

/// A value of characters that are known to fit; what would not fit is left empty.
fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// In which form an answer of the gateway itself is understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    Page,
    /// Without a body.
    Head,
    /// A call of gRPC.
    Call,
}

impl Asked {
    pub(super) fn of<B>(request: &Request<B>) -> Self {
        match request.method() {
            _ if grpc::is_grpc(request.headers()) => Self::Call,
            &Method::HEAD => Self::Head,
            _ => Self::Page,
        }
    }
}

/// The gateway's own answer.
pub(super) fn answer(answer: &Answer, asked: Asked) -> Response<Download> {
    let body = answer.body();
    let mut response = Response::new(Download::Own(None));
    response.headers_mut().insert(SERVER, HeaderValue::from_static("towpath"));
    if asked == Asked::Call {
        let fields = response.headers_mut();
        fields.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        fields.insert(grpc::STATUS, HeaderValue::from(u16::from(grpc::outcome(answer.status))));
        fields.insert("grpc-message", value(&grpc::message(body.trim_end())));
        return response;
    }
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::BAD_GATEWAY);
    let fields = response.headers_mut();
    fields.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    fields.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    if let Some(location) = &answer.location {
        fields.insert(LOCATION, value(location));
    }
    if asked == Asked::Page {
        *response.body_mut() = Download::Own(Some(body.into()));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(uri: &str, fields: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder().uri(uri).version(Version::HTTP_2);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn forwarded(
        uri: &str,
        fields: &[(&str, &str)],
        protocol: Protocol,
        client: &str,
    ) -> Result<Parts, Answer> {
        let forwarding = Forwarding { client: client.parse().unwrap(), secure: true, request_id: "id-1" };
        forward(parts(uri, fields), protocol, &forwarding)
    }

    #[test]
    fn an_endpoint_of_http_1_gets_a_path_a_host_and_one_cookie() {
        let claimed = ("x-forwarded-for", "203.0.113.9");
        let fields = [("cookie", "a=1"), ("cookie", "b=2"), ("te", "trailers"), claimed];
        let sent = forwarded("https://shop.test/a?b", &fields, Protocol::Http1, "192.0.2.7").unwrap();
        assert_eq!((sent.uri.to_string().as_str(), sent.version), ("/a?b", Version::HTTP_11));
        let field = |name: &str| sent.headers.get(name).map(|value| value.to_str().unwrap());
        assert_eq!(
            (field("host"), field("cookie"), field("te")),
            (Some("shop.test"), Some("a=1; b=2"), None)
        );
        assert_eq!(
            (field("x-forwarded-for"), field("x-forwarded-proto")),
            (Some("192.0.2.7"), Some("https"))
        );
        assert_eq!((field("x-request-id"), field("via")), (Some("id-1"), Some("2 towpath")));
    }

    #[test]
    fn an_endpoint_of_http_2_is_told_that_trailers_are_welcome() {
        let fields = [("host", "shop.test"), ("te", "trailers"), ("x-forwarded-for", "203.0.113.9")];
        let sent = forwarded("/grpc.Service/Call", &fields, Protocol::H2c, "127.0.0.1").unwrap();
        assert_eq!(sent.uri, "http://shop.test/grpc.Service/Call");
        let field = |name: &str| sent.headers.get(name).map(|value| value.to_str().unwrap());
        assert_eq!((field("host"), field("te")), (None, Some("trailers")));
        assert_eq!(
            field("x-forwarded-for"),
            Some("203.0.113.9, 127.0.0.1"),
            "from this machine it is believed"
        );
    }

    #[test]
    fn refuses_what_names_two_hosts_or_none() {
        for (uri, fields) in [
            ("https://a/", &[("host", "b")][..]),
            ("/", &[]),
            ("/", &[("host", "a"), ("host", "a")]),
            ("/", &[("host", "u@a")]),
            ("https://u@a/", &[]),
        ] {
            let refused = forwarded(uri, fields, Protocol::Http1, "::1").unwrap_err();
            assert_eq!(refused.status, 400, "{uri} {fields:?}");
        }
    }

    #[test]
    fn answers_of_the_gateway_are_understood_by_whom_they_are_for() {
        let unreachable = Answer::new(502, "100 % down");
        let page = answer(&unreachable, Asked::Page);
        assert!(page.status() == 502 && page.headers()["content-length"] == "28", "{:?}", page.headers());
        let call = answer(&unreachable, Asked::Call);
        assert!(call.status() == 200 && call.headers()["grpc-status"] == "14", "{:?}", call.headers());
        assert_eq!(call.headers()["grpc-message"], "Towpath gateway: 100 %25 down");
    }

    #[test]
    fn routes_read_the_same_text_as_on_the_plain_path() {
        let head = text(&parts("https://shop.test/a", &[("x-canary", "yes"), ("cookie", "sid=1")]));
        assert!(head.starts_with(b"GET /a HTTP/1.1\r\nhost: shop.test\r\n"));
        assert_eq!(crate::wire::fields::values(&head, "X-Canary").next(), Some(&b"yes"[..]));
        assert_eq!(crate::wire::fields::cookies(&head, "sid").next(), Some(&b"1"[..]));
    }
}
