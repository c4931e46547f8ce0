//! The threads that carry requests, apart from the thread of the control, so that neither waits for the other.

use std::{
    io,
    thread::{self, JoinHandle},
};

use tokio::{
    runtime::{Builder, Handle, Runtime},
    sync::oneshot,
};

/// The threads that carry requests: half of the cores, as the others are for the instances. Dropping it ends them.
#[derive(Debug)]
pub(crate) struct DataPlane {
    handle: Handle,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// One thread hands no work to others, which saves a tenth of the time of a request.
    One {
        stop: Option<oneshot::Sender<()>>,
        thread: Option<JoinHandle<()>>,
    },
    Several {
        runtime: Option<Runtime>,
    },
}

impl DataPlane {
    pub(crate) fn start() -> io::Result<Self> {
        let threads = thread::available_parallelism().map_or(1, |cores| cores.get() / 2);
        if threads > 1 {
            let runtime = Builder::new_multi_thread()
                .worker_threads(threads)
                .thread_name("proxy")
                .enable_all()
                .build()?;
            return Ok(Self {
                handle: runtime.handle().clone(),
                kind: Kind::Several { runtime: Some(runtime) },
            });
        }
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel();
        let thread = thread::Builder::new().name("proxy".to_owned()).spawn(move || {
            // Ends when the other side is dropped, too.
            let _ = runtime.block_on(stopped);
            runtime.shutdown_background();
        })?;
        Ok(Self { handle, kind: Kind::One { stop: Some(stop), thread: Some(thread) } })
    }

    pub(crate) fn handle(&self) -> Handle {
        self.handle.clone()
    }
}

impl Drop for DataPlane {
    fn drop(&mut self) {
        match &mut self.kind {
            Kind::One { stop, thread } => {
                drop(stop.take());
                if let Some(thread) = thread.take() {
                    // A panic there has been printed, and this is the end anyway.
                    let _ = thread.join();
                }
            }
            Kind::Several { runtime } => {
                if let Some(runtime) = runtime.take() {
                    runtime.shutdown_background();
                }
            }
        }
    }
}
