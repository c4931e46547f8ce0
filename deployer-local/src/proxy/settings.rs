//! What can be tuned.

use std::time::Duration;

use deployer_core::model::settings::seconds;
use serde::{Deserialize, Serialize};

use super::Stickiness;

/// Settings of a [`Proxy`](super::Proxy). Durations are written in seconds, fractions allowed.
///
/// ```
/// use deployer_local::proxy::ProxySettings;
/// let settings = ProxySettings { retry_unwritten: false, ..ProxySettings::default() };
/// assert_eq!(settings.connect_timeout.as_secs(), 1);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProxySettings {
    /// How long a connection to a member may take. Default 1 s: members are near.
    #[serde(with = "seconds")]
    pub connect_timeout: Duration,
    /// How long a client may take for the head of a request from its first byte on. Default 10 s.
    #[serde(with = "seconds")]
    pub head_timeout: Duration,
    /// How long a client's connection may be silent between requests; it is closed after one to two times this.
    /// Default 75 s (nginx `keepalive_timeout`).
    #[serde(with = "seconds")]
    pub client_idle: Duration,
    /// How long a client may take nothing of an answer that is there for it, or give nothing of the body that its
    /// request still lacks; then it is cut, so that it cannot keep a member busy for ever. Default 60 s (nginx
    /// `send_timeout`, `client_body_timeout`).
    #[serde(with = "seconds")]
    pub client_stall: Duration,
    /// How long a connection to a member may be kept unused. Default 4 s: Node and uvicorn close theirs after 5 s.
    /// Where members close earlier (gunicorn: 2 s) choose less.
    #[serde(with = "seconds")]
    pub member_idle: Duration,
    /// The same for requests that must not be sent twice (a body, or a method that is not idempotent): on a
    /// connection unused for longer they could be lost to a member that is just closing it. 0 means always a fresh one. Default 1 s.
    #[serde(with = "seconds")]
    pub member_idle_unsafe: Duration,
    /// How many unused connections are kept per member. Default 256.
    pub member_idle_connections: usize,
    /// Whether a request that was refused, or never written, is sent to another member of its set. Default true.
    pub retry_unwritten: bool,
    /// Whether an idempotent request without body that was lost on a kept connection is sent once more on a fresh
    /// one. Default true.
    pub replay_idempotent: bool,
    /// How long a tunnel (an upgraded connection, or a stream of server-sent events) may live after its member left
    /// the split. Default 30 s.
    #[serde(with = "seconds")]
    pub tunnel_deadline: Duration,
    /// How long a member may take for the head of its answer. Default `None`: for ever.
    #[serde(with = "optional_seconds")]
    pub response_timeout: Option<Duration>,
    /// The largest head of a request, in bytes, at least 8192. Default 64 KiB.
    pub max_head_bytes: usize,
    /// Whether `X-Forwarded-*` and `Forwarded` of clients are kept and extended. Default false: they are replaced.
    /// Only for a proxy that cannot be reached but through another one.
    pub trust_forwarded: bool,
    /// Whether clients stay with a set while the weights allow it, and by which cookie. Default `None`: each request
    /// is picked for on its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stickiness: Option<Stickiness>,
}

impl Default for ProxySettings {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(1),
            head_timeout: Duration::from_secs(10),
            client_idle: Duration::from_secs(75),
            client_stall: Duration::from_secs(60),
            member_idle: Duration::from_secs(4),
            member_idle_unsafe: Duration::from_secs(1),
            member_idle_connections: 256,
            retry_unwritten: true,
            replay_idempotent: true,
            tunnel_deadline: Duration::from_secs(30),
            response_timeout: None,
            max_head_bytes: 64 * 1024,
            trust_forwarded: false,
            stickiness: None,
        }
    }
}

pub(super) mod optional_seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

    #[expect(clippy::ref_option, reason = "serde calls it with a reference to the field")]
    pub(in super::super) fn serialize<S: Serializer>(
        duration: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match duration {
            Some(duration) => serializer.serialize_some(&duration.as_secs_f64()),
            None => serializer.serialize_none(),
        }
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        Option::<f64>::deserialize(deserializer)?
            .map(|seconds| Duration::try_from_secs_f64(seconds).map_err(D::Error::custom))
            .transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_back() {
        let settings =
            ProxySettings { response_timeout: Some(Duration::from_millis(1500)), ..ProxySettings::default() };
        let text = serde_json::to_string(&settings).unwrap();
        assert!(text.contains("\"response_timeout\":1.5"), "{text}");
        assert_eq!(serde_json::from_str::<ProxySettings>(&text).unwrap(), settings);
        assert_eq!(serde_json::from_str::<ProxySettings>("{}").unwrap(), ProxySettings::default());
        assert!(serde_json::from_str::<ProxySettings>("{\"retry\":true}").is_err());
        assert!(serde_json::from_str::<ProxySettings>("{\"connect_timeout\":-1}").is_err());
    }
}
