//! Settings of a load.

use std::{net::SocketAddr, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue, Uri, header};

use super::{LoadHandle, Mix, RequestShape};

/// Why a load cannot be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// A load must not be able to run for ever.
    #[error("the load has no end; give it one with maximum_duration, up to 24 h")]
    NoMaximumDuration,
    /// A setting is outside its range.
    #[error("{setting} is {value}; use {range}")]
    OutOfRange {
        /// Which setting.
        setting: &'static str,
        /// What was given.
        value: String,
        /// What would be right.
        range: &'static str,
    },
    /// A header or a path that cannot be sent.
    #[error("{what} {text:?} cannot be sent in a request")]
    Unsendable {
        /// What it should be.
        what: &'static str,
        /// As given.
        text: String,
    },
    /// The system gave no thread or no event queue.
    #[error("the load could not be started")]
    Io(#[from] std::io::Error),
}

/// An open-loop load: see [`Load::builder`].
#[derive(Debug)]
pub struct Load;

impl Load {
    /// Settings of a load on `address`. Only the maximum duration has no default.
    ///
    /// ```
    /// # async fn show(address: std::net::SocketAddr) -> Result<(), deployer_testkit::load::LoadError> {
    /// use std::time::Duration;
    /// use deployer_testkit::load::Load;
    ///
    /// let load = Load::builder(address).rate(500).maximum_duration(Duration::from_secs(60)).start()?;
    /// // … deploy …
    /// load.stop().await.assert_lossless();
    /// # Ok(())
    /// # }
    /// ```
    pub fn builder(address: SocketAddr) -> LoadBuilder {
        LoadBuilder {
            address,
            rate: 500,
            connections: 32,
            mix: Mix::default(),
            maximum_duration: None,
            timeout: Duration::from_secs(5),
            send_within: Duration::from_millis(500),
            body_bytes: 256,
            get_path: "/".to_owned(),
            post_path: "/echo".to_owned(),
            headers: Vec::new(),
            retry_kept_gets: false,
        }
    }
}

/// Settings of a load. Checked all at once by [`start`](Self::start).
#[derive(Debug, Clone)]
pub struct LoadBuilder {
    address: SocketAddr,
    rate: u32,
    connections: u32,
    mix: Mix,
    maximum_duration: Option<Duration>,
    timeout: Duration,
    send_within: Duration,
    body_bytes: usize,
    get_path: String,
    post_path: String,
    headers: Vec<(String, String)>,
    retry_kept_gets: bool,
}

/// What a load needs to run, checked.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) address: SocketAddr,
    pub(super) rate: u32,
    pub(super) connections: usize,
    pub(super) round: Vec<RequestShape>,
    pub(super) maximum: Duration,
    pub(super) timeout: Duration,
    pub(super) send_within: Duration,
    pub(super) body_bytes: usize,
    pub(super) get: Uri,
    pub(super) post: Uri,
    pub(super) headers: HeaderMap,
    pub(super) retry_kept_gets: bool,
}

impl LoadBuilder {
    /// Requests a second, 1 to 20 000. Default 500.
    #[must_use]
    pub fn rate(self, rate: u32) -> Self {
        Self { rate, ..self }
    }

    /// How many connections are kept, and how many others may be open at the same time: 1 to 1024 of each.
    /// Default 32.
    #[must_use]
    pub fn connections(self, connections: u32) -> Self {
        Self { connections, ..self }
    }

    /// Shapes of the requests. Default half kept POST, half fresh GET.
    #[must_use]
    pub fn mix(self, mix: Mix) -> Self {
        Self { mix, ..self }
    }

    /// The load ends by itself after this, at most 24 h. Has to be given.
    #[must_use]
    pub fn maximum_duration(self, maximum: Duration) -> Self {
        Self { maximum_duration: Some(maximum), ..self }
    }

    /// How long an answer may take from its scheduled moment, up to 5 min. Default 5 s.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// How late a request may be sent; after that it counts as unsent. 1 ms up to the timeout, default 500 ms.
    #[must_use]
    pub fn send_within(self, send_within: Duration) -> Self {
        Self { send_within, ..self }
    }

    /// Size of the body of a POST, 1 to 65 536 bytes. Default 256.
    #[must_use]
    pub fn body_bytes(self, body_bytes: usize) -> Self {
        Self { body_bytes, ..self }
    }

    /// Path of a GET. Default `/`.
    #[must_use]
    pub fn get_path(self, path: impl Into<String>) -> Self {
        Self { get_path: path.into(), ..self }
    }

    /// Path of a POST; it has to answer with the body that it got. Default `/echo`.
    #[must_use]
    pub fn post_path(self, path: impl Into<String>) -> Self {
        Self { post_path: path.into(), ..self }
    }

