//! One request and the head of its answer on one connection.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use deployer_core::error::report;
use http::{Request, Response};
use hyper::{body::Incoming, client::conn::TrySendError};
use tokio::task::unconstrained;

use super::{pool::MemberConnection, upload::Upload};

/// The head of an answer, and the connection that its body comes on.
pub(super) type Answered = (Response<Incoming>, Box<MemberConnection>);

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// Nothing of the request was written; here it is.
    Unwritten(Box<Request<Upload>>),
    /// The connection broke after the request was, perhaps, written.
    Lost(String),
    /// What came is not HTTP.
    Malformed(String),
    /// Nothing came in time.
    TimedOut,
}

/// Sends a request and waits for the head of its answer.
///
/// Only the connection is polled with the task's waker. Everything that it sends to the other futures here happens
/// inside that poll, so these are polled right after it and never need to be woken.
pub(super) async fn exchange(
    mut connection: Box<MemberConnection>,
    request: Request<Upload>,
    timeout: Option<Duration>,
) -> Result<Answered, Failure> {
    // Without a budget: pending must mean that there is no answer yet, because nobody would be woken for it.
    let mut answer = pin!(unconstrained(connection.sender.try_send_request(request)));
    let head = poll_fn(|cx| {
        let ended = connection.poll(cx).is_ready();
        match answer.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(result) => Poll::Ready(Some(result)),
            Poll::Pending if ended => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    });
    let result = match timeout {
        None => head.await,
        Some(timeout) => {
            Box::pin(tokio::time::timeout(timeout, head)).await.map_err(|_| Failure::TimedOut)?
        }
    };
    let error = match result {
        Some(Ok(response)) => return Ok((response, connection)),
        Some(Err(error)) => error,
        None => {
            // What the connection did not take is given back when it goes.
            drop(connection);
            match answer.await {
                Ok(_) => return Err(Failure::Lost("the connection ended with its answer".to_owned())),
                Err(error) => error,
            }
        }
    };
    Err(failure(error))
}

fn failure(mut error: TrySendError<Request<Upload>>) -> Failure {
    if let Some(request) = error.take_message() {
        return Failure::Unwritten(Box::new(request));
    }
    let error = error.into_error();
    if error.is_parse() { Failure::Malformed(report(&error)) } else { Failure::Lost(report(&error)) }
}
