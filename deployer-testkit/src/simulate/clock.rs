//! Time that jumps.

use std::{
    collections::BTreeMap,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use async_trait::async_trait;
use deployer_core::{model::Timestamp, ports::Clock};
use parking_lot::Mutex;

use crate::TestClock;

/// So much happening at one moment means that something turns in a circle.
const MOST_AT_ONCE: u32 = 200_000;

/// A clock that stands still while anything runs and jumps to the next moment that somebody sleeps until, which wakes
/// exactly one sleeper. It needs no timer of the runtime, so a second of it costs nothing.
#[derive(Debug, Clone)]
pub(super) struct VirtualClock(Arc<Mutex<Timeline>>);

#[derive(Debug)]
struct Timeline {
    now: Timestamp,
    /// Numbers sleepers, so that those of one moment wake in the order in which they went to sleep.
    next: u64,
    sleepers: BTreeMap<(Timestamp, u64), Waker>,
    /// How often the time was asked for since it last moved.
    asked: u32,
    /// Who waits for the end of it all. It is woken with every jump: a sleeper that nobody polls any more wakes nobody,
    /// and the thread would sleep for ever.
    watcher: Option<Waker>,
    /// Nobody sleeps and nothing can run: everything waits for something that never comes.
    stalled: bool,
}

impl VirtualClock {
    pub(super) fn new() -> Self {
        let timeline = Timeline {
            now: TestClock::START,
            next: 0,
            sleepers: BTreeMap::new(),
            asked: 0,
            watcher: None,
            stalled: false,
        };
        Self(Arc::new(Mutex::new(timeline)))
    }

    /// A runtime for this clock: whenever nothing can run any more, time moves.
    fn runtime(&self) -> std::io::Result<tokio::runtime::Runtime> {
        let clock = self.clone();
        tokio::runtime::Builder::new_current_thread().on_thread_park(move || clock.jump()).build()
    }

    /// Runs a task to its end; `None` if everything came to wait for something that never comes.
    pub(super) fn run<T: Send + 'static>(
        &self,
        task: impl Future<Output = T> + Send + 'static,
    ) -> std::io::Result<Option<T>> {
        self.runtime()?.block_on(async {
            let mut tasks = tokio::task::JoinSet::new();
            tasks.spawn(task);
            std::future::poll_fn(|context| {
                {
                    let mut timeline = self.0.lock();
                    if timeline.stalled {
                        return Poll::Ready(Ok(None));
                    }
                    if timeline.watcher.as_ref().is_none_or(|known| !known.will_wake(context.waker())) {
                        timeline.watcher = Some(context.waker().clone());
                    }
                }
                tasks.poll_join_next(context).map(|ended| match ended {
                    Some(Ok(ended)) => Ok(Some(ended)),
                    Some(Err(error)) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                    _ => Ok(None),
                })
            })
            .await
        })
    }

    /// How much time has passed.
    pub(super) fn passed(&self) -> Duration {
        self.0.lock().now.since(TestClock::START)
    }

    fn jump(&self) {
        let (sleeper, watcher) = {
            let mut timeline = self.0.lock();
            let sleeper = timeline.sleepers.pop_first();
            match &sleeper {
                Some(((until, _), _)) => {
                    timeline.now = timeline.now.max(*until);
                    timeline.asked = 0;
                }
                None => timeline.stalled = true,
            }
            (sleeper, timeline.watcher.clone())
        };
        if let Some((_, sleeper)) = sleeper {
            sleeper.wake();
        }
        if let Some(watcher) = watcher {
            watcher.wake();
        }
    }
}

#[async_trait]
impl Clock for VirtualClock {
    fn now(&self) -> Timestamp {
        let mut timeline = self.0.lock();
        timeline.asked += 1;
        assert!(timeline.asked < MOST_AT_ONCE, "a hot loop: time does not pass and something goes on and on");
        timeline.now
    }

    async fn sleep(&self, duration: Duration) {
        let until = self.0.lock().now.after(duration.saturating_add(Duration::from_nanos(999_999)));
        Sleep { clock: self.clone(), until, key: None }.await;
    }
}

/// One sleeper. Dropping it takes it out.
struct Sleep {
    clock: VirtualClock,
    until: Timestamp,
    key: Option<(Timestamp, u64)>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let mut timeline = this.clock.0.lock();
        if timeline.now >= this.until {
            return Poll::Ready(());
        }
        let known = this.key.and_then(|key| timeline.sleepers.get_mut(&key));
        if let Some(known) = known {
            known.clone_from(context.waker());
            return Poll::Pending;
        }
        let number = timeline.next;
        timeline.next += 1;
        timeline.sleepers.insert((this.until, number), context.waker().clone());
        this.key = Some((this.until, number));
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.clock.0.lock().sleepers.remove(&key);
        }
    }
}
