//! One request and its answer: sent once, never again.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use bytes::Bytes;
use deployer_core::error::report;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full, Limited};
use parking_lot::Mutex;
use tokio::{sync::Semaphore, time::timeout_at};

use super::{
    FailureKind, RequestShape,
    kept::{Connection, KeptConnections, NoConnection},
    tally::{Ended, Tally},
};

/// An answer may be this long.
const MAX_ANSWER_BYTES: usize = 1 << 20;
/// Which version answered.
const VERSION_HEADER: &str = "x-release";

/// What every request of a load has in common.
#[derive(Debug)]
pub(super) struct Exchanges {
    pub(super) start: Instant,
    pub(super) address: SocketAddr,
    pub(super) headers: HeaderMap,
    pub(super) retry_kept_gets: bool,
    pub(super) retried: AtomicU64,
    pub(super) get: Uri,
    pub(super) post: Uri,
    pub(super) body_bytes: usize,
    pub(super) timeout: Duration,
    pub(super) send_within: Duration,
    pub(super) kept: KeptConnections,
    pub(super) kept_slots: Semaphore,
    pub(super) fresh_slots: Semaphore,
    pub(super) tally: Mutex<Tally>,
}

/// Why a request failed, with what was seen.
type Failed = (FailureKind, String);

impl Exchanges {
    /// Sends one request and counts how it ended.
    pub(super) async fn run(&self, request: u64, scheduled: Duration, shape: RequestShape) {
        let mut version = None;
        let failure = self.exchange(request, scheduled, shape, &mut version).await.err();
        let at = self.start.elapsed();
        self.tally.lock().record(Ended { request, shape, scheduled, at, version, failure });
    }

    async fn exchange(
        &self,
        request: u64,
        scheduled: Duration,
        shape: RequestShape,
        version: &mut Option<String>,
    ) -> Result<(), Failed> {
        let due = self.start + scheduled;
        let late = due.elapsed();
        if late > self.send_within {
            return Err((FailureKind::Unsent, format!("this machine was {late:.0?} late")));
        }
        let slots = if shape.is_kept() { &self.kept_slots } else { &self.fresh_slots };
        let Ok(Ok(_slot)) = timeout_at((due + self.send_within).into(), slots.acquire()).await else {
            return Err((
                FailureKind::Unsent,
                format!("no connection was free within {:.0?}", self.send_within),
            ));
        };
        let deadline = (due + self.timeout).into();
        timeout_at(deadline, self.converse(request, shape, version)).await.unwrap_or_else(|_| {
            Err((FailureKind::Timeout, format!("no whole answer within {:.1?}", self.timeout)))
        })
    }

    async fn converse(
        &self,
        request: u64,
        shape: RequestShape,
        version: &mut Option<String>,
    ) -> Result<(), Failed> {
        let connection =
            if shape.is_kept() { self.kept.take().await } else { Connection::open(self.address).await };
        let mut connection = connection.map_err(unconnected)?;
        let sent = if shape.is_post() { body_of(request, self.body_bytes) } else { Bytes::new() };
        let mut answer = connection.sender.send_request(self.message(shape, sent.clone())).await;
        if answer.as_ref().is_err_and(|error| !error.is_parse())
            && self.retry_kept_gets
            && shape == RequestShape::KeepAliveGet
            && connection.is_reused
        {
            self.retried.fetch_add(1, Ordering::Relaxed);
            connection = self.kept.open().await.map_err(unconnected)?;
            answer = connection.sender.send_request(self.message(shape, sent.clone())).await;
        }
        let answer = answer.map_err(|error| torn(&error))?;
        *version = Some(version_of(answer.headers()));
        let status = answer.status();
        let body = Limited::new(answer.into_body(), MAX_ANSWER_BYTES).collect().await;
        if body.is_ok() && shape.is_kept() {
            self.kept.give_back(connection);
        }
        judge(status, body.map(http_body_util::Collected::to_bytes), shape.is_post().then_some(&sent))
    }

    fn message(&self, shape: RequestShape, body: Bytes) -> Request<Full<Bytes>> {
        let mut message = Request::new(Full::new(body));
        *message.headers_mut() = self.headers.clone();
        if shape.is_post() {
            *message.method_mut() = Method::POST;
            *message.uri_mut() = self.post.clone();
        } else {
            *message.uri_mut() = self.get.clone();
        }
        if !shape.is_kept() {
            message.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        message
    }
}

/// A body that no other request has, so that an answer to somebody else is noticed.
fn body_of(request: u64, bytes: usize) -> Bytes {
    format!("{request:020}/").bytes().cycle().take(bytes).collect()
}

fn version_of(headers: &HeaderMap) -> String {
    let name = headers.get(VERSION_HEADER).and_then(|value| value.to_str().ok()).unwrap_or("(none)");
    name.chars().take(64).collect()
}

fn unconnected(why: NoConnection) -> Failed {
    match why {
        NoConnection::Refused(why) => (FailureKind::Refused, why),
        NoConnection::Exhausted(why) => (FailureKind::Unsent, why),
    }
}

fn torn(error: &hyper::Error) -> Failed {
    // What is not HTTP is an answer, if a bad one.
    let kind = if error.is_parse() { FailureKind::StatusOther } else { FailureKind::Reset };
    (kind, report(error))
}

fn judge(
    status: StatusCode,
    body: Result<Bytes, Box<dyn std::error::Error + Send + Sync>>,
    wanted: Option<&Bytes>,
) -> Result<(), Failed> {
    if status.is_server_error() {
        return Err((FailureKind::Status5xx, status.to_string()));
    }
    if status != StatusCode::OK {
        return Err((FailureKind::StatusOther, status.to_string()));
    }
    let body = body.map_err(|error| {
        let kind = if error.is::<hyper::Error>() { FailureKind::Reset } else { FailureKind::BadBody };
        (kind, report(&*error))
    })?;
    match wanted {
        Some(wanted) if *wanted != body => {
            Err((FailureKind::BadBody, format!("{} bytes, not the {} sent", body.len(), wanted.len())))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_differ_and_have_their_size() {
        assert_ne!(body_of(1, 256), body_of(2, 256));
        assert_eq!(body_of(7, 256).len(), 256);
        assert_eq!(body_of(7, 1).len(), 1);
    }

    #[test]
    fn only_200_with_the_right_body_is_a_success() {
        let body = || Ok(Bytes::from_static(b"x"));
        let kind = |status, wanted: Option<&Bytes>| judge(status, body(), wanted).err().map(|(kind, _)| kind);
        assert_eq!(kind(StatusCode::OK, None), None);
        assert_eq!(kind(StatusCode::OK, Some(&Bytes::from_static(b"x"))), None);
        assert_eq!(kind(StatusCode::OK, Some(&Bytes::from_static(b"y"))), Some(FailureKind::BadBody));
        assert_eq!(kind(StatusCode::BAD_GATEWAY, None), Some(FailureKind::Status5xx));
        for status in [StatusCode::NO_CONTENT, StatusCode::FOUND, StatusCode::NOT_FOUND] {
            assert_eq!(kind(status, None), Some(FailureKind::StatusOther));
        }
    }
}
