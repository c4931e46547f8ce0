//! One request to one instance, and what is right as an answer.

use async_trait::async_trait;
use http::{
    HeaderMap, HeaderName, HeaderValue, Request,
    header::{CONNECTION, HOST, LOCATION, USER_AGENT},
    response::Parts,
    uri::{Authority, PathAndQuery},
};
use http_body_util::Empty;

use super::{
    HttpCheckBuilder, HttpSettings,
    connect::{Limit, address_of, connect, failed},
    expect::{in_words, quoted},
    http_call::{Answer, exchange},
};
use crate::{
    error::Problem,
    model::Instance,
    ports::{CallContext, HealthCheck},
    strategy::Probe,
};

/// The longest path in bytes.
const LONGEST_PATH: usize = 2048;

/// Headers that belong to the connection and not to the user.
const RESERVED: [&str; 9] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// A `GET` over HTTP/1.1 to exactly the address of the instance, on a new connection each time.
///
/// The whole answer must arrive in time and have at most 64 KiB of body. An instance that was reached and does not
/// answer so is failed; one that nothing could be found out about is unknown.
///
/// ```
/// use std::time::Duration;
/// use deployer_core::checks::HttpCheck;
///
/// let check = HttpCheck::get("/healthz")
///     .expect_status(200)
///     .expect_json("/status", "ok")
///     .answer_within(Duration::from_secs(1))
///     .build();
/// assert!(check.is_ok());
///
/// let problems = HttpCheck::get("http://example.com/").expect_status(99).build().unwrap_err();
/// assert_eq!(problems.len(), 2);
/// ```
#[derive(Debug, Clone)]
pub struct HttpCheck {
    settings: HttpSettings,
    path: PathAndQuery,
    host: Option<HeaderValue>,
    request_headers: HeaderMap,
    expect_headers: Vec<(HeaderName, String)>,
}

impl HttpCheck {
    /// A check that asks for this path.
    pub fn get(path: impl Into<String>) -> HttpCheckBuilder {
        HttpCheckBuilder::new(path.into())
    }

    /// A check with these settings.
    ///
    /// # Errors
    /// All that is wrong with the settings, at once.
    pub fn new(settings: HttpSettings) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let path = parse_path(&settings.path).map_err(|why| problems.push(Problem::new("path", why))).ok();
        let host = match settings.host.as_deref().map(parse_host).transpose() {
            Ok(host) => host,
            Err(why) => {
                problems.push(Problem::new("host", why));
                None
            }
        };
        let mut request_headers = HeaderMap::new();
        for (name, value) in &settings.request_headers {
            match parse_header(name, value) {
                Ok((name, value)) => drop(request_headers.insert(name, value)),
                Err(why) => problems.push(Problem::new(format!("request_headers.{}", quoted(name)), why)),
            }
        }
        let mut expect_headers = Vec::new();
        for (name, value) in &settings.expect_headers {
            match HeaderName::try_from(name.as_str()) {
                Ok(name) => expect_headers.push((name, value.clone())),
                Err(_) => {
                    problems
                        .push(Problem::new("expect_headers", format!("{} is no header name", quoted(name))));
                }
            }
        }
        check_expectations(&settings, &mut problems);
        match path {
            Some(path) if problems.is_empty() => {
                Ok(Self { settings, path, host, request_headers, expect_headers })
            }
            _ => Err(problems),
        }
    }

    /// The settings that it was made with.
    pub fn settings(&self) -> &HttpSettings {
        &self.settings
    }

    /// The answer, if it is right in every respect.
    pub(super) async fn answer(&self, context: &CallContext, instance: &Instance) -> Result<Answer, Probe> {
        let limit = Limit::within(context.deadline, self.settings.answer_within);
        let request = self.request(instance)?;
        let stream = connect(instance, limit).await?;
        let answer = exchange(stream, request, limit, |head| self.judge_head(head)).await?;
        self.judge_body(&answer.body).map_err(failed)?;
        Ok(answer)
    }

    fn request(&self, instance: &Instance) -> Result<Request<Empty<bytes::Bytes>>, Probe> {
        let address = address_of(instance)?;
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = self.path.clone().into();
        let headers = request.headers_mut();
        headers.insert(
            HOST,
            self.host.clone().unwrap_or_else(|| {
                HeaderValue::try_from(address.to_string()).expect("digits, dots, colons and brackets")
            }),
        );
        headers.insert(USER_AGENT, HeaderValue::from_static("deployer"));
        headers.extend(self.request_headers.clone());
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        Ok(request)
    }

    fn judge_head(&self, head: &Parts) -> Result<(), String> {
        let expected = &self.settings.expect_status;
        let code = head.status.as_u16();
        if !expected.iter().any(|range| range.contains(code)) {
            let place = head.headers.get(LOCATION).map(|to| quoted(&String::from_utf8_lossy(to.as_bytes())));
            let redirect = match place {
                Some(to) if head.status.is_redirection() => format!(", a redirect to {to} (not followed)"),
                _ => String::new(),
            };
            return Err(format!("answered {code}{redirect}, expected {}", in_words(expected)));
        }
        for (name, value) in &self.expect_headers {
            let found: Vec<_> =
                head.headers.get_all(name).iter().map(|v| String::from_utf8_lossy(v.as_bytes())).collect();
            match found.as_slice() {
                [] => return Err(format!("answered without header {name}, expected {}", quoted(value))),
                values if values.iter().any(|found| found == value) => {}
                [first, ..] => {
                    return Err(format!(
                        "answered with header {name} {}, expected {}",
                        quoted(first),
                        quoted(value)
                    ));
                }
            }
        }
        Ok(())
    }

    fn judge_body(&self, body: &[u8]) -> Result<(), String> {
        for text in &self.settings.expect_text {
            if !contains(body, text.as_bytes()) {
                let body = quoted(&String::from_utf8_lossy(body));
                return Err(format!("the body does not contain {}: {body}", quoted(text)));
            }
        }
        if self.settings.expect_json.is_empty() {
            return Ok(());
        }
        let json = parse_json(body)?;
        for (pointer, expected) in &self.settings.expect_json {
            match json.pointer(pointer) {
                Some(found) if found == expected => {}
                Some(found) => {
                    return Err(format!(
                        "the body has {} at {pointer:?}, expected {expected}",
                        quoted(&found.to_string())
                    ));
                }
                None => return Err(format!("the body has nothing at {pointer:?}, expected {expected}")),
            }
        }
        Ok(())
    }
}

