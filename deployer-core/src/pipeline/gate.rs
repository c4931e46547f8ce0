//! A gate as a stage.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use serde_json::Value;

use super::{Stage, StageContext, StageError, Work};
use crate::{
    engine::IntoShared,
    error::Problem,
    model::{AttachPoint, SetId, StageId},
    ports::{Gate, GateWindow},
    strategy::Verdict,
};

/// How long a gate may hold a pipeline: people sleep, and there are weekends.
const DEADLINE: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// A gate that wants to be asked again at once has to wait this long.
const SOONEST: Duration = Duration::from_millis(100);

struct GateWork(Arc<dyn Gate>);

impl Stage {
    /// A stage that waits for a gate: an approval, a window of time, an answer of another system. If it fails, or does
    /// not pass within its deadline (default 7 days), what came before is undone. After a crash it is asked anew.
    ///
    /// The gate is asked at [`AttachPoint::Stage`], about a set that has the name of the stage.
    pub fn gate(
        id: impl TryInto<StageId, Error: std::fmt::Display>,
        gate: impl IntoShared<dyn Gate>,
    ) -> Stage {
        let gate = GateWork(gate.into_shared());
        Self::of(id, gate).no_undo().repeatable().deadline(DEADLINE)
    }
}

#[async_trait]
impl Work for GateWork {
    async fn run(&self, context: StageContext) -> Result<Value, StageError> {
        let clock = Arc::clone(context.clock());
        let workload = context.workloads().first().ok_or_else(|| StageError::new("there is no workload"))?;
        let call = context.call_context(workload);
        let mut window = GateWindow {
            at: AttachPoint::Stage,
            step: 0,
            since: clock.now(),
            now: clock.now(),
            candidate: SetId::new(context.stage().as_str())?,
            stable: None,
            instances: Arc::default(),
            memory: Value::Null,
        };
        loop {
            let asked = tokio::select! {
                answer = self.0.evaluate(&call, &window) => Some(answer),
                () = clock.sleep(call.deadline) => None,
                () = context.asked_to_stop() => return Err(stopped()),
            };
            let mut pause = call.deadline.min(Duration::from_secs(5));
            if let Some(answer) = asked {
                match &answer.verdict {
                    Verdict::Pass { .. } => return Ok(Value::Null),
                    Verdict::Fail { reason } => return Err(StageError::new(reason.clone())),
                    Verdict::Hold { reason } | Verdict::Unknown { reason } => context.note(reason.clone()),
                }
                pause = answer.next_at.since(clock.now()).max(SOONEST);
                window.memory = answer.memory;
            }
            tokio::select! {
                () = clock.sleep(pause) => {}
                () = context.asked_to_stop() => return Err(stopped()),
            }
            window.now = clock.now();
        }
    }

    fn describe(&self) -> String {
        self.0.describe()
    }

    fn problems(&self) -> Vec<Problem> {
        Vec::new()
    }
}

fn stopped() -> StageError {
    StageError::new("a person asked to stop while the gate was waited for")
}
