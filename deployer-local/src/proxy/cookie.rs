//! Cookies of a request, as far as routes need them (RFC 6265).

use http::{HeaderMap, header::COOKIE};

/// Whether a cookie of this name has exactly this value. A value in double quotes is that without them too.
pub(super) fn has(headers: &HeaderMap, name: &[u8], value: &[u8]) -> bool {
    headers.get_all(COOKIE).iter().any(|line| {
        line.as_bytes().split(|byte| *byte == b';').any(|pair| {
            let Some(equals) = pair.iter().position(|byte| *byte == b'=') else { return false };
            let (this_name, this_value) = (pair[..equals].trim_ascii(), pair[equals + 1..].trim_ascii());
            this_name == name && (this_value == value || unquoted(this_value) == Some(value))
        })
    })
}

/// Whether this can be the name of a cookie: a token.
pub(super) fn is_name(name: &str) -> bool {
    const SEPARATORS: &[u8] = b"()<>@,;:\\\"/[]?={} \t";
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic() && !SEPARATORS.contains(&byte))
}

/// Whether this can be the value of a cookie.
pub(super) fn is_value(value: &str) -> bool {
    value.bytes().all(|byte| byte.is_ascii_graphic() && !b",;\\".contains(&byte))
}

fn unquoted(value: &[u8]) -> Option<&[u8]> {
    value.strip_prefix(b"\"")?.strip_suffix(b"\"")
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(lines: &[&str]) -> HeaderMap {
        lines.iter().map(|line| (COOKIE, HeaderValue::from_str(line).unwrap())).collect()
    }

    #[test]
    fn only_the_whole_name_and_the_whole_value_match() {
        for yes in
            ["canary=1", "a=b; canary=1", "canary=1;a=b", "a=b;canary=1", "canary=\"1\"", " canary = 1 "]
        {
            assert!(has(&headers(&[yes]), b"canary", b"1"), "{yes}");
        }
        for no in
            ["xcanary=1", "canary=10", "canary=", "canary", "a=canary=1", "Canary=1", "canary=\"1", "a=\"b"]
        {
            assert!(!has(&headers(&[no]), b"canary", b"1"), "{no}");
        }
        assert!(has(&headers(&["a=b", "canary=1=2"]), b"canary", b"1=2"));
        assert!(has(&headers(&["canary="]), b"canary", b""));
    }
}
