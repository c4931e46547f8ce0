//! Probes as one process makes them. They lie sometimes.

use std::sync::Arc;

use async_trait::async_trait;
use deployer_core::{
    model::{Instance, InstanceId, Timestamp},
    ports::{CallContext, Clock as _, HealthCheck},
    strategy::Probe,
};

use super::witness::Witness;

/// Probes as one process makes them.
#[derive(Debug)]
pub(super) struct WitnessHealth {
    pub(super) witness: Arc<Witness>,
    pub(super) inner: Arc<dyn HealthCheck>,
}

#[async_trait]
impl HealthCheck for WitnessHealth {
    fn describe(&self) -> String {
        self.inner.describe()
    }

    async fn probe(&self, context: &CallContext, instance: &Instance) -> Probe {
        let began = self.witness.clock.now();
        let mut patience = Patience { witness: &self.witness, instance: &instance.id, began, waits: true };
        let probe = self.inner.probe(context, instance).await;
        patience.waits = false;
        if !self.witness.lot(self.witness.scenario.rates.lies) {
            return probe;
        }
        let lie = match probe {
            Probe::Ok => Probe::Failed { why: "a lie".to_owned() },
            Probe::Failed { .. } => Probe::Ok,
            Probe::Unknown { .. } => return probe,
        };
        self.witness.world.doubt(&instance.id);
        let what = || format!("a probe of {} lies: {lie:?}", instance.id);
        self.witness.record.lock().inject("lie", what);
        lie
    }
}

/// A probe that is given up counts as failed, whatever is true.
struct Patience<'a> {
    witness: &'a Witness,
    instance: &'a InstanceId,
    began: Timestamp,
    waits: bool,
}

impl Drop for Patience<'_> {
    fn drop(&mut self) {
        let waited = self.witness.clock.now().since(self.began);
        if self.waits && waited >= self.witness.scenario.probing.timeout {
            self.witness.world.doubt(self.instance);
        }
    }
}
