//! One call to the helper: connect, start it if it is dead, ask, read.

use std::{io, sync::Arc, time::Duration};

use bytes::Bytes;
use deployer_core::{
    error::{BackendError, ErrorKind},
    ports::Changes,
};
use futures::stream;
use http::{Method, Request, Response, StatusCode, header::HOST};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use serde::{Serialize, de::DeserializeOwned};
use tokio::{
    net::UnixStream,
    task::JoinSet,
    time::{Instant, sleep, timeout, timeout_at},
};

use crate::{
    directory::Directory,
    launch::{self, Started},
    protocol::{BODY_LIMIT, PROTOCOL, PROTOCOL_HEADER, Refusal},
    settings::HelperProgram,
};

/// How to reach the helper of one directory. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Client(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    directory: Directory,
    helper: HelperProgram,
    start_limit: Duration,
    /// One start at a time from this process; other processes are kept apart by the helper's lock.
    starting: tokio::sync::Mutex<()>,
}

/// A call: what it is for, where it goes, how long it may take.
#[derive(Debug, Clone)]
pub(crate) struct Call<'a> {
    pub(crate) operation: String,
    pub(crate) method: Method,
    pub(crate) path: &'a str,
    pub(crate) deadline: Duration,
}

/// An answer whose body is still coming, with the task that drives its connection.
struct Open {
    response: Response<Incoming>,
    connection: JoinSet<()>,
}

impl Client {
    pub(crate) fn new(directory: Directory, helper: HelperProgram, start_limit: Duration) -> Self {
        Self(Arc::new(Inner { directory, helper, start_limit, starting: tokio::sync::Mutex::default() }))
    }

    pub(crate) fn directory(&self) -> &Directory {
        &self.0.directory
    }

    /// Makes sure that a helper answers.
    pub(crate) async fn ensure(&self) -> Result<(), Refusal> {
        self.connect().await.map(drop)
    }

    /// Asks without a body.
    pub(crate) async fn get<T: DeserializeOwned>(&self, call: Call<'_>) -> Result<T, BackendError> {
        self.ask(call, Bytes::new()).await
    }

    /// Asks with a body.
    pub(crate) async fn send<T: DeserializeOwned>(
        &self,
        call: Call<'_>,
        body: &impl Serialize,
    ) -> Result<T, BackendError> {
        let body = serde_json::to_vec(body).map_err(|error| {
            BackendError::new(ErrorKind::InvalidInput, call.operation.clone(), "the order cannot be written")
                .with_source(error)
        })?;
        self.ask(call, body.into()).await
    }

    /// A stream of hints. It ends when the helper does.
    pub(crate) async fn watch(&self, call: Call<'_>) -> Result<Changes, BackendError> {
        let operation = call.operation.clone();
        let open = self.bounded(&call, self.open(&call, Bytes::new())).await?;
        if open.response.status() != StatusCode::OK {
            let refused = read::<serde_json::Value>(open).await;
            return Err(refused.err().unwrap_or_else(not_understood).into_error(&operation));
        }
        let Open { response, connection } = open;
        let lines = stream::unfold((response.into_body(), connection), |(mut body, connection)| async move {
            loop {
                let frame = body.frame().await?.ok()?;
                if frame.is_data() {
                    return Some(((), (body, connection)));
                }
            }
        });
        Ok(Box::pin(lines))
    }

    async fn ask<T: DeserializeOwned>(&self, call: Call<'_>, body: Bytes) -> Result<T, BackendError> {
        self.bounded(&call, async { read(self.open(&call, body).await?).await }).await
    }

    async fn bounded<T>(
        &self,
        call: &Call<'_>,
        answer: impl Future<Output = Result<T, Refusal>>,
    ) -> Result<T, BackendError> {
        let result = timeout(call.deadline, answer).await.unwrap_or_else(|_| {
            let message = format!("no answer of the helper within {:?}", call.deadline);
            Err(Refusal::new(ErrorKind::TimedOut, message))
        });
        result.map_err(|refusal| refusal.into_error(&call.operation))
    }

