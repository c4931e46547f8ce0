//! Every new instance must pass a check once.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use futures::StreamExt;

use super::answer::{answer, fail, pass, unknown};
use crate::{
    model::Instance,
    ports::{CallContext, Gate, GateAnswer, GateWindow, HealthCheck},
    strategy::{Probe, Verdict},
};

/// How many instances are probed at the same time.
const AT_ONCE: usize = 16;

/// Probes every verified instance of the new set once. Passes if all are ok, fails if one failed, and asks again if one
/// could not be probed.
///
/// ```
/// use std::{sync::Arc, time::Duration};
/// use deployer_core::{checks::HttpCheck, gates::SmokeCheck};
/// # fn example() -> Result<(), Vec<deployer_core::error::Problem>> {
/// let gate = SmokeCheck::new(Arc::new(HttpCheck::get("/version").build()?)).every(Duration::from_secs(2));
/// # let _: &dyn deployer_core::ports::Gate = &gate;
/// # Ok(())
/// # }
/// # assert!(example().is_ok());
/// ```
#[derive(Debug, Clone)]
pub struct SmokeCheck {
    check: Arc<dyn HealthCheck>,
    every: Duration,
}

impl SmokeCheck {
    /// A gate of this check.
    pub fn new(check: Arc<dyn HealthCheck>) -> Self {
        Self { check, every: Duration::from_secs(5) }
    }

    /// How long to wait before it is tried again where something could not be probed. Default 5 s.
    #[must_use]
    pub fn every(mut self, every: Duration) -> Self {
        self.every = every;
        self
    }

    async fn verdict(&self, context: &CallContext, instances: &[Instance]) -> Verdict {
        if instances.is_empty() {
            return unknown("there is no verified instance to check");
        }
        // Rounds follow each other, so that each gets its part of the time, and a little is left to answer.
        let rounds = u32::try_from(instances.len().div_ceil(AT_ONCE)).unwrap_or(u32::MAX);
        let deadline = context.deadline.mul_f64(0.95) / rounds;
        let context = CallContext { deadline, ..context.clone() };
        let probe = |instance: Instance| {
            let (context, check) = (&context, &self.check);
            async move {
                let probe = match tokio::time::timeout(deadline, check.probe(context, &instance)).await {
                    Ok(probe) => probe,
                    Err(_) => Probe::Unknown { why: format!("no probe came to an end within {deadline:?}") },
                };
                (instance.id, probe)
            }
        };
        let mut probes = futures::stream::iter(instances.iter().cloned().map(probe)).buffered(AT_ONCE);
        let mut open = None;
        while let Some((id, probe)) = probes.next().await {
            match probe {
                Probe::Ok => {}
                Probe::Failed { why } => return fail(format!("instance {id}: {why}")),
                Probe::Unknown { why } => {
                    open.get_or_insert_with(|| unknown(format!("instance {id}: {why}")));
                }
            }
        }
        open.unwrap_or_else(|| pass(format!("{} of {0} instances passed", instances.len())))
    }
}

#[async_trait]
impl Gate for SmokeCheck {
    fn describe(&self) -> String {
        format!("every new instance: {}", self.check.describe())
    }

    async fn evaluate(&self, context: &CallContext, window: &GateWindow) -> GateAnswer {
        answer(window, self.verdict(context, &window.instances).await, self.every)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        checks::{check_fn, tests_support::instance},
        gates::tests_support::{ask, window},
    };

    /// Instances say by their name what comes of a probe.
    fn by_name() -> SmokeCheck {
        let check = check_fn("works", |_, instance: Instance| async move {
            match instance.id.as_str().split('-').next() {
                Some("ok") => Probe::Ok,
                Some("bad") => Probe::Failed { why: "500".into() },
                Some("hangs") => std::future::pending().await,
                _ => Probe::Unknown { why: "no route".into() },
            }
        });
        SmokeCheck::new(Arc::new(check)).every(Duration::from_secs(3))
    }

    async fn verdict_on(names: &[&str]) -> GateAnswer {
        let mut window = window(1000);
        window.instances = names.iter().map(|name| instance(name, "127.0.0.1:1")).collect();
        ask(&by_name(), &window).await
    }

    #[tokio::test]
    async fn one_failure_fails_and_names_the_instance() {
        let answer = verdict_on(&["ok-1", "odd-2", "bad-3"]).await;
        assert_eq!(answer.verdict, fail("instance bad-3: 500"));
    }

    #[tokio::test]
    async fn what_could_not_be_probed_is_tried_again() {
        let answer = verdict_on(&["ok-1", "odd-2"]).await;
        assert_eq!(answer.verdict, unknown("instance odd-2: no route"));
        assert_eq!(answer.next_at, window(4000).now);
    }

    #[tokio::test]
    async fn all_must_pass_and_none_is_not_all() {
        let names: Vec<_> = (0..40).map(|number| format!("ok-{number}")).collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        assert_eq!(verdict_on(&names).await.verdict, pass("40 of 40 instances passed"));
        assert!(matches!(verdict_on(&[]).await.verdict, Verdict::Unknown { .. }));
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_hangs_does_not_hang_the_gate() {
        let names = ["hangs-1"; 40];
        let start = tokio::time::Instant::now();
        assert!(matches!(verdict_on(&names).await.verdict, Verdict::Unknown { .. }));
        assert!(start.elapsed() <= Duration::from_secs(5), "took {:?}", start.elapsed());
    }
}
