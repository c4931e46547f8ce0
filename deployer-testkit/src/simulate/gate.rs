//! A gate that says anything.

use std::time::Duration;

use async_trait::async_trait;
use deployer_core::{
    ports::{CallContext, Clock as _, Gate, GateAnswer, GateWindow},
    strategy::Verdict,
};
use parking_lot::Mutex;

use super::{clock::VirtualClock, draw::Draw};

/// A gate that says anything, mostly yes.
#[derive(Debug)]
pub(super) struct MoodyGate {
    pub(super) clock: VirtualClock,
    pub(super) draw: Mutex<Draw>,
}

#[async_trait]
impl Gate for MoodyGate {
    fn describe(&self) -> String {
        "says anything".to_owned()
    }

    async fn evaluate(&self, _context: &CallContext, window: &GateWindow) -> GateAnswer {
        let lot = self.draw.lock().below(20);
        let reason = "a mood".to_owned();
        let verdict = match lot {
            0 => Verdict::Fail { reason },
            1..=3 => Verdict::Hold { reason },
            4 | 5 => Verdict::Unknown { reason },
            6 => std::future::pending().await,
            _ => Verdict::Pass { reason },
        };
        self.clock.sleep(Duration::from_millis(5)).await;
        let next_at = self.clock.now().after(Duration::from_millis(400));
        GateAnswer { verdict, memory: window.memory.clone(), next_at }
    }
}
