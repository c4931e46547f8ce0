//! One exchange over one connection, bounded in time and size.

use bytes::Bytes;
use http::{Request, response::Parts};
use http_body_util::{BodyExt, Empty};
use hyper::{
    body::{Body as _, Incoming},
    client::conn::http1,
};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::{
    connect::{Limit, failed},
    expect::quoted,
};
use crate::{error::report, strategy::Probe};

/// The most of a body that is read, and the most of a head.
pub(super) const MOST: usize = 64 * 1024;

/// How much of the body of a wrong answer is worth waiting for: it often says what is wrong.
const EXCERPT: usize = 256;

/// A whole answer.
#[derive(Debug)]
pub(super) struct Answer {
    /// Status and headers.
    pub(super) head: Parts,
    /// All of the body.
    pub(super) body: Vec<u8>,
}

/// Sends the request and reads the answer whose head is accepted. Everything that goes wrong from here on is a failure
/// of the instance: it took the connection.
pub(super) async fn exchange(
    stream: TcpStream,
    request: Request<Empty<Bytes>>,
    limit: Limit,
    accept: impl Fn(&Parts) -> Result<(), String> + Send,
) -> Result<Answer, Probe> {
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(MOST)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| failed(trouble(&error)))?;
    let talk = async {
        let Some(response) = limit.run(sender.send_request(request)).await else {
            return Err(failed(format!("did not answer within {:?}", limit.total)));
        };
        let (head, body) = response.map_err(|error| failed(trouble(&error)))?.into_parts();
        if let Err(why) = accept(&head) {
            return Err(failed(format!("{why}{}", excerpt(body, limit).await)));
        }
        let body =
            read(body, limit).await.map_err(|why| failed(format!("answered {}, but {why}", head.status)))?;
        Ok(Answer { head, body })
    };
    // The connection moves the bytes, so both run together; it ends with this call and is never left to itself.
    let drive = async {
        let _closed = connection.await;
        std::future::pending::<std::convert::Infallible>().await
    };
    tokio::select! {
        answer = talk => answer,
        never = drive => match never {},
    }
}

async fn read(mut body: Incoming, limit: Limit) -> Result<Vec<u8>, String> {
    let too_large = || format!("its body is larger than {MOST} bytes");
    if body.size_hint().lower() > MOST as u64 {
        return Err(too_large());
    }
    let mut whole = Vec::new();
    loop {
        match limit.run(body.frame()).await {
            None => {
                let (so_far, total) = (whole.len(), limit.total);
                return Err(format!("its body did not end within {total:?} ({so_far} bytes so far)"));
            }
            Some(None) => return Ok(whole),
            Some(Some(Err(error))) => {
                return Err(format!("its body broke off after {} bytes: {}", whole.len(), report(&error)));
            }
            Some(Some(Ok(frame))) => {
                let data = frame.into_data().unwrap_or_default();
                if whole.len() + data.len() > MOST {
                    return Err(too_large());
                }
                whole.extend_from_slice(&data);
            }
        }
    }
}

async fn excerpt(mut body: Incoming, limit: Limit) -> String {
    let mut start = Vec::new();
    while start.len() < EXCERPT {
        match limit.run(body.frame()).await {
            Some(Some(Ok(frame))) => start.extend_from_slice(&frame.into_data().unwrap_or_default()),
            _ => break,
        }
    }
    start.truncate(EXCERPT);
    if start.is_empty() {
        String::new()
    } else {
        format!(": {}", quoted(String::from_utf8_lossy(&start).trim()))
    }
}

fn trouble(error: &hyper::Error) -> String {
    if error.is_parse() {
        format!("did not answer in HTTP: {}", report(error))
    } else if error.is_incomplete_message() || error.is_canceled() || error.is_closed() {
        "closed the connection without an answer".to_owned()
    } else {
        format!("broke off the connection: {}", report(error))
    }
}
