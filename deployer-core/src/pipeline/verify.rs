//! Smoke checks as a stage.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use async_trait::async_trait;
use serde_json::Value;

use super::{StageContext, StageError, Work};
use crate::{
    engine::IntoShared,
    error::Problem,
    model::{Instance, InstanceId, InstancePhase, Place},
    ports::{CallContext, HealthCheck},
    strategy::Probe,
};

/// Checks an address that users reach once everything is live: the router's, most often. All checks have to pass.
///
/// ```
/// use deployer_core::{checks::HttpCheck, pipeline::{Stage, Verify}};
/// # fn example() -> Result<(), Vec<deployer_core::error::Problem>> {
/// let verify = Verify::at("127.0.0.1:8080".parse().unwrap()).check("login", HttpCheck::get("/login").build()?);
/// let stage = Stage::of("verify", verify).no_undo().repeatable();
/// # let _ = stage;
/// # Ok(())
/// # }
/// # assert!(example().is_ok());
/// ```
#[derive(Debug, Clone)]
pub struct Verify {
    address: SocketAddr,
    checks: Vec<(String, Arc<dyn HealthCheck>)>,
    attempts: u32,
    pause: Duration,
}

impl Verify {
    /// Checks of this address.
    pub fn at(address: SocketAddr) -> Self {
        Self { address, checks: Vec::new(), attempts: 3, pause: Duration::from_secs(1) }
    }

    /// Adds a check with a name for messages.
    #[must_use]
    pub fn check(mut self, name: impl Into<String>, check: impl IntoShared<dyn HealthCheck>) -> Self {
        self.checks.push((name.into(), check.into_shared()));
        self
    }

    /// How often a check that fails is tried, and the pause in between. Default 3 times, 1 s.
    #[must_use]
    pub fn attempts(mut self, attempts: u32, pause: Duration) -> Self {
        (self.attempts, self.pause) = (attempts, pause);
        self
    }

    async fn passes(
        &self,
        context: &StageContext,
        call: &CallContext,
        (name, check): (&str, &dyn HealthCheck),
    ) -> Result<(), StageError> {
        let instance = self.instance(context)?;
        let mut attempt = 1;
        loop {
            let probe = tokio::select! {
                probe = check.probe(call, &instance) => probe,
                () = context.clock().sleep(call.deadline) => {
                    Probe::Unknown { why: format!("no answer within {:?}", call.deadline) }
                }
            };
            let why = match probe {
                Probe::Ok => return Ok(()),
                Probe::Failed { why } | Probe::Unknown { why } => why,
            };
            if attempt >= self.attempts.max(1) || context.is_asked_to_stop() {
                return Err(StageError::new(format!("check {name} of {} failed: {why}", self.address)));
            }
            context.note(format!("check {name} failed, attempt {attempt}: {why}"));
            attempt += 1;
            context.clock().sleep(self.pause).await;
        }
    }

    /// A check knows instances only: this one stands for whoever answers at the address.
    fn instance(&self, context: &StageContext) -> Result<Instance, StageError> {
        Ok(Instance {
            id: InstanceId::new(context.stage().as_str())?,
            place: Place::new("public")?,
            address: Some(self.address),
            phase: InstancePhase::Running { ready: None },
            started_at: context.clock().now(),
            restarts: 0,
            digest: "".into(),
        })
    }
}

#[async_trait]
impl Work for Verify {
    async fn run(&self, context: StageContext) -> Result<Value, StageError> {
        let workload = context.workloads().first().ok_or_else(|| StageError::new("there is no workload"))?;
        let call = context.call_context(workload);
        for (name, check) in &self.checks {
            self.passes(&context, &call, (name, &**check)).await?;
        }
        Ok(Value::Null)
    }

    fn describe(&self) -> String {
        let names: Vec<&str> = self.checks.iter().map(|(name, _)| name.as_str()).collect();
        format!("check {} of {}", names.join(", "), self.address)
    }

    fn problems(&self) -> Vec<Problem> {
        let problem = || Problem::new("verify", "it has no check, so it would always pass; add one");
        self.checks.is_empty().then(problem).into_iter().collect()
    }
}
