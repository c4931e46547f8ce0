//! The control server: HTTP/1.1 on the unix socket.

use std::{cell::RefCell, convert::Infallible, rc::Rc, time::Duration};

use bytes::Bytes;
use futures::stream;
use http::{HeaderValue, Request, Response, StatusCode, header::CONTENT_TYPE};
use http_body_util::{BodyExt as _, Full, Limited, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    body::{Frame, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde::{Serialize, de::DeserializeOwned};
use tokio::{
    net::UnixListener,
    sync::{Notify, watch},
    task::JoinSet,
    time::sleep,
};

use deployer_core::error::ErrorKind;

use super::{log, routes, supervisor::Supervisor};
use crate::protocol::{BODY_LIMIT, PROTOCOL, PROTOCOL_HEADER, Refusal};

/// The body of an answer.
pub(crate) type Body = UnsyncBoxBody<Bytes, Infallible>;

/// What all calls share.
#[derive(Debug, Clone)]
pub(crate) struct Shared {
    pub(crate) supervisor: Rc<RefCell<Supervisor>>,
    /// The helper was told to end, and has answered that.
    pub(crate) told_to_end: Rc<Notify>,
}

/// Answers until the helper is told to end.
pub(crate) async fn serve(listener: UnixListener, supervisor: Rc<RefCell<Supervisor>>) {
    let shared = Shared { supervisor, told_to_end: Rc::default() };
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let shared = shared.clone();
                    let service = service_fn(move |request| answer(shared.clone(), request));
                    connections.spawn_local(async move {
                        // A client that goes away is no news.
                        let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                    });
                }
                Err(error) => {
                    // Out of descriptors, most likely; they come back.
                    log::line(&format!("accept: {error}"));
                    sleep(Duration::from_millis(100)).await;
                }
            },
            Some(_) = connections.join_next() => {}
            () = shared.told_to_end.notified() => break,
        }
    }
    // The answer to the order to end is still on its way out.
    let _ = tokio::time::timeout(Duration::from_millis(200), async {
        while connections.join_next().await.is_some() {}
    })
    .await;
}

async fn answer(shared: Shared, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let mut response = routes::route(shared, request).await.unwrap_or_else(|refusal| refuse(&refusal));
    response.headers_mut().insert(PROTOCOL_HEADER, HeaderValue::from(PROTOCOL));
    Ok(response)
}

/// An answer with a value.
pub(crate) fn json(value: &impl Serialize) -> Result<Response<Body>, Refusal> {
    let text = serde_json::to_vec(value)
        .map_err(|error| Refusal::new(ErrorKind::Unexpected, format!("the answer: {error}")))?;
    Ok(with_status(StatusCode::OK, text))
}

/// An answer that says no more than that it is done.
pub(crate) fn done() -> Response<Body> {
    with_status(StatusCode::OK, b"{}".to_vec())
}

/// An answer without end: a line for the present state and one for each change.
pub(crate) fn changes(receiver: watch::Receiver<u64>) -> Response<Body> {
    let lines = stream::unfold((receiver, true), |(mut receiver, is_first)| async move {
        if !is_first {
            receiver.changed().await.ok()?;
        }
        let number = *receiver.borrow_and_update();
        let line = Bytes::from(format!("{{\"change\":{number}}}\n"));
        Some((Ok::<_, Infallible>(Frame::data(line)), (receiver, false)))
    });
    Response::new(StreamBody::new(lines).boxed_unsync())
}

/// The body of a request as a value.
pub(crate) async fn read<T: DeserializeOwned>(request: Request<Incoming>) -> Result<T, Refusal> {
    let bad = |what: String| Refusal::new(ErrorKind::InvalidInput, what);
    let body = Limited::new(request.into_body(), BODY_LIMIT).collect().await;
    let body = body.map_err(|error| bad(format!("the body cannot be read: {error}")))?.to_bytes();
    serde_json::from_slice(&body).map_err(|error| bad(format!("the body is not understood: {error}")))
}

fn refuse(refusal: &Refusal) -> Response<Body> {
    let status = match refusal.kind {
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::AlreadyExists | ErrorKind::Conflict => StatusCode::CONFLICT,
        ErrorKind::InvalidInput => StatusCode::BAD_REQUEST,
        ErrorKind::PermissionDenied => StatusCode::FORBIDDEN,
        ErrorKind::Unsupported => StatusCode::NOT_IMPLEMENTED,
        ErrorKind::Unavailable | ErrorKind::TimedOut => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    with_status(status, serde_json::to_vec(refusal).unwrap_or_default())
}

fn with_status(status: StatusCode, mut text: Vec<u8>) -> Response<Body> {
    text.push(b'\n');
    let mut response = Response::new(Full::new(Bytes::from(text)).boxed_unsync());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
