//! Members for routers that reach addresses of this host.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use deployer_core::model::{InstanceId, Member, SetId};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty, Full, StreamBody, combinators::BoxBody};
use hyper::{
    body::{Frame, Incoming},
    client::conn::http1 as client,
    server::conn::http1 as server,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::JoinSet,
    time::timeout,
};

use super::rig::{Answer, Ask, Held};

/// The path of requests that are answered only when they are let go.
const HOLD: &str = "/hold";
/// The path of requests that are answered with status 500.
const FAIL: &str = "/fail";
/// Says which member answered.
const NAME: &str = "x-conformance-member";
const LIMIT: Duration = Duration::from_secs(30);

/// Servers on 127.0.0.1 that answer HTTP/1.1 with their name, for [`RouterRig`](super::RouterRig)s of routers that reach
/// addresses of this host. They live until this is dropped.
#[derive(Debug, Default)]
pub struct Backends {
    running: Mutex<Running>,
    let_go: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Running {
    tasks: JoinSet<()>,
    number: usize,
}

impl Backends {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// So many new members of a set, sorted by id.
    ///
    /// # Panics
    /// No port of 127.0.0.1 is free.
    pub async fn members(&self, set: &SetId, count: usize) -> Vec<Member> {
        let mut members = Vec::with_capacity(count);
        for _ in 0..count {
            let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port of 127.0.0.1");
            let address = listener.local_addr().expect("the address of a listener");
            let mut running = self.running.lock();
            running.number += 1;
            let instance =
                InstanceId::new(format!("{set}-{:04}", running.number)).expect("a set and a number");
            running.tasks.spawn(listen(listener, instance.clone(), Arc::clone(&self.let_go)));
            members.push(Member { instance, address: Some(address) });
        }
        members
    }

    /// One request to this address on a connection of its own.
    pub async fn ask(&self, router: SocketAddr, ask: &Ask) -> Answer {
        self.answer_to(router, "/", ask).await
    }

    /// One request to this address that is answered with status 500.
    pub async fn fail(&self, router: SocketAddr) -> Answer {
        self.answer_to(router, FAIL, &Ask::default()).await
    }

    async fn answer_to(&self, router: SocketAddr, path: &str, ask: &Ask) -> Answer {
        let answer = timeout(LIMIT, send(router, path, ask)).await.ok().flatten();
        answer.unwrap_or(Answer { status: 0, by: None })
    }

    /// A request to this address that a member keeps answering, and the member that does; `None` if nobody took it.
    pub async fn hold(&self, router: SocketAddr) -> Option<Box<dyn Held>> {
        let mut tasks = JoinSet::new();
        let mut sender = connect(router, &mut tasks).await?;
        // The head comes at once and names the member; the body when it is let go.
        let answer =
            timeout(LIMIT, sender.send_request(request(HOLD, router, &Ask::default())?)).await.ok()?.ok()?;
        let by = member_of(&answer)?;
        Some(Box::new(Holding { by, _answer: answer, _tasks: tasks, let_go: Arc::clone(&self.let_go) }))
    }
}

#[derive(Debug)]
struct Holding {
    by: InstanceId,
    _answer: Response<Incoming>,
    _tasks: JoinSet<()>,
    let_go: Arc<Notify>,
}

impl Held for Holding {
    fn by(&self) -> InstanceId {
        self.by.clone()
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        self.let_go.notify_waiters();
    }
}

async fn connect(to: SocketAddr, tasks: &mut JoinSet<()>) -> Option<client::SendRequest<Empty<Bytes>>> {
    let stream = TcpStream::connect(to).await.ok()?;
    let (sender, connection) = client::handshake(TokioIo::new(stream)).await.ok()?;
    tasks.spawn(async { drop(connection.await) });
    Some(sender)
}

async fn send(to: SocketAddr, path: &str, ask: &Ask) -> Option<Answer> {
    let mut tasks = JoinSet::new();
    let mut sender = connect(to, &mut tasks).await?;
    let answer = sender.send_request(request(path, to, ask)?).await.ok()?;
    let (status, by) = (answer.status().as_u16(), member_of(&answer));
    answer.into_body().collect().await.ok()?;
    Some(Answer { status, by })
}

fn request(path: &str, to: SocketAddr, ask: &Ask) -> Option<Request<Empty<Bytes>>> {
    let plain = Request::get(path).header("host", to.to_string()).header("connection", "close");
    let headers = ask.headers.iter();
    headers.fold(plain, |request, (name, value)| request.header(name, value)).body(Empty::new()).ok()
}

fn member_of<B>(answer: &Response<B>) -> Option<InstanceId> {
    answer.headers().get(NAME).and_then(|name| InstanceId::new(name.to_str().ok()?).ok())
}

/// Answers until it is aborted.
async fn listen(listener: TcpListener, name: InstanceId, let_go: Arc<Notify>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        let (name, let_go) = (name.clone(), Arc::clone(&let_go));
        connections.spawn(async move {
            let service = service_fn(move |request: Request<Incoming>| {
                std::future::ready(Ok::<_, Infallible>(answer(&request, &name, Arc::clone(&let_go))))
            });
            drop(server::Builder::new().serve_connection(TokioIo::new(stream), service).await);
        });
    }
}

fn answer(
    request: &Request<Incoming>,
    name: &InstanceId,
    let_go: Arc<Notify>,
) -> Response<BoxBody<Bytes, Infallible>> {
    let text = Bytes::from(name.to_string());
    let body = if request.uri().path() == HOLD {
        let later = async move {
            let_go.notified().await;
            Ok(Frame::data(text))
        };
        BodyExt::boxed(StreamBody::new(futures::stream::once(later)))
    } else {
        Full::new(text).boxed()
    };
    let mut answer = Response::new(body);
    if request.uri().path() == FAIL {
        *answer.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    }
    if let Ok(value) = HeaderValue::from_str(name.as_str()) {
        answer.headers_mut().insert(NAME, value);
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn members_say_who_they_are_and_hold_requests() {
        let backends = Backends::new();
        let set = SetId::new("v1").unwrap();
        let members = backends.members(&set, 2).await;
        for member in &members {
            let address = member.address.unwrap();
            let answer = backends.ask(address, &Ask::default()).await;
            assert_eq!(answer, Answer { status: 200, by: Some(member.instance.clone()) });
            let held = backends.hold(address).await.unwrap();
            assert_eq!(held.by(), member.instance);
        }
        let address = members[0].address.unwrap();
        drop(backends);
        // Its tasks end soon, and with them the socket.
        let deadline = std::time::Instant::now() + LIMIT;
        while TcpStream::connect(address).await.is_ok() {
            assert!(std::time::Instant::now() < deadline, "it still listens");
            tokio::task::yield_now().await;
        }
        assert_eq!(Backends::new().ask(address, &Ask::default()).await, Answer { status: 0, by: None });
    }
}