    async fn open(&self, call: &Call<'_>, body: Bytes) -> Result<Open, Refusal> {
        let stream = self.connect().await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(lost)?;
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            // Its error is the error of the request as well.
            let _ = connection.await;
        });
        let request = Request::builder()
            .method(call.method.clone())
            .uri(call.path)
            .header(HOST, "helper")
            .body(Full::new(body))
            .map_err(|error| Refusal::new(ErrorKind::InvalidInput, error.to_string()))?;
        let response = sender.send_request(request).await.map_err(lost)?;
        let protocol = response.headers().get(PROTOCOL_HEADER).and_then(|value| value.to_str().ok());
        if protocol != Some(&PROTOCOL.to_string()) {
            let message = format!(
                "the helper in {} speaks protocol {}, this program {PROTOCOL}; shut it down with the version that \
                 started it",
                self.0.directory.path().display(),
                protocol.unwrap_or("unknown")
            );
            return Err(Refusal::new(ErrorKind::Unsupported, message));
        }
        Ok(Open { response, connection: tasks })
    }

    /// Connects, and starts a helper once if none answers.
    async fn connect(&self) -> Result<UnixStream, Refusal> {
        if let Some(stream) = self.try_connect().await? {
            return Ok(stream);
        }
        let _one = self.0.starting.lock().await;
        let deadline = Instant::now() + self.0.start_limit;
        let mut wait = Duration::from_millis(10);
        loop {
            if let Some(stream) = self.try_connect().await? {
                return Ok(stream);
            }
            let started = timeout_at(deadline, launch::start(&self.0.helper, &self.0.directory));
            match started.await.map_err(|_| self.too_slow())?? {
                Started::Ready => {
                    tracing::info!(directory = %self.0.directory.path().display(), "started the local helper");
                }
                // Another process is just starting it, or it is just ending.
                Started::Busy if Instant::now() < deadline => {
                    sleep(wait).await;
                    wait = (wait * 2).min(Duration::from_millis(200));
                }
                Started::Busy => return Err(self.too_slow()),
            }
        }
    }

    /// `None` if no helper is there.
    async fn try_connect(&self) -> Result<Option<UnixStream>, Refusal> {
        let path = self.0.directory.socket();
        match UnixStream::connect(&path).await {
            Ok(stream) => Ok(Some(stream)),
            Err(error) => match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => Ok(None),
                io::ErrorKind::PermissionDenied => Err(Refusal::new(
                    ErrorKind::PermissionDenied,
                    format!("{}: {error}; the helper belongs to another user", path.display()),
                )),
                _ => Err(Refusal::new(ErrorKind::Unavailable, format!("{}: {error}", path.display()))),
            },
        }
    }

    fn too_slow(&self) -> Refusal {
        let message = format!(
            "no helper answered within {:?}; see {}",
            self.0.start_limit,
            self.0.directory.log().display()
        );
        Refusal::new(ErrorKind::Unavailable, message)
    }
}

async fn read<T: DeserializeOwned>(open: Open) -> Result<T, Refusal> {
    let Open { response, connection } = open;
    let status = response.status();
    let body = Limited::new(response.into_body(), BODY_LIMIT).collect().await;
    drop(connection);
    let body = body.map_err(|error| {
        Refusal::new(ErrorKind::Unavailable, format!("the helper went away in the middle: {error}"))
    })?;
    let body = body.to_bytes();
    if status == StatusCode::OK {
        return serde_json::from_slice(&body).map_err(|_| not_understood());
    }
    Err(serde_json::from_slice(&body).unwrap_or_else(|_| not_understood()))
}

fn lost(error: hyper::Error) -> Refusal {
    Refusal::new(ErrorKind::Unavailable, format!("the helper went away: {error}; it may have done it"))
}

fn not_understood() -> Refusal {
    Refusal::new(ErrorKind::Unexpected, "the answer of the helper is not understood")
}
