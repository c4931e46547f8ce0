//! What the demo application answers.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use bytes::Bytes;
use deployer_core::model::{Percent, Timestamp};
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::{Body as _, Incoming};
use parking_lot::Mutex;
use serde_json::json;
use tokio::task::JoinSet;

use super::{
    AppSettings, Health, Smoke,
    bodies::{self, Body},
    tunnel,
};

const MAX_ECHO_BYTES: usize = 1 << 20;
const MAX_SLOW: Duration = Duration::from_secs(60);

/// What the demo application answers.
#[derive(Debug)]
pub(super) struct Answers {
    settings: AppSettings,
    release: HeaderValue,
    started_at: Timestamp,
    listening_at: Timestamp,
    served: AtomicU64,
    tunnels: Mutex<JoinSet<()>>,
}

impl Answers {
    pub(super) fn new(settings: AppSettings, started_at: Timestamp, listening_at: Timestamp) -> Self {
        let release = HeaderValue::from_str(&settings.release)
            .unwrap_or_else(|_| HeaderValue::from_static("unprintable"));
        let tunnels = Mutex::default();
        Self { settings, release, started_at, listening_at, served: AtomicU64::new(0), tunnels }
    }

    /// Answers one request.
    pub(super) async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let mut response = self.route(request).await;
        response.headers_mut().insert("x-release", self.release.clone());
        response
    }

    /// Tunnels that are open, to be waited for.
    pub(super) fn take_tunnels(&self) -> JoinSet<()> {
        std::mem::take(&mut self.tunnels.lock())
    }

    async fn route(&self, request: Request<Incoming>) -> Response<Body> {
        let release = &self.settings.release;
        match (request.method(), request.uri().path()) {
            (&Method::GET, "/") => self.work(Bytes::from(format!("hello from {release}\n"))).await,
            (&Method::POST, "/echo") => self.echo(request.into_body()).await,
            (&Method::GET, "/healthz") => self.health(),
            (&Method::GET, "/smoke") => match self.settings.smoke {
                Smoke::Ok => text(StatusCode::OK, "ok\n"),
                Smoke::Fail => text(StatusCode::INTERNAL_SERVER_ERROR, "asked to fail\n"),
            },
            (&Method::GET, "/version") => object(&json!({ "release": release, "pid": std::process::id() })),
            (&Method::GET, "/started") => object(&json!({
                "process_start_ms": self.started_at.as_millis(),
                "listening_ms": self.listening_at.as_millis(),
            })),
            (&Method::GET, "/slow") => slow(request.uri().query()).await,
            (&Method::GET, "/download") => download(request.uri().query()),
            (&Method::GET, "/tunnel") => self.tunnel(request),
            _ => text(StatusCode::NOT_FOUND, "no such thing here\n"),
        }
    }

    async fn echo(&self, body: Incoming) -> Response<Body> {
        // Known before it is read: a client that waits for `100 Continue` need not send it.
        let fits = body.size_hint().lower() <= MAX_ECHO_BYTES as u64;
        let read = if fits { Limited::new(body, MAX_ECHO_BYTES).collect().await.ok() } else { None };
        match read {
            Some(body) => self.work(body.to_bytes()).await,
            None => text(StatusCode::PAYLOAD_TOO_LARGE, "at most 1 MiB\n"),
        }
    }

    /// A request that counts: it takes its time and fails as often as asked.
    async fn work(&self, body: Bytes) -> Response<Body> {
        if !self.settings.work.is_zero() {
            tokio::time::sleep(self.settings.work).await;
        }
        if fails(self.served.fetch_add(1, Ordering::Relaxed), self.settings.errors) {
            return text(StatusCode::INTERNAL_SERVER_ERROR, "asked to fail\n");
        }
        Response::new(bodies::full(body))
    }

    fn health(&self) -> Response<Body> {
        match self.settings.health {
            Health::Ok => text(StatusCode::OK, "ok\n"),
            Health::Never => text(StatusCode::INTERNAL_SERVER_ERROR, "never healthy\n"),
            Health::Slow => Response::new(bodies::slow()),
            Health::Endless => Response::new(bodies::endless()),
        }
    }

    fn tunnel(&self, mut request: Request<Incoming>) -> Response<Body> {
        let Some(protocol) = request.headers().get(header::UPGRADE).cloned() else {
            return text(StatusCode::UPGRADE_REQUIRED, "send an upgrade header\n");
        };
        let upgrade = hyper::upgrade::on(&mut request);
        let mut tunnels = self.tunnels.lock();
        while tunnels.try_join_next().is_some() {}
        tunnels.spawn(tunnel::echo(upgrade));
        let mut response = text(StatusCode::SWITCHING_PROTOCOLS, "");
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        response.headers_mut().insert(header::UPGRADE, protocol);
        response
    }
}

/// Whether request `number`, from 0, is one of the failing share; spread evenly and exact over each hundred.
fn fails(number: u64, share: Percent) -> bool {
    let failed_among_first = |count: u64| count * u64::from(share.get()) / 100;
    let place = number % 100;
    failed_among_first(place) < failed_among_first(place + 1)
}

fn wanted_time(query: Option<&str>) -> Option<Duration> {
    let millis = query?.strip_prefix("ms=")?.parse().ok()?;
    Some(Duration::from_millis(millis)).filter(|wanted| *wanted <= MAX_SLOW)
}

/// Its head comes at once, its end only after the time that is asked for.
fn download(query: Option<&str>) -> Response<Body> {
    let Some(wanted) = wanted_time(query) else {
        return text(StatusCode::BAD_REQUEST, "use /download?ms=0 to 60000\n");
    };
    let mut response = Response::new(bodies::download(wanted));
    response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(bodies::DOWNLOAD_BYTES));
    response
}

async fn slow(query: Option<&str>) -> Response<Body> {
    match wanted_time(query) {
        Some(wanted) => {
            tokio::time::sleep(wanted).await;
            text(StatusCode::OK, "at last\n")
        }
        None => text(StatusCode::BAD_REQUEST, "use /slow?ms=0 to 60000\n"),
    }
}

fn text(status: StatusCode, body: &'static str) -> Response<Body> {
    let mut response = Response::new(bodies::full(body));
    *response.status_mut() = status;
    response
}

fn object(value: &serde_json::Value) -> Response<Body> {
    let mut response = Response::new(bodies::full(value.to_string()));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_failing_share_is_exact_over_each_hundred() {
        for share in [0, 1, 33, 50, 99, 100] {
            let percent = Percent::new(share).unwrap();
            for start in [0, 700, 1_000_000] {
                let failed = (start..start + 100).filter(|number| fails(*number, percent)).count();
                assert_eq!(failed as u64, share, "{share} % from {start}");
            }
        }
    }
}
