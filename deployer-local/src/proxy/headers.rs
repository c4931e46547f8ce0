//! What is changed in heads on their way, and which requests are refused.

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, Version,
    header::{
        CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, FORWARDED, HOST, PROXY_AUTHENTICATE,
        PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING, UPGRADE,
    },
    request, uri,
};

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");

/// A request that is not passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rejection {
    pub(super) status: StatusCode,
    pub(super) message: &'static str,
}

/// Refuses what two parsers could understand differently, and puts the target into origin form.
pub(super) fn accept(parts: &mut request::Parts) -> Result<(), Rejection> {
    if parts.method == Method::CONNECT {
        return Err(Rejection {
            status: StatusCode::METHOD_NOT_ALLOWED,
            message: "this is no forward proxy\n",
        });
    }
    accept_framing(&mut parts.headers)?;
    let mut hosts = parts.headers.get_all(HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() {
        return Err(bad_request("more than one Host\n"));
    }
    match host {
        None if parts.version != Version::HTTP_10 => return Err(bad_request("no Host\n")),
        Some(host) if !is_host(host.as_bytes()) => return Err(bad_request("an impossible Host\n")),
        _ => {}
    }
    if parts.uri.authority().is_some() || parts.uri.scheme().is_some() {
        to_origin_form(parts)?;
    }
    Ok(())
}

/// The protocol that a request asks to change to, if it may.
pub(super) fn wanted_upgrade(parts: &request::Parts) -> Option<HeaderValue> {
    let mut protocols = parts.headers.get_all(UPGRADE).iter();
    let protocol = protocols.next()?;
    // HTTP/2 would be a second way past all checks here.
    let http2 = protocol.as_bytes().split(|byte| *byte == b',').any(|one| {
        let one = one.trim_ascii();
        one.get(..2).is_some_and(|start| start.eq_ignore_ascii_case(b"h2"))
            || one.get(..4).is_some_and(|start| start.eq_ignore_ascii_case(b"http"))
    });
    let asked = parts
        .headers
        .get_all(CONNECTION)
        .iter()
        .any(|value| tokens(value).any(|token| token.eq_ignore_ascii_case(b"upgrade")));
    let fits = asked && !http2 && protocols.next().is_none() && parts.version == Version::HTTP_11;
    fits.then(|| protocol.clone())
}

/// Makes the head of a request fit for a member: hop-by-hop headers go, what the client was is added.
pub(super) fn to_member(
    parts: &mut request::Parts,
    client: &HeaderValue,
    upgrade: Option<HeaderValue>,
    trust_forwarded: bool,
) {
    let headers = &mut parts.headers;
    strip_hop_by_hop(headers);
    headers.remove(PROXY_AUTHORIZATION);
    headers.remove(TE);
    headers.remove(HTTP2_SETTINGS);
    // The upload is asked for as soon as the member takes it; an answer to this would come too late.
    headers.remove(EXPECT);
    if let Some(protocol) = upgrade {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, protocol);
    }
    parts.version = Version::HTTP_11;
    let host = headers.get(HOST).cloned();
    if trust_forwarded {
        let chain = match headers.get(X_FORWARDED_FOR) {
            Some(_) => chain(headers, client),
            None => client.clone(),
        };
        headers.insert(X_FORWARDED_FOR, chain);
        headers.entry(X_FORWARDED_PROTO).or_insert(HeaderValue::from_static("http"));
        if let Some(host) = host {
            headers.entry(X_FORWARDED_HOST).or_insert(host);
        }
    } else {
        strip_look_alikes(headers);
        headers.remove(FORWARDED);
        headers.insert(X_FORWARDED_FOR, client.clone());
        headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static("http"));
        match host {
            Some(host) => headers.insert(X_FORWARDED_HOST, host),
            None => headers.remove(X_FORWARDED_HOST),
        };
    }
}

/// Makes the head of an answer fit for the client. `None` if its body is coded in a way that is not understood.
pub(super) fn to_client(headers: &mut HeaderMap) -> Option<()> {
    if headers.contains_key(TRANSFER_ENCODING) {
        if !is_just_chunked(headers) {
            return None;
        }
        headers.remove(TRANSFER_ENCODING);
        headers.remove(CONTENT_LENGTH);
    }
    strip_hop_by_hop(headers);
    headers.remove(PROXY_AUTHENTICATE);
    Some(())
}

