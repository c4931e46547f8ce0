//! What an HTTP check asks and expects, as data.

use std::{collections::BTreeMap, fmt, time::Duration};

use serde::{Deserialize, Serialize};

use super::{HttpCheck, StatusRange};
use crate::error::Problem;

/// What an HTTP check asks and expects. Read from settings files; [`HttpCheck::new`] validates it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpSettings {
    /// Path and query, starting with `/`. Host and port are those of the instance. Default `/`.
    pub path: String,
    /// The status codes that are right. Default 200-299; a redirect is not followed and counts by its own code.
    pub expect_status: Vec<StatusRange>,
    /// Headers that the answer must have, with exactly this value.
    pub expect_headers: BTreeMap<String, String>,
    /// Texts that the body must contain.
    pub expect_text: Vec<String>,
    /// JSON pointers (RFC 6901) into the body, each with the value that must stand there.
    pub expect_json: BTreeMap<String, serde_json::Value>,
    /// How long the whole answer may take, in seconds, counted from the connection attempt. Default: the deadline of
    /// the call.
    #[serde(with = "optional_seconds")]
    pub answer_within: Option<Duration>,
    /// The `Host` header. Default: the address of the instance.
    pub host: Option<String>,
    /// More headers to send. Not for secrets: settings are written down.
    pub request_headers: BTreeMap<String, String>,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            path: "/".to_owned(),
            expect_status: vec![StatusRange::SUCCESS],
            expect_headers: BTreeMap::new(),
            expect_text: Vec::new(),
            expect_json: BTreeMap::new(),
            answer_within: None,
            host: None,
            request_headers: BTreeMap::new(),
        }
    }
}

impl fmt::Debug for HttpSettings {
    /// Without the values of request headers: people put tokens there all the same.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpSettings")
            .field("path", &self.path)
            .field("expect_status", &self.expect_status)
            .field("expect_headers", &self.expect_headers)
            .field("expect_text", &self.expect_text)
            .field("expect_json", &self.expect_json)
            .field("answer_within", &self.answer_within)
            .field("host", &self.host)
            .field("request_headers", &self.request_headers.keys())
            .finish()
    }
}

/// Puts an [`HttpCheck`] together; made by [`HttpCheck::get`].
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until `build`"]
pub struct HttpCheckBuilder {
    settings: HttpSettings,
    default_status: bool,
}

impl HttpCheckBuilder {
    pub(super) fn new(path: String) -> Self {
        Self { settings: HttpSettings { path, ..HttpSettings::default() }, default_status: true }
    }

    /// A status code, or a range of them, that is right. The first call replaces the default of 200-299.
    pub fn expect_status(mut self, status: impl Into<StatusRange>) -> Self {
        if std::mem::take(&mut self.default_status) {
            self.settings.expect_status.clear();
        }
        self.settings.expect_status.push(status.into());
        self
    }

    /// A header that the answer must have, with exactly this value.
    pub fn expect_header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.expect_headers.insert(name.into(), value.into());
        self
    }

    /// A text that the body must contain.
    pub fn expect_text(mut self, text: impl Into<String>) -> Self {
        self.settings.expect_text.push(text.into());
        self
    }

    /// A JSON pointer (RFC 6901) into the body, and the value that must stand there.
    pub fn expect_json(mut self, pointer: impl Into<String>, value: impl Into<serde_json::Value>) -> Self {
        self.settings.expect_json.insert(pointer.into(), value.into());
        self
    }

    /// How long the whole answer may take.
    pub fn answer_within(mut self, bound: Duration) -> Self {
        self.settings.answer_within = Some(bound);
        self
    }

    /// The `Host` header, where the service tells its sites apart by it.
    pub fn host(mut self, host: impl Into<String>) -> Self {
        self.settings.host = Some(host.into());
        self
    }

    /// One more header to send. Not for secrets: settings are written down.
    pub fn request_header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.request_headers.insert(name.into(), value.into());
        self
    }

    /// The check.
    ///
    /// # Errors
    /// All that is wrong with the settings, at once.
    pub fn build(self) -> Result<HttpCheck, Vec<Problem>> {
        HttpCheck::new(self.settings)
    }
}

mod optional_seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::model::settings::seconds;

    #[derive(Serialize, Deserialize)]
    #[serde(transparent)]
    struct Seconds(#[serde(with = "seconds")] Duration);

    #[expect(clippy::ref_option, reason = "the signature is serde's")]
    pub(super) fn serialize<S: Serializer>(value: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
        value.map(Seconds).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<Seconds>::deserialize(from)?.map(|seconds| seconds.0))
    }
}
