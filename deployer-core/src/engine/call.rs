//! One call to a backend: with a deadline, caught when it panics, repeated when that may help.

use std::{future::Future, panic::AssertUnwindSafe, time::Duration};

use futures::FutureExt as _;

use super::RetryPolicy;
use crate::{
    error::{BackendError, ErrorKind, Retry},
    ports::{Clock, Result},
};

/// Waits for a call, but no longer than `limit`. A call that did not answer may have happened.
pub(crate) async fn within<T>(
    clock: &dyn Clock,
    limit: Duration,
    operation: &str,
    call: impl Future<Output = Result<T>>,
) -> Result<T> {
    match limited(clock, limit, call).await {
        Limited::Done(done) => done,
        Limited::TimedOut => {
            let message = format!("no answer within {limit:?}; it may have happened");
            Err(BackendError::new(ErrorKind::TimedOut, operation, message))
        }
        Limited::Panicked => {
            let mut error = BackendError::new(ErrorKind::Unexpected, operation, "the backend panicked");
            error.retry = Retry::Never;
            Err(error)
        }
    }
}

/// How a call to a user's code ended.
#[derive(Debug)]
pub(crate) enum Limited<T> {
    Done(T),
    TimedOut,
    Panicked,
}

/// Runs user code that cannot fail, but may hang or panic.
pub(crate) async fn limited<T>(
    clock: &dyn Clock,
    limit: Duration,
    call: impl Future<Output = T>,
) -> Limited<T> {
    let call = AssertUnwindSafe(call).catch_unwind();
    tokio::select! {
        biased;
        done = call => done.map_or(Limited::Panicked, Limited::Done),
        () = clock.sleep(limit) => Limited::TimedOut,
    }
}

/// Makes a call until it succeeds, cannot succeed, or was made often enough; an error then says [`Retry::Exhausted`].
pub(crate) async fn retried<T, F: Future<Output = Result<T>>>(
    clock: &dyn Clock,
    policy: &RetryPolicy,
    name: &str,
    mut on_failure: impl FnMut(u32, &BackendError),
    mut call: impl FnMut() -> F,
) -> Result<T> {
    let started = clock.now();
    let mut attempt = 1;
    loop {
        let mut error = match call().await {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        if error.retry != Retry::Maybe {
            return Err(error);
        }
        if attempt >= policy.attempts || clock.now().since(started) >= policy.total {
            error.retry = Retry::Exhausted;
            return Err(error);
        }
        on_failure(attempt, &error);
        clock.sleep(wait(policy, name, attempt)).await;
        attempt += 1;
    }
}

/// Doubles from the first wait, less up to a half that differs from call to call.
fn wait(policy: &RetryPolicy, name: &str, attempt: u32) -> Duration {
    let full = doubled(policy.first_wait, attempt - 1, policy.longest_wait);
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in name.bytes().chain(attempt.to_le_bytes()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    let tenth = u32::try_from(hash % 6).expect("a remainder of 6 is at most 5");
    full.saturating_sub(full * tenth / 10)
}

/// `first` doubled `times` times, at most `longest`.
pub(crate) fn doubled(first: Duration, times: u32, longest: Duration) -> Duration {
    first.saturating_mul(1_u32.checked_shl(times).unwrap_or(u32::MAX)).min(longest)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::ports::SystemClock;

    async fn calls(policy: RetryPolicy, error: impl Fn(u32) -> Option<BackendError>) -> (u32, Option<Retry>) {
        let count = Cell::new(0);
        let result = retried(
            &SystemClock::new(),
            &policy,
            "d1",
            |_, _| {},
            || {
                count.set(count.get() + 1);
                let error = error(count.get());
                async move { error.map_or(Ok(()), Err) }
            },
        )
        .await;
        (count.get(), result.err().map(|error| error.retry))
    }

    fn failed(kind: ErrorKind) -> BackendError {
        BackendError::new(kind, "start", "no")
    }

    #[tokio::test(start_paused = true)]
    async fn only_what_may_help_is_repeated_and_only_so_often() {
        let policy = RetryPolicy::default();
        assert_eq!(calls(policy.clone(), |_| None).await, (1, None));
        let third_time = |n| (n < 3).then(|| failed(ErrorKind::Unavailable));
        assert_eq!(calls(policy.clone(), third_time).await, (3, None));
        let always = |_| Some(failed(ErrorKind::TimedOut));
        assert_eq!(calls(policy.clone(), always).await, (5, Some(Retry::Exhausted)));
        let never = |_| Some(failed(ErrorKind::InvalidInput));
        assert_eq!(calls(policy, never).await, (1, Some(Retry::Never)));
    }

    #[test]
    fn waits_double_and_keep_between_a_half_and_the_whole() {
        let policy = RetryPolicy::default();
        for attempt in 1..40 {
            let full = doubled(policy.first_wait, attempt - 1, policy.longest_wait);
            let wait = wait(&policy, "web", attempt);
            assert!(wait <= full && wait >= full / 2, "{attempt}: {wait:?} of {full:?}");
        }
        assert_eq!(doubled(policy.first_wait, 99, policy.longest_wait), policy.longest_wait);
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_hangs_or_panics_is_an_error() {
        let clock = SystemClock::new();
        let limit = Duration::from_secs(3);
        let hung = within::<()>(&clock, limit, "look", std::future::pending()).await.unwrap_err();
        assert_eq!((hung.kind, hung.retry), (ErrorKind::TimedOut, Retry::Maybe));
        let panicked = within::<()>(&clock, limit, "look", async { panic!("oh") }).await.unwrap_err();
        assert_eq!((panicked.kind, panicked.retry), (ErrorKind::Unexpected, Retry::Never));
    }
}