/// Whether the answer is a stream of server-sent events, which ends only when somebody leaves.
pub(super) fn is_event_stream(headers: &HeaderMap) -> bool {
    const EVENT_STREAM: &[u8] = b"text/event-stream";
    headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.as_bytes().get(..EVENT_STREAM.len()))
        .is_some_and(|start| start.eq_ignore_ascii_case(EVENT_STREAM))
}

fn accept_framing(headers: &mut HeaderMap) -> Result<(), Rejection> {
    if headers.contains_key(TRANSFER_ENCODING) {
        if !is_just_chunked(headers) {
            let message = "a Transfer-Encoding other than chunked\n";
            return Err(Rejection { status: StatusCode::NOT_IMPLEMENTED, message });
        }
        headers.remove(CONTENT_LENGTH);
    }
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let length = lengths.next();
    if lengths.next().is_some()
        || length.is_some_and(|value| !value.as_bytes().iter().all(u8::is_ascii_digit))
    {
        return Err(bad_request("an ambiguous Content-Length\n"));
    }
    Ok(())
}

fn is_just_chunked(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    codings.next().is_some_and(|coding| coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked"))
        && codings.next().is_none()
}

/// `GET http://host/path` is for a proxy; members get `GET /path` and the host of the target, which wins over `Host`.
fn to_origin_form(parts: &mut request::Parts) -> Result<(), Rejection> {
    let uri = std::mem::take(&mut parts.uri).into_parts();
    let authority = uri.authority.ok_or(bad_request("a target without a host\n"))?;
    let host =
        HeaderValue::from_str(authority.as_str()).map_err(|_| bad_request("an impossible target\n"))?;
    if !is_host(host.as_bytes()) {
        return Err(bad_request("an impossible target\n"));
    }
    let mut origin = uri::Parts::default();
    origin.path_and_query = uri.path_and_query.or(Some(uri::PathAndQuery::from_static("/")));
    parts.uri = Uri::from_parts(origin).map_err(|_| bad_request("an impossible target\n"))?;
    parts.headers.insert(HOST, host);
    Ok(())
}

/// A name or an address, with a port or without (RFC 3986 `host`); no user, no path, no white space.
fn is_host(host: &[u8]) -> bool {
    host.iter().all(|byte| byte.is_ascii_alphanumeric() || b".-_~:[]%!$&'()*+,;=".contains(byte))
}

/// Headers that are for this connection only (RFC 9110, 7.6.1), those named by `Connection` included.
fn strip_hop_by_hop(headers: &mut HeaderMap) {
    if headers.contains_key(CONNECTION) {
        let named: Vec<HeaderName> = headers
            .get_all(CONNECTION)
            .iter()
            .flat_map(tokens)
            .filter(|token| {
                !token.eq_ignore_ascii_case(b"keep-alive") && !token.eq_ignore_ascii_case(b"close")
            })
            .filter_map(|token| HeaderName::from_bytes(token).ok())
            .filter(|name| ![HOST, CONTENT_LENGTH, TRANSFER_ENCODING].contains(name))
            .collect();
        headers.remove(CONNECTION);
        for name in named {
            headers.remove(name);
        }
    }
    headers.remove(KEEP_ALIVE);
    headers.remove(PROXY_CONNECTION);
    headers.remove(UPGRADE);
}

/// Gateway interfaces (CGI, WSGI) read `X_Forwarded_For` as `X-Forwarded-For`.
fn strip_look_alikes(headers: &mut HeaderMap) {
    let alike = |name: &HeaderName| {
        let name = name.as_str();
        name.contains('_')
            && (name.starts_with("x_forwarded") || name.starts_with("x-forwarded") || name == "forwarded")
    };
    if headers.keys().any(alike) {
        let names: Vec<HeaderName> = headers.keys().filter(|name| alike(name)).cloned().collect();
        for name in names {
            headers.remove(name);
        }
    }
}

fn chain(headers: &HeaderMap, client: &HeaderValue) -> HeaderValue {
    let mut chain = Vec::new();
    for value in headers.get_all(X_FORWARDED_FOR) {
        chain.extend_from_slice(value.as_bytes());
        chain.extend_from_slice(b", ");
    }
    chain.extend_from_slice(client.as_bytes());
    HeaderValue::from_bytes(&chain).unwrap_or_else(|_| client.clone())
}

fn tokens(value: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|token| !token.is_empty())
}

const fn bad_request(message: &'static str) -> Rejection {
    Rejection { status: StatusCode::BAD_REQUEST, message }
}
