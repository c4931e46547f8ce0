//! Listening, connections and the signal to stop.

use std::{convert::Infallible, io, io::Write as _, net::Ipv4Addr, sync::Arc};

use deployer_core::{
    model::Timestamp,
    ports::{Clock as _, SystemClock},
};
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpStream},
    signal::unix::{SignalKind, signal},
    sync::watch,
    task::JoinSet,
};

use super::{AppSettings, OnTerminate, answers::Answers};

/// Serves until it is told to drain and has, or for ever.
pub(super) fn run(settings: &AppSettings, started_at: Timestamp) -> io::Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(serve(settings, started_at))
}

async fn serve(settings: &AppSettings, started_at: Timestamp) -> io::Result<()> {
    // Before the delay: who ignores the signal ignores it from the start.
    let mut terminate = signal(SignalKind::terminate())?;
    let listener = tokio::select! {
        listener = listen(settings) => listener?,
        () = told_to_stop(&mut terminate, settings.on_terminate) => return Ok(()),
    };
    let listening_at = SystemClock::new().now();
    announce(settings, started_at, listening_at, &listener)?;
    let answers = Arc::new(Answers::new(settings.clone(), started_at, listening_at));
    let (drain, draining) = watch::channel(());
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = told_to_stop(&mut terminate, settings.on_terminate) => break,
            accepted = listener.accept() => if let Ok((stream, _)) = accepted {
                connections.spawn(converse(stream, Arc::clone(&answers), draining.clone()));
            } else {
                // Out of file descriptors, most likely: some connection has to end first.
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            },
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
        }
    }
    drop(listener);
    drop(drain);
    connections.join_all().await;
    answers.take_tunnels().join_all().await;
    Ok(())
}

/// Returns when it is time to drain; where it shall exit at once it does so here.
async fn told_to_stop(terminate: &mut tokio::signal::unix::Signal, behaviour: OnTerminate) {
    loop {
        if terminate.recv().await.is_none() {
            // No signal can come any more; waiting for one must not become a busy loop.
            std::future::pending::<()>().await;
        }
        match behaviour {
            OnTerminate::Drain => return,
            OnTerminate::Ignore => {}
            OnTerminate::Exit =>
            {
                #[expect(clippy::exit, reason = "the rude case: nothing is drained and no destructor runs")]
                std::process::exit(0)
            }
        }
    }
}

async fn listen(settings: &AppSettings) -> io::Result<TcpListener> {
    if !settings.start_delay.is_zero() {
        tokio::time::sleep(settings.start_delay).await;
    }
    TcpListener::bind((Ipv4Addr::LOCALHOST, settings.port)).await
}

fn announce(
    settings: &AppSettings,
    started_at: Timestamp,
    listening_at: Timestamp,
    listener: &TcpListener,
) -> io::Result<()> {
    let address = listener.local_addr()?;
    let took = listening_at.since(started_at).as_millis();
    // Standard output may be closed; that is no reason not to serve.
    let _ = writeln!(
        io::stdout(),
        "{listening_at} demo application {} listening on {address} {took} ms after its start",
        settings.release
    );
    Ok(())
}

async fn converse(stream: TcpStream, answers: Arc<Answers>, mut draining: watch::Receiver<()>) {
    // An error here means that the connection is gone, which the connection itself will find out.
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request| {
        let answers = Arc::clone(&answers);
        async move { Ok::<_, Infallible>(answers.answer(request).await) }
    });
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        _ = draining.changed() => None,
    };
    if ended.is_none() {
        connection.as_mut().graceful_shutdown();
        // How a connection ends concerns its client only.
        let _ = connection.await;
    }
}
