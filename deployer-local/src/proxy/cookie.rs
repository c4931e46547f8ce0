//! Cookies of a request, as far as routes and stickiness need them (RFC 6265).

use http::{
    HeaderMap, HeaderValue,
    header::{COOKIE, SET_COOKIE},
};

/// Whether a cookie of this name has exactly this value. A value in double quotes is that without them too.
pub(super) fn has(headers: &HeaderMap, name: &[u8], value: &[u8]) -> bool {
    values(headers, name).any(|this| this == value || unquoted(this) == Some(value))
}

/// The values of all cookies of this name.
pub(super) fn values<'a>(headers: &'a HeaderMap, name: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    let pairs = headers.get_all(COOKIE).iter().flat_map(|line| line.as_bytes().split(|byte| *byte == b';'));
    pairs.filter_map(move |pair| {
        let (this, value) = parts(pair)?;
        (this == name).then_some(value)
    })
}

/// Takes the cookies of this name out of a request, and leaves the others as they are.
pub(super) fn remove(headers: &mut HeaderMap, name: &[u8]) {
    if values(headers, name).next().is_none() {
        return;
    }
    let is_ours = |pair: &&[u8]| parts(pair).is_some_and(|(this, _)| this == name);
    let others = |line: &HeaderValue| {
        let kept: Vec<&[u8]> =
            line.as_bytes().split(|byte| *byte == b';').filter(|pair| !is_ours(pair)).collect();
        // Of a valid value only pieces were taken away.
        HeaderValue::from_bytes(kept.join(&b';').trim_ascii()).ok().filter(|value| !value.is_empty())
    };
    let lines: Vec<_> = headers.get_all(COOKIE).iter().filter_map(others).collect();
    headers.remove(COOKIE);
    for line in lines {
        headers.append(COOKIE, line);
    }
}

/// Takes what sets a cookie of this name out of an answer.
pub(super) fn remove_set(headers: &mut HeaderMap, name: &[u8]) {
    let sets = |line: &HeaderValue| parts(line.as_bytes()).is_some_and(|(this, _)| this == name);
    if headers.get_all(SET_COOKIE).iter().any(sets) {
        let lines: Vec<_> = headers.get_all(SET_COOKIE).iter().filter(|line| !sets(line)).cloned().collect();
        headers.remove(SET_COOKIE);
        for line in lines {
            headers.append(SET_COOKIE, line);
        }
    }
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

fn parts(pair: &[u8]) -> Option<(&[u8], &[u8])> {
    let equals = pair.iter().position(|byte| *byte == b'=')?;
    Some((pair[..equals].trim_ascii(), pair[equals + 1..].trim_ascii()))
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

    #[test]
    fn one_is_taken_out_and_the_others_stay() {
        let cases: &[(&[&str], &[&str])] = &[
            (&["a=b; own=1; c=d"], &["a=b; c=d"]),
            (&["own=1; c=d"], &["c=d"]),
            (&["a=b;own=1"], &["a=b"]),
            (&["own=1"], &[]),
            (&["own=1; own=2", "own=3; z"], &["z"]),
            (&["a=b;  c = d", "own=1"], &["a=b;  c = d"]),
            (&["a=b; xown=1; own2=1; Own=1; own"], &["a=b; xown=1; own2=1; Own=1; own"]),
        ];
        for (before, after) in cases {
            let mut these = headers(before);
            remove(&mut these, b"own");
            assert_eq!(these, headers(after), "{before:?}");
        }
    }

    #[test]
    fn an_answer_sets_no_cookie_of_this_name() {
        let mut these = HeaderMap::new();
        for line in ["a=b; Path=/", "own=1; Path=/", " own =2", "owner=3; own=4"] {
            these.append(SET_COOKIE, HeaderValue::from_static(line));
        }
        remove_set(&mut these, b"own");
        let left: Vec<_> = these.get_all(SET_COOKIE).iter().collect();
        assert_eq!(left, ["a=b; Path=/", "owner=3; own=4"]);
    }
}
