//! Answers of the proxy itself.

use bytes::Bytes;
use http::{
    HeaderValue, Response, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER},
};

use super::{body::Content, routing::OwnMessage};

/// A short plain text.
pub(super) fn text(status: StatusCode, message: impl Into<Bytes>) -> Response<Content> {
    let message = message.into();
    let mut response = Response::new(Content::Own((!message.is_empty()).then_some(message)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Nothing may serve at the moment.
pub(super) fn maintenance(own: OwnMessage) -> Response<Content> {
    let mut response = text(StatusCode::SERVICE_UNAVAILABLE, own.message);
    response.headers_mut().insert(RETRY_AFTER, own.retry_after);
    response
}

/// The split sends it nowhere.
pub(super) fn nowhere() -> Response<Content> {
    text(StatusCode::SERVICE_UNAVAILABLE, "no set serves this request\n")
}

/// Its set has nobody who answers.
pub(super) fn unavailable() -> Response<Content> {
    text(StatusCode::BAD_GATEWAY, "no instance could answer\n")
}

/// The member had it but did not answer.
pub(super) fn lost() -> Response<Content> {
    text(StatusCode::BAD_GATEWAY, "the instance gave no answer\n")
}

/// The member took too long.
pub(super) fn timed_out() -> Response<Content> {
    text(StatusCode::GATEWAY_TIMEOUT, "the instance gave no answer in time\n")
}
