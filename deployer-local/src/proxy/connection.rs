//! One client's connection.

use std::{
    future::{Future, poll_fn},
    net::SocketAddr,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    task::Poll,
    time::Instant,
};

use http::HeaderValue;
use hyper::{server::conn::http1::Builder, service::service_fn};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::{net::TcpStream, sync::watch};

use super::{
    forward,
    patience::{Activity, Patience, Verdict},
    shared::Shared,
    stream::ClientStream,
    tunnel::Tunnel,
    upload::Progress,
};

/// What is known of one client's connection. Only its own task writes to it.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) shared: Arc<Shared>,
    /// For `X-Forwarded-For`.
    pub(super) address: HeaderValue,
    /// What the connection becomes when HTTP is over on it.
    pub(super) tunnel: Mutex<Option<Tunnel>>,
    /// How far the body of the present request is, if it has one.
    pub(super) upload: Mutex<Option<Progress>>,
    busy: AtomicBool,
    requests: AtomicU32,
    /// Bytes came since the last request was answered.
    head_begun: AtomicBool,
    /// The last read found nothing.
    read_pending: AtomicBool,
    /// The client does not take what is written to it.
    write_pending: AtomicBool,
    /// How often it took or gave something, wrapping.
    moves: AtomicU32,
}

impl Client {
    /// The client gave something, or had nothing to give. Only the connection's own task calls this.
    pub(super) fn read(&self, something: bool) {
        self.read_pending.store(!something, Ordering::Relaxed);
        if something {
            self.head_begun.store(true, Ordering::Relaxed);
            self.moved();
        }
    }

    /// The client took something, or could not. Only the connection's own task calls this.
    pub(super) fn wrote(&self, something: bool) {
        self.write_pending.store(!something, Ordering::Relaxed);
        if something {
            self.moved();
        }
    }

    fn moved(&self) {
        self.moves.store(self.moves.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    }

    fn activity(&self) -> Activity {
        let busy = self.busy.load(Ordering::Relaxed);
        Activity {
            busy,
            head_begun: !busy && self.head_begun.load(Ordering::Relaxed),
            requests: self.requests.load(Ordering::Relaxed),
            stalled: self.write_pending.load(Ordering::Relaxed) || busy && self.waits_for_upload(),
            moves: self.moves.load(Ordering::Relaxed),
        }
    }

    /// The client, not the member, is what the body of the request waits for.
    fn waits_for_upload(&self) -> bool {
        self.read_pending.load(Ordering::Relaxed)
            && self.upload.lock().as_ref().is_some_and(|upload| !upload.is_complete() && !upload.is_broken())
    }
}

/// Held while a request is being answered, until the end of its answer.
#[derive(Debug)]
pub(super) struct Busy(Arc<Client>);

impl Busy {
    pub(super) fn new(client: Arc<Client>) -> Self {
        client.busy.store(true, Ordering::Relaxed);
        client.requests.fetch_add(1, Ordering::Relaxed);
        Self(client)
    }

    pub(super) fn client(&self) -> &Arc<Client> {
        &self.0
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.head_begun.store(false, Ordering::Relaxed);
        self.0.busy.store(false, Ordering::Relaxed);
    }
}

/// Serves one connection until it ends; then, if it was upgraded, the tunnel.
pub(super) async fn serve(
    socket: TcpStream,
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: watch::Receiver<Option<Instant>>,
) {
    let _ = socket.set_nodelay(true);
    let client = Arc::new(Client {
        shared,
        address: HeaderValue::try_from(address.ip().to_canonical().to_string())
            .expect("an address is visible ASCII"),
        tunnel: Mutex::new(None),
        upload: Mutex::new(None),
        busy: AtomicBool::new(false),
        requests: AtomicU32::new(0),
        head_begun: AtomicBool::new(false),
        read_pending: AtomicBool::new(false),
        write_pending: AtomicBool::new(false),
        moves: AtomicU32::new(0),
    });
    serve_http(socket, &client, stop).await;
    let tunnel = client.tunnel.lock().take();
    if let Some(tunnel) = tunnel {
        tunnel.run(client.shared.settings.tunnel_deadline).await;
    }
}

async fn serve_http(socket: TcpStream, client: &Arc<Client>, mut stop: watch::Receiver<Option<Instant>>) {
    let service = {
        let client = client.clone();
        service_fn(move |request| forward::handle(client.clone(), request))
    };
    let io = TokioIo::new(ClientStream::new(socket, client.clone()));
    let connection = Builder::new()
        .header_read_timeout(None)
        .max_header_size(client.shared.settings.max_head_bytes.max(8192))
        .serve_connection(io, service)
        .with_upgrades();
    let mut connection = pin!(connection);
    let mut stopped = pin!(async move {
        let _ = stop.wait_for(Option::is_some).await;
    });
    let mut patience = Patience::new(&client.shared.settings);
    let (mut listening, mut told, mut ending) = (false, false, false);
    poll_fn(move |cx| {
        loop {
            if connection.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            // Once it is registered a flag is cheaper to look at.
            if !told && (!listening || client.shared.stopping.load(Ordering::Relaxed)) {
                listening = true;
                told = stopped.as_mut().poll(cx).is_ready();
            }
            match patience.poll(cx, told && !ending, client.activity()) {
                Verdict::Wait => return Poll::Pending,
                Verdict::Cut => return Poll::Ready(()),
                Verdict::EndAfterRequest if ending => return Poll::Pending,
                Verdict::EndAfterRequest => {
                    ending = true;
                    connection.as_mut().graceful_shutdown();
                }
            }
        }
    })
    .await;
}
