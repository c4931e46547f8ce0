//! How sets answer, as the live router counts.

use std::time::Duration;

use async_trait::async_trait;
use deployer_core::{
    error::{BackendError, ErrorKind},
    model::{SetId, WorkloadId},
    ports::{CallContext, Counts, MetricSource, Result},
};

use crate::server::Server;

/// How the sets of one workload answer, as its [`LiveRouter`](crate::LiveRouter) counts: each request once, for the set
/// of the member that had it last. Bad is status 5xx of the member, or no answer at all; a client that left first is not
/// counted. Times are exact to a millisecond, above 8 ms to a quarter of a doubling, rounded up.
///
/// Counts survive a reload of nginx; a restart forgets them. Seconds are remembered for five minutes, minutes for a day:
/// a longer interval is counted from the next minute on.
#[derive(Debug, Clone)]
pub struct LiveMetrics {
    server: Server,
    workload: WorkloadId,
}

impl LiveMetrics {
    /// Of this workload.
    pub fn new(server: Server, workload: WorkloadId) -> Self {
        Self { server, workload }
    }
}

#[async_trait]
impl MetricSource for LiveMetrics {
    async fn counts(&self, context: &CallContext, set: &SetId, interval: Duration) -> Result<Counts> {
        let operation = format!("count answers of set {set} of {}", self.workload);
        if context.workload != self.workload {
            let message = format!("this source counts for {}, not {}", self.workload, context.workload);
            return Err(BackendError::new(ErrorKind::InvalidInput, operation, message));
        }
        let path = format!("/live/{}/counts?set={set}&seconds={}", self.workload, interval.as_secs_f64());
        let answer = self.server.ask("GET", &path, b"", context.deadline).await;
        let answer = answer.map_err(|error| BackendError { operation: operation.clone(), ..error })?;
        match answer.status {
            200 => parse(&answer.body).ok_or_else(|| {
                BackendError::new(ErrorKind::Unexpected, operation, "the answer of nginx is not understood")
            }),
            404 if answer.body.starts_with("nothing is known") => {
                let message = format!("nothing is known of the answers of set {set}");
                Err(BackendError::new(ErrorKind::NotFound, operation, message))
            }
            404 => {
                let message = "nginx runs without the live router: reload it, with the Lua module loaded";
                Err(BackendError::new(ErrorKind::Unavailable, operation, message))
            }
            status => {
                Err(BackendError::new(ErrorKind::Unexpected, operation, format!("nginx answered {status}")))
            }
        }
    }
}

fn parse(body: &str) -> Option<Counts> {
    let mut words = body.split_ascii_whitespace();
    let (total, bad) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let p99_micros = match words.next()? {
        "-" => None,
        micros => Some(micros.parse().ok()?),
    };
    Some(Counts { total, bad, p99_micros })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers() {
        assert_eq!(parse("42 3 8000\n"), Some(Counts { total: 42, bad: 3, p99_micros: Some(8000) }));
        assert_eq!(parse("0 0 -\n"), Some(Counts::default()));
        for nonsense in ["", "1 2", "a 0 -", "1 0 x"] {
            assert_eq!(parse(nonsense), None, "{nonsense:?}");
        }
    }
}
