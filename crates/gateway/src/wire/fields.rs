//! Looks into a head that was written here, where a route wants to know more of it.

/// The values of a field, in their order. `head` is one that [`forward`](super::request::forward) wrote.
pub fn values<'h>(head: &'h [u8], name: &str) -> impl Iterator<Item = &'h [u8]> {
    let mut lines = head.split(|&byte| byte == b'\n').skip(1);
    std::iter::from_fn(move || {
        lines.find_map(|line| {
            let (found, value) = line.split_at_checked(name.len())?;
            let value = value.strip_prefix(b":")?;
            found.eq_ignore_ascii_case(name.as_bytes()).then(|| value.trim_ascii())
        })
    })
}

/// The values of a cookie, in the order in which the client sent them.
pub fn cookies<'h>(head: &'h [u8], name: &str) -> impl Iterator<Item = &'h [u8]> {
    values(head, "cookie").flat_map(|value| value.split(|&byte| byte == b';')).filter_map(move |pair| {
        let (found, value) = pair.trim_ascii().split_at_checked(name.len())?;
        (found == name.as_bytes()).then_some(value)?.strip_prefix(b"=")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &[u8] = b"GET /?x-canary=no HTTP/1.1\r\nhost: a\r\nX-Canary:  yes \r\nx-canary-2: no\r\n\
                          Cookie: a=1; sid=22;b\r\ncookie: sid=33; xsid=4\r\n\r\n";

    #[test]
    fn finds_fields_and_cookies_by_their_whole_name() {
        let all = |name| values(HEAD, name).collect::<Vec<_>>();
        assert_eq!(all("x-canary"), [b"yes"]);
        assert_eq!(all("X-CANARY-2"), [b"no"]);
        assert!(
            all("canary").is_empty() && all("x-canary-22").is_empty() && all("GET /?x-canary").is_empty()
        );
        let all = |name| cookies(HEAD, name).collect::<Vec<_>>();
        assert_eq!(all("sid"), [b"22", b"33"]);
        assert_eq!(all("a"), [b"1"]);
        assert!(all("b").is_empty() && all("SID").is_empty() && all("id").is_empty());
    }
}