    /// A header of every request; for `host` it takes the place of the address.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Whether a GET is sent once more, on a new connection, if the kept connection that it was on ended before any part
    /// of an answer came: what browsers do, since the server may just have been closing it. Counted apart. Default false.
    #[must_use]
    pub fn retry_kept_gets(self, retry_kept_gets: bool) -> Self {
        Self { retry_kept_gets, ..self }
    }

    /// Starts the load on two threads of its own; no runtime of the caller is used.
    ///
    /// # Errors
    /// A setting is out of range, the maximum duration is missing, or the system gave no thread.
    pub fn start(self) -> Result<LoadHandle, LoadError> {
        LoadHandle::start(self.check()?)
    }

    fn check(self) -> Result<Settings, LoadError> {
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        const FIVE_MINUTES: Duration = Duration::from_secs(5 * 60);
        let maximum = self.maximum_duration.ok_or(LoadError::NoMaximumDuration)?;
        let milli = Duration::from_millis(1);
        within("rate", self.rate, 1..=20_000, "1 to 20 000 requests a second")?;
        within("connections", self.connections, 1..=1024, "1 to 1024")?;
        within("body_bytes", self.body_bytes, 1..=65_536, "1 to 65 536 bytes")?;
        within("maximum_duration", Debugged(maximum), Debugged(milli)..=Debugged(DAY), "1 ms to 24 h")?;
        within("timeout", Debugged(self.timeout), Debugged(milli)..=Debugged(FIVE_MINUTES), "1 ms to 5 min")?;
        within(
            "send_within",
            Debugged(self.send_within),
            Debugged(milli)..=Debugged(self.timeout),
            "1 ms up to the timeout",
        )?;
        let round = self.mix.round().ok_or_else(|| LoadError::OutOfRange {
            setting: "mix",
            value: format!("{:?}", self.mix),
            range: "1 to 1000 parts in sum",
        })?;
        Ok(Settings {
            address: self.address,
            rate: self.rate,
            connections: self.connections as usize,
            round,
            maximum,
            timeout: self.timeout,
            send_within: self.send_within,
            body_bytes: self.body_bytes,
            get: path(&self.get_path)?,
            post: path(&self.post_path)?,
            headers: headers(self.address, &self.headers)?,
            retry_kept_gets: self.retry_kept_gets,
        })
    }
}

/// A duration whose `Display` is its `Debug`.
#[derive(PartialEq, PartialOrd)]
struct Debugged(Duration);

impl std::fmt::Display for Debugged {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

fn within<T: PartialOrd + std::fmt::Display>(
    setting: &'static str,
    value: T,
    allowed: std::ops::RangeInclusive<T>,
    range: &'static str,
) -> Result<(), LoadError> {
    if allowed.contains(&value) {
        return Ok(());
    }
    Err(LoadError::OutOfRange { setting, value: value.to_string(), range })
}

fn path(text: &str) -> Result<Uri, LoadError> {
    let unsendable = || LoadError::Unsendable { what: "path", text: text.to_owned() };
    if !text.starts_with('/') {
        return Err(unsendable());
    }
    text.parse().map_err(|_| unsendable())
}

fn headers(address: SocketAddr, given: &[(String, String)]) -> Result<HeaderMap, LoadError> {
    let mut headers = HeaderMap::new();
    let host = ("host".to_owned(), address.to_string());
    for (name, value) in std::iter::once(&host).chain(given) {
        let unsendable = |what, text: &str| LoadError::Unsendable { what, text: text.to_owned() };
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| unsendable("header name", name))?;
        // The generator frames its requests itself.
        if [header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::CONNECTION].contains(&name) {
            return Err(unsendable("header name", name.as_str()));
        }
        let value = HeaderValue::from_str(value).map_err(|_| unsendable("header value", value))?;
        headers.insert(name, value);
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn builder() -> LoadBuilder {
        Load::builder(([127, 0, 0, 1], 1).into()).maximum_duration(Duration::from_secs(1))
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_name() {
        let bad = [
            ("rate", builder().rate(0)),
            ("rate", builder().rate(20_001)),
            ("connections", builder().connections(0)),
            ("body_bytes", builder().body_bytes(0)),
            ("maximum_duration", builder().maximum_duration(Duration::ZERO)),
            ("maximum_duration", builder().maximum_duration(Duration::MAX)),
            ("timeout", builder().timeout(Duration::from_secs(301))),
            ("send_within", builder().send_within(Duration::from_secs(6))),
            ("mix", builder().mix(Mix::NONE)),
            ("path", builder().get_path("http://elsewhere/")),
            ("header value", builder().header("x-a", "b\r\nx-c: d")),
            ("header name", builder().header("content-length", "5")),
        ];
        for (name, builder) in bad {
            let error = builder.check().unwrap_err().to_string();
            assert!(error.contains(name), "{error} does not name {name}");
        }
        let unbounded = Load::builder(([127, 0, 0, 1], 1).into());
        assert!(matches!(unbounded.check(), Err(LoadError::NoMaximumDuration)));
        builder().check().unwrap();
    }
}
