//! Accepting connections, and stopping.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    net::TcpListener,
    sync::watch,
    task::JoinSet,
    time::{MissedTickBehavior, interval, sleep, sleep_until},
};

use super::{connection, shared::Shared};

/// After a failed accept (no file descriptors left) others must end first.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves until stopped. Owns all connections: they end with it. `_end` is dropped when all is over.
pub(super) async fn run(
    listener: TcpListener,
    shared: Arc<Shared>,
    mut stop: watch::Receiver<Option<Instant>>,
    _end: watch::Sender<()>,
) {
    let mut connections = JoinSet::new();
    let mut second = interval(Duration::from_secs(1));
    second.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let told = stop.clone();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((socket, address)) => {
                    connections.spawn(connection::serve(socket, address, shared.clone(), told.clone()));
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept");
                    sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(_) = connections.join_next() => {}
            _ = second.tick() => shared.second(Instant::now()),
            Ok(()) = stop.changed() => break,
        }
    }
    accept_the_waiting(listener, |socket, address| {
        connections.spawn(connection::serve(socket, address, shared.clone(), told.clone()));
    });
    wait_for_all(&mut connections, &mut stop).await;
    connections.shutdown().await;
    for member in shared.registry.lock().members() {
        member.pool.close();
    }
}

/// Takes the connections that clients believe to have: with the listener the system would reset them.
fn accept_the_waiting(
    listener: TcpListener,
    mut serve: impl FnMut(tokio::net::TcpStream, std::net::SocketAddr),
) {
    let Ok(listener) = listener.into_std() else { return };
    while let Ok((socket, address)) = listener.accept() {
        if socket.set_nonblocking(true).is_ok()
            && let Ok(socket) = tokio::net::TcpStream::from_std(socket)
        {
            serve(socket, address);
        }
    }
}

/// Returns when all have ended, or at the deadline.
async fn wait_for_all(connections: &mut JoinSet<()>, stop: &mut watch::Receiver<Option<Instant>>) {
    loop {
        let deadline = *stop.borrow_and_update();
        let deadline = async {
            match deadline {
                Some(at) => sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            ended = connections.join_next() => if ended.is_none() { return },
            () = deadline => return,
            Ok(()) = stop.changed() => {}
        }
    }
}