#[async_trait]
impl HealthCheck for HttpCheck {
    fn describe(&self) -> String {
        format!("GET {} answers {}", self.settings.path, in_words(&self.settings.expect_status))
    }

    async fn probe(&self, context: &CallContext, instance: &Instance) -> Probe {
        match self.answer(context, instance).await {
            Ok(_) => Probe::Ok,
            Err(probe) => probe,
        }
    }
}

pub(super) fn parse_json(body: &[u8]) -> Result<serde_json::Value, String> {
    serde_json::from_slice(body)
        .map_err(|error| format!("the body is no JSON ({error}): {}", quoted(&String::from_utf8_lossy(body))))
}

/// A JSON pointer is empty or starts with a slash; anything else never matches.
pub(super) fn check_pointer(pointer: &str) -> Result<(), String> {
    if pointer.is_empty() || pointer.starts_with('/') {
        Ok(())
    } else {
        Err(format!("{} is no JSON pointer: start with \"/\"", quoted(pointer)))
    }
}

fn contains(body: &[u8], text: &[u8]) -> bool {
    body.windows(text.len()).any(|window| window == text)
}

fn parse_path(path: &str) -> Result<PathAndQuery, String> {
    if path.len() > LONGEST_PATH {
        return Err(format!("{} bytes are too long: use at most {LONGEST_PATH}", path.len()));
    }
    if !path.starts_with('/') || path.starts_with("//") {
        return Err(format!(
            "{} is no path: start with one \"/\"; scheme, host and port are those of the instance",
            quoted(path)
        ));
    }
    if !path.bytes().all(|byte| byte.is_ascii_graphic()) || path.contains('#') {
        return Err(format!(
            "{} has a blank, a control character, a \"#\" or a character outside ASCII: write it in percent encoding",
            quoted(path)
        ));
    }
    PathAndQuery::try_from(path).map_err(|error| format!("{} is no path: {error}", quoted(path)))
}

fn parse_host(host: &str) -> Result<HeaderValue, String> {
    let bad = || format!("{} is no host name with an optional port", quoted(host));
    let authority = Authority::try_from(host).map_err(|_| bad())?;
    if authority.as_str().contains('@') || authority.host().is_empty() {
        return Err(bad());
    }
    HeaderValue::try_from(host).map_err(|_| bad())
}

fn parse_header(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), String> {
    let name = HeaderName::try_from(name).map_err(|_| "is no header name".to_owned())?;
    if RESERVED.contains(&name.as_str()) {
        let way_out = if name == HOST { ": use the setting `host`" } else { "" };
        return Err(format!("belongs to the connection and cannot be set{way_out}"));
    }
    let mut value =
        HeaderValue::try_from(value).map_err(|_| "has a control character in its value".to_owned())?;
    // Keeps it out of `Debug`.
    value.set_sensitive(true);
    Ok((name, value))
}

fn check_expectations(settings: &HttpSettings, problems: &mut Vec<Problem>) {
    if settings.expect_status.is_empty() {
        problems.push(Problem::new(
            "expect_status",
            "is empty: nothing would be right; leave it out for 200-299",
        ));
    }
    for range in settings.expect_status.iter().filter(|range| !range.is_possible()) {
        problems.push(Problem::new(
            "expect_status",
            format!("{range} is not possible: use codes from 200 to 599, the smaller one first"),
        ));
    }
    if settings.expect_text.iter().any(String::is_empty) {
        problems.push(Problem::new("expect_text", "an empty text is in every body: leave it out"));
    }
    for why in settings.expect_json.keys().filter_map(|pointer| check_pointer(pointer).err()) {
        problems.push(Problem::new("expect_json", why));
    }
    if settings.answer_within.is_some_and(|bound| bound.is_zero()) {
        problems.push(Problem::new("answer_within", "is zero: no answer is that fast"));
    }
}
